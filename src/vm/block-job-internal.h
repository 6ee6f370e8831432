/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block job and the files that make one.
 * size: the drawing, and one struct that all of these files share.
 *
 *	block-job-machine.c     its states            block-job.c       what is done in each of them
 *	block-job-plan.c        requests made exact   block-job-end.c   taking over what it did
 *	block-job-verb.c        abort, speed, info    block-job-adopt.c  after a restart of the daemon
 *	block-job-lease.c       the lease of the image that is written to
 *	block-job-progress.c    how far it is, for other jobs
 *
 *                 lease                command               block-ready          pivot
 *	TAKING ----------> STARTING ----------> RUNNING ----------> READY -------> COMPLETING
 *	   |                  |                    |  (active commit)  |               |
 *	   | refused          | refused            | pending           | pending       | pending
 *	   |                  |                    v                   v               v
 *	   |                  |                SETTLING <-----------------------------+
 *	   |                  |                    | data and definition are on disk
 *	   |                  |                    v
 *	   |                  |                FINALIZING      CANCELLING  (asked for, or settling failed)
 *	   |                  |                    | concluded      | concluded
 *	   v                  v                    v                v
 *	  OVER <----------- CLEARING <--------- RECORDING <---------+
 *
 * QEMU does nothing to a chain by itself: its job waits, "pending", until it is told to finalize, and stays, "concluded", until it is
 * dismissed. So whoever comes after a crash finds it (block-job-adopt.c).
 */
#pragma once

#include "block-job.h"
#include "disk.h"
#include "vm-internal.h"

enum block_job_state {
	BLOCK_JOB_NOWHERE,
	BLOCK_JOB_TAKING,
	BLOCK_JOB_STARTING,
	BLOCK_JOB_RUNNING,
	BLOCK_JOB_READY,
	BLOCK_JOB_COMPLETING,
	BLOCK_JOB_SETTLING,
	BLOCK_JOB_FINALIZING,
	BLOCK_JOB_CANCELLING,
	BLOCK_JOB_RECORDING,
	BLOCK_JOB_CLEARING,
	BLOCK_JOB_OVER,
	BLOCK_JOB_STATE_MAX_
};

enum block_job_event {
	BLOCK_JOB_DONE,	  /* what the state is for */
	BLOCK_JOB_FAILED, /* the same, with job->failure */
	BLOCK_JOB_PIVOT,
	BLOCK_JOB_CANCEL,
	/* QEMU's words */
	BLOCK_JOB_IS_READY,
	BLOCK_JOB_IS_PENDING,
	BLOCK_JOB_IS_CONCLUDED,
	BLOCK_JOB_EVENT_MAX_
};

struct image_lease;
struct block_job;

/* What is done on entering each state; NULL: nothing. The job may be gone afterwards. */
typedef void (*block_job_enter_fn)(struct block_job *job);

struct block_job {
	struct vm *vm; /* which has it in its list */
	const block_job_enter_fn *enter;
	enum block_job_state state;
	enum block_job_event
		early; /* QEMU's last word, when it came before the command's reply, or the taking over; else DONE */
	enum block_job_type type;
	char *id;     /* in QEMU */
	char *target; /* of the disk */
	uint64_t bandwidth;
	bool delete_merged, auto_pivot;
	/* Positions in the chain (chain.h) until it is recorded: these leave it, `receiver` gets what they hold. */
	size_t first, last, receiver;
	VEC(struct disk_layer) merged; /* those that leave; owned strings */
	struct disk_layer written;     /* the receiver */
	char *backing_file;	       /* what the image above is to say that it stands on; NULL: nothing */
	bool relative;
	bool cancelled;	   /* by somebody */
	bool async;	   /* whoever cancels or pivots waits for QEMU's answer only */
	bool defined;	   /* the persistent definition is that of afterwards */
	bool recorded;	   /* so is the live one */
	bool begun;	   /* QEMU has it */
	bool cannot_write; /* the status file, which it waits for */
	struct error failure;

	vm_done_fn started, ended;
	void *started_userdata, *ended_userdata;
	VEC(struct stop_waiter) waiters; /* abort, not async: for the end */
	struct stop_waiter pivoting;	 /* pivot: for QEMU's answer, too */
	struct image_lease *lease;
	struct process *child;
	sd_event_source *deferred;
	enum block_job_event deferred_event;
	unsigned pending;		     /* replies to come while clearing */
	struct block_job_progress *progress; /* of one for another job; NULL: nobody asks */
};

