/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What start, managed start and restore have in common: one context, steps in launch.c and load.c. */
#pragma once

#include "clone.h"
#include "operation.h"
#include "transfer.h"

struct paging;

struct start_operation {
	struct operation op;
	/* asked for */
	bool paused, bypass_cache, reset_nvram, force_boot, force, eager;
	unsigned channels;
	char *image_path;	  /* NULL: a fresh boot */
	bool managed;		  /* the image is the VM's managed save */
	bool is_incoming;	  /* QEMU waits for its state, from the image or from another host */
	struct clone_plan *clone; /* owned; NULL: no clone, or one that an earlier daemon began */
	/* found on the way */
	struct domain *domain; /* to become vm->live */
	struct image_header header;
	int image_fd;
	const struct qemu_capabilities *caps;
	off_t log_start;	 /* where this run's part of the log begins */
	int monitor_fd;		 /* listening */
	bool probing;		 /* the emulator is being asked what it can do */
	struct error unprepared; /* why the step "prepare" fails once nothing is being asked any more */
	bool leasing;		 /* the child that becomes QEMU takes the leases */
	struct transfer *transfer;
	struct paging *paging;		 /* memory will come in later: until the VM has it */
	bool lazy_step, lazy_agreed;	 /* the step "load" is at work on it; QEMU takes it so */
	bool qemu_loaded, transfer_done; /* both ends of loading must agree */
	bool loading_failed;
	struct error qemu_failure; /* waits for what godwit-io finds */
	unsigned pending;	   /* replies the step "configure" waits for */
	char *disks;		   /* the image's note of its disks, or a newer one; NULL: none */
	struct process *looker;	   /* at the disks: for their chains, or to compare them with the note */
	const struct domain
		*noted; /* whose disks those are, all that are to be compared; NULL: the VM's; borrowed */
	bool from_snapshot,
		from_host; /* what is told of the guest's start: it came from a snapshot, from another host */
};

/* launch.c: from definition to a QEMU that answers */

/*
 * Before any step, where steps come before "prepare": the VM has its live definition, for whoever asks, and is starting. Ending the operation
 * makes it off again.
 */
void launch_announce(struct start_operation *start);
enum step_result launch_prepare(struct job *job, void *context, struct error *err);
enum step_result launch_unprepare(struct job *job, void *context, struct error *err);
enum step_result launch_spawn(struct job *job, void *context, struct error *err);
enum step_result launch_kill(struct job *job, void *context, struct error *err);
enum step_result launch_monitor(struct job *job, void *context, struct error *err);
enum step_result launch_configure(struct job *job, void *context, struct error *err);
/*
 * QEMU gives loaded disks their image files when the guest runs. Before: what is in the way is found out while there is a way back, and
 * a guest that stays paused has disks that can be worked with.
 */
enum step_result launch_take_disks(struct job *job, void *context, struct error *err);

/* For op->on_gone: QEMU ended, what it said in its log is why the step failed. */
void launch_gone(struct operation *op);

/* The last lines QEMU wrote in this run, " :"-joined, or "". Caller frees. */
char *launch_log_tail(const struct start_operation *start);

/* load-lazy.c: its devices alone, with a helper that serves memory from then on */
/* Begin what need not wait for QEMU, and choose the way. */
void lazy_load_prepare(struct start_operation *start);
enum step_result lazy_load(struct start_operation *start);

/* load.c: state from the image into the waiting QEMU */
/* The step's end follows; -1: it does not. */
int load_eagerly(struct start_operation *start, struct error *err);
void load_qemu_gone(struct operation *op);
/* Ends the step; a second failure is of no interest. */
void load_failed(struct start_operation *start, const struct error *err);
enum step_result load_image(struct job *job, void *context, struct error *err);
void load_cancel(struct start_operation *start);
void load_fill_info(const struct operation *op, struct vm_job_info *info);

/* start.c */
/* The step "run". */
enum step_result start_run_guest(struct job *job, void *context, struct error *err);
/* A step that may take long ends soon, as canceled; any other goes on to its end. */
void start_cancel_long(struct start_operation *start);
void start_operation_release(struct operation *op);
/* Open and check the image; fills header and image_fd. */
int start_open_image(struct start_operation *start, struct error *err);
/* A managed save is never thrown away by a failure: say so, and how to boot without it. */
void start_explain_managed(const struct start_operation *start, struct error *err);
/* The steps that prepare and start QEMU end soon, as canceled. */
void start_cancel(struct start_operation *start);
struct start_operation *start_operation_new(const struct operation_type *type, struct vm *vm);
/* restore.c */
/* The VM that `d` is about: the defined one of that name and UUID, or a new transient one. Must be off. */
int start_find_or_make(struct registry *r, struct domain *d, struct vm **ret, struct error *err);
/* operation_begin, and a VM that was made only for this is forgotten when it cannot even begin. */
int start_begin(struct start_operation *start, vm_done_fn done, void *userdata, struct error *err);
/* The image's domain, or `xml` where it is the same machine, becomes start->domain. */
int start_take_image_domain(struct start_operation *start, const char *xml, struct error *err);
