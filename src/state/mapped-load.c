/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapped-ram to plain stream (mapped-ram.h).
 *
 * The layout is read first, in a few small pieces; then the file is gone through once, in order, and its pages become records that
 * point into the reader's buffers.
 */
#include <inttypes.h>

#include "alloc.h"
#include "buf.h"
#include "mapped-ram.h"
#include "ram-stream.h"
#include "stream-io.h"
#include "stream-walk.h"

#define PIECES_MAX 512	       /* of one writev; half of what Linux takes */
#define WORDS_SIZE (32u << 10) /* record headers of one writev */

struct mapped_block {
	char name[256];
	uint64_t length, pages_offset;
	uint8_t *bitmap; /* owned */
};

/* Records on their way to QEMU. */
struct record_queue {
	struct iovec pieces[PIECES_MAX];
	int n;
	uint8_t words[WORDS_SIZE];
	size_t words_len;
};

struct mapped_load {
	const struct mapped_ram_load *options;
	struct stream_prefix prefix;
	struct buf head;     /* what the plain stream begins with, to the end of its START section */
	struct buf commands; /* between memory's sections */
	struct mapped_block *blocks;
	unsigned n_blocks;
	uint64_t tail_offset; /* behind RAM's END section, in the file */
	struct chunk_view view;
	struct record_queue queue;
	struct stream_walk *walk; /* without a trailer: looks for the end */
};

static int damaged(const struct mapped_load *l, uint64_t at, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: %s at offset %" PRIu64, l->options->name, what, at);
}

static int fetch(struct mapped_load *l, uint64_t at, void *data, size_t len, struct error *err)
{
	return chunk_reader_fetch(l->options->reader, at, data, len, err);
}

/* ---- the layout ---- */

static int read_prefix(struct mapped_load *l, uint64_t *at, struct error *err)
{
	const struct mapped_ram_load *o = l->options;
	uint64_t left = o->data_end - o->stream_offset;
	size_t len = left < STREAM_WINDOW_MIN ? (size_t)left : STREAM_WINDOW_MIN;
	_cleanup_free_ uint8_t *data = xcalloc(1, len);
	struct stream_prefix *p = &l->prefix;
	int r;

	if (fetch(l, o->stream_offset, data, len, err) < 0)
		return -1;
	r = stream_prefix_parse(data, len, p, err);
	if (r < 0)
		return error_prefix(err, "image %s", o->name);
	if (r == 0)
		return error_set(
			err, ERROR_DAMAGED, "image %s is truncated: it ends before its memory", o->name);
	if (!p->mapped_ram)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: its state is not sparse as its header says", o->name);
	/* A plain stream does not have the capability. */
	buf_add(&l->head, data, p->caps_at);
	buf_add(&l->head, data + p->caps_at + p->caps_len, p->len - p->caps_at - p->caps_len);
	*at = o->stream_offset + p->len;
	return 0;
}

