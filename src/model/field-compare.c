/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Comparing two structs by their table: would a guest notice the difference? */
#include "field-internal.h"
#include "field.h"
#include "strv.h"

static int differ(struct error *err, const char *what, const char *element, const char *dst, const char *src)
{
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"Target domain %s of <%s> '%.200s' does not match source '%.200s'", what, element,
		dst ? dst : "", src ? src : "");
}

static int compare_value(
	const struct field *f, const char *element, const void *src, const void *dst, struct error *err)
{
	struct format_context c = {.flags = DOMAIN_FORMAT_SECURE};
	_cleanup_free_ char *a = field_format_value(&c, f, src), *b = field_format_value(&c, f, dst);
	char what[80];

	if (streq(a, b))
		return 0;
	if (f->kind == FIELD_TEXT)
		snprintf(what, sizeof(what), "content");
	else
		snprintf(what, sizeof(what), "%s '%s'", f->kind == FIELD_ATTR ? "attribute" : "element",
			f->name);
	return differ(err, what, element, b, a);
}

/* Only what would be written can be compared. */
static int compare_custom(
	const struct field *f, const char *element, const void *src, const void *dst, struct error *err)
{
	_cleanup_(buf_fini) struct buf a = {0}, b = {0};
	struct xml_writer wa = {.out = &a}, wb = {.out = &b};
	struct format_context ca = {.w = &wa, .flags = DOMAIN_FORMAT_SECURE};
	struct format_context cb = {.w = &wb, .flags = DOMAIN_FORMAT_SECURE};
	char what[80];

	if (!f->format)
		return 0;
	f->format(&ca, src);
	f->format(&cb, dst);
	while (a.len > 0 && a.data[a.len - 1] == '\n')
		a.data[--a.len] = '\0';
	while (b.len > 0 && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	if (streq(a.data ? a.data : "", b.data ? b.data : ""))
		return 0;
	snprintf(what, sizeof(what), "element '%s'", f->name);
	return differ(err, what, element, b.data, a.data);
}

static int compare_list(
	const struct field *f, const char *element, const void *src, const void *dst, struct error *err)
{
	struct any_vec a, b;
	char from[24], to[24], what[80];

	memcpy(&a, at_const(src, f), sizeof(a));
	memcpy(&b, at_const(dst, f), sizeof(b));
	if (a.n != b.n) {
		snprintf(from, sizeof(from), "%zu", a.n);
		snprintf(to, sizeof(to), "%zu", b.n);
		snprintf(what, sizeof(what), "number of elements '%s'", f->name);
		return differ(err, what, element, to, from);
	}
	for (size_t i = 0; i < a.n; i++)
		if (table_compare(f->table, f->name, vec_item(f, &a, i), vec_item(f, &b, i), err) < 0)
			return -1;
	return 0;
}

static int compare_object(
	const struct field *f, const char *element, const void *src, const void *dst, struct error *err)
{
	const void *const *a = at_const(src, f), *const *b = at_const(dst, f);
	char what[80];

	if (*a && *b)
		return table_compare(f->table, f->name, *a, *b, err);
	if (!*a && !*b)
		return 0;
	snprintf(what, sizeof(what), "element '%s'", f->name);
	return differ(err, what, element, *b ? "present" : "absent", *a ? "present" : "absent");
}

static bool flag_value(const struct field *f, const void *object)
{
	if (f->value == VALUE_BOOL)
		return *(const bool *)at_const(object, f);
	return *(const enum tristate *)at_const(object, f) == TRISTATE_ON;
}

static int compare_field(
	const struct field *f, const char *element, const void *src, const void *dst, struct error *err)
{
	char what[80];

	switch (f->kind) {
	case FIELD_ATTR:
	case FIELD_TEXT:
	case FIELD_CHILD:
		return compare_value(f, element, src, dst, err);
	case FIELD_FLAG:
		if (flag_value(f, src) == flag_value(f, dst))
			return 0;
		snprintf(what, sizeof(what), "element '%s'", f->name);
		return differ(err, what, element, flag_value(f, dst) ? "present" : "absent",
			flag_value(f, src) ? "present" : "absent");
	case FIELD_GROUP:
		return table_compare(f->table, f->name, at_const(src, f), at_const(dst, f), err);
	case FIELD_INLINE:
		return table_compare(f->table, element, at_const(src, f), at_const(dst, f), err);
	case FIELD_OBJECT:
		return compare_object(f, element, src, dst, err);
	case FIELD_LIST:
		return compare_list(f, element, src, dst, err);
	case FIELD_CUSTOM:
		return compare_custom(f, element, src, dst, err);
	}
	return 0;
}

int table_compare(
	const struct table *t, const char *element, const void *src, const void *dst, struct error *err)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		if ((f->flags & FIELD_HOST) || (f->when && !f->when(src) && !f->when(dst)))
			continue;
		if (compare_field(f, element, src, dst, err) < 0)
			return -1;
	}
	return 0;
}
