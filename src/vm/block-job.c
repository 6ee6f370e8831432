/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A block job's conversation with QEMU. */
#include "block-job-internal.h"

#include <assert.h>

#include "fault.h"
#include "image-lease.h"
#include "log.h"
#include "monitor.h"

struct block_job *block_job_new(struct vm *vm, const char *target, enum block_job_type type)
{
	struct block_job *job = NEW(struct block_job);

	job->vm = vm;
	job->enter = block_job_actions;
	job->type = type;
	job->target = xstrdup(target);
	VEC_ADD(&vm->block_jobs, job);
	return job;
}

void block_job_free(struct block_job *job)
{
	if (!job)
		return;
	for (size_t i = 0; i < job->vm->block_jobs.n; i++)
		if (job->vm->block_jobs.items[i] == job) {
			VEC_REMOVE(&job->vm->block_jobs, i);
			break;
		}
	if (job->vm->qmp)
		qmp_forget(job->vm->qmp, job);
	image_lease_free(job->lease);
	block_job_progress_free(job->progress);
	process_free(job->child);
	sd_event_source_disable_unref(job->deferred);
	VEC_FOREACH (layer, &job->merged)
		free(layer.source);
	VEC_FREE(&job->merged);
	VEC_FREE(&job->waiters);
	free(job->written.source);
	free(job->backing_file);
	free(job->target);
	free(job->id);
	free(job);
}

struct block_job *block_job_find(const struct vm *vm, const char *target)
{
	VEC_FOREACH (job, &vm->block_jobs)
		if (streq(job->target, target))
			return job;
	return NULL;
}

struct disk *block_job_get_disk(const struct block_job *job)
{
	return job->vm->live ? domain_find_disk(job->vm->live, job->target) : NULL;
}

char *block_job_format_node(uint32_t node)
{
	return xasprintf("libvirt-%u-format", node);
}

char *block_job_top_node(const struct disk *disk)
{
	return disk->copy_on_read == TRISTATE_ON ? xasprintf("libvirt-CoR-%s", disk->target)
						 : block_job_format_node(disk->node);
}

static int told_later(sd_event_source *source, void *userdata)
{
	struct block_job *job = userdata;

	job->deferred = sd_event_source_unref(job->deferred);
	block_job_tell(job, job->deferred_event);
	return 0;
}

void block_job_tell_later(struct block_job *job, enum block_job_event event)
{
	int r;

	job->deferred_event = event;
	job->deferred = sd_event_source_disable_unref(job->deferred);
	r = sd_event_add_defer(job->vm->registry->loop, &job->deferred, told_later, job);
	assert(r >= 0);
}

void block_job_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;

	if (err && err->code != ERROR_QEMU)
		return;
	if (err)
		error_copy(&job->failure, err);
	block_job_tell(job, err ? BLOCK_JOB_FAILED : BLOCK_JOB_DONE);
}

/* virConnectDomainEventBlockJobStatus */
enum { STATUS_COMPLETED, STATUS_FAILED, STATUS_CANCELED, STATUS_READY };

void block_job_emit(struct block_job *job, int status)
{
	const struct disk *disk = block_job_get_disk(job);

	registry_emit(job->vm->registry, &(struct vm_event){.type = VM_EVENT_BLOCK_JOB,
						 .vm = job->vm,
						 .block_job = {.path = disk ? disk->source : NULL,
							 .target = job->target,
							 .type = job->type,
							 .status = status}});
}

/* ---- the states ---- */

static json *commit_arguments(const struct block_job *job, const struct disk *disk)
{
	_cleanup_free_ char *device = block_job_top_node(disk),
			    *top = block_job_format_node(job->merged.items[0].node),
			    *base = block_job_format_node(job->written.node);

	return json_pack("s:job-id", job->id, "s:device", device, "s:top-node", top, "s:base-node", base,
		"s:backing-file", job->backing_file, "u:speed", job->bandwidth, "b:auto-finalize", false,
		"b:auto-dismiss", false, NULL);
}

