/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's migration stream into a save image. Blocking: for godwit-io and tests, never for the daemon. */
#pragma once

#include <stdatomic.h>

#include "image-layout.h"

/* Read by another thread while the work goes on (transfer.h says what they count). */
struct image_progress {
	_Atomic uint64_t processed, total, written;
	/* Saving: QEMU sends pages; of a stream that is not understood: all of it is there. Called once, by who saves; may be NULL */
	void (*memory_begun)(void *userdata);
	void *userdata;
	bool has_begun;
};

void image_progress_begin(struct image_progress *p);

struct image_save_options {
	int file_fd, stream_fd; /* stay the caller's; stream_fd blocking */
	const char *name;
	bool direct;
	unsigned threads;
	enum image_format format; /* raw, zstd or sparse */
	const char *xml, *cookie; /* cookie NULL: none */
	bool was_running;
};

struct image_save;

/* Options are copied, the strings and descriptors in them are borrowed until free. */
int image_save_start(const struct image_save_options *options, struct image_progress *progress,
	struct image_save **ret, struct error *err);
/* Until the stream ends; then all of the state is written, marked incomplete, not synced. */
int image_save_stream(struct image_save *s, struct error *err);
/* With the trailer, durable and complete on return. `disks` goes into it as a note (trailer.h); NULL: none. */
int image_save_commit(struct image_save *s, const char *disks, struct error *err);
void image_save_free(struct image_save *s);
