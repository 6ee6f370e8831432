/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that say how a struct and an XML element correspond. One table serves both directions: what it lists is
 * read and written, and what it does not list is refused by name, so that nothing a user wrote is ever ignored.
 *
 * size: half of it is the macros that make a line of a table.
 *
 * A table's order is the order of writing. Attributes are read in that order too, so that a field's `when` may look
 * at fields before it.
 */
#pragma once

#include <stdbool.h>

#include "domain.h"
#include "enums.h"
#include "xml.h"

struct parse_context {
	unsigned flags; /* DOMAIN_PARSE_... */
	struct error *err;
};

struct format_context {
	struct xml_writer *w;
	unsigned flags; /* DOMAIN_FORMAT_... */
	const struct domain *domain;
};

enum field_kind {
	FIELD_ATTR,   /* an attribute */
	FIELD_TEXT,   /* the text of the element itself */
	FIELD_CHILD,  /* <name>value</name> */
	FIELD_FLAG,   /* <name/>, there or not: bool, or tristate when value is VALUE_ON_OFF */
	FIELD_GROUP,  /* <name>: a child with its own table, of the same struct (moved by `offset`) */
	FIELD_INLINE, /* another table of the same element, moved by `offset` */
	FIELD_OBJECT, /* <name>: a child of its own; pointer at `offset` */
	FIELD_LIST, /* any number of <name>; VEC at `offset`, of pointers, or of structs with FIELD_BY_VALUE;
			 .format writes the whole list, when given, and .parse reads it from one <name> */
	FIELD_CUSTOM, /* <name>, read and written by functions */
};

enum value_kind {
	VALUE_STRING,
	VALUE_ENUM,   /* .names */
	VALUE_BOOL,   /* bool, yes or no */
	VALUE_YES_NO, /* enum tristate */
	VALUE_ON_OFF, /* enum tristate */
	VALUE_U32,
	VALUE_I32,
	VALUE_U64,
	VALUE_I64,
	VALUE_CONSTANT, /* must be .constant; stored nowhere */
	VALUE_CALL,	/* .set and .get */
	VALUE_DROPPED,	/* any value; means nothing here */
};

enum {
	FIELD_ALWAYS = 1 << 0,	 /* written although it has its "not said" value */
	FIELD_REQUIRED = 1 << 1, /* an error when it is not there */
	FIELD_LIVE = 1 << 2,   /* read only with PARSE_LIVE (dropped without), not written to inactive XML */
	FIELD_SECRET = 1 << 3, /* written only with FORMAT_SECURE */
	FIELD_BY_VALUE = 1 << 4,
	FIELD_READ_ONLY = 1 << 5, /* read, never written: another spelling of another field */
	FIELD_EMPTY = 1 << 6,	  /* a group that is written even when it says nothing */
	FIELD_OWNED = 1 << 7,	  /* VALUE_CALL and FIELD_CUSTOM: what they store is the string at `offset` */
	FIELD_HOST = 1 << 8,	  /* the guest cannot see it: may differ between two runs of one state */
};

struct field {
	enum field_kind kind;
	const char *name;
	size_t offset;
	enum value_kind value;
	unsigned flags;
	size_t has;			 /* offset of a bool "has_x" plus one; 0 none */
	int64_t absent;			 /* numbers: the value that means "not said" */
	uint64_t min, max;		 /* numbers: both 0 means no limit but the type's */
	unsigned hex;			 /* numbers: write as 0x with so many digits, at least */
	const struct enum_names *names;	 /* enum: its words; string: the words it may be */
	bool (*valid)(const char *text); /* strings: may it be this? */
	const char *words;		 /* strings: what `valid` asks for, in words: "an address" */
	const char *constant;
	const struct table *table;
	bool (*when)(const void *object);
	int (*set)(struct parse_context *c, const xmlNode *node, void *object, const char *text);
	char *(*get)(const struct format_context *c, const void *object); /* NULL: not written */
	int (*parse)(struct parse_context *c, const xmlNode *node, void *object);
	void (*format)(const struct format_context *c, const void *object);
};

struct table {
	const struct field *fields;
	size_t n;
	size_t size;		    /* of the struct, for FIELD_OBJECT and FIELD_LIST */
	void (*init)(void *object); /* "not said" values that no `absent` gives */
	/* After all fields were read: contradictions inside this one object, and what follows from it alone. */
	int (*finish)(struct parse_context *c, const xmlNode *node, void *object);
};

/* clang-format off */
#define TABLE(array, type, ...) {.fields = (array), .n = ARRAY_SIZE(array), .size = sizeof(type), __VA_ARGS__}

