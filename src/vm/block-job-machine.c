/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a block job and what moves it between them; the drawing is in block-job-internal.h. */
#include "block-job-internal.h"

#include <assert.h>

#include "log.h"

static const char *const state_names[] = {
	[BLOCK_JOB_NOWHERE] = "nowhere",
	[BLOCK_JOB_TAKING] = "taking",
	[BLOCK_JOB_STARTING] = "starting",
	[BLOCK_JOB_RUNNING] = "running",
	[BLOCK_JOB_READY] = "ready",
	[BLOCK_JOB_COMPLETING] = "completing",
	[BLOCK_JOB_SETTLING] = "settling",
	[BLOCK_JOB_FINALIZING] = "finalizing",
	[BLOCK_JOB_CANCELLING] = "cancelling",
	[BLOCK_JOB_RECORDING] = "recording",
	[BLOCK_JOB_CLEARING] = "clearing",
	[BLOCK_JOB_OVER] = "over",
};
static_assert(ARRAY_SIZE(state_names) == BLOCK_JOB_STATE_MAX_, "every state has a name");

static const enum block_job_state moves[BLOCK_JOB_STATE_MAX_][BLOCK_JOB_EVENT_MAX_] = {
	[BLOCK_JOB_TAKING] = {[BLOCK_JOB_DONE] = BLOCK_JOB_STARTING, [BLOCK_JOB_FAILED] = BLOCK_JOB_OVER},
	[BLOCK_JOB_STARTING] =
		{[BLOCK_JOB_DONE] = BLOCK_JOB_RUNNING, [BLOCK_JOB_FAILED] = BLOCK_JOB_CLEARING},
	[BLOCK_JOB_RUNNING] = {[BLOCK_JOB_IS_READY] = BLOCK_JOB_READY,
		[BLOCK_JOB_IS_PENDING] = BLOCK_JOB_SETTLING,
		[BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING,
		[BLOCK_JOB_CANCEL] = BLOCK_JOB_CANCELLING},
	[BLOCK_JOB_READY] = {[BLOCK_JOB_PIVOT] = BLOCK_JOB_COMPLETING,
		[BLOCK_JOB_IS_PENDING] = BLOCK_JOB_SETTLING,
		[BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING,
		[BLOCK_JOB_CANCEL] = BLOCK_JOB_CANCELLING},
	[BLOCK_JOB_COMPLETING] = {[BLOCK_JOB_FAILED] = BLOCK_JOB_READY,
		[BLOCK_JOB_IS_PENDING] = BLOCK_JOB_SETTLING,
		[BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING,
		[BLOCK_JOB_CANCEL] = BLOCK_JOB_CANCELLING},
	/* From here on nobody can cancel it: the definition may be that of afterwards. */
	[BLOCK_JOB_SETTLING] = {[BLOCK_JOB_DONE] = BLOCK_JOB_FINALIZING,
		[BLOCK_JOB_FAILED] = BLOCK_JOB_CANCELLING,
		[BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING},
	[BLOCK_JOB_FINALIZING] =
		{[BLOCK_JOB_FAILED] = BLOCK_JOB_CANCELLING, [BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING},
	[BLOCK_JOB_CANCELLING] = {[BLOCK_JOB_IS_CONCLUDED] = BLOCK_JOB_RECORDING},
	[BLOCK_JOB_RECORDING] = {[BLOCK_JOB_DONE] = BLOCK_JOB_CLEARING},
	[BLOCK_JOB_CLEARING] = {[BLOCK_JOB_DONE] = BLOCK_JOB_OVER},
};

const char *block_job_state_name(enum block_job_state state)
{
	return state_names[state];
}

static void move(struct block_job *job, enum block_job_state next)
{
	log_write(LOG_LEVEL_DEBUG, job->vm ? job->vm->name : NULL, job->id, "block job %s: %s -> %s", job->id,
		state_names[job->state], state_names[next]);
	job->state = next;
	if (job->enter[next])
		job->enter[next](job);
}

void block_job_tell(struct block_job *job, enum block_job_event event)
{
	enum block_job_event early = job->early;
	enum block_job_state next = moves[job->state][event];

	/* A small job is through before QEMU answers the command that began it; another changes while it is taken over. */
	if ((job->state == BLOCK_JOB_STARTING || job->state == BLOCK_JOB_NOWHERE) &&
		event >= BLOCK_JOB_IS_READY) {
		job->early = event;
		return;
	}
	if (next == BLOCK_JOB_NOWHERE)
		return;
	job->early = BLOCK_JOB_DONE;
	move(job, next);
	/* RUNNING is left by what comes from outside alone, so that the job is still there. */
	if (next == BLOCK_JOB_RUNNING && early != BLOCK_JOB_DONE)
		block_job_tell(job, early);
}

bool block_job_resume(struct block_job *job, enum block_job_state state)
{
	enum block_job_event early = job->early;

	job->early = BLOCK_JOB_DONE;
	job->state = state;
	if (early == BLOCK_JOB_DONE)
		return false;
	block_job_tell(job, early);
	return true;
}

void block_job_begin(struct block_job *job)
{
	move(job, BLOCK_JOB_TAKING);
}
