/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving guest state between QEMU and an image file, in a process of its own (godwit-io): all blocking
 * I/O, compression and checksumming happens there, and its crash is an ordinary error here.
 *
 * Save:  QEMU --migrate fd:--> stream_fd -> godwit-io -> file_fd  (raw, zstd, or mapped-ram layout, direct I/O where possible)
 * Load:  file_fd -> godwit-io -> stream_fd --migrate-incoming fd:--> QEMU  (checked on the way)
 * Verify: file_fd -> godwit-io, nothing else; used beside a QEMU that reads a sparse image itself
 */
#pragma once

#include <systemd/sd-event.h>

#include "image.h"

struct transfer;

/* What godwit-io is started for. SERVE is a pager's (pager.h). */
enum transfer_kind { TRANSFER_SAVE, TRANSFER_LOAD, TRANSFER_VERIFY, TRANSFER_SERVE, TRANSFER_CLONE };

struct transfer_options {
	enum transfer_kind kind;
	const char *program; /* path of godwit-io */
	const char *name;    /* of the image, for messages */
	int file_fd;	     /* save: read-write, empty or a block device; stays the caller's */
	int stream_fd; /* one end of a socketpair; stays the caller's, who closes it once started; -1 for verify */
	bool direct;	   /* O_DIRECT when the file system takes it; silently buffered otherwise */
	unsigned channels; /* threads that compress, write or check; 0: as many as processors, at most 4 */
	/* save only */
	enum image_format format;
	const char *xml, *cookie;
	bool was_running;
};

struct transfer_ops {
	/*
	 * Save only, before `streamed`: QEMU has begun to send pages, so that what comes before them is behind it. Of a stream that is not understood: all
	 * of it is there. NULL: not wanted.
	 */
	void (*memory_begun)(struct transfer *t, void *userdata);
	/*
	 * Save only: QEMU closed its end and everything is written, nothing synced; now transfer_commit or cancel. Whether that was
	 * all of its state QEMU knows: commit only when it says that its migration completed.
	 */
	void (*streamed)(struct transfer *t, void *userdata);
	/*
	 * Exactly once, when the helper's process is gone; `err` is NULL on success. Success: a save is synced, complete and has its trailer; a load has been read, checked and given to QEMU to
	 * its last byte; a verification found nothing. After cancel: ERROR_OPERATION_ABORTED. ERROR_DAMAGED: the image is altered or truncated.
	 */
	void (*done)(struct transfer *t, const struct error *err, void *userdata);
};

/* Bytes; total is 0 as long as it is not known. For a save: of the stream, zero pages included. */
struct transfer_progress {
	uint64_t processed;
	uint64_t total;
	uint64_t written; /* to the file */
};

/* A stream socket pair with buffers of the right size for migration: one end for QEMU (`getfd`), the other for stream_fd. */
int transfer_stream_pair(int ret[2], struct error *err);

int transfer_start(sd_event *loop, const struct transfer_options *options, const struct transfer_ops *ops,
	void *userdata, struct transfer **ret, struct error *err);
/* `disks`: the text for the image's note about its disks (image_read_disks); NULL: none. */
void transfer_commit(struct transfer *t, const char *disks);
void transfer_cancel(struct transfer *t);
void transfer_get_progress(const struct transfer *t, struct transfer_progress *ret);
/* Kills the helper when it still runs; done is not called any more. Accepts NULL. */
void transfer_free(struct transfer *t);
