/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <lease>: what a VM must hold besides its disks. */
#include <limits.h>

#include "schema.h"
#include "strv.h"

/* Lock managers make file names of these. */
static bool is_lease_name(const char *text)
{
	return *text && strlen(text) <= NAME_MAX && text_is_line(text) && !strchr(text, '/') &&
	       !streq(text, ".") && !streq(text, "..");
}

#define LEASE_NAME(member)                                                                                   \
	CHILD(struct lease_element, member, #member, VALUE_STRING, .valid = is_lease_name,                   \
		.words = "a name of at most 255 bytes without '/'", .flags = FIELD_REQUIRED)

static const struct field lease_target_fields[] = {
	ATTR(struct lease_element, path, "path", VALUE_STRING, .valid = text_is_path,
		.words = "an absolute path", .flags = FIELD_REQUIRED),
	ATTR(struct lease_element, offset, "offset", VALUE_U64),
};
static const struct table lease_target_table = TABLE(lease_target_fields, struct lease_element);

static const struct field lease_fields[] = {
	LEASE_NAME(lockspace),
	LEASE_NAME(key),
	GROUP("target", lease_target_table, .flags = FIELD_REQUIRED),
};
const struct table lease_table = TABLE(lease_fields, struct lease_element);
