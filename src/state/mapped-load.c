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
#include "mapped-layout.h"
#include "mapped-ram.h"
#include "ram-stream.h"
#include "stream-io.h"
#include "stream-walk.h"

#define PIECES_MAX 512	       /* of one writev; half of what Linux takes */
#define WORDS_SIZE (32u << 10) /* record headers of one writev */

/* Records on their way to QEMU. */
struct record_queue {
	struct iovec pieces[PIECES_MAX];
	int n;
	uint8_t words[WORDS_SIZE];
	size_t words_len;
};

struct mapped_load {
	const struct mapped_ram_load *options;
	struct mapped_layout layout;
	struct chunk_view view;
	struct record_queue queue;
	struct stream_walk *walk; /* without a trailer: looks for the end */
};

static int damaged(const struct mapped_load *l, uint64_t at, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: %s at offset %" PRIu64, l->options->name, what, at);
}

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

		if (mapped_block_has(b, page)) {
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
	put_be32(part + 1, l->layout.prefix.section_id);
	put_be64(end, RAM_EOS);
	end[8] = STREAM_FOOTER;
	put_be32(end + 9, l->layout.prefix.section_id);
	if (send_bytes(l, l->layout.head.data, l->layout.head.len, err) < 0 ||
		send_bytes(l, part, sizeof(part), err) < 0)
		return -1;
	for (unsigned i = 0; i < l->layout.n_blocks; i++)
		if (send_block(l, &l->layout.blocks[i], err) < 0)
			return -1;
	if (flush(l, err) < 0 || send_bytes(l, end, sizeof(end), err) < 0 ||
		send_bytes(l, l->layout.commands.data, l->layout.commands.len, err) < 0)
		return -1;
	part[0] = STREAM_END;
	return send_bytes(l, part, sizeof(part), err) < 0 ? -1 : send_bytes(l, end, sizeof(end), err);
}

static int send_tail(struct mapped_load *l, struct error *err)
{
	static const uint8_t zeros[CHUNK_SIZE];
	uint64_t at = l->layout.tail_offset;

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

static int fetch(void *userdata, uint64_t at, void *data, size_t len, struct error *err)
{
	return chunk_reader_fetch(userdata, at, data, len, err);
}

static int load(struct mapped_load *l, struct error *err)
{
	const struct mapped_ram_load *o = l->options;
	struct mapped_file file = {.name = o->name,
		.stream_offset = o->stream_offset,
		.data_end = o->data_end,
		.fetch = fetch,
		.userdata = o->reader};

	if (mapped_layout_read(&file, &l->layout, err) < 0)
		return -1;
	return send_memory(l, err) < 0 ? -1 : send_tail(l, err);
}

int mapped_ram_load(const struct mapped_ram_load *options, struct error *err)
{
	struct mapped_load *l = NEW(struct mapped_load);
	int r;

	l->options = options;
	if (!options->trailer)
		l->walk = stream_walk_new_tail();
	r = load(l, err);
	mapped_layout_fini(&l->layout);
	stream_walk_free(l->walk);
	free(l);
	return r;
}
