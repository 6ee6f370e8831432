/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine behind job.h. One function, drive(), takes steps until one waits; the end of a waiting step only
 * says so and drives on. So the stack stays flat however many steps end at once.
 */
#include "job.h"

#include <assert.h>

#include "alloc.h"
#include "fault.h"
#include "log.h"

struct job {
	const struct job_type *type;
	const struct job_ops *ops;
	void *context;
	void *userdata;
	enum job_state state;
	/* Forward: the step that runs or comes next. Undoing: how many steps are still to be undone. */
	size_t at;
	bool waiting; /* for job_step_done */
	bool driving;
	bool cancelled;
	struct error failure; /* what is to be told at the end */
};

static const char *const state_names[] = {"new", "running", "undoing", "committed", "finished"};
static_assert(ARRAY_SIZE(state_names) == JOB_STATE_MAX_, "every state has a name");

/* The drawing in job.h, and NEW to anywhere for a job that is taken up after a crash. */
static const bool moves[JOB_STATE_MAX_][JOB_STATE_MAX_] = {
	[JOB_NEW] = {[JOB_RUNNING] = true, [JOB_UNDOING] = true, [JOB_COMMITTED] = true},
	[JOB_RUNNING] = {[JOB_UNDOING] = true, [JOB_COMMITTED] = true},
	[JOB_UNDOING] = {[JOB_FINISHED] = true},
	[JOB_COMMITTED] = {[JOB_FINISHED] = true},
};

static void move(struct job *job, enum job_state state)
{
	assert(moves[job->state][state]);
	log_write(LOG_LEVEL_DEBUG, NULL, job->type->name, "%s -> %s", state_names[job->state],
		state_names[state]);
	job->state = state;
}

struct job *job_new(const struct job_type *type, const struct job_ops *ops, void *context, void *userdata)
{
	struct job *job = NEW(struct job);

	assert(type->n_steps > 0 && type->commit < type->n_steps);
	job->type = type;
	job->ops = ops;
	job->context = context;
	job->userdata = userdata;
	return job;
}

void job_free(struct job *job)
{
	assert(!job || !job->driving);
	free(job);
}

static const struct job_step *step_at(const struct job *job)
{
	return &job->type->steps[job->state == JOB_UNDOING ? job->at - 1 : job->at];
}

static void fault(const struct job *job, const char *moment)
{
	fault_point3(job->type->name, step_at(job)->name, moment);
}

static int record(struct job *job, const char *event, struct error *err)
{
	if (job->ops->record(job, event, step_at(job)->name, job->userdata, err) < 0)
		return error_prefix(err, "%s", job->type->name);
	return 0;
}

static void warn(const struct job *job, const char *what, const struct error *err)
{
	log_write(LOG_LEVEL_WARNING, NULL, job->type->name, "%s %s: %s", what, step_at(job)->name,
		err->message);
}

/* Go back from here. `steps`: how many of them may have left traces. */
static void turn_back(struct job *job, size_t steps, const struct error *err)
{
	if (job->cancelled)
		error_set(&job->failure, ERROR_OPERATION_ABORTED, "canceled by client");
	else
		job->failure = *err;
	move(job, JOB_UNDOING);
	job->at = steps;
}

/*
 * The commit step has had its effect. When that cannot be written down, the next daemon would undo the job, unless
 * it can see the effect; so without `committed` this one has to undo it too.
 */
static void commit(struct job *job)
{
	struct error err = ERROR_INIT;

	if (record(job, "finished", &err) < 0) {
		if (!job->type->committed) {
			turn_back(job, job->at + 1, &err);
			return;
		}
		warn(job, "write down the end of", &err);
	}
	fault(job, "committed");
	move(job, JOB_COMMITTED);
	job->at++;
}

/* The step at job->at is over. */
static void step_over(struct job *job, const struct error *err)
{
	if (job->state == JOB_UNDOING) {
		if (err)
			warn(job, "undo", err);
		fault(job, "undone");
		job->at--;
		return;
	}
	if (err && job->state == JOB_RUNNING) {
		turn_back(job, job->at + 1, err);
		return;
	}
	if (err)
		warn(job, "step", err);
	fault(job, "done");
	if (job->state == JOB_RUNNING && job->at == job->type->commit)
		commit(job);
	else
		job->at++;
}

static void call_step(struct job *job, job_step_fn f)
{
	struct error err = ERROR_INIT;

	switch (f(job, job->context, &err)) {
	case STEP_DONE:
		step_over(job, NULL);
		break;
	case STEP_FAILED:
		assert(err.code != ERROR_NONE);
		step_over(job, &err);
		break;
	case STEP_WAIT:
		job->waiting = true;
		break;
	}
}

