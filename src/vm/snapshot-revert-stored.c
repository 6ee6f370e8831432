/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going back to what is kept inside images, or by a program in the storage. There the disks' files themselves change, so that the
 * present is kept first, in the same way, and brought back when the machine of then cannot be had. All of it while the VM's QEMU is parked and
 * has the files no longer open.
 */
#include "disk.h"
#include "log.h"
#include "park.h"
#include "snapshot-hook.h"
#include "snapshot-internal.h"
#include "snapshot-revert.h"

#define PRESENT SNAPSHOT_HOOK_PRESENT

struct stored_work {
	enum { INSIDE, STORAGE } where;
	int action;   /* internal_action or snapshot_hook_action */
	bool present; /* with the present that is kept, not with the snapshot */
};

static const struct stored_work keep[] = {
	{INSIDE, INTERNAL_DROP, true}, /* one that an earlier revert left */
	{INSIDE, INTERNAL_TAKE, true},
	{STORAGE, SNAPSHOT_HOOK_CREATE, true},
};

/* Not `forget`: no QEMU has the files open. */
static const struct stored_work drop[] = {
	{INSIDE, INTERNAL_DROP, true},
	{STORAGE, SNAPSHOT_HOOK_DELETE, true},
};

static const struct stored_work bring_back[] = {
	{INSIDE, INTERNAL_APPLY, true},
	{STORAGE, SNAPSHOT_HOOK_REVERT, true},
};

static const struct stored_work apply[] = {
	{INSIDE, INTERNAL_APPLY, false},
	{STORAGE, SNAPSHOT_HOOK_REVERT, false},
};

static const struct stored_work forget[] = {
	{INSIDE, INTERNAL_DROP, true},
	{STORAGE, SNAPSHOT_HOOK_DELETE, true},
};

bool revert_is_stored(const struct snapshot *s, const char *program)
{
	return snapshot_is_internal(s) || (program && snapshot_is_manual(s));
}

/* The files that the snapshot is inside of. */
static void find_files(const struct snapshot *s, struct strv *ret)
{
	VEC_FOREACH (disk, &s->disks) {
		const struct disk *then =
			disk.location == SNAPSHOT_INTERNAL ? domain_find_disk(s->domain, disk.target) : NULL;

		if (then && then->source)
			strv_add(ret, then->source);
	}
	if (ret->n > 0 && s->domain->os.nvram)
		strv_add(ret, s->domain->os.nvram);
}

/* ---- one after the other ---- */

static enum step_result next(struct revert_operation *revert, struct error *err);

/*
 * The disks are not those of the guest of now, which must not write to them. Its QEMU ends before this step does: a new daemon that goes on
 * undoing finds either this step or no guest.
 */
static enum step_result lose_present(struct revert_operation *revert, const struct error *why)
{
	struct vm *vm = revert->start.op.vm;

	revert->lost_present = true;
	log_write(LOG_LEVEL_ERROR, vm->name, NULL,
		"the disks of %s cannot be made again what they were: %s; what they were is kept as '" PRESENT
		"': bring it back (qemu-img snapshot -a " PRESENT " IMAGE, or from the storage) before it is "
		"started",
		vm->name, why->message);
	return vm_kill_parked(&revert->start.op);
}

static void work_done(struct vm *vm, const struct error *err, void *userdata)
{
	struct revert_operation *revert = userdata;
	struct error failure = ERROR_INIT;

	revert->inside = NULL;
	revert->hook = NULL;
	if (err)
		failure = *err;
	else if (next(revert, &failure) == STEP_WAIT)
		return;
	if (failure.code != ERROR_NONE && revert->works == bring_back &&
		lose_present(revert, &failure) == STEP_WAIT)
		return;
	revert->brought_back |= failure.code == ERROR_NONE && revert->works == bring_back;
	operation_step_done(&revert->start.op, failure.code != ERROR_NONE ? &failure : NULL);
}

