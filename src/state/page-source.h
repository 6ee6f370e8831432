/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state image as blocks of pages that can be read in any order, and what a post-copy migration sends beside them: how the stream
 * begins, and the devices. Raw, zstd (as godwit writes it) and sparse.
 */
#pragma once

#include "buf.h"
#include "checked-file.h"
#include "ram-stream.h"

struct page_source;

/*
 * ERROR_DAMAGED, or ERROR_UNSUPPORTED_CONFIG for what cannot be served page by page. Afterwards only pages can still turn out to
 * be damaged. `fd` stays the caller's, open as long as this.
 */
int page_source_open(int fd, const char *name, struct page_source **ret, struct error *err);
void page_source_free(struct page_source *s); /* accepts NULL */

const struct ram_block *page_source_blocks(const struct page_source *s, unsigned *ret_n);
uint64_t page_source_memory(const struct page_source *s);  /* bytes of all blocks */
uint32_t page_source_section(const struct page_source *s); /* the id of memory's sections */

/* Magic and configuration, without mention of a file's layout. */
const struct buf *page_source_head(const struct page_source *s);
/* RAM's START section: the list of blocks. */
const struct buf *page_source_start(const struct page_source *s);
/* The sections of all devices, without the end of the stream and its description. */
const struct buf *page_source_devices(const struct page_source *s);

struct page_reader;

/* One for each thread that reads. */
int page_reader_open(const struct page_source *s, struct page_reader **ret, struct error *err);
void page_reader_free(struct page_reader *r); /* accepts NULL */

/* A page the image says nothing of is zero. After an error the next call tries anew. */
int page_reader_read(struct page_reader *r, unsigned block, uint64_t page, uint8_t ret[RAM_PAGE],
	bool *ret_zero, struct error *err);
/* It will be read soon (checked-file.h). */
void page_reader_expect(struct page_reader *r, unsigned block, uint64_t page);
/* Nothing has to be read for it. */
bool page_reader_is_zero(const struct page_reader *r, unsigned block, uint64_t page);
