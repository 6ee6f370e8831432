/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qcow2 header names its data file and its backing file (QEMU's docs/interop/qcow2.txt). */
#include "image-names.h"

#include "buf.h"
#include "file.h"
#include "strv.h"

enum {
	QCOW2_MAGIC = 0x514649fb, /* "QFI\xfb" */
	QCOW2_HEADER_V2 = 72,
	QCOW2_HEADER_V3 = 104,
	QCOW2_READ_MAX = 65536, /* extensions and names lie in the first cluster, which is seldom larger */
	QCOW2_NAME_MAX = 1023,
	QCOW2_END = 0,
	QCOW2_DATA_FILE = 0x44415441,
};
#define QCOW2_BACKING_FORMAT 0xe2792acau

static void read_extensions(const char *header, size_t len, size_t at, struct image_names *ret)
{
	while (at + 8 <= len) {
		uint32_t type = get_be32(header + at), n = get_be32(header + at + 4);

		if (type == QCOW2_END || n > len - at - 8)
			return;
		if (type == QCOW2_DATA_FILE && !ret->data)
			ret->data = xstrndup(header + at + 8, n);
		if (type == QCOW2_BACKING_FORMAT && !ret->backing_format)
			ret->backing_format = xstrndup(header + at + 8, n);
		at += 8 + ((size_t)n + 7) / 8 * 8;
	}
}

void image_names_read(int fd, struct image_names *ret)
{
	_cleanup_free_ char *header = xcalloc(1, QCOW2_READ_MAX);
	ssize_t got = pread_full(fd, header, QCOW2_READ_MAX, 0);
	size_t len = got < 0 ? 0 : (size_t)got, extensions = QCOW2_HEADER_V2;
	uint64_t name_at;
	uint32_t name_len;

	if (len < QCOW2_HEADER_V3 || get_be32(header) != QCOW2_MAGIC)
		return;
	ret->is_qcow2 = true;
	if (get_be32(header + 4) >= 3)
		extensions = get_be32(header + 100);
	read_extensions(header, len, extensions, ret);
	name_at = get_be64(header + 8);
	name_len = get_be32(header + 16);
	if (name_at == 0 || name_len == 0)
		return;
	/* Not the same as no name: what lies beneath would be taken for nobody's. */
	if (name_len > QCOW2_NAME_MAX || name_len > len || name_at > len - name_len)
		ret->is_damaged = true;
	else
		ret->backing = xstrndup(header + name_at, name_len);
}

char *image_name_resolve(const char *from, const char *name)
{
	const char *slash = strrchr(from, '/'), *colon;

	if (startswith(name, "file:"))
		name += strlen("file:");
	colon = strchr(name, ':');
	if (colon && (!strchr(name, '/') || strchr(name, '/') > colon))
		return NULL;
	if (name[0] == '/' || !slash)
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - from), from, name);
}

void image_names_fini(struct image_names *n)
{
	free(n->backing);
	free(n->backing_format);
	free(n->data);
}
