/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same file or another one, as two hosts see it. */
#include "check.h"
#include "tap.h"

static enum check_status same(json *here, json *there, bool same_kernel)
{
	const char *why;
	enum check_status status = check_same_file(here, there, same_kernel, &why);

	json_object_put(here);
	json_object_put(there);
	return status;
}

static json *file(uint64_t device, uint64_t inode, bool shared, const char *handle)
{
	return json_pack("s:kind", "file", "u:device", device, "u:inode", inode, "u:size", (uint64_t)512,
		"b:shared", shared, "s:handle", handle, NULL);
}

static json *block(const char *wwid, uint64_t size)
{
	return json_pack("s:kind", "block", "u:device", (uint64_t)8, "u:size", size, "s:wwid", wwid, NULL);
}

int main(void)
{
	is_int(same(file(1, 7, false, NULL), file(1, 7, false, NULL), true), CHECK_OK,
		"one kernel: device and inode");
	is_int(same(file(1, 7, true, "1:a"), file(2, 7, true, "1:a"), true), CHECK_FAILURE,
		"one kernel: another device");
	is_int(same(file(1, 7, false, "1:a"), file(1, 7, false, "1:a"), false), CHECK_FAILURE,
		"two hosts, file systems of their own");
	is_int(same(file(1, 7, true, "1:a"), file(1, 7, false, "1:a"), false), CHECK_FAILURE,
		"shared at one of them only");
	is_int(same(file(1, 7, true, "1:a"), file(2, 7, true, "1:a"), false), CHECK_OK,
		"shared, the same handle");
	is_int(same(file(1, 7, true, "1:a"), file(2, 8, true, "1:b"), false), CHECK_FAILURE,
		"shared, another inode");
	is_int(same(file(1, 7, true, NULL), file(2, 7, true, "1:b"), false), CHECK_WARNING,
		"shared, no handle");
	is_int(same(block("naa.1", 512), block("naa.1", 512), false), CHECK_OK, "the same WWID");
	is_int(same(block("naa.1", 512), block("naa.2", 512), false), CHECK_FAILURE, "another WWID");
	is_int(same(block(NULL, 512), block("naa.2", 512), false), CHECK_WARNING, "no WWID");
	is_int(same(block(NULL, 512), block(NULL, 1024), false), CHECK_FAILURE, "another size");
	is_int(same(block(NULL, 512), file(1, 7, true, NULL), false), CHECK_FAILURE, "another kind");
	return done_testing();
}
