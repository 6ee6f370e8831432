/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk goes from a QEMU that runs.
 *
 * The guest must agree. It is asked by device_del and has five seconds, as with libvirt; after that the call is answered, with
 * success, the job is over and the disk is the guest's as before. When the guest lets go later, QEMU says so
 * (DEVICE_DELETED), and the same job does the rest, finding the device gone. A daemon that was away at that moment finds it
 * missing when it comes back (adopt.c).
 *
 * The commit point is the deletion of the block nodes: before it QEMU may write to the disk, behind it nobody does.
 */
#include "block-job-internal.h"
#include "clock.h"
#include "hotplug.h"
#include "log.h"
#include "vm-lease-internal.h"

#define GUEST_PATIENCE_USEC (5 * USEC_PER_SEC)

/* ---- unplug ---- */

static void unplug_over(struct disk_operation *o, const struct error *err)
{
	o->timer = sd_event_source_disable_unref(o->timer);
	o->op.on_device_deleted = NULL;
	operation_step_done(&o->op, err);
}

static int guest_is_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct disk_operation *o = userdata;
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_TIMEOUT,
		"the guest has not let go of disk '%s' yet; it is detached as soon as it does",
		o->disk->target);
	unplug_over(o, &err);
	return 0;
}

static bool deleted(struct operation *op, const char *alias)
{
	struct disk_operation *o = (struct disk_operation *)op;

	if (!streq(alias, o->disk->info.alias))
		return false;
	o->unplugged = true;
	/* Some devices are gone before the reply: then that ends the step. */
	if (o->asked)
		unplug_over(o, NULL);
	return true;
}

static void qemu_gone(struct operation *op)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "QEMU is gone");
	unplug_over((struct disk_operation *)op, &err);
}

static void asked(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct disk_operation *o = userdata;

	o->asked = true;
	/* "Device 'virtio-disk1' not found": it went before. */
	if (o->unplugged || (err && endswith(err->message, "not found")))
		unplug_over(o, NULL);
	else if (err && !strstr(err->message, "already in the process of unplug"))
		unplug_over(o, err);
	else {
		o->op.on_gone = qemu_gone;
		sd_event_add_time_relative(o->op.vm->registry->loop, &o->timer, CLOCK_MONOTONIC,
			GUEST_PATIENCE_USEC, 0, guest_is_late, o);
	}
}

static enum step_result unplug(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;

	if (!vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	o->op.on_device_deleted = deleted;
	qmp_command(vm->qmp, "device_del", json_pack("s:id", o->disk->info.alias, NULL), -1, 0, asked, o);
	return STEP_WAIT;
}

/* ---- the other steps ---- */

static enum step_result record(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;
	struct disk *disk = vm->live ? domain_find_disk_by_alias(vm->live, o->disk->info.alias) : NULL;
	int r = 0;

	if (disk) {
		domain_remove_disk(vm->live, disk);
		r = vm_write_live(vm, err);
	}
	if (r == 0 && o->config)
		r = definition_remove_disk(vm, o->disk->target, err);
	registry_emit(vm->registry,
		&(struct vm_event){
			.type = VM_EVENT_DEVICE_REMOVED, .vm = vm, .device = {.alias = o->disk->info.alias}});
	if (r < 0)
		o->op.failure = *err;
	return r < 0 ? STEP_FAILED : STEP_DONE;
}

/* record comes first: a VM must never seem to hold less than it should. */
static const struct job_step detach_steps[] = {
	{"unplug", unplug, NULL},
	{"delete-nodes", disk_delete_nodes, NULL},
	{"record", record, NULL},
	{"give-lease", disk_give_lease, NULL},
};

enum { DETACH_COMMIT = 1 };

const struct operation_type detach_operation_type = {
	.job = {.name = "detach-disk",
		.steps = detach_steps,
		.n_steps = ARRAY_SIZE(detach_steps),
		.commit = DETACH_COMMIT},
	.verb = "detach a disk from",
	.kind = VM_JOB_OTHER,
	.size = sizeof(struct disk_operation),
	.encode = disk_operation_encode,
	.decode = disk_operation_decode,
	.release = disk_operation_release,
};

/* ---- the verb ---- */

struct detachment {
	char *target;
	bool config;
	vm_done_fn done;
	void *userdata;
};

static void detached(struct vm *vm, const struct error *err, void *userdata)
{
	struct detachment *d = userdata;
	struct error failure = ERROR_INIT;

	if (err && err->code == ERROR_TIMEOUT) {
		err = NULL;
		if (d->config && definition_remove_disk(vm, d->target, &failure) < 0)
			err = &failure;
	}
	d->done(vm, err, d->userdata);
	free(d->target);
	free(d);
}

int detach_begin(
	struct vm *vm, const char *target, bool config, vm_done_fn done, void *userdata, struct error *err)
{
	struct disk *disk = domain_find_disk(vm->live, target);
	struct disk_operation *o;
	struct detachment *d;

	if (!disk)
		return error_set(err, ERROR_OPERATION_FAILED, "disk %s not found", target);
	if (!disk_is_hotpluggable(disk))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s': a %s on bus '%s' cannot be taken from a running VM", disk->target,
			disk_device_name(disk->device), disk_bus_name(disk->bus));
	if (block_jobs_check_none(vm, disk->target, err) < 0)
		return -1;
	if (config && !domain_find_disk(vm->persistent, target))
		return error_set(err, ERROR_OPERATION_FAILED,
			"no target device %s in the persistent definition", target);
	o = disk_operation_new(&detach_operation_type, vm);
	o->disk = disk_copy(disk);
	o->config = config;
	d = NEW(struct detachment);
	*d = (struct detachment){
		.target = xstrdup(target), .config = config, .done = done, .userdata = userdata};
	if (operation_begin(&o->op, detached, d, err) == 0)
		return 0;
	free(d->target);
	free(d);
	return -1;
}

/* ---- gone by themselves ---- */

void vm_disk_unplugged(struct vm *vm, const char *alias)
{
	if (!strv_contains(&vm->unplugged, alias))
		strv_add(&vm->unplugged, alias);
}

void vm_remove_unplugged(struct vm *vm)
{
	struct error err = ERROR_INIT;

	while (vm->unplugged.n > 0 && !vm->operation) {
		_cleanup_free_ char *alias = vm->unplugged.items[vm->unplugged.n - 1];
		const struct disk *disk = domain_find_disk_by_alias(vm->live, alias);
		struct disk_operation *o;

		vm->unplugged.items[--vm->unplugged.n] = NULL;
		if (!disk)
			continue;
		o = disk_operation_new(&detach_operation_type, vm);
		o->disk = disk_copy(disk);
		if (operation_begin(&o->op, NULL, NULL, &err) < 0)
			log_write(LOG_LEVEL_ERROR, vm->name, NULL, "%s", err.message);
	}
}
