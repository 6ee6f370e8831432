/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows of a check's table (check.h). */
#include <stdarg.h>

#include "alloc.h"
#include "buf.h"
#include "check.h"

void check_add(json *rows, enum check_status status, unsigned flags, const char *what, const char *advice,
	const char *fmt, ...)
{
	static const char *const names[] = {
		[CHECK_OK] = "ok", [CHECK_WARNING] = "warning", [CHECK_FAILURE] = "failure"};
	_cleanup_free_ char *found = NULL;
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	found = buf_take(&text);
	json_object_array_add(rows,
		json_pack("s:what", what, "s:status", names[status], "s:found", found, "b:storage",
			!!(flags & CHECK_STORAGE), "s:advice", status == CHECK_OK ? NULL : advice, NULL));
}

void check_add_all(json *rows, json *more)
{
	JSON_FOREACH (row, more)
		json_object_array_add(rows, json_object_get(row));
}
