/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same file, not just the same path: docs/decisions/same-file.md says how that is told. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "alloc.h"
#include "allowed.h"
#include "buf.h"
#include "check.h"
#include "strv.h"

/* Hexadecimal, with its type in front; NULL where the file system has none. Caller frees. */
static char *read_handle(const char *path)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.handle.handle_bytes = MAX_HANDLE_SZ};
	const uint8_t *bytes = (const uint8_t *)u.room + offsetof(struct file_handle, f_handle);
	struct buf text = {0};
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, path, &u.handle, &mount_id, AT_SYMLINK_FOLLOW) < 0)
		return NULL;
	buf_addf(&text, "%d:", u.handle.handle_type);
	for (unsigned i = 0; i < u.handle.handle_bytes && i < MAX_HANDLE_SZ; i++)
		buf_addf(&text, "%02x", bytes[i]);
	return buf_take(&text);
}

/* The first line of a file of /sys/dev/block; NULL when there is none. Caller frees. */
static char *read_block(const struct stat *st, const char *name)
{
	_cleanup_free_ char *path =
		xasprintf("/sys/dev/block/%u:%u/%s", major(st->st_rdev), minor(st->st_rdev), name);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[256];

	if (!f || !fgets(line, sizeof(line), f))
		return NULL;
	line[strcspn(line, "\n")] = '\0';
	return *line ? xstrdup(line) : NULL;
}

static json *look_at_block(const struct stat *st)
{
	_cleanup_free_ char *size = read_block(st, "size"), *wwid = read_block(st, "device/wwid");
	uint64_t sectors = 0;

	if (!wwid)
		wwid = read_block(st, "dm/uuid");
	if (size)
		(void)parse_u64(size, &sectors);
	return json_pack("s:kind", "block", "u:device", (uint64_t)st->st_rdev, "u:inode", (uint64_t)0,
		"u:size", sectors * 512, "s:wwid", wwid, NULL);
}

json *check_file_look(const char *path)
{
	_cleanup_free_ char *handle = NULL;
	struct stat st;

	if (stat(path, &st) < 0)
		return json_pack("s:error", strerror(errno), "b:absent", errno == ENOENT, NULL);
	if (S_ISBLK(st.st_mode))
		return look_at_block(&st);
	if (!S_ISREG(st.st_mode))
		return json_pack("s:error", "neither a file nor a block device", NULL);
	handle = read_handle(path);
	return json_pack("s:kind", "file", "u:device", (uint64_t)st.st_dev, "u:inode", (uint64_t)st.st_ino,
		"u:size", (uint64_t)st.st_size, "u:allocated", (uint64_t)st.st_blocks * 512, "b:shared",
		is_shared_storage(path), "s:handle", handle, NULL);
}

/* ---- comparing ---- */

static bool has_same_number(json *here, json *there, const char *key)
{
	return json_get_uint(here, key, 0) == json_get_uint(there, key, 0);
}

static enum check_status compare_devices(json *here, json *there, const char **ret_why)
{
	const char *a = json_get_string(here, "wwid"), *b = json_get_string(there, "wwid");

	*ret_why = "another device";
	if ((a && b && !streq(a, b)) || !has_same_number(here, there, "size"))
		return CHECK_FAILURE;
	*ret_why = a && b ? "the same device, by its WWID" : "has no WWID that tells which device it is";
	return a && b ? CHECK_OK : CHECK_WARNING;
}

static enum check_status compare_files(json *here, json *there, const char **ret_why)
{
	const char *a = json_get_string(here, "handle"), *b = json_get_string(there, "handle");

	*ret_why = "on a file system of one host alone, so another file";
	if (!json_get_bool(here, "shared", false) || !json_get_bool(there, "shared", false))
		return CHECK_FAILURE;
	*ret_why = "the same file, by its handle";
	if (a && streq(a, b))
		return CHECK_OK;
	*ret_why = "another file of the same name";
	if (!has_same_number(here, there, "inode"))
		return CHECK_FAILURE;
	*ret_why = "has the same inode number, which proves nothing across servers";
	return CHECK_WARNING;
}

enum check_status check_same_file(json *here, json *there, bool same_kernel, const char **ret_why)
{
	*ret_why = "of another kind there";
	if (!streq(json_get_string(here, "kind"), json_get_string(there, "kind")))
		return CHECK_FAILURE;
	if (same_kernel) {
		bool same = has_same_number(here, there, "device") && has_same_number(here, there, "inode");

		*ret_why = same ? "the same file" : "another file of the same name";
		return same ? CHECK_OK : CHECK_FAILURE;
	}
	return streq(json_get_string(here, "kind"), "block") ? compare_devices(here, there, ret_why)
							     : compare_files(here, there, ret_why);
}
