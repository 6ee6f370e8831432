/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a snapshot.
 *
 *	wait-memory    the memory of a guest restored lazily is all in
 *	look-inside    no image that one goes into has one of its name
 *	look-in-storage  nor does the storage of manual disks keep something under it
 *	freeze         --quiesce: the guest's filesystems stand still          undone by thawing
 *	make-overlays  their files, empty, durable                             removed
 *	take-leases    QEMU holds what the lock manager says must be held of them        given back
 *	add-nodes      their block nodes in QEMU                               deleted
 *	capture        memory and disks of one instant; the guest runs on      stream ended, overlays merged back, guest let run
 *	take-inside    what goes into qcow2 images                             dropped
 *	take-storage   manual disks, by the configured program, the guest standing still     its "delete"
 *	resume         the guest that stood still for it
 *	thaw, stream, note-disks, sync
 *	publish        the memory's image has its name                         removed
 *	define-overlays  the persistent definition names the overlays           names what is below
 *	record         the metadata is written: the commit point
 *	define         the live definition's file names them, the tree its current snapshot
 *	give-leases    of the images that were frozen
 *	finish         --halt: QEMU is ended
 *
 * A VM that is off, and a snapshot without memory or without overlays, pass over what is not theirs. Without metadata nothing can be seen of the
 * commit step from outside: a crash in it counts as before it.
 */
#include "snapshot-create.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "disk-check.h"
#include "file.h"
#include "image-lease.h"
#include "log.h"
#include "monitor.h"
#include "paging.h"
#include "qemu-img.h"
#include "quiesce.h"
#include "snapshot-hook.h"
#include "snapshot-internal.h"
#include "snapshot-note.h"
#include "snapshot-store.h"
#include "vm-lease-internal.h"

/* ---- before ---- */

static void memory_is_in(void *userdata, const struct error *err)
{
	struct snapshot_operation *o = userdata;

	o->awaits_memory = false;
	operation_step_done(&o->op, err);
}

static enum step_result wait_memory(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (!o->op.vm->paging)
		return STEP_DONE;
	o->awaits_memory = true;
	paging_wait(o->op.vm->paging, memory_is_in, o);
	return STEP_WAIT;
}