static json *stream_arguments(const struct block_job *job, const struct disk *disk)
{
	size_t base = job->last + 1;
	_cleanup_free_ char *device = block_job_top_node(disk), *node = NULL;

	if (base <= disk->backing.n)
		node = block_job_format_node(disk->backing.items[base - 1].node);
	return json_pack("s:job-id", job->id, "s:device", device, "s:base-node", node, "s:backing-file",
		job->backing_file, "u:speed", job->bandwidth, "b:auto-finalize", false, "b:auto-dismiss",
		false, NULL);
}

/*
 * A guest that was restored and has not run since has inactive nodes, which nobody may write to; the CPUs would make them active.
 * Before QEMU 10 there is no such command, nor such nodes behind a restore.
 */
void block_activate(struct vm *vm, const struct disk *disk)
{
	_cleanup_free_ char *node = block_job_top_node(disk);

	if (vm->state == VM_PAUSED)
		qmp_command(vm->qmp, "blockdev-set-active",
			json_pack("s:node-name", node, "b:active", true, NULL), -1, 0, NULL, NULL);
}

static void send_start(struct block_job *job, const struct disk *disk)
{
	bool is_pull = job->type == BLOCK_JOB_PULL;

	block_activate(job->vm, disk);
	qmp_command(job->vm->qmp, is_pull ? "block-stream" : "block-commit",
		is_pull ? stream_arguments(job, disk) : commit_arguments(job, disk), -1, 0, block_job_replied,
		job);
}

static void nodes_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	const struct disk *disk = block_job_get_disk(job);

	if (err)
		block_job_replied(q, ret, err, job);
	else if (!disk || block_job_find_relative(job, ret) < 0)
		block_job_tell(job, BLOCK_JOB_FAILED);
	else
		send_start(job, disk);
}

static void start(struct block_job *job)
{
	const struct disk *disk = block_job_get_disk(job);
	struct vm *vm = job->vm;

	if (!disk || !vm->qmp) {
		error_set(&job->failure, ERROR_OPERATION_FAILED, "disk %s is gone", job->target);
		block_job_tell_later(job, BLOCK_JOB_FAILED);
		return;
	}
	/* Before QEMU can have it: what the status file does not say the next daemon does not look for. */
	if (status_write(vm, &job->failure) < 0) {
		block_job_tell_later(job, BLOCK_JOB_FAILED);
		return;
	}
	fault_point("block-job/begun");
	if (job->relative)
		qmp_command(vm->qmp, "query-named-block-nodes", json_pack("b:flat", true, NULL), -1, 0,
			nodes_listed, job);
	else
		send_start(job, disk);
}

static void run(struct block_job *job)
{
	vm_done_fn started = job->started;

	job->begun = true;
	job->started = NULL;
	status_write(job->vm, NULL);
	if (started)
		started(job->vm, NULL, job->started_userdata);
}

static void ready(struct block_job *job)
{
	struct stop_waiter pivoting = job->pivoting;

	job->pivoting = (struct stop_waiter){0};
	status_write(job->vm, NULL);
	if (job->failure.code == ERROR_NONE) {
		block_job_emit(job, STATUS_READY);
		if (job->auto_pivot)
			block_job_tell_later(job, BLOCK_JOB_PIVOT);
	} else if (job->auto_pivot) {
		block_job_tell_later(job, BLOCK_JOB_CANCEL); /* QEMU refused to complete it */
	} else {
		struct error failure = job->failure;

		error_clear(&job->failure);
		if (pivoting.done)
			pivoting.done(job->vm, &failure, pivoting.userdata);
	}
}

