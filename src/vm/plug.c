/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attaching and detaching a device: what is asked, of which definition, and the persistent one, which is a file. What a running
 * QEMU must do is in attach.c and detach.c.
 */
#include "chain.h"
#include "defaults.h"
#include "disk-check.h"
#include "hotplug.h"
#include "vm-device.h"
#include "vm-lease-internal.h"

/* ---- the jobs' common part ---- */

struct disk_operation *disk_operation_new(const struct operation_type *type, struct vm *vm)
{
	return operation_new(type, vm);
}

json *disk_operation_encode(const struct operation *op)
{
	const struct disk_operation *o = (const struct disk_operation *)op;
	_cleanup_free_ char *disk = disk_format(o->disk, DOMAIN_FORMAT_SECURE);

	return json_pack("s:disk", disk, "u:node", (uint64_t)o->disk->node, "b:chain-given",
		o->disk->backing_given, "b:config", o->config, "s:xml", o->xml, NULL);
}

int disk_operation_decode(struct operation *op, json *params, struct error *err)
{
	struct disk_operation *o = (struct disk_operation *)op;
	const char *disk = json_get_string(params, "disk");

	if (!disk || disk_parse(disk, DOMAIN_PARSE_LIVE, "plugging", &o->disk, err) < 0)
		return disk ? -1 : error_set(err, ERROR_DAMAGED, "the job names no disk");
	if (!o->disk->info.alias)
		return error_set(err, ERROR_DAMAGED, "the job's disk has no alias");
	o->disk->node = (uint32_t)json_get_uint(params, "node", 0);
	o->disk->backing_given = json_get_bool(params, "chain-given", false);
	o->config = json_get_bool(params, "config", false);
	o->xml = xstrdup(json_get_string(params, "xml"));
	return 0;
}

void disk_operation_release(struct operation *op)
{
	struct disk_operation *o = (struct disk_operation *)op;

	lease_request_free(o->lease);
	sd_event_source_disable_unref(o->timer);
	disk_free(o->disk);
	strv_fini(&o->argv);
	free(o->xml);
}

void disk_operation_replied(struct disk_operation *o, const struct error *err)
{
	struct error failure;

	if (err && o->failed.code == ERROR_NONE)
		o->failed = *err;
	if (--o->pending > 0)
		return;
	failure = o->failed;
	operation_step_done(&o->op, failure.code == ERROR_NONE ? NULL : &failure);
}

int vm_write_live(struct vm *vm, struct error *err)
{
	if (vm->leases && vm_lease_plan(vm, err) < 0)
		return -1;
	return status_write(vm, err);
}

bool disk_is_hotpluggable(const struct disk *disk)
{
	return disk->device != DISK_FLOPPY &&
	       (disk->bus == DISK_BUS_VIRTIO || disk->bus == DISK_BUS_SCSI || disk->bus == DISK_BUS_USB);
}

/* ---- the persistent definition ---- */

int definition_replace(struct vm *vm, struct domain *changed, struct error *err)
{
	struct domain *before = vm->persistent;

	vm->persistent = changed;
	if (definition_write(vm, err) < 0) {
		vm->persistent = before;
		return -1;
	}
	domain_free(before);
	vm_emit_lifecycle(vm, EVENT_DEFINED, DEFINED_UPDATED);
	return 0;
}

/* Complete with what it then needs, where that can be known without waiting; else the next start sees to it. */
static int with_disk(struct vm *vm, const char *xml, struct domain **ret, struct error *err)
{
	_cleanup_domain_ struct domain *d = domain_copy(vm->persistent);
	_cleanup_(disk_free_p) struct disk *disk = NULL;
	const struct qemu_capabilities *caps =
		d->emulator ? capability_cache_get(vm->registry->capabilities, d->emulator) : NULL;

	if (disk_parse(xml, 0, "attaching", &disk, err) < 0 || domain_add_disk(d, disk, err) < 0)
		return -1;
	TAKE_PTR(disk);
	if (caps && definition_complete(vm->registry, d, caps, err) < 0)
		return -1;
	*ret = TAKE_PTR(d);
	return 0;
}

int definition_check_disk(struct vm *vm, const char *xml, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;

	return with_disk(vm, xml, &d, err);
}

int definition_add_disk(struct vm *vm, const char *xml, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_(disk_free_p) struct disk *disk = NULL;

	if (!vm->persistent)
		return 0;
	/* Again after a crash: it may be there. */
	if (disk_parse(xml, 0, "attaching", &disk, err) < 0)
		return -1;
	if (domain_find_disk(vm->persistent, disk->target))
		return 0;
	if (with_disk(vm, xml, &d, err) < 0 || definition_replace(vm, d, err) < 0)
		return -1;
	TAKE_PTR(d);
	return 0;
}

int definition_remove_disk(struct vm *vm, const char *target, struct error *err)
{
	_cleanup_domain_ struct domain *d = vm->persistent ? domain_copy(vm->persistent) : NULL;
	struct disk *disk = d ? domain_find_disk(d, target) : NULL;

	if (!disk)
		return 0;
	domain_remove_disk(d, disk);
	if (definition_replace(vm, d, err) < 0)
		return -1;
	TAKE_PTR(d);
	return 0;
}

/* ---- requests: what the emulator can do, and what an image stands on, is asked first, and the VM looked at again behind it ---- */

struct plug_request {
	struct vm *vm;
	char *xml;		/* attach */
	struct domain *plugged; /* attach: with this disk and nothing else */
	struct process *looker; /* at its chain */
	char *target;		/* detach */
	unsigned affect;
	vm_done_fn done;
	void *userdata;
};

