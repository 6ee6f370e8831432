/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be asked of block jobs. */
#include "block-job-internal.h"

#include "chain.h"
#include "monitor.h"

/* ---- begin ---- */

static int begin(struct block_job *job, vm_done_fn started, void *userdata, struct error *err)
{
	if (!job)
		return -1;
	job->started = started;
	job->started_userdata = userdata;
	block_job_begin(job);
	return 0;
}

int vm_block_commit(struct vm *vm, const struct vm_block_commit_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	if (vm_check_verb(vm, VERB_BLOCK_JOB, err) < 0)
		return -1;
	return begin(block_job_plan_commit(vm, options, true, err), done, userdata, err);
}

int vm_block_pull(struct vm *vm, const struct vm_block_pull_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	if (vm_check_verb(vm, VERB_BLOCK_JOB, err) < 0)
		return -1;
	return begin(block_job_plan_pull(vm, options, true, err), done, userdata, err);
}

/* ---- for other jobs of this room ---- */

static int begin_for_job(struct block_job *job, vm_done_fn ended, void *userdata)
{
	if (!job)
		return -1;
	job->ended = ended;
	job->ended_userdata = userdata;
	job->auto_pivot = true;
	block_job_watch(job);
	block_job_begin(job);
	return 0;
}

/* The same, begun before the daemon was started again. */
static bool join(struct vm *vm, const char *disk, enum block_job_type type, vm_done_fn ended, void *userdata)
{
	struct block_job *job = block_job_find(vm, disk);

	if (!job || !job->auto_pivot || job->ended ||
		(job->type == BLOCK_JOB_PULL) != (type == BLOCK_JOB_PULL))
		return false;
	job->ended = ended;
	job->ended_userdata = userdata;
	block_job_watch(job);
	return true;
}

/* What it was to merge is merged: the daemon died between that and the caller's writing it down. */
static bool is_merged(const struct disk *disk, const struct vm_block_commit_options *o)
{
	if (o->active)
		return o->base && chain_find(disk, o->base) == 0;
	return o->top && chain_find(disk, o->top) < 0 && o->base && chain_find(disk, o->base) >= 0;
}

static bool is_pulled(const struct disk *disk, const struct vm_block_pull_options *o)
{
	return o->base ? chain_find(disk, o->base) == 1 : disk->backing.n == 0;
}

static int end_at_once(struct vm *vm, const struct disk *disk, vm_done_fn ended, void *userdata)
{
	struct block_job *job = block_job_new(vm, disk->target, BLOCK_JOB_COMMIT);

	job->id = xasprintf("merged-%s", disk->target);
	job->ended = ended;
	job->ended_userdata = userdata;
	job->state = BLOCK_JOB_CLEARING;
	block_job_tell_later(job, BLOCK_JOB_DONE);
	return 0;
}

int block_job_merge(struct vm *vm, const struct vm_block_commit_options *options, vm_done_fn ended,
	void *userdata, struct error *err)
{
	const struct disk *disk = block_job_check_disk(vm, options->disk, err);

	if (!disk)
		return -1;
	if (join(vm, disk->target, BLOCK_JOB_COMMIT, ended, userdata))
		return 0;
	if (!block_job_find(vm, disk->target) && is_merged(disk, options))
		return end_at_once(vm, disk, ended, userdata);
	return begin_for_job(block_job_plan_commit(vm, options, false, err), ended, userdata);
}

int block_job_pull(struct vm *vm, const struct vm_block_pull_options *options, vm_done_fn ended,
	void *userdata, struct error *err)
{
	const struct disk *disk = block_job_check_disk(vm, options->disk, err);

	if (!disk)
		return -1;
	if (join(vm, disk->target, BLOCK_JOB_PULL, ended, userdata))
		return 0;
	if (!block_job_find(vm, disk->target) && is_pulled(disk, options))
		return end_at_once(vm, disk, ended, userdata);
	return begin_for_job(block_job_plan_pull(vm, options, false, err), ended, userdata);
}

void block_job_forget(struct vm *vm, void *userdata)
{
	VEC_FOREACH (job, &vm->block_jobs)
		if (job->ended && job->ended_userdata == userdata)
			job->ended = NULL;
}

/* ---- one that runs ---- */

