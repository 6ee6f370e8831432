/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an element by its table. What no field took is refused at the end. */
#include "field.h"

#include <stdarg.h>

#include "field-internal.h"
#include "strv.h"

/* ---- messages ---- */

/* Bytes of the UTF-8 sequence at `s`; 0 when it is cut off or none. */
static size_t sequence_length(const char *s)
{
	unsigned char c = (unsigned char)*s;
	size_t len = c < 0x80		  ? 1
		     : (c & 0xe0) == 0xc0 ? 2
		     : (c & 0xf0) == 0xe0 ? 3
		     : (c & 0xf8) == 0xf0 ? 4
					  : 0;

	for (size_t i = 1; i < len; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* Messages quote what they are about, whatever it is, and cut it anywhere: make one line of UTF-8 of it. */
static void make_line(struct buf *text)
{
	for (size_t i = 0; i < text->len;) {
		size_t len = sequence_length(text->data + i);

		if (len == 0 || (unsigned char)text->data[i] < ' ' || text->data[i] == 0x7f)
			text->data[i] = len == 0 ? '?' : ' ';
		i += len ? len : 1;
	}
}

static int fail(struct parse_context *c, enum error_code code, const xmlNode *node, const char *fmt,
	va_list ap) _printf_(4, 0);
static int fail(
	struct parse_context *c, enum error_code code, const xmlNode *node, const char *fmt, va_list ap)
{
	_cleanup_(buf_fini) struct buf text = {0};

	buf_addv(&text, fmt, ap);
	make_line(&text);
	if (node)
		buf_addf(&text, " (line %ld)", xmlGetLineNo(node));
	return error_set(c->err, code, "%s", text.data);
}

int field_invalid(struct parse_context *c, const xmlNode *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(c, ERROR_XML, node, fmt, ap);
	va_end(ap);
	return -1;
}

int field_unsupported(struct parse_context *c, const xmlNode *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(c, ERROR_UNSUPPORTED_CONFIG, node, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- what was understood, and what is left ---- */

/* Only its address counts: it marks nodes of the document being read. */
static const char taken;

static bool is_taken(const xmlNode *child)
{
	return child->_private == &taken;
}

void field_take_child(const xmlNode *child)
{
	((xmlNode *)child)->_private = (void *)&taken;
}

void field_take_attr(const xmlNode *node, const char *name)
{
	xmlAttr *attr = xmlHasProp(node, BAD_CAST name);

	if (attr)
		attr->_private = (void *)&taken;
}

static bool is_blank(const xmlChar *text)
{
	return !text || text[strspn((const char *)text, " \t\r\n")] == '\0';
}

static int refuse_attr(struct parse_context *c, const xmlNode *node, const xmlAttr *attr)
{
	return field_unsupported(c, node, "attribute '%s%s%.80s' of <%s> is not supported",
		attr->ns && attr->ns->prefix ? (const char *)attr->ns->prefix : "", attr->ns ? ":" : "",
		(const char *)attr->name, (const char *)node->name);
}

static int refuse_child(struct parse_context *c, const xmlNode *node, const xmlNode *child)
{
	XML_FOREACH (other, node)
		if (is_taken(other) && xmlStrEqual(other->name, child->name))
			return field_invalid(c, child, "element <%s> appears more than once in <%s>",
				(const char *)child->name, (const char *)node->name);
	return field_unsupported(c, child, "element <%s%s%.80s> in <%s> is not supported",
		child->ns && child->ns->prefix ? (const char *)child->ns->prefix : "", child->ns ? ":" : "",
		(const char *)child->name, (const char *)node->name);
}

int field_check_rest(struct parse_context *c, const xmlNode *node, bool text_allowed)
{
	for (const xmlAttr *attr = node->properties; attr; attr = attr->next)
		if (attr->_private != &taken)
			return refuse_attr(c, node, attr);
	for (const xmlNode *child = node->children; child; child = child->next) {
		bool is_text = child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE;

		if (child->type == XML_ELEMENT_NODE && !is_taken(child))
			return refuse_child(c, node, child);
		if (is_text && !text_allowed && !is_blank(child->content))
			return field_invalid(c, node, "element <%s> holds text, where none belongs",
				(const char *)node->name);
	}
	return 0;
}

/* ---- values ---- */

/* "attribute 'x' of <y>", "<y>": what a value's message is about. */
static void describe(const struct field *f, const xmlNode *node, char text[160])
{
	if (f->kind == FIELD_ATTR)
		snprintf(text, 160, "attribute '%s' of <%.60s>", f->name, (const char *)node->name);
	else
		snprintf(text, 160, "element <%.60s>", f->name ? f->name : (const char *)node->name);
}

static int refuse_word(struct parse_context *c, const struct field *f, const xmlNode *node, const char *value)
{
	_cleanup_(buf_fini) struct buf words = {0};
	char where[160];

	describe(f, node, where);
	for (unsigned i = 0; i < f->names->n; i++)
		if (*enum_name(f->names, i))
			buf_addf(&words, "%s%s", words.len ? ", " : "", enum_name(f->names, i));
	return field_unsupported(
		c, node, "value '%.80s' of %s is not supported, only: %s", value, where, words.data);
}

static const char *kind_of(const struct field *f)
{
	if (f->words)
		return f->words;
	if (f->valid == text_is_path)
		return "an absolute path";
	if (f->valid == text_is_word)
		return "a word of letters, digits and '-._'";
	return "one line of text";
}

static int parse_string(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value, void *object)
{
	unsigned ignored;
	char where[160];

	if (f->names && !enum_parse(f->names, value, &ignored))
		return refuse_word(c, f, node, value);
	if (f->valid && !f->valid(value)) {
		describe(f, node, where);
		return field_invalid(c, node, "%s: '%.200s' is not %s", where, value, kind_of(f));
	}
	replace_string(at(object, f), value);
	return 0;
}

static bool read_signed(const char *text, int64_t *ret)
{
	uint64_t number;

	if (parse_i64(text, ret))
		return true;
	if (!parse_u64(text, &number) || number > INT64_MAX)
		return false;
	*ret = (int64_t)number; /* it was hexadecimal */
	return true;
}

static int parse_number(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value, void *object)
{
	bool is_signed = f->value == VALUE_I32 || f->value == VALUE_I64;
	bool narrow = f->value == VALUE_U32 || f->value == VALUE_I32;
	int64_t low = (int64_t)f->min;
	uint64_t high = f->max;
	uint64_t number = 0;
	int64_t with_sign = 0;
	char where[160];
	bool good;

	if (!f->min && !f->max && is_signed)
		low = narrow ? INT32_MIN : INT64_MIN;
	if (!f->max)
		high = is_signed ? (narrow ? INT32_MAX : INT64_MAX) : (narrow ? UINT32_MAX : UINT64_MAX);
	if (is_signed) {
		good = read_signed(value, &with_sign) && with_sign >= low && with_sign <= (int64_t)high;
		number = (uint64_t)with_sign;
	} else {
		good = parse_u64(value, &number) && number >= f->min && number <= high;
	}
	if (good) {
		number_store(f, object, number);
		return 0;
	}
	describe(f, node, where);
	if (is_signed)
		return field_invalid(c, node, "%s: '%.80s' is not a number from %lld to %llu", where, value,
			(long long)low, (unsigned long long)high);
	return field_invalid(c, node, "%s: '%.80s' is not a number from %llu to %llu", where, value,
		(unsigned long long)f->min, (unsigned long long)high);
}

static int parse_switch(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value, void *object)
{
	const char *yes = f->value == VALUE_ON_OFF ? "on" : "yes";
	const char *no = f->value == VALUE_ON_OFF ? "off" : "no";
	char where[160];

	if (!streq(value, yes) && !streq(value, no)) {
		describe(f, node, where);
		return field_invalid(c, node, "%s: '%.80s' is neither '%s' nor '%s'", where, value, yes, no);
	}
	if (f->value == VALUE_BOOL)
		*(bool *)at(object, f) = streq(value, yes);
	else
		*(enum tristate *)at(object, f) = streq(value, yes) ? TRISTATE_ON : TRISTATE_OFF;
	return 0;
}

static int parse_constant(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value)
{
	char where[160];

	if (streq(value, f->constant))
		return 0;
	describe(f, node, where);
	return field_unsupported(
		c, node, "value '%.80s' of %s is not supported, only: %s", value, where, f->constant);
}

static int parse_enum(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value, void *object)
{
	unsigned number;

	if (!enum_parse(f->names, value, &number))
		return refuse_word(c, f, node, value);
	*(unsigned *)at(object, f) = number;
	return 0;
}

/* `node` is the element that holds the attribute or the text. */
static int parse_value(
	struct parse_context *c, const struct field *f, const xmlNode *node, const char *value, void *object)
{
	int r = 0;

	if ((f->flags & FIELD_LIVE) && !(c->flags & DOMAIN_PARSE_LIVE))
		return 0;
	switch (f->value) {
	case VALUE_STRING:
		r = parse_string(c, f, node, value, object);
		break;
	case VALUE_ENUM:
		r = parse_enum(c, f, node, value, object);
		break;
	case VALUE_BOOL:
	case VALUE_YES_NO:
	case VALUE_ON_OFF:
		r = parse_switch(c, f, node, value, object);
		break;
	case VALUE_U32:
	case VALUE_I32:
	case VALUE_U64:
	case VALUE_I64:
		r = parse_number(c, f, node, value, object);
		break;
	case VALUE_CONSTANT:
		r = parse_constant(c, f, node, value);
		break;
	case VALUE_CALL:
		r = f->set(c, node, object, value);
		break;
	case VALUE_DROPPED:
		break;
	}
	if (r == 0 && f->has)
		*((bool *)object + f->has - 1) = true;
	return r;
}

/* ---- fields ---- */

static int parse_attr(struct parse_context *c, const struct field *f, const xmlNode *node, void *object)
{
	_cleanup_free_ char *value = xml_attr(node, f->name);

	if (!value) {
		if (f->flags & FIELD_REQUIRED)
			return field_invalid(c, node, "element <%s> has no attribute '%s'",
				(const char *)node->name, f->name);
		return 0;
	}
	field_take_attr(node, f->name);
	return parse_value(c, f, node, value, object);
}

static int parse_text(struct parse_context *c, const struct field *f, const xmlNode *node, void *object)
{
	_cleanup_free_ char *value = xml_text(node);

	if (value)
		return parse_value(c, f, node, value, object);
	if (f->flags & FIELD_REQUIRED)
		return field_invalid(c, node, "element <%s> is empty", (const char *)node->name);
	return 0;
}

static int parse_child_text(
	struct parse_context *c, const struct field *f, const xmlNode *child, void *object)
{
	if (parse_text(c, f, child, object) < 0)
		return -1;
	return field_check_rest(c, child, true);
}

static int parse_flag(struct parse_context *c, const struct field *f, const xmlNode *child, void *object)
{
	if (f->value == VALUE_BOOL)
		*(bool *)at(object, f) = true;
	else
		*(enum tristate *)at(object, f) = TRISTATE_ON;
	return field_check_rest(c, child, false);
}

static int parse_object(struct parse_context *c, const struct field *f, const xmlNode *child, void *object)
{
	void **p = at(object, f);

	*p = xcalloc(1, f->table->size);
	table_init(f->table, *p);
	return table_parse(c, f->table, child, *p);
}

static int parse_list(struct parse_context *c, const struct field *f, const xmlNode *node, void *object)
{
	struct any_vec v;

	XML_FOREACH (child, node) {
		void *item;

		if (!xml_is(child, f->name))
			continue;
		memcpy(&v, at(object, f), sizeof(v));
		if (v.n >= FIELD_LIST_MAX)
			return field_invalid(c, child, "more than %d elements <%s> in <%s>", FIELD_LIST_MAX,
				f->name, (const char *)node->name);
		field_take_child(child);
		vec_grow_(&v.items, v.n, f->flags & FIELD_BY_VALUE ? f->table->size : sizeof(void *));
		if (f->flags & FIELD_BY_VALUE) {
			memset((char *)v.items + v.n * f->table->size, 0, f->table->size);
		} else {
			item = xcalloc(1, f->table->size);
			memcpy((char *)v.items + v.n * sizeof(void *), &item, sizeof(void *));
		}
		v.n++;
		memcpy(at(object, f), &v, sizeof(v));
		item = vec_item(f, &v, v.n - 1);
		table_init(f->table, item);
		if (table_parse(c, f->table, child, item) < 0)
			return -1;
	}
	return 0;
}

static int parse_child(struct parse_context *c, const struct field *f, const xmlNode *node, void *object)
{
	const xmlNode *child = xml_child(node, f->name);

	/* Another field may have the same name under another condition. */
	if (!child || is_taken(child)) {
		if (!child && (f->flags & FIELD_REQUIRED))
			return field_invalid(c, node, "element <%s> is missing in <%s>", f->name,
				(const char *)node->name);
		return 0;
	}
	field_take_child(child);
	switch (f->kind) {
	case FIELD_CHILD:
		return parse_child_text(c, f, child, object);
	case FIELD_FLAG:
		return parse_flag(c, f, child, object);
	case FIELD_GROUP:
		if (f->has)
			*((bool *)object + f->has - 1) = true;
		return table_parse(c, f->table, child, at(object, f));
	case FIELD_OBJECT:
		return parse_object(c, f, child, object);
	case FIELD_CUSTOM:
	case FIELD_LIST:
		return f->parse(c, child, object);
	case FIELD_ATTR:
	case FIELD_TEXT:
	case FIELD_INLINE:
		break;
	}
	return 0;
}

/* Whether the table, or one it includes, reads the element's own text. */
static bool has_text(const struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->fields[i].kind == FIELD_TEXT ||
			(t->fields[i].kind == FIELD_INLINE && has_text(t->fields[i].table)))
			return true;
	return false;
}

static int parse_fields(struct parse_context *c, const struct table *t, const xmlNode *node, void *object)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->fields[i];
		int r;

		if (f->when && !f->when(object))
			continue;
		if (f->kind == FIELD_ATTR)
			r = parse_attr(c, f, node, object);
		else if (f->kind == FIELD_TEXT)
			r = parse_text(c, f, node, object);
		else if (f->kind == FIELD_INLINE)
			r = parse_fields(c, f->table, node, at(object, f));
		else if (f->kind == FIELD_LIST && !f->parse)
			r = parse_list(c, f, node, object);
		else
			r = parse_child(c, f, node, object);
		if (r < 0)
			return -1;
	}
	return 0;
}

int table_parse(struct parse_context *c, const struct table *t, const xmlNode *node, void *object)
{
	if (parse_fields(c, t, node, object) < 0)
		return -1;
	if (field_check_rest(c, node, has_text(t)) < 0)
		return -1;
	return t->finish ? t->finish(c, node, object) : 0;
}
