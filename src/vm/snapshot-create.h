/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot being taken: what is asked (snapshot-verb.c), the job (snapshot-create.c), the disks (snapshot-overlay.c) and
 * their leases (snapshot-lease.c), the one instant (snapshot-capture.c), and the way back (snapshot-undo.c).
 */
#pragma once

#include "snapshot-gate.h"
#include "snapshot.h"
#include "state-stream.h"
#include "vm-snapshot.h"

struct image_lease;
struct internal_work;
struct qemu_img;
struct snapshot_hook;

/* A disk's new top image. The file below is the snapshot's from then on. */
struct snapshot_overlay {
	char *target, *path;
	enum disk_source type;
	enum disk_format format;
	char *base;
	enum disk_source base_type;
	enum disk_format base_format;
	bool reuse;		  /* it is there, and stays whatever happens */
	bool merged;		  /* in undoing: QEMU does not write to it any more, or never did */
	uint32_t node, base_node; /* numbers of their block nodes; 0: the VM is off */
};

/* How memory and disks come to be of one instant, the best first. */
enum capture_method {
	CAPTURE_GATE, /* QEMU's background snapshot, stopped at its gate: the guest stands still for milliseconds */
	CAPTURE_BACKGROUND, /* the same, the guest stopped from its beginning: longer, the more memory there is */
	CAPTURE_STOPPED, /* QEMU cannot: the guest stands still until all is streamed */
	CAPTURE_LIVE, /* QEMU cannot, --live: it runs until all but a rest is streamed, and that is the instant */
};

struct snapshot_capture {
	enum capture_method method;
	struct snapshot_gate gate;
	bool switched;	   /* the disks have their overlays */
	bool memory_begun; /* QEMU has the devices, and memory is protected */
	bool active;	   /* its step is at work */
	bool falling_back; /* what was tried is being undone, and `method` comes next */
	bool streamed, awaits_stream,
		syncing; /* the stream is all written; its end, or its syncing, is what the step waits for */
	struct error failure; /* of a stream that broke while another step was at work */
	uint64_t stopped, stood, overlaid,
		armed; /* clock_now() of `stop`, its answer, the transaction's, the first page */
};

struct snapshot_operation {
	struct operation op;
	struct snapshot *snapshot; /* as it will be recorded */
	VEC(struct snapshot_overlay) overlays;
	bool has_memory; /* `stream` is in use */
	bool was_off, was_running;
	bool quiesce, halt, pause, no_metadata; /* pause: the guest stays paused (manual disks) */
	bool live;
	struct state_stream stream;
	struct snapshot_capture capture;

	bool awaits_memory;	   /* of a lazy restore */
	bool made;		   /* the overlays' files are there, or may be */
	struct process *maker;	   /* makes them */
	struct image_lease *lease; /* being taken or given back */
	struct internal_work *inside;
	char *hook;	  /* the program that takes manual disks; NULL: their user does */
	char *given_hook; /* as its name was given for this snapshot; NULL: it was not */
	struct snapshot_hook *storage;
	struct domain *frozen; /* the machine with the disks whose images are the snapshot's */
	struct qemu_img *img;
	size_t at;  /* the overlay at hand, in undoing and of the leases */
	bool begun; /* its merging */
	sd_event_source *timer;
	unsigned pending; /* replies to come */
	struct error failed;
	vm_snapshot_done_fn done;
	void *userdata;
};

extern const struct state_stream_ops snapshot_stream_ops;

/* ---- snapshot-verb.c ---- */
/* What libvirt's virDomainSnapshotAlignDisks does, and all that can be refused before anything changes. `options` as vm_snapshot_create's. */
int snapshot_plan(struct snapshot_operation *o, const struct vm_snapshot_create_options *options,
	struct snapshot *given, struct error *err);

/* ---- snapshot-overlay.c: steps; context is a snapshot_operation ---- */
enum step_result snapshot_make_overlays(struct job *job, void *context, struct error *err);
enum step_result snapshot_remove_overlays(struct job *job, void *context, struct error *err);
enum step_result snapshot_add_nodes(struct job *job, void *context, struct error *err);
enum step_result snapshot_delete_nodes(struct job *job, void *context, struct error *err);
/* Arguments of QMP "transaction": all disks at once. */
json *snapshot_switch_arguments(const struct snapshot_operation *o);
/* The overlays, but for merged ones, are what the definition's disks are, or none is; `d` may be NULL. Has it changed? */
bool snapshot_push_overlays(const struct snapshot_operation *o, struct domain *d);
bool snapshot_drop_overlays(const struct snapshot_operation *o, struct domain *d);
/* The same in the persistent definition, if there is one, on disk too. */
int snapshot_define_persistent(const struct snapshot_operation *o, struct error *err);
int snapshot_undefine_persistent(const struct snapshot_operation *o, struct error *err);
/* Both definitions name them from now on, on disk too. */
int snapshot_define_overlays(const struct snapshot_operation *o, struct error *err);
char *snapshot_node_name(uint32_t number); /* of the format node */
/* One of several replies: when all are in, the step is over, with the first failure. */
void snapshot_replied(struct snapshot_operation *o, const struct error *err);

/* ---- snapshot-lease.c: steps ---- */
/* Can QEMU get the overlays' leases, as far as can be said at once? */
int snapshot_check_leases(const struct snapshot_operation *o, struct error *err);
/* QEMU has the leases of all overlays, besides what it has; without a lock manager, nothing is done. */
enum step_result snapshot_take_leases(struct job *job, void *context, struct error *err);
/* It has no lease any more of the overlays, or, where the live definition names the overlay, of what that stands on. */
enum step_result snapshot_give_leases(struct job *job, void *context, struct error *err);
/* Of the step that takes them: it fails. */
void snapshot_cancel_lease(struct snapshot_operation *o);

/* ---- snapshot-capture.c: steps ---- */
enum step_result snapshot_capture(struct job *job, void *context, struct error *err);
enum step_result snapshot_stream(struct job *job, void *context, struct error *err);
void snapshot_stream_broke(struct snapshot_operation *o, const struct error *err);

/* ---- snapshot-undo.c: a step's undo ---- */
/* Nothing streams, the overlays are merged into what they stand on, the guest runs if it did. */
enum step_result snapshot_release(struct job *job, void *context, struct error *err);