static struct block_job *find_job(struct vm *vm, const char *name, struct error *err)
{
	const struct disk *disk = block_job_check_disk(vm, name, err);
	struct block_job *job = disk ? block_job_find(vm, disk->target) : NULL;

	if (disk && !job)
		error_set(err, ERROR_OPERATION_INVALID, "disk %s does not have an active block job",
			disk->target);
	return job;
}

static int pivot(struct block_job *job, struct error *err)
{
	if (job->type != BLOCK_JOB_ACTIVE_COMMIT)
		return error_set(err, ERROR_OPERATION_INVALID,
			"job type does not support pivot: it is no active commit of disk '%s'", job->target);
	if (job->state != BLOCK_JOB_READY || job->pivoting.done)
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s' not ready for pivot yet: the block job is %s", job->target,
			block_job_state_name(job->state));
	return 0;
}

static int cancel(struct block_job *job, struct error *err)
{
	if (job->state == BLOCK_JOB_RUNNING || job->state == BLOCK_JOB_READY)
		return 0;
	return error_set(err, ERROR_OPERATION_INVALID, "block job on disk '%s' is %s already", job->target,
		block_job_state_name(job->state));
}

int vm_block_job_abort(struct vm *vm, const char *disk, bool async, bool is_pivot, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct block_job *job = find_job(vm, disk, err);
	struct stop_waiter waiter = {done, userdata};

	if (!job)
		return -1;
	if (job->auto_pivot)
		return error_set(err, ERROR_OPERATION_INVALID,
			"block job on disk '%s' belongs to another job of domain '%s'", job->target,
			vm->name);
	if ((is_pivot ? pivot(job, err) : cancel(job, err)) < 0)
		return -1;
	if (is_pivot)
		job->pivoting = waiter;
	else
		VEC_ADD(&job->waiters, waiter);
	job->cancelled = !is_pivot;
	job->async = async;
	block_job_tell_later(job, is_pivot ? BLOCK_JOB_PIVOT : BLOCK_JOB_CANCEL);
	return 0;
}

int vm_block_job_set_speed(struct vm *vm, const char *disk, uint64_t bandwidth, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct block_job *job = find_job(vm, disk, err);

	if (!job)
		return -1;
	job->bandwidth = bandwidth;
	vm_command(vm, "block-job-set-speed", json_pack("s:device", job->id, "u:speed", bandwidth, NULL),
		done, userdata);
	return 0;
}

/* ---- info ---- */

struct inquiry {
	struct vm *vm;
	char *target;
	vm_block_job_info_fn reply;
	void *userdata;
};

/*
 * Whoever polls takes a job whose figures are equal for one that is ready, or through, and 0 of 0 for one that is not begun: only what
 * is so may look so.
 */
static void fix_figures(struct vm_block_job_info *info)
{
	if (info->ready) {
		info->done = info->total = info->total ? info->total : 1;
	} else if (info->total == 0) {
		info->total = 1;
		info->done = 0;
	} else if (info->done >= info->total) {
		info->done = info->total - 1;
	}
}

static void inquired(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct inquiry *i = userdata;
	const struct block_job *job = block_job_find(i->vm, i->target);
	struct vm_block_job_info info = {0};

	if (job && !err) {
		info.type = job->type;
		info.ready = job->state == BLOCK_JOB_READY;
		info.bandwidth = job->bandwidth;
		JSON_FOREACH (entry, ret) {
			if (!streq(json_get_string(entry, "device"), job->id))
				continue;
			info.bandwidth = json_get_uint(entry, "speed", 0);
			info.done = json_get_uint(entry, "offset", 0);
			info.total = json_get_uint(entry, "len", 0);
		}
		fix_figures(&info);
	}
	i->reply(&info, err, i->userdata);
	vm_unref(i->vm);
	free(i->target);
	free(i);
}

int vm_block_job_get_info(
	struct vm *vm, const char *disk, vm_block_job_info_fn reply, void *userdata, struct error *err)
{
	const struct disk *found = block_job_check_disk(vm, disk, err);
	struct inquiry *i;

	if (!found)
		return -1;
	i = NEW(struct inquiry);
	*i = (struct inquiry){
		.vm = vm_ref(vm), .target = xstrdup(found->target), .reply = reply, .userdata = userdata};
	qmp_command(vm->qmp, "query-block-jobs", NULL, -1, 0, inquired, i);
	return 0;
}