static void request_free(struct plug_request *r)
{
	disk_check_end(&r->looker);
	vm_unref(r->vm);
	free(r->xml);
	domain_free(r->plugged);
	free(r->target);
	free(r);
}

static int check_request(const struct plug_request *r, unsigned *affect, struct error *err)
{
	struct vm *vm = r->vm;

	if (vm_resolve_affect(vm, affect, err) < 0)
		return -1;
	if (*affect & VM_AFFECT_LIVE) {
		if (vm_check_verb(vm, r->xml ? VERB_ATTACH : VERB_DETACH, err) < 0)
			return -1;
		if (!vm->qmp)
			return error_set(err, ERROR_OPERATION_FAILED,
				"monitor of domain '%s' is not connected", vm->name);
	} else if (vm->operation && vm->operation->type == &undefine_operation_type) {
		return error_set(err, ERROR_BUSY,
			"cannot change the definition of %s: job 'undefine' is in progress", vm->name);
	}
	return 0;
}

static int change_definition(const struct plug_request *r, struct error *err)
{
	struct vm *vm = r->vm;

	if (r->xml)
		return definition_check_disk(vm, r->xml, err) < 0 ? -1 : definition_add_disk(vm, r->xml, err);
	if (!domain_find_disk(vm->persistent, r->target))
		return error_set(err, ERROR_OPERATION_FAILED, "no target device %s", r->target);
	return definition_remove_disk(vm, r->target, err);
}

/* 1: it is done already; 0: `done` is called later. */
static int run_request(const struct plug_request *r, const struct qemu_capabilities *caps, struct error *err)
{
	unsigned affect = r->affect;
	bool config;

	if (check_request(r, &affect, err) < 0)
		return -1;
	config = affect & VM_AFFECT_CONFIG;
	if (!(affect & VM_AFFECT_LIVE))
		return change_definition(r, err) < 0 ? -1 : 1;
	if (r->xml)
		return attach_begin(r->vm, r->plugged->disks.items[0], config ? r->xml : NULL, caps, r->done,
			r->userdata, err);
	return detach_begin(r->vm, r->target, config, r->done, r->userdata, err);
}

static void find_capabilities(struct plug_request *r);

static void end_request(struct plug_request *r, const struct error *err)
{
	r->done(r->vm, err, r->userdata);
	request_free(r);
}

/* Storage may not answer: meanwhile the VM is free for others, so all is asked again. */
static void looked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct plug_request *r = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	else
		chain_take(r->plugged, result, len, &failure);
	process_free(TAKE_PTR(r->looker));
	if (failure.code == ERROR_NONE)
		find_capabilities(r);
	else
		end_request(r, &failure);
}

static bool needs_look(const struct plug_request *r)
{
	unsigned affect = r->affect;

	return r->plugged && vm_resolve_affect(r->vm, &affect, NULL) == 0 && (affect & VM_AFFECT_LIVE) &&
	       chain_is_asked(r->plugged);
}

static void probed(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct plug_request *r = userdata;
	struct error failure = ERROR_INIT;
	int result;

	if (!caps) {
		end_request(r, err);
	} else if (needs_look(r)) {
		if (chain_look_start(r->vm->registry->loop, r->plugged, looked, r, &r->looker, &failure) < 0)
			end_request(r, &failure);
	} else {
		result = run_request(r, caps, &failure);
		if (result == 0)
			request_free(r);
		else
			end_request(r, result < 0 ? &failure : NULL);
	}
}

static void find_capabilities(struct plug_request *r)
{
	struct vm *vm = r->vm;
	const struct domain *d = vm->live && r->affect != VM_AFFECT_CONFIG ? vm->live : vm->persistent;
	const char *emulator = d ? d->emulator : NULL;

	capability_cache_find(vm->registry->capabilities,
		emulator ? emulator : vm->registry->settings.default_emulator, probed, r);
}

/* Takes `r`. */
static int begin_request(struct plug_request *r, struct error *err)
{
	unsigned affect = r->affect;

	if (check_request(r, &affect, err) < 0) {
		request_free(r);
		return -1;
	}
	find_capabilities(r);
	return 0;
}

static struct plug_request *request_new(struct vm *vm, unsigned affect, vm_done_fn done, void *userdata)
{
	struct plug_request *r = NEW(struct plug_request);

	*r = (struct plug_request){.vm = vm_ref(vm), .affect = affect, .done = done, .userdata = userdata};
	return r;
}

int vm_attach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	struct disk *disk;
	struct plug_request *r;

	if (disk_parse(xml, 0, "attaching", &disk, err) < 0)
		return -1;
	r = request_new(vm, affect, done, userdata);
	r->xml = xstrdup(xml);
	r->plugged = domain_new();
	VEC_ADD(&r->plugged->disks, disk);
	return begin_request(r, err);
}

int vm_detach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	struct plug_request *r;
	char *target;

	if (disk_parse_target(xml, "detaching", &target, err) < 0)
		return -1;
	r = request_new(vm, affect, done, userdata);
	r->target = target;
	return begin_request(r, err);
}

int vm_detach_alias(
	struct vm *vm, const char *alias, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	const struct domain *d;
	const struct disk *disk;
	struct plug_request *r;

	if (vm_resolve_affect(vm, &affect, err) < 0)
		return -1;
	d = affect & VM_AFFECT_LIVE ? vm->live : vm->persistent;
	disk = domain_find_disk_by_alias(d, alias);
	if (!disk)
		return error_set(err, ERROR_OPERATION_FAILED, "no disk found with alias %s", alias);
	r = request_new(vm, affect, done, userdata);
	r->target = xstrdup(disk->target);
	return begin_request(r, err);
}