/* ---- block-job-progress.c ---- */

/* QEMU is asked from now on how far it is, until the job goes. */
void block_job_watch(struct block_job *job);
void block_job_progress_free(struct block_job_progress *p); /* accepts NULL */

/* ---- block-job-machine.c ---- */

const char *block_job_state_name(enum block_job_state state);
void block_job_begin(struct block_job *job);
/*
 * One of an earlier daemon, which QEMU was in `state` with when it was asked. True: it has been told since what moves it on. The job may be gone
 * afterwards.
 */
bool block_job_resume(struct block_job *job, enum block_job_state state);
/* What does not move it is ignored. The job may be gone afterwards. */
void block_job_tell(struct block_job *job, enum block_job_event event);

/* ---- block-job.c ---- */

extern const block_job_enter_fn block_job_actions[BLOCK_JOB_STATE_MAX_];
struct block_job *block_job_new(struct vm *vm, const char *target, enum block_job_type type);
/* Out of the list too; nobody is told. Accepts NULL. */
void block_job_free(struct block_job *job);
struct block_job *block_job_find(const struct vm *vm, const char *target);
/* From the loop. */
void block_job_tell_later(struct block_job *job, enum block_job_event event);
/* userdata is the job: QEMU's answer ends what the state is for. Without a connection nothing follows: its end is on the way. */
void block_job_replied(struct qmp *q, json *ret, const struct error *err, void *userdata);
void block_job_emit(struct block_job *job, int status);
struct disk *block_job_get_disk(const struct block_job *job); /* NULL: it is gone from the VM */
char *block_job_format_node(uint32_t node);		      /* caller frees */
/* Of the node that the device has. Caller frees. */
char *block_job_top_node(const struct disk *disk);
/* Have QEMU write to it, as far as it could if the guest ran. */
void block_activate(struct vm *vm, const struct disk *disk);

/* ---- block-job-plan.c ---- */

/* The disk that `name` (target or path) means, of a running VM, with an image. NULL with err. */
struct disk *block_job_check_disk(struct vm *vm, const char *name, struct error *err);
/* In the VM's list, not begun. `by_user`: images that snapshots need are refused. NULL with err. */
struct block_job *block_job_plan_commit(
	struct vm *vm, const struct vm_block_commit_options *options, bool by_user, struct error *err);
struct block_job *block_job_plan_pull(
	struct vm *vm, const struct vm_block_pull_options *options, bool by_user, struct error *err);

/* May QEMU write to what a guest that stands still writes to? */
int block_job_check_leases(const struct vm *vm, struct error *err);

/* ---- block-job-relative.c ---- */

/* job->backing_file, from the answer to query-named-block-nodes. */
int block_job_find_relative(struct block_job *job, json *nodes);

/* ---- block-job-lease.c ---- */

/* For the image that is written to; then DONE or FAILED. */
void block_job_take_lease(struct block_job *job);
/* Of what is not written to any more; then block_job_lease_given, in any case. */
void block_job_give_lease(struct block_job *job);
int block_job_check_lease(const struct block_job *job, struct error *err);

/* ---- block-job-end.c ---- */

void block_job_settle(struct block_job *job);
void block_job_record(struct block_job *job);
void block_job_clear(struct block_job *job);
void block_job_lease_given(struct block_job *job);

/* ---- block-job-adopt.c: for status.c, adopt.c and monitor.c ---- */

json *block_jobs_encode(const struct vm *vm); /* NULL: none */
void block_jobs_decode(struct vm *vm, json *jobs);
/* Ask QEMU what became of them; before any command sent after this is answered, vm->found_jobs says it. */
void block_jobs_look(struct vm *vm);
/* Go on with them; the VM is as QEMU says. */
void block_jobs_adopt(struct vm *vm);
/* QEMU's event JOB_STATUS_CHANGE. */
void block_jobs_hear(struct vm *vm, json *data);
/* QEMU is gone, and so are they: who waits is told. */
void block_jobs_gone(struct vm *vm);
/* The VM is freed: nobody is told. */
void block_jobs_free(struct vm *vm);
