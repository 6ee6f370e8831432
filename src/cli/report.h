/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What commands print: lists and records, as text in virsh's shape or as JSON. A command fills one of these and
 * prints it once; which form it takes is decided here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"

/* ---- a list: one row per object ---- */

struct list_report {
	bool as_json;
	bool headless; /* rows only; set before formatting */
	char **titles; /* NULL title: in JSON only */
	char **keys;
	size_t columns;
	char **cells; /* text, row by row; NULL prints as nothing */
	json *rows;   /* JSON only */
	json *row;    /* the one being filled */
	size_t n_cells;
	size_t column;
};

/* `titles` and `keys` have `columns` entries and are copied. */
void list_report_init(struct list_report *l, bool as_json, size_t columns, const char *const *titles,
	const char *const *keys);
void list_report_fini(struct list_report *l);
/* Cells from left to right; after the last one the next row begins. `text` is what people see (NULL: empty),
 * the value what programs get. */
void list_report_string(struct list_report *l, const char *text); /* the same for both; JSON null for NULL */
void list_report_shown_as(
	struct list_report *l, const char *text, json *value); /* `value` is owned from here on */
/* The finished text: a header, a line, the rows; or a JSON array. Ends in a newline. Owned by the caller. */
char *list_report_format(struct list_report *l);

/* ---- a record: "Label:   value" lines ---- */

struct record {
	bool as_json;
	int width; /* of label and colon together, including the spaces behind */
	struct buf text;
	json *object;
};

void record_init(struct record *r, bool as_json, int width);
void record_fini(struct record *r);
/* `label` NULL: JSON only. `key` NULL: text only. */
void record_string(struct record *r, const char *label, const char *key, const char *value);
/* Text by a format, the value (owned from here on) for JSON. */
void record_shown_as(struct record *r, const char *label, const char *key, json *value, const char *fmt, ...)
	_printf_(5, 6);
char *record_format(struct record *r); /* owned by the caller */

/* An indented JSON text with a newline at its end; owned by the caller. */
char *json_format_pretty(json *o);

/* Columns that a UTF-8 text takes on a terminal. */
size_t text_width(const char *text);

/* "1.234 GiB"-like: the largest binary unit that leaves at least 1 before the point. */
double scale_bytes(uint64_t bytes, const char **ret_unit);
