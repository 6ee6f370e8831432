/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists and records, as text in virsh's shape or as JSON. */
#include "report.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <wchar.h>

#include "alloc.h"

void list_report_init(struct list_report *l, bool as_json, size_t columns, const char *const *titles,
	const char *const *keys)
{
	*l = (struct list_report){.as_json = as_json, .columns = columns};
	l->titles = xcalloc(columns, sizeof(l->titles[0]));
	l->keys = xcalloc(columns, sizeof(l->keys[0]));
	for (size_t i = 0; i < columns; i++) {
		l->titles[i] = xstrdup(titles[i]);
		l->keys[i] = xstrdup(keys[i]);
	}
	if (as_json)
		l->rows = json_object_new_array();
}

void list_report_fini(struct list_report *l)
{
	for (size_t i = 0; i < l->columns; i++) {
		free(l->titles[i]);
		free(l->keys[i]);
	}
	for (size_t i = 0; i < l->n_cells; i++)
		free(l->cells[i]);
	free(l->titles);
	free(l->keys);
	free(l->cells);
	json_object_put(l->rows);
	json_object_put(l->row);
	*l = (struct list_report){0};
}

void list_report_shown_as(struct list_report *l, const char *text, json *value)
{
	const char *key = l->keys[l->column];

	if (l->as_json && key) {
		if (!l->row)
			l->row = json_object_new_object();
		json_object_object_add(l->row, key, value);
	} else {
		json_object_put(value);
	}
	if (!l->as_json) {
		l->cells = xrealloc(l->cells, l->n_cells + 1, sizeof(l->cells[0]));
		l->cells[l->n_cells++] = xstrdup(text);
	}
	if (++l->column < l->columns)
		return;
	l->column = 0;
	if (l->row)
		json_object_array_add(l->rows, TAKE_PTR(l->row));
}

void list_report_string(struct list_report *l, const char *text)
{
	list_report_shown_as(l, text, l->as_json && text ? json_object_new_string(text) : NULL);
}

size_t text_width(const char *text)
{
	size_t width = 0;
	mbstate_t state = {0};

	while (*text) {
		wchar_t c;
		size_t n = mbrtowc(&c, text, strlen(text), &state);
		int w;

		if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
			/* not text in this locale: count bytes */
			state = (mbstate_t){0};
			text++;
			width++;
			continue;
		}
		w = wcwidth(c);
		width += w > 0 ? (size_t)w : 0;
		text += n;
	}
	return width;
}

/* One line: a space, then cells padded to their column, three spaces apart; nothing behind the last one's text. */
static void add_line(struct buf *out, const struct list_report *l, char *const *cells, const size_t *widths)
{
	size_t last = 0;

	for (size_t i = 0; i < l->columns; i++)
		if (l->titles[i])
			last = i;
	for (size_t i = 0; i < l->columns; i++) {
		const char *text = cells[i] ? cells[i] : "";

		if (!l->titles[i])
			continue;
		buf_addf(out, " %s", text);
		if (i < last)
			buf_addf(out, "%*s", (int)(widths[i] - text_width(text)) + 2, "");
	}
	buf_adds(out, "\n");
}

char *list_report_format(struct list_report *l)
{
	struct buf out = {0};
	_cleanup_free_ size_t *widths = NULL;
	size_t total = 0;

	assert(l->column == 0);
	if (l->as_json)
		return json_format_pretty(l->rows);
	widths = xcalloc(l->columns, sizeof(widths[0]));
	for (size_t i = 0; i < l->columns; i++) {
		if (!l->titles[i])
			continue;
		widths[i] = l->headless ? 0 : text_width(l->titles[i]);
		for (size_t c = i; c < l->n_cells; c += l->columns) {
			size_t width = l->cells[c] ? text_width(l->cells[c]) : 0;

			if (width > widths[i])
				widths[i] = width;
		}
		total += widths[i] + 3;
	}
	if (!l->headless) {
		add_line(&out, l, l->titles, widths);
		for (size_t i = 0; i < total; i++)
			buf_adds(&out, "-");
		buf_adds(&out, "\n");
	}
	for (size_t c = 0; c < l->n_cells; c += l->columns)
		add_line(&out, l, l->cells + c, widths);
	return buf_take(&out);
}

void record_init(struct record *r, bool as_json, int width)
{
	*r = (struct record){.as_json = as_json, .width = width};
	if (as_json)
		r->object = json_object_new_object();
}

void record_fini(struct record *r)
{
	buf_fini(&r->text);
	json_object_put(r->object);
	r->object = NULL;
}

void record_shown_as(struct record *r, const char *label, const char *key, json *value, const char *fmt, ...)
{
	va_list ap;

	if (r->as_json) {
		if (key)
			json_object_object_add(r->object, key, value);
		else
			json_object_put(value);
		return;
	}
	json_object_put(value);
	if (!label)
		return;
	buf_addf(&r->text, "%-*s", r->width, label);
	va_start(ap, fmt);
	buf_addv(&r->text, fmt, ap);
	va_end(ap);
	buf_adds(&r->text, "\n");
}

void record_string(struct record *r, const char *label, const char *key, const char *value)
{
	record_shown_as(r, label, key, r->as_json && value ? json_object_new_string(value) : NULL, "%s",
		value ? value : "");
}

char *record_format(struct record *r)
{
	return r->as_json ? json_format_pretty(r->object) : buf_take(&r->text);
}

char *json_format_pretty(json *o)
{
	return xasprintf("%s\n",
		json_object_to_json_string_ext(o,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
}

double scale_bytes(uint64_t bytes, const char **ret_unit)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	*ret_unit = units[unit];
	return value;
}
