/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where everything is in a mapped-ram file (mapped-ram.h), for who loads it and who serves single pages of it. */
#pragma once

#include "ram-stream.h"

struct mapped_block {
	char name[256];
	uint64_t length, pages_offset; /* bytes; in the file */
	uint8_t *bitmap;	       /* owned */
};

struct mapped_layout {
	struct stream_prefix prefix;
	struct buf head;     /* what a plain stream of it begins with, to the end of its START section */
	struct buf commands; /* between memory's sections */
	struct mapped_block *blocks; /* owned */
	unsigned n_blocks;
	uint64_t tail_offset; /* behind RAM's END section, in the file */
};

struct mapped_file {
	const char *name;		  /* for messages */
	uint64_t stream_offset, data_end; /* QEMU's state, in the file */
	/* Checked bytes of the file; past data_end: ERROR_DAMAGED. */
	int (*fetch)(void *userdata, uint64_t at, void *data, size_t len, struct error *err);
	void *userdata;
};

/* ERROR_DAMAGED, or ERROR_UNSUPPORTED_CONFIG for sections that are not known. */
int mapped_layout_read(const struct mapped_file *file, struct mapped_layout *ret, struct error *err);
void mapped_layout_fini(struct mapped_layout *layout); /* accepts a zeroed one */

/* false: it is zero, and nowhere in the file. */
static inline bool mapped_block_has(const struct mapped_block *b, uint64_t page)
{
	return b->bitmap[page / 8] >> page % 8 & 1;
}
