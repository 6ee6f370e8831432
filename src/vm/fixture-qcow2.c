/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Image headers for tests. */
#include "fixture-qcow2.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

void fixture_write_file(int dir, const char *name, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write_full(fd, data, len) < 0)
		abort();
}

/* The header of QEMU's docs/interop/qcow2.txt, version 3. */
void fixture_write_qcow2(int dir, const char *name, const char *backing, const char *format, const char *data)
{
	char header[2048] = {0};
	size_t at = 104;

	put_be32(header, 0x514649fb);
	put_be32(header + 4, 3);
	put_be32(header + 100, 104);
	if (format) {
		put_be32(header + at, 0xe2792aca);
		put_be32(header + at + 4, (uint32_t)strlen(format));
		memcpy(header + at + 8, format, strlen(format));
		at += 8 + (strlen(format) + 7) / 8 * 8;
	}
	if (data) {
		put_be32(header + at, 0x44415441);
		put_be32(header + at + 4, (uint32_t)strlen(data));
		memcpy(header + at + 8, data, strlen(data));
	}
	if (backing) {
		put_be64(header + 8, 400);
		put_be32(header + 16, (uint32_t)strlen(backing));
		memcpy(header + 400, backing, strlen(backing));
	}
	fixture_write_file(dir, name, header, sizeof(header));
}
