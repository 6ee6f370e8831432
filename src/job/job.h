/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A long operation: a table of steps with their undo and one commit point, written down in a journal.
 *
 *                 begin            step fails, or cancel             undo finished
 *     (new) -----------> RUNNING ------------------------> UNDOING ---------------> FINISHED (error)
 *                           |                                                           ^
 *                           | commit step finished                                      |
 *                           v                         last step finished                |
 *                       COMMITTED ------------------------------------------------------+ (success)
 *
 * A step's name is in the journal before it runs; `run` and `undo` are idempotent. A failure, a cancel or a
 * crash before the commit step has finished is undone: the step that was running first, then those before it. Behind the
 * commit step there is no way back: a step that fails there is logged and the next one runs. After a crash,
 * job_recover continues from the journal with the very same functions.
 *
 * Fault points: JOB/STEP/begun, JOB/STEP/done, JOB/STEP/committed (the commit step, once written down),
 * JOB/STEP/undo, JOB/STEP/undone.
 *
 * The engine knows no loop and no clock: it calls `ops` and is called by whoever finishes a step.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "json.h"

struct job;

enum step_result {
	STEP_DONE,
	STEP_WAIT,   /* job_step_done is called later, never from within run or undo */
	STEP_FAILED, /* *err says why */
};

typedef enum step_result (*job_step_fn)(struct job *job, void *context, struct error *err);

struct job_step {
	const char *name; /* written to the journal: never changes its meaning */
	job_step_fn run;
	job_step_fn undo; /* NULL: nothing to undo. A failing undo is logged; the undoing goes on. */
};

struct job_type {
	const char *name;
	const struct job_step *steps;
	size_t n_steps;
	size_t commit; /* index of the commit step */
	bool durable;  /* must be known even after the host lost power: the journal is synced */
	/*
	 * Asked by recovery when the journal ends inside the commit step: has its effect happened? NULL when the
	 * step's effect cannot be seen: then it counts as not happened.
	 */
	bool (*committed)(void *context);
	/*
	 * Cancel while a step waits: make it fail soon (it still calls job_step_done, may do so in here). NULL: the
	 * job cannot be cancelled.
	 */
	void (*cancel)(struct job *job, void *context);
};

struct job_ops {
	/*
	 * Append a record durably (when `durable`) before returning. Events: "begun" before a step runs, "finished"
	 * when the commit step has (of the others it is known from the next one's beginning), "undo" before a
	 * step is undone.
	 */
	int (*record)(
		struct job *job, const char *event, const char *step, void *userdata, struct error *err);
	/* The end, exactly once; err NULL on success. The owner frees the job afterwards, not inside. */
	void (*finished)(struct job *job, const struct error *err, void *userdata);
};

enum job_state { JOB_NEW, JOB_RUNNING, JOB_UNDOING, JOB_COMMITTED, JOB_FINISHED, JOB_STATE_MAX_ };

/* `context` is what the steps work on, `userdata` what the ops get. Neither is owned. */
struct job *job_new(const struct job_type *type, const struct job_ops *ops, void *context, void *userdata);
void job_free(struct job *job);

/* Runs steps until one waits. When none does, `finished` is called before this returns. */
void job_begin(struct job *job);

/* What the journal says happened: the steps begun and finished, in the order of the table. */
struct job_progress {
	size_t begun;	 /* steps begun and not undone (the last of them may be unfinished, or half undone) */
	size_t finished; /* steps finished */
	bool undoing;
};

/* Continue after a crash, in place of job_begin: forward when committed, back otherwise. */
void job_recover(struct job *job, const struct job_progress *progress);

/* The waiting step (run or undo) is over; err NULL on success. */
void job_step_done(struct job *job, const struct error *err);

/*
 * Ask for it to stop: it is undone, and ends with ERROR_OPERATION_ABORTED. ERROR_OPERATION_INVALID when it has
 * reached its commit step, is being undone already for another reason, or cannot be cancelled.
 */
int job_cancel(struct job *job, struct error *err);

const struct job_type *job_get_type(const struct job *job);
enum job_state job_get_state(const struct job *job);
/* The step that runs, waits or is being undone; NULL before and after. */
const char *job_get_step_name(const struct job *job);
bool job_is_cancelled(const struct job *job);
