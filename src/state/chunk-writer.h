/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes an image in chunks: aligned buffers filled at file offsets, checksummed and written by threads.
 *
 * One thread fills (all functions here are its), others checksum and write with direct I/O where the file takes it. Pages of a
 * chunk that nobody filled are holes of a regular file; they count as zeros in the checksum and are written as zeros to a device.
 * Offsets may come in any order; ascending is fast, a chunk that was written already is read back.
 */
#pragma once

#include <stdatomic.h>

#include "image-layout.h"

struct chunk_writer;

struct chunk_writer_options {
	int fd;		  /* regular file (emptied) or block device; stays the caller's */
	const char *name; /* for messages */
	bool direct;
	unsigned threads;
	uint64_t sum_from; /* bytes before this one are not part of the checksums: the header region */
	_Atomic uint64_t *written; /* counts bytes handed to the kernel */
};

int chunk_writer_start(
	const struct chunk_writer_options *options, struct chunk_writer **ret, struct error *err);
void chunk_writer_free(struct chunk_writer *w); /* waits for writes in flight */

/* Where file offset `offset` is in memory, and how many bytes from there; until the next call on the writer. */
int chunk_writer_map(
	struct chunk_writer *w, uint64_t offset, uint8_t **ret, size_t *ret_room, struct error *err);
/* These bytes were filled; they lie within what map returned last. */
void chunk_writer_mark(struct chunk_writer *w, uint64_t offset, size_t len);
/* map, copy, mark; any length. */
int chunk_writer_put(
	struct chunk_writer *w, uint64_t offset, const void *data, size_t len, struct error *err);
/* The chunk of this offset will be needed again at the end: keep it in memory, as long as there are not too many. */
int chunk_writer_pin(struct chunk_writer *w, uint64_t offset, struct error *err);
/* Will the target take bytes up to `end`? As far as that can be known. */
int chunk_writer_check_room(struct chunk_writer *w, uint64_t end, struct error *err);

/* The state is all there, up to `data_end`: wait until it is written. Errors of writing show here. */
int chunk_writer_settle(struct chunk_writer *w, uint64_t data_end, struct error *err);
/*
 * Once settled: the trailer behind the state. The caller has set all of `t` but the sums, and their number. Nothing is
 * synced.
 */
int chunk_writer_finish(struct chunk_writer *w, struct trailer *t, struct error *err);
/* Sync; write the first CHUNK_PAGE bytes, which must lie in the header region, anew; sync. */
int chunk_writer_publish(struct chunk_writer *w, const uint8_t *first_page, struct error *err);
