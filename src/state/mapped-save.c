/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plain stream to mapped-ram (mapped-ram.h).
 *
 * All places are fixed by the list of blocks at the stream's beginning. Pages of a stopped guest come in order and once, so that they
 * fill one chunk after the other; the bitmaps are known last, and their chunks are kept in memory until then.
 */
#include <inttypes.h>

#include "alloc.h"
#include "buf.h"
#include "mapped-ram.h"
#include "ram-stream.h"
#include "stream-io.h"

/* Small enough to be still in the cache when its pages are copied out. */
#define WINDOW_SIZE (256u << 10)
_Static_assert(WINDOW_SIZE >= STREAM_WINDOW_MIN, "any element fits");

struct mapped_block {
	uint64_t length, bitmap_offset, pages_offset;
	uint8_t *bitmap; /* owned */
};

struct mapped_save {
	struct chunk_writer *writer;
	struct image_progress *progress;
	uint64_t stream_offset;
	uint64_t tail; /* where the next byte of the stream goes that is not memory; 0: no list yet */
	struct mapped_block *blocks;
	unsigned n_blocks;
};

/* Prefix with the capability, as QEMU itself would have written it. */
static void format_prefix(struct buf *out, const uint8_t *data, const struct stream_prefix *p)
{
	static const char name[] = "configuration/capabilities", cap[] = "mapped-ram";
	uint8_t b[8];

	buf_add(out, data, p->caps_len ? p->caps_at : p->config_end);
	b[0] = STREAM_SUBSECTION;
	b[1] = sizeof(name) - 1;
	buf_add(out, b, 2);
	buf_adds(out, name);
	put_be32(b, 1);	    /* version of the subsection */
	put_be32(b + 4, 1); /* number of capabilities */
	buf_add(out, b, 8);
	b[0] = sizeof(cap) - 1;
	buf_add(out, b, 1);
	buf_adds(out, cap);
	if (p->caps_len)
		buf_add(out, data + p->caps_at + p->caps_len, p->len - p->caps_at - p->caps_len);
	else
		buf_add(out, data + p->config_end, p->len - p->config_end);
}

/* One entry of the list at `at`; where the next one goes, in *at. */
static int put_block(struct mapped_save *s, const struct ram_block *ram, struct mapped_block *b, uint64_t *at,
	struct error *err)
{
	uint8_t entry[1 + sizeof(ram->name) + 8 + MAPPED_RAM_HEADER_SIZE], *p = entry;
	size_t name_len = strlen(ram->name);

	b->length = ram->length;
	b->bitmap_offset = *at + 1 + name_len + 8 + MAPPED_RAM_HEADER_SIZE;
	b->bitmap = xcalloc(1, mapped_ram_bitmap_size(b->length) + 1);
	b->pages_offset = b->bitmap_offset + mapped_ram_bitmap_size(b->length) + MAPPED_RAM_ALIGN - 1;
	b->pages_offset -= b->pages_offset % MAPPED_RAM_ALIGN;