static int read_block(struct mapped_load *l, uint64_t *at, uint64_t *left, struct error *err)
{
	uint8_t entry[1 + 255 + 8 + MAPPED_RAM_HEADER_SIZE], *p = entry;
	struct mapped_block *b;
	uint64_t bitmap_offset, end, bitmap_size;
	size_t len;

	if (l->n_blocks == RAM_BLOCKS_MAX)
		return damaged(l, *at, "too many memory blocks", err);
	if (fetch(l, *at, entry, 1, err) < 0)
		return -1;
	len = 1u + entry[0] + 8 + MAPPED_RAM_HEADER_SIZE;
	if (fetch(l, *at, entry, len, err) < 0)
		return -1;
	l->blocks = xrealloc(l->blocks, l->n_blocks + 1, sizeof(*l->blocks));
	b = &l->blocks[l->n_blocks++];
	memset(b, 0, sizeof(*b));
	memcpy(b->name, entry + 1, entry[0]);
	p += 1 + entry[0];
	b->length = get_be64(p);
	bitmap_offset = get_be64(p + 20);
	b->pages_offset = get_be64(p + 28);
	if (get_be32(p + 8) != MAPPED_RAM_VERSION || get_be64(p + 12) != RAM_PAGE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has memory in a layout that is not known", l->options->name);
	bitmap_size = mapped_ram_bitmap_size(b->length);
	end = l->options->data_end;
	if (b->length % RAM_PAGE != 0 || b->length > *left || bitmap_offset != *at + len ||
		b->pages_offset > end || b->pages_offset % CHUNK_PAGE != 0 ||
		bitmap_offset + bitmap_size > b->pages_offset)
		return damaged(l, *at, "an impossible memory block", err);
	if (b->length > end - b->pages_offset)
		return error_set(err, ERROR_DAMAGED,
			"image %s is truncated: its memory would end at %" PRIu64 ", it has %" PRIu64
			" bytes",
			l->options->name, b->pages_offset + b->length, end);
	b->bitmap = xcalloc(1, bitmap_size + 1);
	if (fetch(l, bitmap_offset, b->bitmap, bitmap_size, err) < 0)
		return -1;
	buf_add(&l->head, entry, 1u + entry[0] + 8);
	*left -= b->length;
	*at = b->pages_offset + b->length;
	return 0;
}

/* EOS and footer, which end each of memory's sections. */
static int read_section_end(struct mapped_load *l, uint64_t *at, struct error *err)
{
	uint8_t b[13];

	if (fetch(l, *at, b, sizeof(b), err) < 0)
		return -1;
	if (get_be64(b) != RAM_EOS || b[8] != STREAM_FOOTER || get_be32(b + 9) != l->prefix.section_id)
		return damaged(l, *at, "a memory section without its end", err);
	*at += sizeof(b);
	return 0;
}

static int read_command(struct mapped_load *l, uint64_t *at, struct error *err)
{
	uint8_t b[5 + UINT16_MAX];
	size_t len;

	if (fetch(l, *at, b, 5, err) < 0)
		return -1;
	len = 5u + get_be16(b + 3);
	if (fetch(l, *at, b, len, err) < 0 || stream_command_parse(b, len, err) < 0)
		return -1;
	buf_add(&l->commands, b, len);
	*at += len;
	return 0;
}

/* From the end of START to the end of END. */
static int read_sections(struct mapped_load *l, uint64_t *at, struct error *err)
{
	uint8_t b[5];

	for (;;) {
		if (fetch(l, *at, b, sizeof(b), err) < 0)
			return -1;
		if (b[0] == STREAM_COMMAND) {
			if (read_command(l, at, err) < 0)
				return -1;
			continue;
		}
		if ((b[0] != STREAM_PART && b[0] != STREAM_END) || get_be32(b + 1) != l->prefix.section_id)
			return error_set(err,
				b[0] == STREAM_START || b[0] == STREAM_FULL ? ERROR_UNSUPPORTED_CONFIG
									    : ERROR_DAMAGED,
				"image %s has a section of unknown kind (%u) at offset %" PRIu64,
				l->options->name, b[0], *at);
		*at += sizeof(b);
		if (read_section_end(l, at, err) < 0)
			return -1;
		if (b[0] == STREAM_END)
			return 0;
	}
}

static int read_layout(struct mapped_load *l, struct error *err)
{
	uint64_t at = 0, left;
	uint8_t b[13];

	if (read_prefix(l, &at, err) < 0 || fetch(l, at, b, 8, err) < 0)
		return -1;
	left = get_be64(b);
	if ((left & (RAM_PAGE - 1)) != RAM_MEM_SIZE)
		return damaged(l, at, "no list of memory blocks", err);
	buf_add(&l->head, b, 8);
	left &= ~(uint64_t)(RAM_PAGE - 1);
	if (left == 0 || left > RAM_LENGTH_MAX)
		return damaged(l, at, "an impossible amount of memory", err);
	at += 8;
	while (left > 0)
		if (read_block(l, &at, &left, err) < 0)
			return -1;
	if (read_section_end(l, &at, err) < 0)
		return -1;
	put_be64(b, RAM_EOS);
	b[8] = STREAM_FOOTER;
	put_be32(b + 9, l->prefix.section_id);
	buf_add(&l->head, b, sizeof(b));
	if (read_sections(l, &at, err) < 0)
		return -1;
	l->tail_offset = at;
	return 0;
}

/* ---- the plain stream ---- */

static int flush(struct mapped_load *l, struct error *err)
{
	struct record_queue *q = &l->queue;
	int r = 0;

	if (q->n > 0 && l->options->stream_fd >= 0)
		r = stream_writev(l->options->stream_fd, q->pieces, q->n, err);
	q->n = 0;
	q->words_len = 0;
	return r;
}

static void add_piece(struct record_queue *q, const void *data, size_t len)
{
	struct iovec *last = q->n > 0 ? &q->pieces[q->n - 1] : NULL;

	if (last && (const uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return;
	}
	q->pieces[q->n++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = len};
}

/* A record; `name` only where the block changes. `data` NULL: zero. It must stay where it is until flush(). */
static int add_record(
	struct mapped_load *l, const char *name, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct record_queue *q = &l->queue;
	uint8_t *word, *p;

	if ((q->n + 2 > PIECES_MAX || q->words_len + 8 + 256 + 1 > WORDS_SIZE) && flush(l, err) < 0)
		return -1;
	word = p = q->words + q->words_len;
	put_be64(p, offset | (data ? RAM_PAGE_DATA : RAM_ZERO) | (name ? 0 : RAM_CONTINUE));
	p += 8;
	if (name) {
		*p = (uint8_t)strlen(name);
		memcpy(p + 1, name, *p);
		p += 1 + *p;
	}
	if (!data)
		*p++ = 0;
	q->words_len += (size_t)(p - word);
	add_piece(q, word, (size_t)(p - word));
	if (data)
		add_piece(q, data, RAM_PAGE);
	return 0;
}

/* Make `at` lie in the view; what is passed over on the way has been checked by the reader. */
static int advance(struct mapped_load *l, uint64_t at, struct error *err)
{
	while (l->view.len == 0 || at >= l->view.offset + l->view.len) {
		int r;

		if (flush(l, err) < 0)
			return -1;
		r = chunk_reader_next(l->options->reader, &l->view, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return damaged(l, at, "nothing more", err);
		l->options->progress->processed += l->view.len;
	}
	return 0;
}

static int send_block(struct mapped_load *l, const struct mapped_block *b, struct error *err)
{
	const char *name = b->name;

	for (uint64_t page = 0; page < b->length / RAM_PAGE; page++) {
		uint64_t offset = page * RAM_PAGE, at = b->pages_offset + offset;
		const uint8_t *data = NULL;

		if (b->bitmap[page / 8] >> page % 8 & 1) {
			if (advance(l, at, err) < 0)
				return -1;
			/* A page on disk that is a hole is as zero as one that is not there. */
			if (l->view.data)
				data = l->view.data + (at - l->view.offset);
		}
		if (add_record(l, name, offset, data, err) < 0)
			return -1;
		name = NULL;
	}
	return 0;
}

static int send_bytes(struct mapped_load *l, const void *data, size_t len, struct error *err)
{
	if (len == 0 || l->options->stream_fd < 0)
		return 0;
	return stream_write(l->options->stream_fd, data, len, err);
}

static int send_memory(struct mapped_load *l, struct error *err)
{
	uint8_t part[5], end[13];

	part[0] = STREAM_PART;
	put_be32(part + 1, l->prefix.section_id);
	put_be64(end, RAM_EOS);
	end[8] = STREAM_FOOTER;
	put_be32(end + 9, l->prefix.section_id);
	if (send_bytes(l, l->head.data, l->head.len, err) < 0 || send_bytes(l, part, sizeof(part), err) < 0)
		return -1;
	for (unsigned i = 0; i < l->n_blocks; i++)
		if (send_block(l, &l->blocks[i], err) < 0)
			return -1;
	if (flush(l, err) < 0 || send_bytes(l, end, sizeof(end), err) < 0 ||
		send_bytes(l, l->commands.data, l->commands.len, err) < 0)
		return -1;
	part[0] = STREAM_END;
	return send_bytes(l, part, sizeof(part), err) < 0 ? -1 : send_bytes(l, end, sizeof(end), err);
}

static int send_tail(struct mapped_load *l, struct error *err)
{
	static const uint8_t zeros[CHUNK_SIZE];
	uint64_t at = l->tail_offset;

	while (at < l->options->data_end) {
		const uint8_t *data;
		size_t len;

		if (advance(l, at, err) < 0)
			return -1;
		len = (size_t)(l->view.offset + l->view.len - at);
		data = l->view.data ? l->view.data + (at - l->view.offset) : zeros;
		if (send_bytes(l, data, len, err) < 0)
			return -1;
		if (l->walk && stream_walk_feed(l->walk, data, len, err) < 0)
			return -1;
		if (l->walk && stream_walk_is_whole(l->walk))
			break;
		at += len;
	}
	if (l->walk && stream_walk_finish(l->walk, err) < 0)
		return error_prefix(err, "image %s is truncated", l->options->name);
	return 0;
}

static void load_fini(struct mapped_load *l)
{
	for (unsigned i = 0; i < l->n_blocks; i++)
		free(l->blocks[i].bitmap);
	free(l->blocks);
	buf_fini(&l->head);
	buf_fini(&l->commands);
	stream_walk_free(l->walk);
	free(l);
}

int mapped_ram_load(const struct mapped_ram_load *options, struct error *err)
{
	struct mapped_load *l = NEW(struct mapped_load);
	int r = -1;

	l->options = options;
	if (!options->trailer)
		l->walk = stream_walk_new_tail();
	if (read_layout(l, err) == 0 && send_memory(l, err) == 0 && send_tail(l, err) == 0)
		r = 0;
	load_fini(l);
	return r;
}