static void forward(struct job *job)
{
	struct error err = ERROR_INIT;

	if (job->state == JOB_RUNNING && job->cancelled) {
		turn_back(job, job->at, NULL);
		return;
	}
	if (record(job, "begun", &err) < 0) {
		/* Behind the commit point there is no way back; the step is run again after a crash, and may be. */
		if (job->state == JOB_RUNNING) {
			turn_back(job, job->at, &err);
			return;
		}
		warn(job, "write down", &err);
	}
	fault(job, "begun");
	call_step(job, step_at(job)->run);
}

static void backward(struct job *job)
{
	struct error err = ERROR_INIT;

	if (!step_at(job)->undo) {
		job->at--;
		return;
	}
	if (record(job, "undo", &err) < 0)
		warn(job, "write down the undoing of", &err);
	fault(job, "undo");
	call_step(job, step_at(job)->undo);
}

static void finish(struct job *job)
{
	bool good = job->state == JOB_COMMITTED;

	move(job, JOB_FINISHED);
	job->ops->finished(job, good ? NULL : &job->failure, job->userdata);
}

static void drive(struct job *job)
{
	assert(!job->driving && !job->waiting);
	job->driving = true;
	while (!job->waiting && job->state != JOB_FINISHED) {
		if (job->state == JOB_UNDOING && job->at == 0)
			finish(job);
		else if (job->state == JOB_UNDOING)
			backward(job);
		else if (job->at == job->type->n_steps)
			finish(job);
		else
			forward(job);
	}
	job->driving = false;
}

void job_begin(struct job *job)
{
	assert(job->state == JOB_NEW);
	move(job, JOB_RUNNING);
	drive(job);
}

/* Has the commit step finished, by what the journal says or by what can be seen? */
static bool is_committed(const struct job *job, const struct job_progress *progress)
{
	const struct job_type *type = job->type;

	if (progress->undoing)
		return false;
	if (progress->finished > type->commit)
		return true;
	return progress->begun == type->commit + 1 && type->committed && type->committed(job->context);
}

void job_recover(struct job *job, const struct job_progress *progress)
{
	struct error err = ERROR_INIT;

	assert(job->state == JOB_NEW);
	assert(progress->begun <= job->type->n_steps && progress->finished <= progress->begun);
	if (is_committed(job, progress)) {
		move(job, JOB_COMMITTED);
		job->at = job->type->commit;
		/* Once written down it need not be seen again: a later step may make it invisible. */
		if (progress->finished <= job->type->commit && record(job, "finished", &err) < 0)
			warn(job, "write down the end of", &err);
		job->at = progress->finished > job->type->commit ? progress->finished : job->type->commit + 1;
	} else {
		error_set(&err, ERROR_OPERATION_FAILED, "%s: the daemon was restarted before it was done",
			job->type->name);
		turn_back(job, progress->begun, &err);
	}
	drive(job);
}

void job_step_done(struct job *job, const struct error *err)
{
	assert(job->waiting && !job->driving);
	assert(!err || err->code != ERROR_NONE);
	job->waiting = false;
	step_over(job, err);
	drive(job);
}

int job_cancel(struct job *job, struct error *err)
{
	const char *name = job->type->name;

	if (job->cancelled && job->state != JOB_COMMITTED && job->state != JOB_FINISHED)
		return 0;
	if (!job->type->cancel)
		return error_set(err, ERROR_OPERATION_INVALID, "%s cannot be cancelled", name);
	if (job->state == JOB_UNDOING)
		return error_set(err, ERROR_OPERATION_INVALID, "%s has failed and is being undone", name);
	if (job->state != JOB_NEW && (job->state != JOB_RUNNING || job->at == job->type->commit))
		return error_set(err, ERROR_OPERATION_INVALID,
			"%s is past the point where it could be cancelled", name);
	job->cancelled = true;
	if (job->waiting)
		job->type->cancel(job, job->context);
	return 0;
}

const struct job_type *job_get_type(const struct job *job)
{
	return job->type;
}

enum job_state job_get_state(const struct job *job)
{
	return job->state;
}

const char *job_get_step_name(const struct job *job)
{
	if (job->state == JOB_NEW || job->state == JOB_FINISHED ||
		job->at == (job->state == JOB_UNDOING ? 0 : job->type->n_steps))
		return NULL;
	return step_at(job)->name;
}

bool job_is_cancelled(const struct job *job)
{
	return job->cancelled;
}
