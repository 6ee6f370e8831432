/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots go, with what they hold.
 *
 * The commit point is the mark in their metadata: from then on what they froze may be written, and there is no way back. A crash behind it is
 * gone on from where it came: each step can be done again (snapshot-merge.h). A failure behind it, such as a full disk, leaves the marked
 * snapshots, whose files hold all that others need of them; they can be deleted again.
 *
 * Files go last. As long as a snapshot is known, its files are there.
 */
#include "snapshot-delete-internal.h"

#include <errno.h>

#include "log.h"
#include "paging.h"
#include "snapshot-hook.h"
#include "snapshot-images.h"
#include "snapshot-internal.h"
#include "snapshot-merge.h"
#include "snapshot-note.h"
#include "snapshot-store.h"

static struct snapshot *leaving_at(const struct delete_operation *o, size_t i)
{
	return snapshot_tree_find(&o->op.vm->snapshots, o->leaving.items[i]);
}

/* ---- await-memory ---- */

static void memory_is_in(void *userdata, const struct error *err)
{
	struct delete_operation *o = userdata;

	o->awaits_memory = false;
	operation_step_done(&o->op, err);
}

/* The VM may have been taken back to one of them a moment ago. */
static enum step_result await_memory(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;
	struct vm *vm = o->op.vm;

	if (!vm->paging || !vm->paging->image_path ||
		!strv_contains(&o->memory_files, vm->paging->image_path))
		return STEP_DONE;
	if (vm_hurry_restore(vm, err) < 0)
		return STEP_FAILED;
	o->awaits_memory = true;
	paging_wait(vm->paging, memory_is_in, o);
	return STEP_WAIT;
}

/* ---- mark ---- */

static int set_mark(struct delete_operation *o, bool on, struct error *err)
{
	for (size_t i = 0; i < o->leaving.n; i++) {
		struct snapshot *s = leaving_at(o, i);
		bool changed = false;

		if (!on && strv_contains(&o->begun, o->leaving.items[i]))
			continue;
		for (size_t j = 0; s && j < s->disks.n; j++) {
			struct snapshot_disk *disk = &s->disks.items[j];

			if (disk->location != SNAPSHOT_EXTERNAL || disk->delete_begun == on)
				continue;
			disk->delete_begun = on;
			changed = true;
		}
		if (changed && snapshot_store_write(o->op.vm, s, err) < 0)
			return -1;
	}
	return 0;
}

