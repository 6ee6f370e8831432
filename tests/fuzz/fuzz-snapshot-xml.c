/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshot XML from a client or a metadata file: what is accepted is written so that it is read again as the same. */
#include <assert.h>

#include "snapshot.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *xml, size_t len, unsigned flags)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = NULL, *again = NULL, *copy = NULL;
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL;
	struct error err = ERROR_INIT;
	unsigned format = SNAPSHOT_FORMAT_SECURE;
	bool current = false;

	if (snapshot_parse(xml, len, flags, &s, &current, &err) < 0) {
		assert(!s && !strchr(err.message, '\n'));
		assert(err.code == ERROR_XML || err.code == ERROR_UNSUPPORTED_CONFIG);
		return;
	}
	if (!(flags & SNAPSHOT_PARSE_REDEFINE))
		return;
	if (flags & SNAPSHOT_PARSE_INTERNAL)
		format |= SNAPSHOT_FORMAT_INTERNAL;
	first = snapshot_format(s, format, current);
	assert(snapshot_parse(first, strlen(first), flags, &again, &current, &err) == 0);
	second = snapshot_format(again, format, current);
	copy = snapshot_copy(s);
	third = snapshot_format(copy, format, current);
	assert(streq(first, second) && streq(first, third));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *xml = (const char *)data;

	check(xml, size, 0);
	check(xml, size, SNAPSHOT_PARSE_DISK_ONLY);
	check(xml, size, SNAPSHOT_PARSE_REDEFINE);
	check(xml, size, SNAPSHOT_PARSE_REDEFINE | SNAPSHOT_PARSE_INTERNAL);
	return 0;
}
