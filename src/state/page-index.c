/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page index (page-index.h), and its bytes, little-endian:
 *
 *	 0  u32  version, 1
 *	 4  u32  id of RAM's section
 *	 8  u64  length of the prefix
 *	16  u64  where the tail begins
 *	24  u32  number of blocks
 *	28  u32  0
 *	32  per block: u64 length, u8 length of its name, name; runs of pages until all of it is covered:
 *		varint  count * 4 + kind
 *		varint  for data: where the first page is, as the difference (zigzag) from where it is expected
 *
 * The pages of a run are one record apart. A run is expected where the one before it ends, which is where it is unless QEMU
 * ended a section in between; so a run costs two or three bytes.
 */
#include "page-index.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc.h"
#include "buf.h"

#define VERSION	    1u
#define FIXED	    32u
#define DATA_PREFIX 8u		    /* the word before a page */
#define ZERO_RECORD 9u		    /* the word, and a zero */
#define DATA_RECORD (8u + RAM_PAGE) /* from one page to the next */
#define WALK_STEP   (1u << 20)

enum run_kind { RUN_ZERO = 0, RUN_DATA = 1, RUN_ABSENT = 2 };

void page_index_fini(struct page_index *index)
{
	for (unsigned i = 0; index->offsets && i < index->n_blocks; i++)
		free(index->offsets[i]);
	free(index->offsets);
	free(index->blocks);
	*index = (struct page_index){0};
}

/* One more block, all of its pages absent. */
static int add_block(struct page_index *index, const struct ram_block *block, struct error *err)
{
	size_t size = (size_t)(block->length / RAM_PAGE * sizeof(uint64_t));
	uint64_t total = block->length, *offsets;

	for (unsigned i = 0; i < index->n_blocks; i++)
		total += index->blocks[i].length;
	if (block->length > PAGE_INDEX_MEMORY_MAX || total > PAGE_INDEX_MEMORY_MAX)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"%" PRIu64 " bytes of memory are too many for an index", total);
	offsets = malloc(size ? size : 1);
	if (!offsets)
		return error_errno(err, ENOMEM, "index %" PRIu64 " bytes of memory", total);
	memset(offsets, 0xff, size);
	index->blocks = xrealloc(index->blocks, index->n_blocks + 1, sizeof(*index->blocks));
	index->offsets = xrealloc(index->offsets, index->n_blocks + 1, sizeof(*index->offsets));
	index->blocks[index->n_blocks] = *block;
	index->offsets[index->n_blocks++] = offsets;
	return 0;
}

/* ---- building ---- */

struct page_index_builder {
	struct ram_stream ram;
	struct page_index index;
	struct error error; /* why there will be no index */
};

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n_blocks, struct error *err)
{
	struct page_index_builder *b = userdata;

	b->index.head_len = prefix->len;
	b->index.section_id = prefix->section_id;
	for (unsigned i = 0; i < n_blocks; i++)
		if (add_block(&b->index, &blocks[i], err) < 0)
			return -1;
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct page_index_builder *b = userdata;

	b->index.offsets[block][offset / RAM_PAGE] = data ? b->ram.page_at : PAGE_ZERO;
	return 0;
}

static const struct ram_stream_ops builder_ops = {.head = on_head, .page = on_page};

struct page_index_builder *page_index_builder_new(void)
{
	struct page_index_builder *b = NEW(struct page_index_builder);

	ram_stream_init(&b->ram, &builder_ops, b);
	return b;
}

void page_index_builder_free(struct page_index_builder *b)
{
	if (!b)
		return;
	ram_stream_fini(&b->ram);
	page_index_fini(&b->index);
	free(b);
}

void page_index_builder_feed(struct page_index_builder *b, const void *data, size_t len)
{
	if (b->error.code == ERROR_NONE && !page_index_builder_is_done(b))
		ram_stream_push(&b->ram, data, len, &b->error);
}

bool page_index_builder_has_pages(const struct page_index_builder *b)
{
	return b->ram.block >= 0;
}

bool page_index_builder_is_done(const struct page_index_builder *b)
{
	return b->ram.state == RAM_STREAM_TAIL;
}