static enum step_result freeze(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (!o->quiesce)
		return STEP_DONE;
	return vm_freeze(o->op.vm, NULL, operation_vm_done, &o->op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

/* The guest goes on whatever becomes of this: when the job is over it is thawed again and again (quiesce.h). */
static void warn_frozen(struct snapshot_operation *o, const struct error *why)
{
	log_write(LOG_LEVEL_WARNING, o->op.vm->name, o->op.type->job.name, "thaw %s: %s", o->op.vm->name,
		why->message);
}

static void thawed(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (err)
		warn_frozen(o, err);
	operation_step_done(&o->op, NULL);
}

static enum step_result thaw(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct error failure = ERROR_INIT;

	if (!o->quiesce || !o->op.vm->qmp)
		return STEP_DONE;
	if (vm_thaw(o->op.vm, thawed, o, &failure) == 0)
		return STEP_WAIT;
	warn_frozen(o, &failure);
	return STEP_DONE;
}

/* ---- inside images ---- */

static void taken_inside(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	o->inside = NULL;
	operation_step_done(&o->op, err);
}

static enum step_result work_inside(
	struct snapshot_operation *o, enum internal_action action, struct error *err)
{
	struct vm *vm = o->op.vm;

	if (!snapshot_is_internal(o->snapshot))
		return STEP_DONE;
	if (vm->state == VM_RUNNING && action != INTERNAL_LOOK)
		vm->pause_reason = PAUSED_SNAPSHOT;
	vm->resume_reason = RUNNING_UNPAUSED;
	if (internal_start(vm, action, o->snapshot, taken_inside, o, &o->inside, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

/* What has the name already is another's, and would go when this one is undone. */
static enum step_result look_inside(struct job *job, void *context, struct error *err)
{
	return work_inside(context, INTERNAL_LOOK, err);
}

static enum step_result take_inside(struct job *job, void *context, struct error *err)
{
	return work_inside(context, INTERNAL_TAKE, err);
}

static enum step_result drop_inside(struct job *job, void *context, struct error *err)
{
	return work_inside(context, INTERNAL_DROP, err);
}

/* ---- what storage keeps ---- */

static void hook_ended(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	o->storage = NULL;
	operation_step_done(&o->op, err);
}

static enum step_result run_hook(
	struct snapshot_operation *o, enum snapshot_hook_action action, struct error *err)
{
	if (!o->hook)
		return STEP_DONE;
	if (snapshot_hook_start(o->op.vm, o->hook, action, o->snapshot, o->snapshot->name, hook_ended, o,
		    &o->storage, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

/* As look_inside. */
static enum step_result look_in_storage(struct job *job, void *context, struct error *err)
{
	return run_hook(context, SNAPSHOT_HOOK_CHECK, err);
}

static enum step_result take_storage(struct job *job, void *context, struct error *err)
{
	return run_hook(context, SNAPSHOT_HOOK_CREATE, err);
}

static enum step_result drop_storage(struct job *job, void *context, struct error *err)
{
	return run_hook(context, SNAPSHOT_HOOK_DELETE, err);
}

static enum step_result resume(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;

	if (!o->hook || !o->was_running || o->halt || !vm->qmp || vm->state != VM_PAUSED)
		return STEP_DONE;
	vm->resume_reason = RUNNING_UNPAUSED;
	return vm_run_cpus(vm, operation_vm_done, &o->op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

/* ---- the image of the memory ---- */

static enum step_result note_disks(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (!o->has_memory)
		return STEP_DONE;
	o->capture.syncing = true;
	o->frozen = snapshot_frozen_domain(o->snapshot);
	return state_stream_note_disks(&o->stream, o->frozen, err);
}

static enum step_result sync_image(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (!o->has_memory)
		return STEP_DONE;
	state_stream_sync(&o->stream);
	return STEP_WAIT;
}

static enum step_result publish(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	return o->has_memory ? state_stream_publish(&o->stream, err) : STEP_DONE;
}

static enum step_result unpublish(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	/* Else what is there is another's. */
	if (!o->has_memory || !state_stream_is_published(&o->stream))
		return STEP_DONE;
	if (unlink(o->stream.path) == 0 || errno == ENOENT)
		return STEP_DONE;
	error_errno(err, errno, "remove %s", o->stream.path);
	return STEP_FAILED;
}

/* ---- what is known of it ---- */

/* Before the commit point: a definition that cannot be written would have the next start write to what is frozen. */
static enum step_result define_overlays(struct job *job, void *context, struct error *err)
{
	return snapshot_define_persistent(context, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum step_result undefine_overlays(struct job *job, void *context, struct error *err)
{
	return snapshot_undefine_persistent(context, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum step_result record(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	_cleanup_(snapshot_free_p) struct snapshot *copy = NULL;

	if (o->no_metadata)
		return STEP_DONE;
	copy = snapshot_copy(o->snapshot);
	if (o->given_hook && snapshot_hook_remember(o->op.vm, copy->name, o->given_hook, err) < 0)
		return STEP_FAILED;
	if (snapshot_store_add(o->op.vm, copy, false, err) < 0)
		return STEP_FAILED;
	TAKE_PTR(copy);
	return STEP_DONE;
}

/* It would be the program of the next one of this name. */
static enum step_result unrecord(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (o->no_metadata || !o->given_hook)
		return STEP_DONE;
	return snapshot_hook_remember(o->op.vm, o->snapshot->name, NULL, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static bool is_recorded(void *context)
{
	const struct snapshot_operation *o = context;

	return !o->no_metadata && snapshot_tree_find(&o->op.vm->snapshots, o->snapshot->name);
}

static enum step_result define(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	if (snapshot_define_overlays(o, err) == 0 &&
		(o->no_metadata || snapshot_store_set_current(o->op.vm, o->snapshot->name, err) == 0))
		return STEP_DONE;
	o->op.failure = *err;
	return STEP_FAILED;
}

static void killed(struct operation *op)
{
	operation_step_done(op, NULL);
}

static enum step_result finish(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;

	if (!o->halt || !vm->process || vm->process_ended)
		return STEP_DONE;
	o->op.on_gone = killed;
	vm_stop_process(vm, SIGTERM, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT);
	return STEP_WAIT;
}

static const struct job_step snapshot_steps[] = {
	{"wait-memory", wait_memory, NULL},
	{"look-inside", look_inside, NULL},
	{"look-in-storage", look_in_storage, NULL},
	{"freeze", freeze, thaw},
	{"make-overlays", snapshot_make_overlays, snapshot_remove_overlays},
	{"take-leases", snapshot_take_leases, snapshot_give_leases},
	{"add-nodes", snapshot_add_nodes, snapshot_delete_nodes},
	{"capture", snapshot_capture, snapshot_release},
	{"take-inside", take_inside, drop_inside},
	{"take-storage", take_storage, drop_storage},
	{"resume", resume, NULL},
	{"thaw", thaw, NULL},
	{"stream", snapshot_stream, NULL},
	{"note-disks", note_disks, NULL},
	{"sync", sync_image, NULL},
	{"publish", publish, unpublish},
	{"define-overlays", define_overlays, undefine_overlays},
	{"record", record, unrecord},
	{"define", define, NULL},
	{"give-leases", snapshot_give_leases, NULL},
	{"finish", finish, NULL},
};

enum { SNAPSHOT_COMMIT = 17 };

static void cancel(struct job *job, void *context)
{
	struct snapshot_operation *o = context;
	struct error err = ERROR_INIT;

	if (o->awaits_memory) {
		paging_forget_waiter(o->op.vm->paging, o);
		error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
		memory_is_in(o, &err);
	} else if (o->lease) {
		snapshot_cancel_lease(o);
	} else if (o->has_memory) {
		(void)state_stream_cancel(&o->stream);
	}
}

/* ---- journal ---- */

static json *encode_overlay(const struct snapshot_overlay *v)
{
	return json_pack("s:target", v->target, "s:path", v->path, "i:type", (int64_t)v->type, "i:format",
		(int64_t)v->format, "s:base", v->base, "i:base_type", (int64_t)v->base_type, "i:base_format",
		(int64_t)v->base_format, "b:reuse", v->reuse, "u:node", (uint64_t)v->node, "u:base_node",
		(uint64_t)v->base_node, NULL);
}

static void decode_overlay(json *o, struct snapshot_overlay *ret)
{
	*ret = (struct snapshot_overlay){
		.target = xstrdup(json_get_string(o, "target")),
		.path = xstrdup(json_get_string(o, "path")),
		.type = (enum disk_source)json_get_int(o, "type", 0),
		.format = (enum disk_format)json_get_int(o, "format", 0),
		.base = xstrdup(json_get_string(o, "base")),
		.base_type = (enum disk_source)json_get_int(o, "base_type", 0),
		.base_format = (enum disk_format)json_get_int(o, "base_format", 0),
		.reuse = json_get_bool(o, "reuse", false),
		.node = (uint32_t)json_get_uint(o, "node", 0),
		.base_node = (uint32_t)json_get_uint(o, "base_node", 0),
	};
}

static json *encode(const struct operation *op)
{
	const struct snapshot_operation *o = (const struct snapshot_operation *)op;
	_cleanup_free_ char *xml = snapshot_format(o->snapshot, SNAPSHOT_FORMAT_SECURE, false);
	json *overlays = json_object_new_array(), *params;

	for (size_t i = 0; i < o->overlays.n; i++)
		json_object_array_add(overlays, encode_overlay(&o->overlays.items[i]));
	params = json_pack("s:snapshot", xml, "s:hook", o->hook, "s:given_hook", o->given_hook, "o:overlays",
		overlays, "b:has_memory", o->has_memory, "b:was_off", o->was_off, "b:was_running",
		o->was_running, "b:quiesce", o->quiesce, "b:pause", o->pause, "b:halt", o->halt,
		"b:no_metadata", o->no_metadata, NULL);
	if (o->has_memory)
		state_stream_encode(&o->stream, params);
	return params;
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	const char *xml = json_get_string(params, "snapshot");

	state_stream_init(&o->stream, op, &snapshot_stream_ops);
	gate_init(&o->capture.gate);
	if (!xml)
		return error_set(err, ERROR_DAMAGED, "the journal describes no snapshot");
	if (snapshot_parse(xml, strlen(xml), SNAPSHOT_PARSE_REDEFINE, &o->snapshot, NULL, err) < 0)
		return -1;
	JSON_FOREACH (item, json_get(params, "overlays")) {
		struct snapshot_overlay overlay;

		decode_overlay(item, &overlay);
		VEC_ADD(&o->overlays, overlay);
		if (!overlay.target || !overlay.path || !overlay.base)
			return error_set(err, ERROR_DAMAGED, "the journal names no disk of the snapshot");
	}
	o->made = true;
	o->hook = xstrdup(json_get_string(params, "hook"));
	o->given_hook = xstrdup(json_get_string(params, "given_hook"));
	o->has_memory = json_get_bool(params, "has_memory", false);
	o->was_off = json_get_bool(params, "was_off", false);
	o->was_running = json_get_bool(params, "was_running", false);
	o->quiesce = json_get_bool(params, "quiesce", false);
	o->pause = json_get_bool(params, "pause", false);
	o->halt = json_get_bool(params, "halt", false);
	o->no_metadata = json_get_bool(params, "no_metadata", false);
	return o->has_memory ? state_stream_decode(&o->stream, params, err) : 0;
}

static void fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct snapshot_operation *o = (const struct snapshot_operation *)op;

	if (o->has_memory)
		state_stream_fill_info(&o->stream, info);
}

static void release(struct operation *op)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;

	if (o->awaits_memory && op->vm->paging)
		paging_forget_waiter(op->vm->paging, o);
	image_lease_free(o->lease);
	internal_forget(o->inside);
	snapshot_hook_free(o->storage);
	free(o->hook);
	free(o->given_hook);
	disk_check_end(&o->maker);
	qemu_img_free(o->img);
	sd_event_source_disable_unref(o->timer);
	gate_fini(&o->capture.gate);
	state_stream_fini(&o->stream);
	for (size_t i = 0; i < o->overlays.n; i++) {
		free(o->overlays.items[i].target);
		free(o->overlays.items[i].path);
		free(o->overlays.items[i].base);
	}
	VEC_FREE(&o->overlays);
	domain_free(o->frozen);
	snapshot_free(o->snapshot);
}

const struct operation_type snapshot_operation_type = {
	.job = {.name = "snapshot-create",
		.steps = snapshot_steps,
		.n_steps = ARRAY_SIZE(snapshot_steps),
		.commit = SNAPSHOT_COMMIT,
		.durable = true,
		.committed = is_recorded,
		.cancel = cancel},
	.verb = "take a snapshot of",
	.kind = VM_JOB_SNAPSHOT,
	.size = sizeof(struct snapshot_operation),
	.encode = encode,
	.decode = decode,
	.fill_info = fill_info,
	.release = release,
};
