/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lease of a disk that comes or goes. What must be held is planned for the definition with the disk and for the one
 * without it; the difference is taken or given back, so that a disk that is there twice, to be shared, keeps its one lease until
 * both are gone.
 *
 * With lockd the lease is a descriptor: QEMU gets it by `getfd`, under a name made of the disk's alias, and keeps it when the monitor's
 * client goes away. `closefd` ends it. A disk that was there when QEMU started has no such name: its descriptor is
 * unlocked and stays open, which means nothing.
 */
#include "argv.h"
#include "hotplug.h"
#include "vm-lease-internal.h"

/* What is needed with the disk in the live definition and not without it. */
static int plan_difference(const struct vm *vm, struct disk *disk, struct lease_set **ret, struct error *err)
{
	const struct lease_settings *s = &vm->registry->settings.leases;
	_cleanup_(lease_set_free_p) struct lease_set *with_it = NULL, *without_it = NULL;
	struct domain view = *vm->live; /* other disks, else the same */
	int r;

	view.disks.items = NULL;
	view.disks.n = 0;
	VEC_FOREACH (other, &vm->live->disks)
		if (!streq(other->info.alias, disk->info.alias))
			VEC_ADD(&view.disks, other);
	r = lease_plan(s, &view, &without_it, err);
	VEC_ADD(&view.disks, disk);
	if (r == 0)
		r = lease_plan(s, &view, &with_it, err);
	VEC_FREE(&view.disks);
	if (r == 0)
		*ret = lease_set_subtract(with_it, without_it);
	return r;
}

int vm_lease_check_disk(const struct vm *vm, struct disk *disk, struct error *err)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;

	if (disk->readonly || !disk->source)
		return 0;
	if (!vm->leases)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' can get no lease for disk %s: it was started with lock_manager \"%s\" "
			"and "
			"other leases than today's configuration asks for; start it again first",
			vm->name, disk->source, lease_kind_name(vm->lease_kind));
	/* RELEASED is also what a new daemon calls leases that it has not asked for yet. */
	if (vm->lease_work || vm->leases_given ||
		(vm->lease_state != LEASE_HELD && vm->lease_state != LEASE_RELEASED))
		return error_set(err, ERROR_OPERATION_INVALID, "the leases of domain '%s' are %s", vm->name,
			lease_state_name(vm->lease_state));
	if (plan_difference(vm, disk, &set, err) < 0)
		return -1;
	if (lease_set_overlaps(set, vm->leases))
		return error_set(
			err, ERROR_IN_USE, "disk %s is in use: this VM has it already", disk->source);
	return 0;
}

static json *name_of_descriptor(const struct disk_operation *o)
{
	_cleanup_free_ char *name = xasprintf("lease-%s", o->disk->info.alias);

	return json_pack("s:fdname", name, NULL);
}

/* ---- take ---- */

static void taken(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct disk_operation *o = userdata;
	struct vm *vm = o->op.vm;
	struct lease_request *lease = TAKE_PTR(o->lease);
	struct error gone = ERROR_INIT;

	if (!err && !vm->qmp) {
		error_set(&gone, ERROR_OPERATION_FAILED, "QEMU is gone");
		err = &gone;
	}
	if (!err && answer->fd >= 0)
		qmp_command(vm->qmp, "getfd", name_of_descriptor(o), answer->fd, 0, operation_qmp_reply, o);
	else
		operation_step_done(&o->op, err);
	lease_request_free(lease);
}

enum step_result disk_take_lease(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;

	if (!vm->leases)
		return STEP_DONE;
	if (plan_difference(vm, o->disk, &set, err) < 0)
		return STEP_FAILED;
	if (set->items.n == 0)
		return STEP_DONE;
	if (lease_request_start(
		    vm->registry->loop, set, LEASE_ADD, vm_get_pid(vm), NULL, taken, o, &o->lease, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

/* ---- give back ---- */

static void given_back(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct disk_operation *o = userdata;
	struct lease_request *lease = TAKE_PTR(o->lease);

	operation_step_done(&o->op, err);
	lease_request_free(lease);
}

static int begin_removal(struct disk_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;

	if (plan_difference(vm, o->disk, &set, err) < 0)
		return -1;
	return lease_request_start(
		vm->registry->loop, set, LEASE_REMOVE, vm_get_pid(vm), NULL, given_back, o, &o->lease, err);
}

static void remove_lease(struct disk_operation *o)
{
	struct error err = ERROR_INIT;

	if (begin_removal(o, &err) < 0)
		operation_step_done(&o->op, &err);
}

/*
 * Without a descriptor of that name, an attaching disk's lease never got to QEMU, and whatever else QEMU holds is another disk's. A
 * detaching one's may have been inherited, or be of an image that came on top since.
 */
static void descriptor_closed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct disk_operation *o = userdata;

	if (o->op.type == &detach_operation_type && o->op.vm->live)
		remove_lease(o);
	else
		operation_step_done(&o->op, NULL);
}

static void nodes_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct disk_operation *o = userdata;
	struct vm *vm = o->op.vm;
	struct error failure = ERROR_INIT;
	struct strv names = {0};

	if (err)
		failure = *err;
	argv_disk_nodes(o->disk, &names);
	JSON_FOREACH (node, ret) {
		const char *name = json_get_string(node, "node-name");

		if (name && strv_contains(&names, name))
			error_set(&failure, ERROR_OPERATION_FAILED,
				"the lease of disk %s is kept: QEMU still has the block node %s",
				o->disk->source, name);
	}
	strv_fini(&names);
	if (failure.code != ERROR_NONE || !vm->qmp || !vm->live)
		operation_step_done(&o->op, failure.code != ERROR_NONE ? &failure : NULL);
	else if (vm->lease_kind == LEASE_KIND_LOCKD)
		qmp_command(vm->qmp, "closefd", name_of_descriptor(o), -1, 0, descriptor_closed, o);
	else
		remove_lease(o);
}

enum step_result disk_give_lease(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;

	/* Without QEMU nobody holds it. */
	if (!vm->leases || !vm->qmp || !vm->live)
		return STEP_DONE;
	if (plan_difference(vm, o->disk, &set, err) < 0)
		return STEP_FAILED;
	if (set->items.n == 0)
		return STEP_DONE; /* it needs none, or another disk needs the same */
	qmp_command(
		vm->qmp, "query-named-block-nodes", json_pack("b:flat", true, NULL), -1, 0, nodes_listed, o);
	return STEP_WAIT;
}

/* ---- block nodes ---- */

static void node_deleted(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	/* "Failed to find node with node-name='libvirt-3-format'" */
	disk_operation_replied(userdata, err && strstr(err->message, "Failed to find node") ? NULL : err);
}

enum step_result disk_delete_nodes(struct job *job, void *context, struct error *err)
{
	struct disk_operation *o = context;
	struct vm *vm = o->op.vm;
	struct strv names = {0};

	argv_disk_nodes(o->disk, &names);
	o->pending = vm->qmp ? (unsigned)names.n : 0;
	error_clear(&o->failed);
	for (size_t i = 0; i < names.n && vm->qmp; i++)
		qmp_command(vm->qmp, "blockdev-del", json_pack("s:node-name", names.items[i], NULL), -1, 0,
			node_deleted, o);
	strv_fini(&names);
	return o->pending > 0 ? STEP_WAIT : STEP_DONE;
}
