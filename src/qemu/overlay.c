/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making overlays (overlay.h). An empty image is four clusters of 64 KiB, of which 200 bytes are not zero, so it is written here and
 * not by a program started for each disk of each clone.
 *
 *	cluster 0	header, extension "backing format", path of the base
 *	cluster 1	refcount table: one entry, for cluster 2
 *	cluster 2	refcount block: 1 for each cluster that is here
 *	cluster 3 ...	L1 table: zeros, nothing is allocated
 *
 * Numbers: QEMU's docs/interop/qcow2.rst, version 3.
 */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "strv.h"

#define QCOW2_MAGIC	   0x514649fbu /* "QFI\xfb" */
#define QCOW2_VERSION	   3u
#define CLUSTER_BITS	   16u
#define CLUSTER_SIZE	   (UINT64_C(1) << CLUSTER_BITS)
#define HEADER_LENGTH	   104u
#define EXTENSION_FORMAT   0xe2792acau /* name of the base's format */
#define REFCOUNT_ORDER	   4u	       /* 16 bits */
#define L1_ENTRY_BYTES	   (CLUSTER_SIZE / 8 * CLUSTER_SIZE)
#define L1_BYTES_MAX	   (UINT64_C(32) << 20) /* QEMU opens no larger table */
#define SIZE_AT		   24u			/* of the virtual size, in the header */
#define SECTOR		   512u
#define REFCOUNT_TABLE_AT  (1 * CLUSTER_SIZE)
#define REFCOUNT_BLOCK_AT  (2 * CLUSTER_SIZE)
#define L1_TABLE_AT	   (3 * CLUSTER_SIZE)
#define CLUSTERS_BEFORE_L1 3u

static int read_qcow2_size(int fd, const char *base, uint64_t *ret, struct error *err)
{
	uint8_t header[SIZE_AT + 8];
	ssize_t n = pread_full(fd, header, sizeof(header), 0);

	if (n < 0)
		return error_errno(err, errno, "read disk %s", base);
	if ((size_t)n < sizeof(header) || get_be32(header) != QCOW2_MAGIC)
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "disk %s is not qcow2, as its definition says", base);
	*ret = get_be64(header + SIZE_AT);
	return 0;
}

static int read_raw_size(int fd, const char *base, uint64_t *ret, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "look at disk %s", base);
	if (S_ISREG(st.st_mode)) {
		*ret = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk %s is neither a regular file nor a block device", base);
	return ioctl(fd, BLKGETSIZE64, ret) < 0 ? error_errno(err, errno, "look at disk %s", base) : 0;
}

static int read_size(const char *base, enum disk_format format, uint64_t *ret, struct error *err)
{
	_cleanup_close_ int fd = open(base, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return error_errno(err, errno, "open disk %s", base);
	if ((format == DISK_FORMAT_QCOW2 ? read_qcow2_size : read_raw_size)(fd, base, ret, err) < 0)
		return -1;
	*ret = (*ret + SECTOR - 1) / SECTOR * SECTOR;
	if (*ret / L1_ENTRY_BYTES >= L1_BYTES_MAX / 8)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk %s is too large for an overlay: %llu bytes", base, (unsigned long long)*ret);
	return 0;
}

/* At least one, so that there is a table where the header says. */
static uint32_t l1_entries(uint64_t size)
{
	uint64_t n = (size + L1_ENTRY_BYTES - 1) / L1_ENTRY_BYTES;

	return n ? (uint32_t)n : 1;
}

static uint32_t l1_clusters(uint64_t size)
{
	return (uint32_t)((l1_entries(size) * UINT64_C(8) + CLUSTER_SIZE - 1) / CLUSTER_SIZE);
}

static void format_header(struct buf *out, const char *base, const char *format, uint64_t size)
{
	size_t name_len = strlen(base), format_len = strlen(format), padded = (format_len + 7) / 8 * 8;
	uint8_t *h = buf_reserve(out, HEADER_LENGTH + 8 + padded + 8);

	memset(h, 0, HEADER_LENGTH + 8 + padded + 8);
	put_be32(h, QCOW2_MAGIC);
	put_be32(h + 4, QCOW2_VERSION);
	put_be64(h + 8,
		HEADER_LENGTH + 8 + padded + 8); /* the base's path, behind the end of the extensions */
	put_be32(h + 16, (uint32_t)name_len);
	put_be32(h + 20, CLUSTER_BITS);
	put_be64(h + SIZE_AT, size);
	put_be32(h + 36, l1_entries(size));
	put_be64(h + 40, L1_TABLE_AT);
	put_be64(h + 48, REFCOUNT_TABLE_AT);
	put_be32(h + 56, 1); /* clusters of the refcount table */
	put_be32(h + 96, REFCOUNT_ORDER);
	put_be32(h + 100, HEADER_LENGTH);
	put_be32(h + HEADER_LENGTH, EXTENSION_FORMAT);
	put_be32(h + HEADER_LENGTH + 4, (uint32_t)format_len);
	memcpy(h + HEADER_LENGTH + 8, format, format_len);
	out->len += HEADER_LENGTH + 8 + padded + 8;
	buf_add(out, base, name_len);
}

static int write_image(int fd, const char *base, enum disk_format format, uint64_t size)
{
	_cleanup_(buf_fini) struct buf header = {0};
	uint32_t clusters = CLUSTERS_BEFORE_L1 + l1_clusters(size);
	_cleanup_free_ uint8_t *counts = xcalloc(clusters, 2);
	uint8_t block[8];

	format_header(
		&header, base, disk_format_name(format == DISK_FORMAT_NONE ? DISK_FORMAT_RAW : format), size);
	put_be64(block, REFCOUNT_BLOCK_AT);
	for (uint32_t i = 0; i < clusters; i++)
		put_be16(counts + 2 * i, 1);
	if (ftruncate(fd, (off_t)(clusters * CLUSTER_SIZE)) < 0 ||
		pwrite_full(fd, header.data, header.len, 0) < 0 ||
		pwrite_full(fd, block, sizeof(block), REFCOUNT_TABLE_AT) < 0 ||
		pwrite_full(fd, counts, clusters * 2, REFCOUNT_BLOCK_AT) < 0)
		return -1;
	return fsync(fd);
}

int overlay_create(int dirfd, const char *name, const char *base, enum disk_format format, struct error *err)
{
	_cleanup_close_ int fd = -1;
	uint64_t size;

	if (base[0] != '/' || strlen(base) > OVERLAY_BASE_MAX)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk %s cannot have an overlay: its path is not absolute, or longer than %d bytes",
			base, OVERLAY_BASE_MAX);
	if (read_size(base, format, &size, err) < 0)
		return -1;
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, errno, "create %s over %s", name, base);
	if (write_image(fd, base, format, size) < 0) {
		error_errno(err, errno, "write %s over %s", name, base);
		unlinkat(dirfd, name, 0);
		return -1;
	}
	return 0;
}