int page_index_builder_finish(struct page_index_builder *b, struct page_index *ret, struct error *err)
{
	if (b->error.code != ERROR_NONE)
		return error_copy(err, &b->error);
	if (!page_index_builder_is_done(b))
		return error_set(err, ERROR_DAMAGED, "QEMU's state ends in the middle of its memory");
	b->index.tail_offset = b->ram.tail_at;
	*ret = b->index;
	b->index = (struct page_index){0};
	return 0;
}

int page_index_walk(struct checked_file *f, struct page_index *ret, struct error *err)
{
	_cleanup_free_ uint8_t *data = xcalloc(1, WALK_STEP);
	struct page_index_builder *b = page_index_builder_new();
	uint64_t size = checked_file_size(f);
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size && !page_index_builder_is_done(b);) {
		size_t n = size - at < WALK_STEP ? (size_t)(size - at) : WALK_STEP;

		r = checked_file_read(f, at, data, n, err);
		if (r == 0)
			page_index_builder_feed(b, data, n);
		if (b->error.code != ERROR_NONE)
			break;
		at += n;
	}
	if (r == 0 && page_index_builder_finish(b, ret, err) < 0)
		r = error_prefix(err, "image %s", checked_file_name(f));
	page_index_builder_free(b);
	return r;
}

int page_index_read(struct checked_file *f, struct page_index *ret, struct error *err)
{
	size_t len;
	const void *note = checked_file_note(f, TRAILER_NOTE_PAGE_INDEX, &len);

	if (!note)
		return page_index_walk(f, ret, err);
	return page_index_decode(note, len, checked_file_size(f), checked_file_name(f), ret, err);
}

/* ---- bytes ---- */

static void add_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	buf_add(b, bytes, n);
}

static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
}

static enum run_kind kind_of(uint64_t offset)
{
	return offset == PAGE_ZERO ? RUN_ZERO : offset == PAGE_ABSENT ? RUN_ABSENT : RUN_DATA;
}

/* How many of the `left` pages go on as the first one begins. */
static uint64_t run_length(const uint64_t *offsets, uint64_t left)
{
	uint64_t step = kind_of(offsets[0]) == RUN_DATA ? DATA_RECORD : 0, n = 1;

	while (n < left && offsets[n] == offsets[n - 1] + step)
		n++;
	return n;
}

/* Where a run's records end when the next ones begin at *cursor. */
static void advance(uint64_t *cursor, enum run_kind kind, uint64_t first, uint64_t count)
{
	if (kind == RUN_DATA)
		*cursor = first + (count - 1) * DATA_RECORD + RAM_PAGE;
	else if (kind == RUN_ZERO)
		*cursor += count * ZERO_RECORD;
}

static void encode_block(
	struct buf *out, const struct ram_block *block, const uint64_t *offsets, uint64_t *cursor)
{
	uint64_t pages = block->length / RAM_PAGE, n;
	uint8_t b[9];

	put_le64(b, block->length);
	b[8] = (uint8_t)strlen(block->name);
	buf_add(out, b, sizeof(b));
	buf_adds(out, block->name);
	for (uint64_t page = 0; page < pages; page += n) {
		uint64_t first = offsets[page];
		enum run_kind kind = kind_of(first);

		n = run_length(offsets + page, pages - page);
		add_varint(out, n << 2 | kind);
		if (kind == RUN_DATA)
			add_varint(out, zigzag(first - (*cursor + DATA_PREFIX)));
		advance(cursor, kind, first, n);
	}
}

void page_index_encode(const struct page_index *index, struct buf *ret)
{
	uint64_t cursor = index->head_len;
	uint8_t b[FIXED] = {0};

	put_le32(b, VERSION);
	put_le32(b + 4, index->section_id);
	put_le64(b + 8, index->head_len);
	put_le64(b + 16, index->tail_offset);
	put_le32(b + 24, index->n_blocks);
	buf_add(ret, b, sizeof(b));
	for (unsigned i = 0; i < index->n_blocks; i++)
		encode_block(ret, &index->blocks[i], index->offsets[i], &cursor);
}

/* A cursor over the bytes; `bad` once something was asked for that is not there. */
struct decoder {
	const uint8_t *data;
	size_t len, at;
	bool bad;
};

