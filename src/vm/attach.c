/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk comes to a QEMU that runs.
 *
 * The commit point is device_add, whose effect the guest sees and which only the guest could take back; a daemon that comes
 * after a crash asks QEMU whether the device is there.
 */
#include "argv.h"
#include "hotplug.h"
#include "monitor.h"
#include "vm-lease-internal.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- steps ---- */

static void node_added(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	disk_operation_replied(userdata, err);
}

/* Pairs of option and JSON; the device is the last. */
static int parse_argument(const struct disk_operation *o, size_t i, json **ret, struct error *err)
{
	return json_parse(o->argv.items[i + 1], strlen(o->argv.items[i + 1]), ret, err);
}

static enum step_result add_nodes(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;

	error_clear(&o->failed);
	o->pending = 0;
	for (size_t i = 0; i + 2 < o->argv.n && vm->qmp; i += 2) {
		json *arguments;

		if (parse_argument(o, i, &arguments, err) < 0)
			return STEP_FAILED;
		o->pending++;
		qmp_command(vm->qmp, "blockdev-add", arguments, -1, 0, node_added, o);
	}
	return o->pending > 0 ? STEP_WAIT : STEP_DONE;
}

static enum step_result add_device(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	json *arguments;

	if (parse_argument(o, o->argv.n - 2, &arguments, err) < 0)
		return STEP_FAILED;
	return operation_command(&o->op, "device_add", arguments, err);
}

static bool device_is_there(void *context)
{
	const struct disk_operation *o = context;

	return strv_contains(&o->op.vm->found_devices, o->disk->info.alias);
}

static int take_into_live(struct disk_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;
	_cleanup_(disk_free_p) struct disk *disk = NULL;

	if (!vm->live)
		return 0;
	if (!domain_find_disk_by_alias(vm->live, o->disk->info.alias)) {
		disk = disk_copy(o->disk);
		if (domain_add_disk(vm->live, disk, err) < 0)
			return -1;
		TAKE_PTR(disk);
	}
	return vm_write_live(vm, err);
}

static enum step_result record(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;
	int r = take_into_live(o, err);

	if (r == 0 && o->config)
		r = definition_add_disk(vm, o->xml, err);
	registry_emit(vm->registry,
		&(struct vm_event){
			.type = VM_EVENT_DEVICE_ADDED, .vm = vm, .device = {.alias = o->disk->info.alias}});
	if (r < 0)
		o->op.failure = *err;
	return r < 0 ? STEP_FAILED : STEP_DONE;
}

static const struct job_step attach_steps[] = {
	{"take-lease", disk_take_lease, disk_give_lease},
	{"add-nodes", add_nodes, disk_delete_nodes},
	{"add-device", add_device, NULL},
	{"record", record, NULL},
};

enum { ATTACH_COMMIT = 2 };

const struct operation_type attach_operation_type = {
	.job = {.name = "attach-disk",
		.steps = attach_steps,
		.n_steps = ARRAY_SIZE(attach_steps),
		.commit = ATTACH_COMMIT,
		.committed = device_is_there},
	.verb = "attach a disk to",
	.kind = VM_JOB_OTHER,
	.size = sizeof(struct disk_operation),
	.encode = disk_operation_encode,
	.decode = disk_operation_decode,
	.release = disk_operation_release,
};

/* ---- planning ---- */

static int check_source(const struct disk *disk, struct error *err)
{
	struct stat st;

	if (!disk->source)
		return 0;
	if (stat(disk->source, &st) < 0)
		return error_errno(err, errno, "Cannot access storage file '%s' of disk '%s'", disk->source,
			disk->target);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_OPERATION_FAILED,
			"Cannot use storage file '%s' of disk '%s': it is a directory", disk->source,
			disk->target);
	return 0;
}

/* Defaults and addresses made controllers, or hubs, which a running QEMU does not get. */
static int check_place(
	const struct domain *before, const struct domain *after, const struct disk *disk, struct error *err)
{
	if (before->controllers.n == after->controllers.n && before->hubs.n == after->hubs.n)
		return 0;
	if (disk->bus == DISK_BUS_VIRTIO)
		return error_set(err, ERROR_OPERATION_FAILED,
			"no PCI slot is free for disk '%s' in which devices can be plugged while the VM "
			"runs; "
			"add a <controller type='pci' model='%s'/> to its definition and start it again",
			disk->target, domain_is_q35(after) ? "pcie-root-port" : "pci-bridge");
	if (disk->bus == DISK_BUS_SCSI)
		return error_set(err, ERROR_OPERATION_FAILED,
			"the running VM has no SCSI controller %u for disk '%s'; add a <controller "
			"type='scsi'/> to its definition and start it again",
			disk->info.address.drive.controller, disk->target);
	return error_set(err, ERROR_OPERATION_FAILED, "no USB port is free for disk '%s'", disk->target);
}

static int complete(struct vm *vm, struct disk *given, const struct qemu_capabilities *caps,
	struct domain **ret, struct error *err)
{
	_cleanup_(disk_free_p) struct disk *disk = given;
	_cleanup_domain_ struct domain *d = domain_copy(vm->live);
	const struct disk *added = disk;

	if (domain_add_disk(d, disk, err) < 0)
		return -1;
	TAKE_PTR(disk);
	if (definition_complete(vm->registry, d, caps, err) < 0 || check_place(vm->live, d, added, err) < 0)
		return -1;
	domain_assign_aliases(d);
	domain_number_disks(d);
	*ret = TAKE_PTR(d);
	return 0;
}

static int plan(struct disk_operation *o, const struct disk *disk, const struct qemu_capabilities *caps,
	struct error *err)
{
	struct vm *vm = o->op.vm;
	_cleanup_domain_ struct domain *d = NULL;
	struct disk *added;

	if (!disk_is_hotpluggable(disk))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s': a %s on bus '%s' cannot be plugged into a running VM", disk->target,
			disk_device_name(disk->device), disk_bus_name(disk->bus));
	added = disk_copy(disk);
	if (complete(vm, added, caps, &d, err) < 0 || check_source(added, err) < 0)
		return -1;
	vm->live->last_node = d->last_node;
	o->disk = disk_copy(added);
	if (vm_lease_check_disk(vm, o->disk, err) < 0)
		return -1;
	return argv_build_disk(d, added, caps, &o->argv, err);
}

int attach_begin(struct vm *vm, const struct disk *disk, const char *xml,
	const struct qemu_capabilities *caps, vm_done_fn done, void *userdata, struct error *err)
{
	struct disk_operation *o = disk_operation_new(&attach_operation_type, vm);

	o->config = xml;
	o->xml = xstrdup(xml);
	if ((xml && definition_check_disk(vm, xml, err) < 0) || plan(o, disk, caps, err) < 0) {
		operation_free(&o->op);
		return -1;
	}
	return operation_begin(&o->op, done, userdata, err);
}
