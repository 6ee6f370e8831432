/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where each page of guest memory lies in a plain stream, so that it can be read alone. Built while the stream is saved, kept as a note of
 * the image's trailer (docs/formats/image.md); or built by reading an image through that has none.
 */
#pragma once

#include "checked-file.h"
#include "ram-stream.h"

/* Instead of an offset. No page lies at 0. */
#define PAGE_ZERO   UINT64_C(0)
#define PAGE_ABSENT UINT64_MAX /* the stream never says what the page holds */

#define PAGE_INDEX_MEMORY_MAX (UINT64_C(1) << 41) /* bytes of guest memory; more is not indexed */

struct page_index {
	struct ram_block *blocks; /* owned, as the next */
	unsigned n_blocks;
	uint64_t **offsets;   /* per block, per page: of its RAM_PAGE bytes in the plain state */
	uint64_t head_len;    /* bytes of the stream's prefix (struct stream_prefix.len) */
	uint64_t tail_offset; /* behind the footer of RAM's END section: devices, EOF, description */
	uint32_t section_id;
};

void page_index_fini(struct page_index *index); /* accepts a zeroed one */

/* Of what the trailer holds; `name` is the image, `state_size` the plain state's. ERROR_DAMAGED when it cannot be. */
int page_index_decode(const void *data, size_t len, uint64_t state_size, const char *name,
	struct page_index *ret, struct error *err);
void page_index_encode(const struct page_index *index, struct buf *ret);

/*
 * Read an image's memory through. ERROR_UNSUPPORTED_CONFIG: a stream with other sections amid memory, or of a structure that is not
 * known (mapped-ram too).
 */
int page_index_walk(struct checked_file *f, struct page_index *ret, struct error *err);
/* The note, or where there is none, the walk. */
int page_index_read(struct checked_file *f, struct page_index *ret, struct error *err);

struct page_index_builder;

struct page_index_builder *page_index_builder_new(void);
void page_index_builder_free(struct page_index_builder *b); /* accepts NULL */
/* The next bytes of the stream. What is not understood is no error before the end. */
void page_index_builder_feed(struct page_index_builder *b, const void *data, size_t len);
/* The first page has come. */
bool page_index_builder_has_pages(const struct page_index_builder *b);
/* Memory is over: nothing more need be fed. */
bool page_index_builder_is_done(const struct page_index_builder *b);
/* A page that came more than once is where it came last. Errors as page_index_walk's. */
int page_index_builder_finish(struct page_index_builder *b, struct page_index *ret, struct error *err);
