/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest's state on its way out of QEMU into an image: for the jobs that save and that take snapshots.
 *
 *	target, start: from QEMU through godwit-io into `partial` beside its place; sync: whole and durable; publish: in its place, durably
 *
 * Until published nothing stands under `path`. A block device cannot be renamed onto: there the image is complete when its magic says so.
 */
#pragma once

#include "operation.h"
#include "transfer.h"

struct state_stream;

struct state_stream_ops {
	/* QEMU's MIGRATION events but those that end it; NULL: not wanted. */
	void (*migrating)(struct operation *op, const char *status);
	/* As transfer_ops.memory_begun; NULL: not wanted. */
	void (*memory_begun)(struct operation *op);
	/* From the loop, once for each start and each sync: all is written, or synced; or it failed. */
	void (*done)(struct operation *op, const struct error *err);
};

struct state_stream {
	struct operation *op; /* borrowed: embeds this */
	const struct state_stream_ops *ops;
	char *path;	    /* where the image will be; absolute, no symlink */
	char *partial;	    /* where it is written: hidden, in the same directory */
	bool in_place;	    /* path is a block device and is written directly */
	bool exclusive;	    /* publishing fails when another file stands there by then */
	bool image_running; /* what the image is to say of the guest */
	char *xml;
	enum image_format format;
	unsigned channels; /* 0: default */
	bool background;   /* QEMU's background-snapshot: the guest runs on (snapshot-capture.h) */
	/* From here on its own. */
	int file_fd;
	int stream_fd; /* our end for QEMU, until it has it */
	struct transfer *transfer;
	struct process *looker; /* takes the note of the disks (disk-check.h) */
	const struct domain *noted;
	char *disks; /* it */
	bool qemu_done, transfer_streamed;
	struct error broken_off; /* godwit-io lost QEMU; QEMU is being asked why */
	uint64_t ask_until;	 /* us, monotonic */
	sd_event_source *timer;
	void (*dropped)(struct operation *op, const struct error *err);
};

void state_stream_init(struct state_stream *s, struct operation *op, const struct state_stream_ops *ops);
void state_stream_fini(struct state_stream *s);

/*
 * The real place of the image: symlinks are followed once, here, so that they stay what they are. A dangling one is
 * refused rather than filled.
 */
int state_stream_set_target(struct state_stream *s, const char *path, struct error *err);
/* What saves without a wish get: the configuration's, else the best this VM's QEMU can load. */
enum image_format state_stream_default_format(struct vm *vm);
/* "image format 'gzip' is not supported ..." */
int state_stream_check_format(enum image_format format, struct error *err);

/* ---- for steps ---- */
/* Create the file, start godwit-io, let QEMU migrate. Takes op->on_migration until its end. */
int state_stream_start(struct state_stream *s, struct error *err);
/* The end of it, with this error: for a QEMU that is gone. */
void state_stream_fail(struct state_stream *s, const struct error *err);
/* ops->done follows, from in here, with ERROR_OPERATION_ABORTED. False: nothing is on its way. */
bool state_stream_cancel(struct state_stream *s);
/*
 * Undoing start: waits until QEMU has let go of its state (STEP_WAIT: `done` follows); the file goes, first when QEMU is gone. Idempotent, and
 * it can be started again.
 */
enum step_result state_stream_drop(struct state_stream *s,
	void (*done)(struct operation *op, const struct error *err), struct error *err);
/* Trailer, syncing: ops->done says. */
void state_stream_sync(struct state_stream *s);
/* Idempotent. */
enum step_result state_stream_publish(struct state_stream *s, struct error *err);
/* Only the publishing takes the partial file away before the undoing does. */
bool state_stream_is_published(const struct state_stream *s);

/* ---- for operations ---- */
void state_stream_encode(const struct state_stream *s, json *params);
int state_stream_decode(struct state_stream *s, json *params, struct error *err);
void state_stream_fill_info(const struct state_stream *s, struct vm_job_info *info);
