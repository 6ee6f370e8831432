/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Intrusive doubly linked list: the node lives in the object, so adding cannot fail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

/* clang-format off */
#define LIST_INIT(l) {.next = &(l), .prev = &(l)}
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
/* clang-format on */

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *l, struct list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

/* Also right for a node that was initialised and never added, and twice. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* `pos` is a pointer to the containing type. SAFE: the current one may be removed. */
#define LIST_FOREACH(pos, l, member)                                                                         \
	for (pos = container_of((l)->next, __typeof__(*pos), member); &pos->member != (l);                   \
		pos = container_of(pos->member.next, __typeof__(*pos), member))
#define LIST_FOREACH_SAFE(pos, next_, l, member)                                                             \
	for (pos = container_of((l)->next, __typeof__(*pos), member),                                        \
	    next_ = container_of(pos->member.next, __typeof__(*pos), member);                                \
		&pos->member != (l);                                                                         \
		pos = next_, next_ = container_of(next_->member.next, __typeof__(*next_), member))
