/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing byte buffer. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "alloc.h"

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void *buf_reserve(struct buf *b, size_t len)
{
	size_t need = b->len + len + 1;
	size_t size = b->allocated ? b->allocated : 64;

	assert(len < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
	if (need > b->allocated) {
		while (size < need)
			size *= 2;
		b->data = xrealloc(b->data, size, 1);
		b->allocated = size;
		b->data[b->len] = '\0';
	}
	/* The caller only adds to len, so the terminator behind what it will write is set here. */
	b->data[b->len + len] = '\0';
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(buf_reserve(b, len), data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	assert(len >= 0);
	vsnprintf(buf_reserve(b, (size_t)len), (size_t)len + 1, fmt, ap);
	b->len += (size_t)len;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len + 1);
	b->len -= len;
}

char *buf_take(struct buf *b)
{
	char *s = b->data ? b->data : xstrdup("");

	*b = (struct buf){0};
	return s;
}
