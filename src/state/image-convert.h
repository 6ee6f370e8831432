/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image into another format. Blocking: for programs of their own, never for the daemon. SIGPIPE must be ignored. */
#pragma once

#include "image-save.h"

struct image_convert_options {
	int source_fd, target_fd;    /* stay the caller's; the target is an empty file */
	const char *source, *target; /* for messages */
	enum image_format format;    /* raw, zstd or sparse */
	bool direct;
	unsigned threads;
};

/*
 * Checks the source as a restore does. On success the target is durable and complete, and has checksums; header, XML, cookie and the
 * note about disks are the source's. On failure the target is not complete. `progress` is of reading.
 */
int image_convert(
	const struct image_convert_options *options, struct image_progress *progress, struct error *err);
