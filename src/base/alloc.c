/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small allocations that abort when memory is gone, and the growth of VEC arrays. */
#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>

/* Not through the log, which allocates. */
static void die(void)
{
	static const char text[] = "godwit: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		die();
	return p;
}

void *xrealloc(void *p, size_t n, size_t size)
{
	/* A size of 0 would free `p` and return NULL with some C libraries. */
	void *q = reallocarray(p, n ? n : 1, size ? size : 1);

	if (!q)
		die();
	return q;
}

void *xmemdup(const void *p, size_t size)
{
	void *q = xcalloc(1, size);

	if (size > 0)
		memcpy(q, p, size);
	return q;
}

char *xstrdup(const char *s)
{
	return s ? xmemdup(s, strlen(s) + 1) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = xcalloc(1, len + 1);

	memcpy(copy, s, len);
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		die();
	va_end(ap);
	return s;
}

void replace_string(char **p, const char *s)
{
	char *copy = xstrdup(s); /* first: `s` may point into the old string */

	free(*p);
	*p = copy;
}

/* The capacity is not stored: it is the power of two from 4 up that holds n, so only at one is there no room. */
void vec_grow_(void **items, size_t n, size_t size)
{
	void *p;

	if (n != 0 && (n < 4 || (n & (n - 1)) != 0))
		return;
	/* The caller's pointer has another type; by memcpy it is read and written as what it is. */
	memcpy(&p, items, sizeof(p));
	p = xrealloc(p, n ? n * 2 : 4, size);
	memcpy(items, &p, sizeof(p));
}