static const uint8_t *take(struct decoder *d, size_t n)
{
	const uint8_t *p = d->data + d->at;

	if (d->bad || n > d->len - d->at) {
		d->bad = true;
		return NULL;
	}
	d->at += n;
	return p;
}

static uint64_t take_varint(struct decoder *d)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		const uint8_t *p = take(d, 1);

		if (!p)
			return 0;
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p & 0x80))
			return v;
	}
	d->bad = true;
	return 0;
}

/* ERROR_NONE stays in err where the bytes are to blame. *pages_left bounds what is allocated. */
static int decode_block_head(
	struct decoder *d, struct page_index *index, uint64_t *pages_left, struct error *err)
{
	const uint8_t *p = take(d, 9), *name = p ? take(d, p[8]) : NULL;
	struct ram_block block = {0};

	if (!name || p[8] == 0 || memchr(name, 0, p[8]) || get_le64(p) % RAM_PAGE != 0)
		return -1;
	block.length = get_le64(p);
	if (block.length / RAM_PAGE > *pages_left)
		return -1;
	*pages_left -= block.length / RAM_PAGE;
	memcpy(block.name, name, p[8]);
	return add_block(index, &block, err);
}

/* The runs of the last block. */
static int decode_runs(struct decoder *d, struct page_index *index, uint64_t *cursor)
{
	uint64_t *offsets = index->offsets[index->n_blocks - 1];
	uint64_t pages = index->blocks[index->n_blocks - 1].length / RAM_PAGE;

	for (uint64_t page = 0, n; page < pages; page += n) {
		uint64_t word = take_varint(d), first = 0;
		enum run_kind kind = (enum run_kind)(word & 3);

		n = word >> 2;
		if (n == 0 || n > pages - page || (word & 3) > RUN_ABSENT)
			return -1;
		if (kind == RUN_DATA) {
			first = *cursor + DATA_PREFIX + unzigzag(take_varint(d));
			if (d->bad || first < index->head_len || first > index->tail_offset ||
				n > (index->tail_offset - first + DATA_PREFIX) / DATA_RECORD)
				return -1;
		}
		for (uint64_t i = 0; kind != RUN_ABSENT && i < n; i++)
			offsets[page + i] = kind == RUN_DATA ? first + i * DATA_RECORD : PAGE_ZERO;
		advance(cursor, kind, first, n);
	}
	return 0;
}

static int decode(struct decoder *d, uint64_t state_size, struct page_index *index, struct error *err)
{
	const uint8_t *fixed = take(d, FIXED);
	uint32_t n_blocks = fixed ? get_le32(fixed + 24) : 0;
	/* Even a zero page costs some bytes of the stream, and few are never sent. */
	uint64_t pages_left = state_size, cursor;

	if (!fixed || n_blocks == 0 || n_blocks > RAM_BLOCKS_MAX)
		return -1;
	if (get_le32(fixed) != VERSION)
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "it is of a version not known (%u)", get_le32(fixed));
	index->section_id = get_le32(fixed + 4);
	index->head_len = cursor = get_le64(fixed + 8);
	index->tail_offset = get_le64(fixed + 16);
	if (index->head_len == 0 || index->head_len > STREAM_WINDOW_MIN ||
		index->tail_offset <= index->head_len || index->tail_offset > state_size)
		return -1;
	for (uint32_t i = 0; i < n_blocks; i++)
		if (decode_block_head(d, index, &pages_left, err) < 0 || decode_runs(d, index, &cursor) < 0)
			return -1;
	return d->at == d->len ? 0 : -1;
}

int page_index_decode(const void *data, size_t len, uint64_t state_size, const char *name,
	struct page_index *ret, struct error *err)
{
	struct decoder d = {.data = data, .len = len};
	struct page_index index = {0};
	struct error why = ERROR_INIT;

	if (decode(&d, state_size, &index, &why) < 0) {
		page_index_fini(&index);
		if (why.code == ERROR_NONE)
			error_set(&why, ERROR_DAMAGED, "it was altered");
		error_copy(err, &why);
		return error_prefix(err, "image %s: the index of its pages", name);
	}
	*ret = index;
	return 0;
}
