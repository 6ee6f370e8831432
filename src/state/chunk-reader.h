/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads an image in chunks, ahead of its user, by threads that compare each chunk with its checksum; what is handed out has been
 * checked. Holes cost nothing.
 */
#pragma once

#include "image-layout.h"

struct chunk_reader;

struct chunk_reader_options {
	int fd;		  /* stays the caller's */
	const char *name; /* for messages */
	bool direct;
	unsigned threads;	       /* 0: nothing is read ahead, and only `fetch` may be called */
	uint64_t from, to;	       /* the bytes of the file that are QEMU's state */
	const struct trailer *trailer; /* borrowed; without sums nothing is compared */
};

struct chunk_view {
	uint64_t offset;     /* in the file */
	const uint8_t *data; /* NULL: all zero */
	size_t len;
};

int chunk_reader_start(
	const struct chunk_reader_options *options, struct chunk_reader **ret, struct error *err);
void chunk_reader_free(struct chunk_reader *r);

/* The chunks of [from, to) in order, each valid until the next call. 1: there is one, 0: no more, -1: error. */
int chunk_reader_next(struct chunk_reader *r, struct chunk_view *ret, struct error *err);

/* Bytes from anywhere in [from, to), checked too; does not disturb the order of `next`. Past `to`: ERROR_DAMAGED. */
int chunk_reader_fetch(struct chunk_reader *r, uint64_t offset, void *data, size_t len, struct error *err);
