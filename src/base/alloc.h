/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small allocations that cannot fail: they abort, and crash recovery takes over. Sizes from outside are bounded before. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *p, size_t n, size_t size) __attribute__((alloc_size(2, 3)));
void *xmemdup(const void *p, size_t size) __attribute__((malloc, alloc_size(2)));
char *xstrdup(const char *s) __attribute__((malloc)); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n) __attribute__((malloc));
char *xasprintf(const char *fmt, ...) _printf_(1, 2) __attribute__((malloc));

#define NEW(type) ((type *)xcalloc(1, sizeof(type)))

/* Free the old string and put a copy of the new one (may be NULL) in its place. */
void replace_string(char **p, const char *s);

/*
 * VEC(type): a growing array. VEC(struct disk *) disks = {0}; VEC_ADD(&disks, disk); disks.items[0]; disks.n.
 * VEC_FREE releases the array, not what its items point to.
 */
#define VEC(type)                                                                                            \
	struct {                                                                                             \
		type *items;                                                                                 \
		size_t n;                                                                                    \
	}

void vec_grow_(void **items, size_t n, size_t size);

#define VEC_ADD(v, item)                                                                                     \
	do {                                                                                                 \
		vec_grow_((void **)&(v)->items, (v)->n, sizeof((v)->items[0]));                              \
		(v)->items[(v)->n++] = (item);                                                               \
	} while (0)
#define VEC_REMOVE(v, i)                                                                                     \
	do {                                                                                                 \
		for (size_t vi_ = (i); vi_ + 1 < (v)->n; vi_++)                                              \
			(v)->items[vi_] = (v)->items[vi_ + 1];                                               \
		(v)->n--;                                                                                    \
	} while (0)
#define VEC_FREE(v)                                                                                          \
	do {                                                                                                 \
		free((v)->items);                                                                            \
		(v)->items = NULL;                                                                           \
		(v)->n = 0;                                                                                  \
	} while (0)
/* VEC_FOREACH(disk, &domain->disks) { ... disk is a copy of the item; break and continue work ... } */
#define VEC_FOREACH(item, v)                                                                                 \
	for (size_t item##_i = 0, item##_left = 0; !item##_left && item##_i < (v)->n; item##_i++)            \
		for (__typeof__((v)->items[0]) item = (v)->items[item##_i],                                  \
					       *item##_once = (item##_left = 1, &item);                      \
			item##_once; item##_once = NULL, item##_left = 0)