static enum step_result mark(struct job *job, void *context, struct error *err)
{
	return set_mark(context, true, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* What an earlier one has begun with is not what it was, whatever becomes of this one. */
static enum step_result unmark(struct job *job, void *context, struct error *err)
{
	return set_mark(context, false, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- drop-states ---- */

/* Behind the commit point the next steps run whatever became of this one; they look whether it has. */
static void step_over(struct delete_operation *o, const struct error *err)
{
	if (err && o->op.failure.code == ERROR_NONE)
		o->op.failure = *err;
	operation_step_done(&o->op, err);
}

static int drop_next(struct delete_operation *o, struct error *err);

static void dropped(struct vm *vm, const struct error *err, void *userdata)
{
	struct delete_operation *o = userdata;
	struct error failure = ERROR_INIT;

	o->internal = NULL;
	o->hook = NULL;
	if (err)
		failure = *err;
	else if (drop_next(o, &failure) > 0)
		return;
	step_over(o, failure.code != ERROR_NONE ? &failure : NULL);
}

static int drop_from_storage(struct delete_operation *o, const struct snapshot *s, struct error *err)
{
	struct vm *vm = o->op.vm;
	_cleanup_free_ char *hook = NULL;

	if (!snapshot_is_manual(s))
		return 0;
	if (snapshot_hook_find(vm, s->name, &hook, err) < 0)
		return -1;
	if (!hook)
		return 0;
	return snapshot_hook_start(vm, hook, SNAPSHOT_HOOK_DELETE, s, s->name, dropped, o, &o->hook, err) < 0
		       ? -1
		       : 1;
}

/* Each snapshot is asked for twice: what is inside images, and what the storage keeps. 1: something is at work. */
static int drop_next(struct delete_operation *o, struct error *err)
{
	int r = 0;

	while (r == 0 && o->at < 2 * o->leaving.n) {
		const struct snapshot *s = leaving_at(o, o->at / 2);
		bool from_storage = o->at++ % 2;

		if (s && from_storage)
			r = drop_from_storage(o, s, err);
		else if (s && snapshot_is_internal(s))
			r = internal_start(o->op.vm, INTERNAL_DROP, s, dropped, o, &o->internal, err) < 0 ? -1
													  : 1;
	}
	return r;
}

static enum step_result drop_states(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;
	int r;

	o->at = 0;
	r = drop_next(o, err);
	if (r < 0)
		o->op.failure = *err;
	return r < 0 ? STEP_FAILED : r > 0 ? STEP_WAIT : STEP_DONE;
}

/* ---- merge ---- */

static int merge_next(struct delete_operation *o, struct error *err);

static void merged(struct vm *vm, const struct error *err, void *userdata)
{
	struct delete_operation *o = userdata;
	struct error failure = ERROR_INIT;

	o->merge = NULL;
	if (err) {
		failure = *err;
	} else {
		o->merged = ++o->at;
		if (o->at < o->plan.merges.n && merge_next(o, &failure) == 0)
			return;
	}
	step_over(o, failure.code != ERROR_NONE ? &failure : NULL);
}

static int merge_next(struct delete_operation *o, struct error *err)
{
	return snapshot_merge_start(o->op.vm, &o->plan.merges.items[o->at], merged, o, &o->merge, err);
}

static enum step_result merge(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;

	o->at = 0;
	if (o->plan.merges.n == 0 || o->op.failure.code != ERROR_NONE)
		return STEP_DONE;
	if (merge_next(o, err) == 0)
		return STEP_WAIT;
	o->op.failure = *err;
	return STEP_FAILED;
}

/* ---- renew-notes ---- */

static void renewed(struct vm *vm, const struct strv *names, const struct error *err, void *userdata)
{
	struct delete_operation *o = userdata;

	o->notes = NULL;
	operation_step_done(&o->op, err);
}

static enum step_result renew_notes(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;

	if (o->renew.n == 0)
		return STEP_DONE;
	return snapshot_notes_renew(o->op.vm, &o->renew, renewed, o, &o->notes, err) < 0 ? STEP_FAILED
											 : STEP_WAIT;
}

/* ---- forget ---- */

/* Whatever went wrong, and in whichever daemon: is all of it done? */
static bool is_merged(const struct delete_operation *o)
{
	for (size_t i = 0; i < o->plan.merges.n; i++)
		if (!snapshot_merge_is_recorded(o->op.vm, &o->plan.merges.items[i]))
			return false;
	return o->op.failure.code == ERROR_NONE;
}

static int forget_all(struct delete_operation *o, struct error *err)
{
	/* Before those who know of it go. */
	if (image_links_write(o->op.vm, &o->plan.remembered, err) < 0)
		return -1;
	for (size_t i = 0; i < o->leaving.n; i++)
		if (snapshot_store_remove(o->op.vm, o->leaving.items[i], err) < 0)
			return -1;
	/* The directory, if it is empty now. */
	return image_links_write(o->op.vm, &o->plan.remembered, err);
}

static enum step_result forget(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;

	if (!is_merged(o))
		return STEP_DONE;
	if (forget_all(o, err) == 0)
		return STEP_DONE;
	o->op.failure = *err;
	return STEP_FAILED;
}

/* ---- remove-files ---- */

static int unlink_file(const char *path, struct error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove %s", path);
	return 0;
}

static int remove_work(struct buf *result, void *userdata, struct error *err)
{
	const struct delete_operation *o = userdata;
	int r = 0;

	VEC_FOREACH (removal, &o->plan.removals) {
		if (image_stands_on(removal.image, removal.on) && unlink_file(removal.image, err) < 0)
			r = -1;
	}
	for (size_t i = 0; i < o->memory_files.n; i++)
		if (unlink_file(o->memory_files.items[i], err) < 0)
			r = -1;
	return r;
}

static void removed(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct delete_operation *o = userdata;

	process_free(TAKE_PTR(o->child));
	step_over(o, err);
}

static bool are_forgotten(const struct delete_operation *o)
{
	for (size_t i = 0; i < o->leaving.n; i++)
		if (leaving_at(o, i))
			return false;
	return true;
}

static enum step_result remove_files(struct job *job, void *context, struct error *err)
{
	struct delete_operation *o = context;
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = remove_work,
		.work_userdata = o,
		.worked = removed};

	if (!are_forgotten(o) || (o->plan.removals.n == 0 && o->memory_files.n == 0))
		return STEP_DONE;
	return process_start(o->op.vm->registry->loop, &options, NULL, o, &o->child, err) < 0 ? STEP_FAILED
											      : STEP_WAIT;
}

static const struct job_step delete_steps[] = {
	{"await-memory", await_memory, NULL},
	{"mark", mark, unmark},
	{"drop-states", drop_states, NULL},
	{"merge", merge, NULL},
	{"renew-notes", renew_notes, NULL},
	{"forget", forget, NULL},
	{"remove-files", remove_files, NULL},
};

enum { DELETE_COMMIT = 1 };

/* ---- the job ---- */

static void cancel(struct job *job, void *context)
{
	struct delete_operation *o = context;
	struct error err = ERROR_INIT;

	if (!o->awaits_memory)
		return;
	paging_forget_waiter(o->op.vm->paging, o);
	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	memory_is_in(o, &err);
}

/* Of all that is to be merged. Behind the merges of an earlier daemon nothing is left of them. */
static void fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct delete_operation *o = (const struct delete_operation *)op;

	for (size_t i = 0; i < o->plan.merges.n; i++) {
		uint64_t bytes = o->plan.merges.items[i].bytes;

		info->disk_total += bytes;
		if (i < o->merged)
			info->disk_processed += bytes;
		else if (i == o->merged && o->merge)
			info->disk_processed += bytes / 10000 * snapshot_merge_get_permyriad(o->merge);
	}
}

static json *encode_names(const struct strv *names)
{
	json *array = json_object_new_array();

	for (size_t i = 0; i < names->n; i++)
		json_object_array_add(array, json_object_new_string(names->items[i]));
	return array;
}

static void decode_names(json *array, struct strv *ret)
{
	JSON_FOREACH (item, array)
		strv_add(ret, json_object_get_string(item));
}

static json *encode(const struct operation *op)
{
	const struct delete_operation *o = (const struct delete_operation *)op;

	return json_pack("o:leaving", encode_names(&o->leaving), "o:begun", encode_names(&o->begun), "o:plan",
		image_plan_encode(&o->plan), "o:memory_files", encode_names(&o->memory_files), "o:renew",
		encode_names(&o->renew), NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct delete_operation *o = (struct delete_operation *)op;

	decode_names(json_get(params, "leaving"), &o->leaving);
	decode_names(json_get(params, "begun"), &o->begun);
	decode_names(json_get(params, "memory_files"), &o->memory_files);
	decode_names(json_get(params, "renew"), &o->renew);
	return image_plan_decode(json_get(params, "plan"), &o->plan, err);
}

static void release(struct operation *op)
{
	struct delete_operation *o = (struct delete_operation *)op;

	if (o->awaits_memory)
		paging_forget_waiter(op->vm->paging, o);
	snapshot_merge_free(o->merge);
	internal_forget(o->internal);
	snapshot_hook_free(o->hook);
	snapshot_notes_free(o->notes);
	process_free(o->child);
	strv_fini(&o->leaving);
	strv_fini(&o->begun);
	strv_fini(&o->memory_files);
	strv_fini(&o->renew);
	image_plan_fini(&o->plan);
}

const struct operation_type snapshot_delete_operation_type = {
	.job = {.name = "snapshot-delete",
		.steps = delete_steps,
		.n_steps = ARRAY_SIZE(delete_steps),
		.commit = DELETE_COMMIT,
		.durable = true,
		.cancel = cancel},
	.verb = "delete snapshots of",
	.kind = VM_JOB_SNAPSHOT_DELETE,
	.size = sizeof(struct delete_operation),
	.fill_info = fill_info,
	.encode = encode,
	.decode = decode,
	.release = release,
};

static bool is_begun(const struct snapshot *s)
{
	VEC_FOREACH (disk, &s->disks) {
		if (disk.delete_begun)
			return true;
	}
	return false;
}

int snapshot_delete_begin(struct vm *vm, struct strv *leaving, struct image_plan *plan, struct strv *renew,
	vm_done_fn done, void *userdata, struct error *err)
{
	struct delete_operation *o = operation_new(&snapshot_delete_operation_type, vm);

	o->leaving = *leaving;
	o->plan = *plan;
	o->renew = *renew;
	*leaving = *renew = (struct strv){0};
	*plan = (struct image_plan){0};
	for (size_t i = 0; i < o->leaving.n; i++) {
		const struct snapshot *s = leaving_at(o, i);

		if (is_begun(s))
			strv_add(&o->begun, s->name);
		if (s->memory == SNAPSHOT_EXTERNAL && s->memory_file)
			strv_add(&o->memory_files, s->memory_file);
	}
	return operation_begin(&o->op, done, userdata, err);
}
