/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walking a stream (stream-walk.h). Devices have no lengths, so the end cannot be reached step by step: it is found as a section
 * of known shape, 00 06 u32-length {"...}, behind the memory.
 */
#include "stream-walk.h"

#include <sys/types.h>

#include "alloc.h"
#include "buf.h"
#include "ram-stream.h"

/* Devices and description are some hundred KiB. More is not kept, and then only its last byte is looked at. */
#define TAIL_MAX (64u << 20)

struct stream_walk {
	struct ram_stream ram;
	struct buf tail; /* everything behind memory */
	bool in_tail;
	bool opaque; /* not understood, or too long to keep */
	bool whole;
	uint8_t last;
};

static int keep_tail(void *userdata, const void *data, size_t len, struct error *err)
{
	struct stream_walk *w = userdata;

	if (w->tail.len + len > TAIL_MAX)
		w->opaque = true;
	else
		buf_add(&w->tail, data, len);
	return 0;
}

static const struct ram_stream_ops walk_ops = {.verbatim = keep_tail};

struct stream_walk *stream_walk_new(void)
{
	struct stream_walk *w = NEW(struct stream_walk);

	ram_stream_init(&w->ram, &walk_ops, w);
	return w;
}

struct stream_walk *stream_walk_new_tail(void)
{
	struct stream_walk *w = stream_walk_new();

	w->in_tail = true;
	return w;
}

void stream_walk_free(struct stream_walk *w)
{
	if (!w)
		return;
	ram_stream_fini(&w->ram);
	buf_fini(&w->tail);
	free(w);
}

static void look_for_end(struct stream_walk *w)
{
	const uint8_t *data = (const uint8_t *)w->tail.data, *end = data + w->tail.len, *p = data;

	while (data && p < end && (p = memchr(p, STREAM_DESCRIPTION, (size_t)(end - p))) != NULL) {
		size_t left = (size_t)(end - p);
		uint32_t len = left >= 7 ? get_be32(p + 1) : 0;

		if (len >= 2 && len <= left - 5 && p > data && p[-1] == STREAM_EOF && p[5] == '{' &&
			p[5 + len - 1] == '}') {
			w->whole = true;
			return;
		}
		p++;
	}
}

int stream_walk_feed(struct stream_walk *w, const void *data, size_t len, struct error *err)
{
	struct error why = ERROR_INIT;

	if (len == 0)
		return 0;
	w->last = ((const uint8_t *)data)[len - 1];
	if (w->opaque || w->whole)
		return 0;
	if (w->in_tail) {
		keep_tail(w, data, len, err);
	} else if (ram_stream_push(&w->ram, data, len, &why) < 0) {
		if (why.code != ERROR_UNSUPPORTED_CONFIG)
			return error_copy(err, &why);
		w->opaque = true;
	}
	if (w->in_tail || w->ram.state == RAM_STREAM_TAIL)
		look_for_end(w);
	return 0;
}

bool stream_walk_is_whole(const struct stream_walk *w)
{
	return w->whole;
}

int stream_walk_finish(const struct stream_walk *w, struct error *err)
{
	if (w->whole || (w->opaque && w->last == '}'))
		return 0;
	if (!w->in_tail && !w->opaque && w->ram.state != RAM_STREAM_TAIL)
		return error_set(err, ERROR_DAMAGED, "it ends in the middle of its memory");
	return error_set(err, ERROR_DAMAGED, "QEMU's state in it has no end");
}