	*p++ = (uint8_t)name_len;
	memcpy(p, ram->name, name_len);
	p += name_len;
	put_be64(p, b->length);
	put_be32(p + 8, MAPPED_RAM_VERSION);
	put_be64(p + 12, RAM_PAGE);
	put_be64(p + 20, b->bitmap_offset);
	put_be64(p + 28, b->pages_offset);
	p += 8 + MAPPED_RAM_HEADER_SIZE;
	for (uint64_t pin = *at; pin < b->pages_offset; pin += CHUNK_SIZE)
		if (chunk_writer_pin(s->writer, pin, err) < 0)
			return -1;
	if (chunk_writer_pin(s->writer, b->pages_offset - 1, err) < 0 ||
		chunk_writer_put(s->writer, *at, entry, (size_t)(p - entry), err) < 0)
		return -1;
	*at = b->pages_offset + b->length;
	return 0;
}

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n_blocks, struct error *err)
{
	struct mapped_save *s = userdata;
	_cleanup_(buf_fini) struct buf head = {0};
	uint64_t total = 0, at;
	uint8_t b[8 + 5];

	for (unsigned i = 0; i < n_blocks; i++)
		total += blocks[i].length;
	s->progress->total = total;
	format_prefix(&head, data, prefix);
	put_be64(b, total | RAM_MEM_SIZE);
	buf_add(&head, b, 8);
	if (chunk_writer_put(s->writer, s->stream_offset, head.data, head.len, err) < 0)
		return -1;
	at = s->stream_offset + head.len;

	s->blocks = xcalloc(n_blocks, sizeof(*s->blocks));
	for (; s->n_blocks < n_blocks; s->n_blocks++)
		if (put_block(s, &blocks[s->n_blocks], &s->blocks[s->n_blocks], &at, err) < 0)
			return -1;
	put_be64(b, RAM_EOS);
	b[8] = STREAM_FOOTER;
	put_be32(b + 9, prefix->section_id);
	if (chunk_writer_check_room(s->writer, at, err) < 0 || chunk_writer_pin(s->writer, at, err) < 0 ||
		chunk_writer_put(s->writer, at, b, sizeof(b), err) < 0)
		return -1;
	s->tail = at + sizeof(b);
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	static const uint8_t zeros[RAM_PAGE];
	struct mapped_save *s = userdata;
	struct mapped_block *b = &s->blocks[block];
	uint64_t page = offset / RAM_PAGE;
	uint8_t *byte = &b->bitmap[page / 8], bit = (uint8_t)(1u << page % 8);

	image_progress_begin(s->progress);
	s->progress->processed += RAM_PAGE;
	if (data) {
		*byte |= bit;
		return chunk_writer_put(s->writer, b->pages_offset + offset, data, RAM_PAGE, err);
	}
	if (!(*byte & bit))
		return 0;
	/* It came before, and was not zero then. */
	*byte &= (uint8_t)~bit;
	return chunk_writer_put(s->writer, b->pages_offset + offset, zeros, RAM_PAGE, err);
}

static int on_verbatim(void *userdata, const void *data, size_t len, struct error *err)
{
	struct mapped_save *s = userdata;

	if (chunk_writer_put(s->writer, s->tail, data, len, err) < 0)
		return -1;
	s->tail += len;
	s->progress->total += len;
	s->progress->processed += len;
	return 0;
}

static const struct ram_stream_ops save_ops = {.head = on_head, .page = on_page, .verbatim = on_verbatim};

static int read_stream(struct ram_stream *ram, int fd, struct error *err)
{
	_cleanup_free_ uint8_t *window = xcalloc(1, WINDOW_SIZE);
	size_t len = 0;

	for (;;) {
		ssize_t n = stream_read(fd, window + len, WINDOW_SIZE - len, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
		n = ram_stream_feed(ram, window, len, err);
		if (n < 0)
			return -1;
		len -= (size_t)n;
		memmove(window, window + n, len);
	}
	if (ram->state != RAM_STREAM_TAIL)
		return error_set(err, ERROR_QEMU, "QEMU closed the stream in the middle of its memory");
	return 0;
}

static int write_bitmaps(struct mapped_save *s, struct error *err)
{
	for (unsigned i = 0; i < s->n_blocks; i++) {
		struct mapped_block *b = &s->blocks[i];

		if (chunk_writer_put(s->writer, b->bitmap_offset, b->bitmap,
			    mapped_ram_bitmap_size(b->length), err) < 0)
			return -1;
	}
	return 0;
}

int mapped_ram_save(struct chunk_writer *writer, int stream_fd, uint64_t stream_offset, uint64_t *ret_end,
	struct image_progress *progress, struct error *err)
{
	struct mapped_save s = {.writer = writer, .progress = progress, .stream_offset = stream_offset};
	struct ram_stream ram;
	int r;

	ram_stream_init(&ram, &save_ops, &s);
	r = read_stream(&ram, stream_fd, err);
	if (r == 0)
		r = write_bitmaps(&s, err);
	*ret_end = s.tail;
	ram_stream_fini(&ram);
	for (unsigned i = 0; i < s.n_blocks; i++)
		free(s.blocks[i].bitmap);
	free(s.blocks);
	return r;
}
