/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An operation is a job at work on a VM: the engine of job.h, its journal, the VM it holds and whoever waits
 * for the end. Each kind embeds struct operation first and adds what its steps need.
 */
#pragma once

#include "vm-internal.h"

struct operation;
struct state_stream;

struct operation_type {
	struct job_type job;
	const char *verb; /* for messages: "save", as in "save guest7: ..." */
	enum vm_job_operation kind;
	bool lets_suspend;			     /* the guest may be suspended by others meanwhile */
	size_t size;				     /* of the struct that embeds struct operation */
	json *(*encode)(const struct operation *op); /* what a restarted daemon must know */
	int (*decode)(struct operation *op, json *params, struct error *err);
	/* The last word, before `done`: settle the VM's state. NULL: vm_settle() alone. */
	void (*finished)(struct operation *op, const struct error *err);
	void (*fill_info)(const struct operation *op, struct vm_job_info *info); /* may be NULL */
	char *(*explain)(const struct operation
			*op); /* more to say to whoever is refused because of it; may be NULL */
	void (*release)(struct operation *op); /* may be NULL */
};

struct operation {
	const struct operation_type *type;
	struct vm *vm; /* a reference */
	struct job *job;
	struct journal *journal;
	vm_done_fn done;
	void *userdata;
	uint64_t started;     /* clock_now() */
	struct error failure; /* of a step behind the commit point that the caller must hear of */
	struct error outcome;
	sd_event_source *deferred;
	struct state_stream *stream; /* the one QEMU's migration is; borrowed (state-stream.h) */
	/* What a waiting step wants to hear; cleared before it is called. */
	void (*on_monitor)(struct operation *op);
	void (*on_migration)(
		struct operation *op, const char *status); /* stays until set anew: QEMU's MIGRATION event */
	/* stays until cleared: QEMU's JOB_STATUS_CHANGE event, of any job */
	void (*on_job)(struct operation *op, const char *id, const char *status);
	/* stays until cleared: QEMU's DEVICE_DELETED event. True: it was waited for */
	bool (*on_device_deleted)(struct operation *op, const char *alias);
	void (*on_gone)(struct operation *op); /* QEMU ended and its monitor said its last word */
};

void *operation_new(const struct operation_type *type, struct vm *vm);
/* For one that was never begun. */
void operation_free(struct operation *op);

/* Write the journal and begin from the loop. On failure the operation is freed, nothing has happened. */
int operation_begin(struct operation *op, vm_done_fn done, void *userdata, struct error *err);

/* Go on with what the journal of an earlier daemon says; takes the journal. */
void operation_recover(struct operation *op, struct journal *journal, const struct job_progress *progress);

/* The waiting step is over. */
void operation_step_done(struct operation *op, const struct error *err);

/* QMP reply for steps: ends the waiting step with QEMU's answer. userdata is the operation. */
void operation_qmp_reply(struct qmp *q, json *ret, const struct error *err, void *userdata);

/* The same for what ends with a vm_done_fn. */
void operation_vm_done(struct vm *vm, const struct error *err, void *userdata);

/* Undo or step result: send one command and wait for its answer. */
enum step_result operation_command(
	struct operation *op, const char *command, json *arguments, struct error *err);

/* Nothing runs any more: make the VM's state say what is true (off when QEMU is gone). */
void vm_settle(struct vm *vm);

/* Called by monitor.c. */
void operation_monitor_ready(struct operation *op);
void operation_qemu_gone(struct operation *op);
void operation_migration(struct operation *op, const char *status);
void operation_job_status(struct operation *op, const char *id, const char *status);
/* True: a step waited for it. */
bool operation_device_deleted(struct operation *op, const char *alias);

/* All kinds that can stand in a journal, by the job's name. */
extern const struct operation_type start_operation_type, start_managed_operation_type, restore_operation_type;
extern const struct operation_type clone_operation_type;
extern const struct operation_type save_operation_type, undefine_operation_type;
extern const struct operation_type revert_operation_type, revert_off_operation_type;
extern const struct operation_type revert_stored_off_operation_type;
extern const struct operation_type attach_operation_type, detach_operation_type;
extern const struct operation_type snapshot_operation_type;
extern const struct operation_type snapshot_delete_operation_type;
const struct operation_type *operation_find_type(const struct registry *r, const char *name);