/* Shorthands; T is the struct, m its member. */
#define ATTR(T, m, n, v, ...) \
	{.kind = FIELD_ATTR, .name = (n), .offset = offsetof(T, m), .value = (v), __VA_ARGS__}
#define ATTR_ENUM(T, m, n, e, ...) ATTR(T, m, n, VALUE_ENUM, .names = &(e), __VA_ARGS__)
#define ATTR_CONST(n, c, ...) \
	{.kind = FIELD_ATTR, .name = (n), .value = VALUE_CONSTANT, .constant = (c), __VA_ARGS__}
#define ATTR_CALL(n, s, g, ...) \
	{.kind = FIELD_ATTR, .name = (n), .value = VALUE_CALL, .set = (s), .get = (g), __VA_ARGS__}
/* .set stores a string in member m. */
#define ATTR_OWNED(T, m, n, s, g, ...)                                                                       \
	ATTR_CALL(n, s, g, .offset = offsetof(T, m), .flags = FIELD_OWNED | FIELD_HOST, __VA_ARGS__)
#define ATTR_DROPPED(n, ...) {.kind = FIELD_ATTR, .name = (n), .value = VALUE_DROPPED, __VA_ARGS__}
#define TEXT(T, m, v, ...) {.kind = FIELD_TEXT, .offset = offsetof(T, m), .value = (v), __VA_ARGS__}
#define CHILD(T, m, n, v, ...) \
	{.kind = FIELD_CHILD, .name = (n), .offset = offsetof(T, m), .value = (v), __VA_ARGS__}
#define FLAG(T, m, n, ...) \
	{.kind = FIELD_FLAG, .name = (n), .offset = offsetof(T, m), .value = VALUE_BOOL, __VA_ARGS__}
#define GROUP(n, t, ...) {.kind = FIELD_GROUP, .name = (n), .table = &(t), __VA_ARGS__}
#define INCLUDE(t, ...) {.kind = FIELD_INLINE, .table = &(t), __VA_ARGS__}
#define INLINE(T, m, t) {.kind = FIELD_INLINE, .offset = offsetof(T, m), .table = &(t)}
#define OBJECT(T, m, n, t, ...) \
	{.kind = FIELD_OBJECT, .name = (n), .offset = offsetof(T, m), .table = &(t), __VA_ARGS__}
#define LIST(T, m, n, t, ...) \
	{.kind = FIELD_LIST, .name = (n), .offset = offsetof(T, m), .table = &(t), __VA_ARGS__}
#define CUSTOM(n, p, f, ...) {.kind = FIELD_CUSTOM, .name = (n), .parse = (p), .format = (f), __VA_ARGS__}
/* clang-format on */
/* Writes to member m. */
#define CUSTOM_OWNED(T, m, n, p, f)                                                                          \
	CUSTOM(n, p, f, .offset = offsetof(T, m), .flags = FIELD_OWNED | FIELD_HOST)
#define HAS(T, m) .has = offsetof(T, m) + 1

/* More devices of one kind than this are refused: all checks may then compare each with each. */
#define FIELD_LIST_MAX 1024

/* The struct at `object`: defaults in, release of all strings, objects and lists, and a deep copy over `dst`. */
void table_init(const struct table *t, void *object);
void table_fini(const struct table *t, void *object);
void table_copy(const struct table *t, void *dst, const void *src);

int table_parse(struct parse_context *c, const struct table *t, const xmlNode *node, void *object);
void table_format(const struct format_context *c, const struct table *t, const void *object);

/* The text of a field, as table_format would write it; NULL when it says nothing. For FIELD_ATTR, TEXT and CHILD. */
char *field_format_value(const struct format_context *c, const struct field *f, const void *object);

/*
 * -1 and ERROR_UNSUPPORTED_CONFIG naming the first difference that a guest could see. A field counts as seen until its
 * table says FIELD_HOST.
 */
int table_compare(
	const struct table *t, const char *element, const void *src, const void *dst, struct error *err);

/* For custom parsers: mark what was understood; the rest is refused. */
void field_take_attr(const xmlNode *node, const char *name);
void field_take_child(const xmlNode *child);
int field_check_rest(struct parse_context *c, const xmlNode *node, bool text_allowed);

/* For .valid. A word is at most 80 of A-Z a-z 0-9 - . _ and starts no option; a path is absolute; a line has no control characters. */
bool text_is_word(const char *text);
bool text_is_path(const char *text);
bool text_is_line(const char *text);

/* All errors of this room: ERROR_XML and ERROR_UNSUPPORTED_CONFIG. With a node the text ends in " (line N)". */
int field_invalid(struct parse_context *c, const xmlNode *node, const char *fmt, ...) _printf_(3, 4);
int field_unsupported(struct parse_context *c, const xmlNode *node, const char *fmt, ...) _printf_(3, 4);
