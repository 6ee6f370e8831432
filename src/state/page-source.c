/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image as pages (page-source.h): a plain stream through its page index, mapped-ram through its bitmaps. */
#include "page-source.h"

#include <inttypes.h>

#include "alloc.h"
#include "mapped-layout.h"
#include "page-index.h"
#include "postcopy.h"

#define TAIL_MAX (64u << 20) /* devices and description are some hundred KiB */

struct page_source {
	int fd;
	char *name;
	struct page_index index;     /* of a plain stream */
	struct mapped_layout layout; /* of a sparse image */
	uint64_t stream_offset;
	bool sparse;
	struct ram_block *blocks; /* owned */
	unsigned n_blocks;
	uint64_t memory;
	uint32_t section_id;
	struct buf head, start, devices;
};

struct page_reader {
	const struct page_source *source;
	struct checked_file *file;
};

/* ---- the beginning ---- */

static void make_start(struct page_source *s, const uint8_t *section, size_t len)
{
	uint8_t number[8], end[POSTCOPY_SECTION_END_SIZE];

	buf_add(&s->start, section, len);
	put_be64(number, s->memory | RAM_MEM_SIZE);
	buf_add(&s->start, number, sizeof(number));
	for (unsigned i = 0; i < s->n_blocks; i++) {
		uint8_t name_len = (uint8_t)strlen(s->blocks[i].name);

		buf_add(&s->start, &name_len, 1);
		buf_add(&s->start, s->blocks[i].name, name_len);
		put_be64(number, s->blocks[i].length);
		buf_add(&s->start, number, sizeof(number));
	}
	postcopy_section_end_encode(end, s->section_id);
	buf_add(&s->start, end, sizeof(end));
}

/* The commands a source sent before its memory are not repeated: what a destination is told here is ours to say. */
static int read_beginning(struct page_source *s, struct checked_file *f, struct error *err)
{
	uint64_t size = checked_file_size(f);
	size_t len = size < STREAM_WINDOW_MIN ? (size_t)size : STREAM_WINDOW_MIN;
	_cleanup_free_ uint8_t *data = xcalloc(1, len);
	struct stream_prefix p;
	int r;

	if (checked_file_read(f, 0, data, len, err) < 0)
		return -1;
	r = stream_prefix_parse(data, len, &p, err);
	if (r < 0)
		return error_prefix(err, "image %s", s->name);
	if (r == 0)
		return error_set(
			err, ERROR_DAMAGED, "image %s is truncated: it ends before its memory", s->name);
	if (p.caps_at > 0) {
		buf_add(&s->head, data, p.caps_at);
		buf_add(&s->head, data + p.caps_at + p.caps_len, p.config_end - p.caps_at - p.caps_len);
	} else {
		buf_add(&s->head, data, p.config_end);
	}
	s->section_id = p.section_id;
	make_start(s, data + p.start_at, p.len - p.start_at);
	return 0;
}

/* ---- the devices ---- */

/* Where 00 06 u32-length {...} begins, which ends the stream: best at the very end of `data`. -1: nowhere. */
static ssize_t find_description(const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len, *p = data, *first = NULL;

	while (p < end && (p = memchr(p, STREAM_DESCRIPTION, (size_t)(end - p))) != NULL) {
		size_t left = (size_t)(end - p);
		uint32_t n = left >= 7 ? get_be32(p + 1) : 0;

		if (n >= 2 && n <= left - 5 && p > data && p[-1] == STREAM_EOF && p[5] == '{' &&
			p[5 + n - 1] == '}') {
			if (n == left - 5)
				return p - 1 - data;
			if (!first)
				first = p - 1;
		}
		p++;
	}
	return first ? first - data : -1;
}

static int read_devices(struct page_source *s, struct checked_file *f, uint64_t at, struct error *err)
{
	uint64_t left = checked_file_size(f) - at;
	size_t len = left < TAIL_MAX ? (size_t)left : TAIL_MAX;
	ssize_t end;

	if (checked_file_read(f, at, buf_reserve(&s->devices, len), len, err) < 0)
		return -1;
	end = find_description((const uint8_t *)s->devices.data, len);
	if (end < 0)
		return error_set(
			err, ERROR_DAMAGED, "image %s is truncated: QEMU's state in it has no end", s->name);
	s->devices.len = (size_t)end;
	while (s->devices.len > 0 && s->devices.data[0] == STREAM_COMMAND) {
		ssize_t n = stream_command_parse((const uint8_t *)s->devices.data, s->devices.len, err);

		if (n <= 0)
			return error_prefix(err, "image %s", s->name);
		buf_drop_front(&s->devices, (size_t)n);
	}
	if (s->devices.len == 0 || s->devices.data[0] != STREAM_FULL)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s: a device has more state than fits behind memory", s->name);
	return 0;
}

/* ---- the pages ---- */

static int fetch(void *userdata, uint64_t at, void *data, size_t len, struct error *err)
{
	struct checked_file *f = userdata;

	return checked_file_read(f, at - checked_file_stream_offset(f), data, len, err);
}

