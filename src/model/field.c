/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life and death of the structs that tables describe: defaults, and release of all they own. */
#include "field.h"

#include <limits.h>

#include "field-internal.h"

bool text_is_word(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len = strlen(text);

	return len > 0 && len <= 80 && *text != '-' && strspn(text, allowed) == len;
}

bool text_is_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

bool text_is_path(const char *text)
{
	return *text == '/' && strlen(text) < PATH_MAX && text_is_line(text);
}

void table_init(const struct table *t, void *object)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		if (f->table && (f->kind == FIELD_GROUP || f->kind == FIELD_INLINE))
			table_init(f->table, at(object, f));
		else if (f->absent)
			number_store(f, object, (uint64_t)f->absent);
	}
	if (t->init)
		t->init(object);
}

static void list_fini(const struct field *f, void *object)
{
	struct any_vec v;

	memcpy(&v, at(object, f), sizeof(v));
	for (size_t i = 0; i < v.n; i++) {
		void *item = vec_item(f, &v, i);

		table_fini(f->table, item);
		if (!(f->flags & FIELD_BY_VALUE))
			free(item);
	}
	free(v.items);
	memset(at(object, f), 0, sizeof(v));
}

static void object_fini(const struct field *f, void *object)
{
	void **p = at(object, f);

	if (*p)
		table_fini(f->table, *p);
	free(*p);
	*p = NULL;
}

static bool owns_string(const struct field *f)
{
	if (f->flags & FIELD_OWNED)
		return true;
	return (f->kind == FIELD_ATTR || f->kind == FIELD_TEXT || f->kind == FIELD_CHILD) &&
	       f->value == VALUE_STRING;
}

void table_fini(const struct table *t, void *object)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		if (f->kind == FIELD_GROUP || f->kind == FIELD_INLINE)
			table_fini(f->table, at(object, f));
		else if (f->kind == FIELD_OBJECT)
			object_fini(f, object);
		else if (f->kind == FIELD_LIST)
			list_fini(f, object);
		else if (owns_string(f))
			replace_string(at(object, f), NULL);
	}
}

/*
 * `dst` starts as the bytes of `src`; what they still share is what was not copied yet. (A member may stand in a table
 * twice, as the path of a disk does, once for files and once for block devices.)
 */
static void string_copy(const struct field *f, void *dst, const void *src)
{
	char **copy = at(dst, f), *const *given = at_const(src, f);

	if (*copy == *given)
		*copy = xstrdup(*given);
}

static void object_copy(const struct field *f, void *dst, const void *src)
{
	void *const *given = at_const(src, f);
	void *copy;

	if (!*given)
		return;
	copy = xcalloc(1, f->table->size);
	table_copy(f->table, copy, *given);
	memcpy(at(dst, f), &copy, sizeof(copy));
}

static void list_copy(const struct field *f, void *dst, const void *src)
{
	struct any_vec v, copy = {0};
	size_t size = f->flags & FIELD_BY_VALUE ? f->table->size : sizeof(void *);

	memcpy(&v, at_const(src, f), sizeof(v));
	for (size_t i = 0; i < v.n; i++) {
		void *item;

		vec_grow_(&copy.items, copy.n, size);
		copy.n++;
		if (!(f->flags & FIELD_BY_VALUE)) {
			item = xcalloc(1, f->table->size);
			memcpy((char *)copy.items + i * size, &item, sizeof(item));
		}
		table_copy(f->table, vec_item(f, &copy, i), vec_item(f, &v, i));
	}
	memcpy(at(dst, f), &copy, sizeof(copy));
}

static void members_copy(const struct table *t, void *dst, const void *src)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		if (f->kind == FIELD_GROUP || f->kind == FIELD_INLINE)
			members_copy(f->table, at(dst, f), at_const(src, f));
		else if (f->kind == FIELD_OBJECT)
			object_copy(f, dst, src);
		else if (f->kind == FIELD_LIST)
			list_copy(f, dst, src);
		else if (owns_string(f))
			string_copy(f, dst, src);
	}
}

void table_copy(const struct table *t, void *dst, const void *src)
{
	memcpy(dst, src, t->size);
	members_copy(t, dst, src);
}
