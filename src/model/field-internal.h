/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How field.c, field-parse.c and field-format.c reach into the structs that tables describe. */
#pragma once

#include "field.h"

/* The layout of every VEC. */
struct any_vec {
	void *items;
	size_t n;
};

static inline void *at(void *object, const struct field *f)
{
	return (char *)object + f->offset;
}

static inline const void *at_const(const void *object, const struct field *f)
{
	return (const char *)object + f->offset;
}

static inline void *vec_item(const struct field *f, const struct any_vec *v, size_t i)
{
	void *item = (char *)v->items + i * f->table->size;

	if (!(f->flags & FIELD_BY_VALUE))
		memcpy(&item, (char *)v->items + i * sizeof(void *), sizeof(void *));
	return item;
}

static inline void number_store(const struct field *f, void *object, uint64_t number)
{
	if (f->value == VALUE_U32 || f->value == VALUE_I32)
		*(uint32_t *)at(object, f) = (uint32_t)number;
	else
		*(uint64_t *)at(object, f) = number;
}
