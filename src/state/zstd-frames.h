/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A compressed state as frames of zstd of a fixed amount of plain bytes each, so that a page in the middle costs one small frame.
 * One behind the other they are one zstd file. Their table is a note of the image's trailer (docs/formats/image.md).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"

#define ZSTD_FRAME_PLAIN (128u << 10)

struct zstd_frames {
	uint64_t plain_size; /* of all: each has frame_plain bytes, the last one what is left */
	uint32_t frame_plain;
	size_t n;
	uint64_t
		*offsets; /* owned; n + 1: where each begins, counted from the first, and the last one ends */
};

void zstd_frames_fini(struct zstd_frames *frames); /* accepts a zeroed one */
/* One more frame of `size` bytes with `plain` bytes in it. */
void zstd_frames_add(struct zstd_frames *frames, uint64_t size, uint64_t plain);

void zstd_frames_encode(const struct zstd_frames *frames, struct buf *ret);
/* `compressed_size`: bytes of all frames. ERROR_DAMAGED when the table does not fit; `name` is the image. */
int zstd_frames_decode(const void *data, size_t len, uint64_t compressed_size, const char *name,
	struct zstd_frames *ret, struct error *err);