static int read_layout(struct page_source *s, struct checked_file *f, uint64_t *ret_tail, struct error *err)
{
	struct mapped_file file = {.name = s->name,
		.stream_offset = s->stream_offset,
		.data_end = s->stream_offset + checked_file_size(f),
		.fetch = fetch,
		.userdata = f};

	if (mapped_layout_read(&file, &s->layout, err) < 0)
		return -1;
	s->n_blocks = s->layout.n_blocks;
	s->blocks = xcalloc(s->n_blocks, sizeof(*s->blocks));
	for (unsigned i = 0; i < s->n_blocks; i++) {
		memcpy(s->blocks[i].name, s->layout.blocks[i].name, sizeof(s->blocks[i].name));
		s->blocks[i].length = s->layout.blocks[i].length;
	}
	*ret_tail = s->layout.tail_offset - s->stream_offset;
	return 0;
}

static int read_index(struct page_source *s, struct checked_file *f, uint64_t *ret_tail, struct error *err)
{
	if (page_index_read(f, &s->index, err) < 0)
		return -1;
	s->n_blocks = s->index.n_blocks;
	s->blocks = xmemdup(s->index.blocks, s->n_blocks * sizeof(*s->blocks));
	*ret_tail = s->index.tail_offset;
	return 0;
}

static int open_source(struct page_source *s, struct checked_file *f, struct error *err)
{
	uint64_t tail = 0;
	int r;

	s->stream_offset = checked_file_stream_offset(f);
	s->sparse = checked_file_format(f) == IMAGE_FORMAT_SPARSE;
	r = s->sparse ? read_layout(s, f, &tail, err) : read_index(s, f, &tail, err);
	if (r < 0)
		return -1;
	for (unsigned i = 0; i < s->n_blocks; i++)
		s->memory += s->blocks[i].length;
	return read_beginning(s, f, err) < 0 ? -1 : read_devices(s, f, tail, err);
}

int page_source_open(int fd, const char *name, struct page_source **ret, struct error *err)
{
	struct page_source *s = NEW(struct page_source);
	struct checked_file *f = NULL;
	int r;

	s->fd = fd;
	s->name = xstrdup(name);
	r = checked_file_open(fd, name, &f, err) < 0 ? -1 : open_source(s, f, err);
	checked_file_free(f);
	if (r < 0) {
		page_source_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

void page_source_free(struct page_source *s)
{
	if (!s)
		return;
	page_index_fini(&s->index);
	mapped_layout_fini(&s->layout);
	buf_fini(&s->head);
	buf_fini(&s->start);
	buf_fini(&s->devices);
	free(s->blocks);
	free(s->name);
	free(s);
}

const struct ram_block *page_source_blocks(const struct page_source *s, unsigned *ret_n)
{
	*ret_n = s->n_blocks;
	return s->blocks;
}

uint64_t page_source_memory(const struct page_source *s)
{
	return s->memory;
}

uint32_t page_source_section(const struct page_source *s)
{
	return s->section_id;
}

const struct buf *page_source_head(const struct page_source *s)
{
	return &s->head;
}

const struct buf *page_source_start(const struct page_source *s)
{
	return &s->start;
}

const struct buf *page_source_devices(const struct page_source *s)
{
	return &s->devices;
}

int page_reader_open(const struct page_source *s, struct page_reader **ret, struct error *err)
{
	struct page_reader *r = NEW(struct page_reader);

	r->source = s;
	if (checked_file_open(s->fd, s->name, &r->file, err) < 0) {
		free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

void page_reader_free(struct page_reader *r)
{
	if (!r)
		return;
	checked_file_free(r->file);
	free(r);
}

bool page_reader_is_zero(const struct page_reader *r, unsigned block, uint64_t page)
{
	const struct page_source *s = r->source;
	uint64_t at;

	if (s->sparse)
		return !mapped_block_has(&s->layout.blocks[block], page);
	at = s->index.offsets[block][page];
	return at == PAGE_ZERO || at == PAGE_ABSENT;
}

/* In the state; of a page that is somewhere. */
static uint64_t page_offset(const struct page_source *s, unsigned block, uint64_t page)
{
	if (s->sparse)
		return s->layout.blocks[block].pages_offset + page * RAM_PAGE - s->stream_offset;
	return s->index.offsets[block][page];
}

void page_reader_expect(struct page_reader *r, unsigned block, uint64_t page)
{
	if (!page_reader_is_zero(r, block, page))
		checked_file_expect(r->file, page_offset(r->source, block, page), RAM_PAGE);
}

int page_reader_read(struct page_reader *r, unsigned block, uint64_t page, uint8_t ret[RAM_PAGE],
	bool *ret_zero, struct error *err)
{
	if (page_reader_is_zero(r, block, page)) {
		*ret_zero = true;
		return 0;
	}
	if (checked_file_read(r->file, page_offset(r->source, block, page), ret, RAM_PAGE, err) < 0)
		return -1;
	/* Zeros all the same, as in a sparse file's holes: QEMU then needs no memory for it. */
	*ret_zero = ret[0] == 0 && memcmp(ret, ret + 1, RAM_PAGE - 1) == 0;
	return 0;
}
