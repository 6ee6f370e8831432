/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compresses a stream into zstd frames by threads, and puts them one behind the other through a chunk writer. All functions are the
 * filling thread's.
 */
#pragma once

#include "chunk-writer.h"
#include "zstd-frames.h"

struct frame_writer;

/* The writer and `name` are borrowed; the first frame goes to `offset` of the file. */
int frame_writer_start(struct chunk_writer *writer, const char *name, unsigned threads, uint64_t offset,
	struct frame_writer **ret, struct error *err);
void frame_writer_free(struct frame_writer *w); /* accepts NULL */

/* Room for plain bytes, and that `len` of them were filled in; until the next call. */
int frame_writer_map(struct frame_writer *w, uint8_t **ret, size_t *ret_room, struct error *err);
void frame_writer_mark(struct frame_writer *w, size_t len);
/* All of it is in the chunk writer, up to *ret_end; the frames' table is the caller's. */
int frame_writer_finish(
	struct frame_writer *w, struct zstd_frames *ret_frames, uint64_t *ret_end, struct error *err);
