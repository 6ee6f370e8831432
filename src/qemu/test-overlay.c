/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Overlays, field by field; where qemu-img is there, it has its say too. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "overlay.h"
#include "strv.h"
#include "tap.h"

static int dirfd;
static char directory[] = "/tmp/overlay-XXXXXX";

static char *make_base(const char *name, off_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)!ftruncate(fd, size);
	return xasprintf("%s/%s", directory, name);
}

/* What a reader of qcow2 would follow, to the cluster's count. */
static bool is_consistent(const char *name, const char *base, const char *format, uint64_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	uint8_t h[104 + 24 + 1023], block[8], counts[2], l1[8];
	uint64_t path_at, l1_at;
	struct stat st;
	char text[64] = "";

	fstat(fd, &st);
	if (pread_full(fd, h, sizeof(h), 0) != sizeof(h) || memcmp(h, "QFI\xfb\0\0\0\3", 8) != 0)
		return false;
	path_at = get_be64(h + 8);
	l1_at = get_be64(h + 40);
	pread_full(fd, block, 8, (off_t)get_be64(h + 48));
	pread_full(fd, counts, 2, (off_t)(get_be64(block) + st.st_size / 65536 * 2 - 2));
	pread_full(fd, l1, 8, (off_t)(l1_at + (get_be32(h + 36) - 1) * 8));
	memcpy(text, h + 112, get_be32(h + 108));
	return get_be32(h + 16) == strlen(base) && memcmp(h + path_at, base, strlen(base)) == 0 &&
	       get_be64(h + 24) == size && get_be64(h + 72) == 0 && get_be32(h + 104) == 0xe2792aca &&
	       streq(text, format) && get_be16(counts) == 1 && get_be64(l1) == 0 &&
	       get_be32(h + 36) * (UINT64_C(512) << 20) >= size &&
	       l1_at + get_be32(h + 36) * 8 <= (uint64_t)st.st_size;
}

static bool qemu_img_agrees(const char *name)
{
	_cleanup_free_ char *command = xasprintf(
		"command -v qemu-img >/dev/null || exit 0; qemu-img check -q %s/%s >/dev/null 2>&1 && "
		"qemu-img compare -q %s/%s $(qemu-img info %s/%s | sed -n 's/^backing file: //p') >/dev/null "
		"2>&1",
		directory, name, directory, name, directory, name);

	return system(command) == 0;
}

static void test_good(void)
{
	static const uint64_t sizes[] = {0, 512, 4 << 20, (UINT64_C(1) << 40) + 512, UINT64_C(5) << 40};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *base_name = xasprintf("base%zu", i), *name = xasprintf("over%zu", i);
		_cleanup_free_ char *base = make_base(base_name, (off_t)sizes[i]);

		ok(overlay_create(dirfd, name, base, i % 2 ? DISK_FORMAT_RAW : DISK_FORMAT_NONE, &err) == 0,
			"an overlay");
		ok(is_consistent(name, base, "raw", sizes[i]), "each of its fields is right");
		ok(qemu_img_agrees(name), "qemu-img finds nothing wrong, and the base's contents");
	}
	{
		_cleanup_free_ char *base = xasprintf("%s/over3", directory), *odd = make_base("odd", 1000);

		ok(overlay_create(dirfd, "second", base, DISK_FORMAT_QCOW2, &err) == 0 &&
				is_consistent("second", base, "qcow2", sizes[3]) && qemu_img_agrees("second"),
			"over an overlay: as large as that says");
		ok(overlay_create(dirfd, "even", odd, DISK_FORMAT_RAW, &err) == 0 &&
				is_consistent("even", odd, "raw", 1024),
			"whole sectors");
	}
}

static void test_bad(void)
{
	_cleanup_free_ char *base = make_base("plain", 4096), *missing = xasprintf("%s/missing", directory);
	char path[OVERLAY_BASE_MAX + 3];
	struct error err = ERROR_INIT;

	ok(overlay_create(dirfd, "bad", missing, DISK_FORMAT_RAW, &err) < 0 && strstr(err.message, missing),
		"no base: named");
	ok(overlay_create(dirfd, "bad", base, DISK_FORMAT_QCOW2, &err) < 0 &&
			strstr(err.message, "not qcow2"),
		"a base of another format is refused");
	ok(overlay_create(dirfd, "bad", "/dev/null", DISK_FORMAT_RAW, &err) < 0, "a device without a size");
	ok(overlay_create(dirfd, "bad", directory, DISK_FORMAT_RAW, &err) < 0, "a directory");
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ok(overlay_create(dirfd, "bad", path, DISK_FORMAT_RAW, &err) < 0 &&
			err.code == ERROR_UNSUPPORTED_CONFIG,
		"a path that does not fit");
	ok(!file_exists(dirfd, "bad"), "and nothing was made");
	ok(overlay_create(dirfd, "plain", base, DISK_FORMAT_RAW, &err) < 0 && strstr(err.message, "exists"),
		"nothing is overwritten");
}

int main(void)
{
	_cleanup_close_ int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	dirfd = open(mkdtemp(directory), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	test_good();
	test_bad();
	close(dirfd);
	dir_remove(tmp, directory + strlen("/tmp/"), NULL);
	return done_testing();
}