static bool is_to_do(
	const struct revert_operation *revert, const struct snapshot *s, const struct stored_work *w)
{
	if (w->where == STORAGE)
		return revert->program && snapshot_is_manual(s);
	/* QEMU makes the disks what they were when it loads the state. */
	if (!w->present && w->action == INTERNAL_APPLY && s->memory == SNAPSHOT_INTERNAL)
		return false;
	return snapshot_is_internal(s) && s->domain;
}

/* Its images are open again where a QEMU has been started. */
static int drop_in_qemu(struct revert_operation *revert, const struct snapshot *s, struct error *err)
{
	_cleanup_(snapshot_free_p) struct snapshot *present = snapshot_copy(s);

	replace_string(&present->name, PRESENT);
	return internal_start(
		revert->start.op.vm, INTERNAL_DROP, present, work_done, revert, &revert->inside, err);
}

static int work_inside(struct revert_operation *revert, const struct snapshot *s, const struct stored_work *w,
	struct error *err)
{
	struct strv files = {0};
	int r;

	if (revert->works == forget && revert->start.op.vm->qmp)
		return drop_in_qemu(revert, s, err);
	find_files(s, &files);
	r = internal_start_files(revert->start.op.vm, (enum internal_action)w->action,
		w->present ? PRESENT : s->name, &files, work_done, revert, &revert->inside, err);
	strv_fini(&files);
	return r;
}

/* STEP_DONE: there is nothing left. */
static enum step_result next(struct revert_operation *revert, struct error *err)
{
	struct vm *vm = revert->start.op.vm;
	const struct snapshot *s = snapshot_tree_find(&vm->snapshots, revert->name);
	int r;

	while (s && revert->at < revert->n_works) {
		const struct stored_work *w = &revert->works[revert->at++];

		if (!is_to_do(revert, s, w))
			continue;
		if (w->where == INSIDE)
			r = work_inside(revert, s, w, err);
		else
			r = snapshot_hook_start(vm, revert->program, (enum snapshot_hook_action)w->action, s,
				w->present ? PRESENT : s->name, work_done, revert, &revert->hook, err);
		return r < 0 ? STEP_FAILED : STEP_WAIT;
	}
	return STEP_DONE;
}

static enum step_result do_works(
	struct revert_operation *revert, const struct stored_work *works, size_t n, struct error *err)
{
	revert->works = works;
	revert->n_works = n;
	revert->at = 0;
	return next(revert, err);
}

/* ---- the steps ---- */

enum step_result revert_keep_present(struct job *job, void *context, struct error *err)
{
	return do_works(context, keep, ARRAY_SIZE(keep), err);
}

/* One that is dropped is lost; one that is left is dropped by the next revert. */
enum step_result revert_drop_present(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	bool is_well = revert->was_active ? vm_can_unpark(revert->start.op.vm) : !revert->is_recovered;

	if (revert->lost_present || (!revert->brought_back && !is_well))
		return STEP_DONE;
	return do_works(revert, drop, ARRAY_SIZE(drop), err);
}

enum step_result revert_bring_back(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	enum step_result result = do_works(revert, bring_back, ARRAY_SIZE(bring_back), err);

	if (result == STEP_FAILED && lose_present(revert, err) == STEP_WAIT)
		return STEP_WAIT;
	return result;
}

enum step_result revert_apply_stored(struct job *job, void *context, struct error *err)
{
	return do_works(context, apply, ARRAY_SIZE(apply), err);
}

enum step_result revert_forget_present(struct job *job, void *context, struct error *err)
{
	return do_works(context, forget, ARRAY_SIZE(forget), err);
}

enum step_result revert_load_inside(
	struct revert_operation *revert, const struct snapshot *s, struct error *err)
{
	revert->n_works = revert->at = 0;
	return internal_start(
		       revert->start.op.vm, INTERNAL_LOAD, s, work_done, revert, &revert->inside, err) < 0
		       ? STEP_FAILED
		       : STEP_WAIT;
}

bool revert_is_working_stored(const struct revert_operation *revert)
{
	return revert->inside || revert->hook;
}

void revert_release_stored(struct revert_operation *revert)
{
	internal_forget(revert->inside);
	snapshot_hook_free(revert->hook);
	free(revert->program);
}
