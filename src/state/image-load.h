/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A save image into QEMU's migration stream, checked on the way. Blocking: for godwit-io and tests. */
#pragma once

#include "image-save.h"

struct image_load_options {
	int file_fd;
	int stream_fd; /* blocking; -1: only check the image */
	const char *name;
	bool direct;
	bool without_main_memory; /* of a sparse image: QEMU maps that itself (mapped-clone.h) */
	unsigned threads;
};

/*
 * Success: every byte was checked and, with a stream, given to QEMU as a plain migration stream, whatever the image's
 * format. ERROR_DAMAGED: what went to QEMU before must not run.
 */
int image_load(const struct image_load_options *options, struct image_progress *progress, struct error *err);
