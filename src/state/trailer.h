/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trailer: what makes an image provable, and what is known about it. It stands behind QEMU's state, as a frame that zstd skips
 * and that readers of the other formats never reach. docs/formats/image.md has its bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"

/* The state is summed in pieces of this size, counted from the file's first byte. Version 1 has pieces of 4 MiB. */
#define TRAILER_PIECE	     (64u << 10)
#define TRAILER_PIECE_V1     (4u << 20)
#define TRAILER_VERSION	     2u
#define TRAILER_MAX	     (UINT64_C(1) << 30) /* bytes; some 8 TiB of state */
#define TRAILER_NOTE_LEN_MAX (UINT64_C(512) << 20)

/* Numbers of the format. Others may come: they are kept and not looked at. */
enum trailer_note {
	TRAILER_NOTE_PAGE_INDEX = 1, /* page-index.h */
	TRAILER_NOTE_FRAMES = 2,     /* zstd-frames.h */
	TRAILER_NOTE_DISKS = 3,	     /* a JSON text about the disks the VM had */
};

struct trailer {
	uint32_t version;
	uint32_t format;
	uint64_t stream_offset; /* QEMU's state, in the file; the header region ends here */
	uint64_t data_end;	/* behind QEMU's state: where the trailer begins */
	uint64_t header_sums
		[2]; /* either may be right: both differ only while the header is being rewritten */
	uint64_t piece_size;
	uint64_t *sums; /* owned; one for each piece from that of stream_offset to that of data_end - 1 */
	size_t n_sums;
	uint64_t zero_sum; /* of a whole piece of zeros */
	struct buf notes;  /* as they stand in the file */
};

/* A zeroed trailer stands for none. */
void trailer_fini(struct trailer *t);
/* How many sums the state has. */
size_t trailer_count(uint64_t stream_offset, uint64_t data_end, uint64_t piece_size);
/* Bytes of the trailer; sums need not be there yet, n_sums and the notes must. */
uint64_t trailer_size(const struct trailer *t);
/* trailer_size(t) bytes, owned by the caller; the size must not be more than TRAILER_MAX. */
uint8_t *trailer_encode(const struct trailer *t);
/* `size` 0: not known, as in a file without a mark; it is taken from the trailer. */
int trailer_read(
	int fd, const char *name, uint64_t offset, uint64_t size, struct trailer *ret, struct error *err);
/* The offset of a trailer that ends with the file, or 0. */
uint64_t trailer_find_at_end(int fd);

void trailer_add_note(struct trailer *t, enum trailer_note kind, const void *data, size_t len);
/* Borrowed from the trailer; NULL: none. */
const void *trailer_find_note(const struct trailer *t, enum trailer_note kind, size_t *ret_len);

/*
 * The bytes `data` of the file from `from` to `to`, within one piece, are what was saved? `data` NULL: all zero. ERROR_DAMAGED names
 * image and offset. Without sums everything is.
 */
int trailer_check(const struct trailer *t, const char *name, const void *data, uint64_t from, uint64_t to,
	struct error *err);
/* The part of the state in the piece that holds `offset`. */
void trailer_piece_bounds(const struct trailer *t, uint64_t offset, uint64_t *ret_from, uint64_t *ret_to);

uint64_t checksum(const void *data, size_t len); /* XXH3, 64 bits */
uint64_t sum_of_zeros(uint64_t len);		 /* at most TRAILER_PIECE_V1 of them */
