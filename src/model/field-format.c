/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing an element by its table. */
#include "field-internal.h"
#include "field.h"

static const char *tristate_word(const struct field *f, enum tristate v)
{
	if (v == TRISTATE_ABSENT)
		return NULL;
	if (f->value == VALUE_ON_OFF)
		return v == TRISTATE_ON ? "on" : "off";
	return v == TRISTATE_ON ? "yes" : "no";
}

static char *format_enum(const struct field *f, const void *object)
{
	unsigned v = *(const unsigned *)at_const(object, f);

	if ((v == 0 && !(f->flags & FIELD_ALWAYS)) || !*enum_name(f->names, v))
		return NULL;
	return xstrdup(enum_name(f->names, v));
}

static char *format_number(const struct field *f, const void *object)
{
	const void *p = at_const(object, f);
	int64_t number = 0; /* unsigned 64-bit numbers keep their bits */
	bool said;

	if (f->value == VALUE_U32)
		number = *(const uint32_t *)p;
	else if (f->value == VALUE_I32)
		number = *(const int32_t *)p;
	else
		number = *(const int64_t *)p;
	said = f->has ? *((const bool *)object + f->has - 1) : number != f->absent;
	if (!said && !(f->flags & FIELD_ALWAYS))
		return NULL;
	if (f->hex)
		return xasprintf("0x%0*llx", (int)f->hex, (unsigned long long)number);
	if (f->value == VALUE_U64)
		return xasprintf("%llu", (unsigned long long)number);
	return xasprintf("%lld", (long long)number);
}

char *field_format_value(const struct format_context *c, const struct field *f, const void *object)
{
	const void *p = at_const(object, f);

	if ((f->flags & FIELD_LIVE) && (c->flags & DOMAIN_FORMAT_INACTIVE))
		return NULL;
	if (((f->flags & FIELD_SECRET) && !(c->flags & DOMAIN_FORMAT_SECURE)) || (f->flags & FIELD_READ_ONLY))
		return NULL;
	switch (f->value) {
	case VALUE_STRING:
		return xstrdup(*(char *const *)p);
	case VALUE_ENUM:
		return format_enum(f, object);
	case VALUE_BOOL:
		if (!*(const bool *)p && !(f->flags & FIELD_ALWAYS))
			return NULL;
		return xstrdup(*(const bool *)p ? "yes" : "no");
	case VALUE_YES_NO:
	case VALUE_ON_OFF:
		return xstrdup(tristate_word(f, *(const enum tristate *)p));
	case VALUE_U32:
	case VALUE_I32:
	case VALUE_U64:
	case VALUE_I64:
		return format_number(f, object);
	case VALUE_CONSTANT:
		return f->flags & FIELD_ALWAYS ? xstrdup(f->constant) : NULL;
	case VALUE_CALL:
		return f->get ? f->get(c, object) : NULL;
	case VALUE_DROPPED:
		break;
	}
	return NULL;
}

static bool flag_is_set(const struct field *f, const void *object)
{
	if (f->value == VALUE_BOOL)
		return *(const bool *)at_const(object, f);
	return *(const enum tristate *)at_const(object, f) == TRISTATE_ON;
}

/* A group that says nothing is taken back, start tag and all. */
static void format_group(const struct format_context *c, const struct field *f, const void *object)
{
	struct xml_writer before = *c->w;
	size_t start = c->w->out->len, empty;
	bool keep = (f->flags & FIELD_EMPTY) || (f->has && *((const bool *)object + f->has - 1));

	xml_begin(c->w, f->name);
	empty = c->w->out->len;
	table_format(c, f->table, at_const(object, f));
	if (c->w->out->len == empty && !keep) {
		c->w->out->len = start;
		c->w->out->data[start] = '\0';
		*c->w = before;
		return;
	}
	xml_end(c->w, f->name);
}

static void format_object(
	const struct format_context *c, const char *name, const struct table *t, const void *object)
{
	xml_begin(c->w, name);
	table_format(c, t, object);
	xml_end(c->w, name);
}

static void format_list(const struct format_context *c, const struct field *f, const void *object)
{
	struct any_vec v;

	if (f->format) {
		f->format(c, object);
		return;
	}
	memcpy(&v, at_const(object, f), sizeof(v));
	for (size_t i = 0; i < v.n; i++)
		format_object(c, f->name, f->table, vec_item(f, &v, i));
}

static void format_field(const struct format_context *c, const struct field *f, const void *object)
{
	_cleanup_free_ char *value = NULL;
	const void *const *p;

	switch (f->kind) {
	case FIELD_ATTR:
		value = field_format_value(c, f, object);
		xml_put_attr(c->w, f->name, value);
		break;
	case FIELD_TEXT:
		value = field_format_value(c, f, object);
		if (value)
			xml_put_text(c->w, value);
		break;
	case FIELD_CHILD:
		value = field_format_value(c, f, object);
		xml_element(c->w, f->name, value);
		break;
	case FIELD_FLAG:
		if (flag_is_set(f, object))
			xml_element(c->w, f->name, "");
		break;
	case FIELD_GROUP:
		format_group(c, f, object);
		break;
	case FIELD_INLINE:
		table_format(c, f->table, at_const(object, f));
		break;
	case FIELD_OBJECT:
		p = at_const(object, f);
		if (*p)
			format_object(c, f->name, f->table, *p);
		break;
	case FIELD_LIST:
		format_list(c, f, object);
		break;
	case FIELD_CUSTOM:
		if (f->format)
			f->format(c, object);
		break;
	}
}

void table_format(const struct format_context *c, const struct table *t, const void *object)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];

		if (!f->when || f->when(object))
			format_field(c, f, object);
	}
}