static void tell_aborters(struct block_job *job, const struct error *err)
{
	__typeof__(job->waiters) waiters = job->waiters;
	struct stop_waiter pivoting = job->pivoting;
	/* Whoever asked for the cancellation has got it. */
	const struct error *told = job->cancelled ? NULL : err;

	job->waiters.items = NULL;
	job->waiters.n = 0;
	job->pivoting = (struct stop_waiter){0};
	VEC_FOREACH (waiter, &waiters)
		waiter.done(job->vm, told, waiter.userdata);
	VEC_FREE(&waiters);
	if (pivoting.done)
		pivoting.done(job->vm, err, pivoting.userdata);
}

/* It goes on with an event; a refusal ends it here. */
static void accepted(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;

	if (!err && job->async) {
		tell_aborters(job, NULL);
	} else if (err && err->code == ERROR_QEMU) {
		error_copy(&job->failure, err);
		block_job_tell(job, BLOCK_JOB_FAILED);
	}
}

static void complete(struct block_job *job)
{
	status_write(job->vm, NULL);
	qmp_command(job->vm->qmp, "job-complete", json_pack("s:id", job->id, NULL), -1, 0, accepted, job);
}

static void finalize(struct block_job *job)
{
	status_write(job->vm, NULL);
	qmp_command(job->vm->qmp, "job-finalize", json_pack("s:id", job->id, NULL), -1, 0, accepted, job);
}

static void cancel(struct block_job *job)
{
	status_write(job->vm, NULL);
	qmp_command(job->vm->qmp, "block-job-cancel", json_pack("s:device", job->id, "b:force", true, NULL),
		-1, 0, accepted, job);
}

static void tell_waiters(struct block_job *job, const struct error *err)
{
	tell_aborters(job, err);
	if (job->started)
		job->started(job->vm, err, job->started_userdata);
	if (job->ended)
		job->ended(job->vm, err, job->ended_userdata);
}

static void end(struct block_job *job)
{
	struct vm *vm = job->vm;
	bool failed = job->failure.code != ERROR_NONE;

	if (failed)
		log_write(job->cancelled ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, vm->name, job->id, "%s",
			job->failure.message);
	if (job->begun)
		block_job_emit(job, !failed	     ? STATUS_COMPLETED
				    : job->cancelled ? STATUS_CANCELED
						     : STATUS_FAILED);
	/* Out of the list first: who is told may begin another. */
	for (size_t i = 0; i < vm->block_jobs.n; i++)
		if (vm->block_jobs.items[i] == job) {
			VEC_REMOVE(&vm->block_jobs, i);
			break;
		}
	status_write(vm, NULL);
	tell_waiters(job, failed ? &job->failure : NULL);
	block_job_free(job);
}

const block_job_enter_fn block_job_actions[BLOCK_JOB_STATE_MAX_] = {
	[BLOCK_JOB_TAKING] = block_job_take_lease,
	[BLOCK_JOB_STARTING] = start,
	[BLOCK_JOB_RUNNING] = run,
	[BLOCK_JOB_READY] = ready,
	[BLOCK_JOB_COMPLETING] = complete,
	[BLOCK_JOB_SETTLING] = block_job_settle,
	[BLOCK_JOB_FINALIZING] = finalize,
	[BLOCK_JOB_CANCELLING] = cancel,
	[BLOCK_JOB_RECORDING] = block_job_record,
	[BLOCK_JOB_CLEARING] = block_job_clear,
	[BLOCK_JOB_OVER] = end,
};

/* ---- gone ---- */

void block_jobs_gone(struct vm *vm)
{
	while (vm->block_jobs.n > 0) {
		struct block_job *job = vm->block_jobs.items[vm->block_jobs.n - 1];
		struct error err = ERROR_INIT;

		error_set(&err, ERROR_OPERATION_FAILED, "block job on disk %s: QEMU is gone", job->target);
		vm->block_jobs.n--;
		job->cancelled = false;
		tell_waiters(job, &err);
		block_job_free(job);
	}
}

void block_jobs_free(struct vm *vm)
{
	while (vm->block_jobs.n > 0)
		block_job_free(vm->block_jobs.items[vm->block_jobs.n - 1]);
	VEC_FREE(&vm->block_jobs);
}
