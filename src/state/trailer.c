/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trailer: what makes an image provable. It stands behind QEMU's state, as a frame that zstd skips and that readers
 * of the other formats never reach. Little-endian:
 *
 *	 0  u32  0x184D2A50		zstd's skippable frame (RFC 8878, 3.1.2)
 *	 4  u32  bytes that follow
 *	 8  16   "GodwitImageTrail"
 *	24  u32  version, 1
 *	28  u32  format
 *	32  u64  where QEMU's state begins
 *	40  u64  where it ends, which is where this trailer begins
 *	48  u64  chunk size
 *	56  u64  number of chunk sums
 *	64  2 x u64  sums of the header region
 *	80  u64  each chunk's sum
 *	 .  u64  sum of everything above
 *	 .  u64  where this trailer begins
 *	 .  16   "GodwitImageTrail"
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "image-layout.h"

#define SKIPPABLE_FRAME 0x184D2A50u
#define VERSION		1u
#define FIXED		80u
#define TAIL		32u
#define MAGIC		"GodwitImageTrail"
#define MAGIC_SIZE	16u
#define SUMS_MAX	(16u << 20) /* 64 TiB of state */

uint64_t checksum(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

void trailer_fini(struct trailer *t)
{
	free(t->sums);
	*t = (struct trailer){0};
}

size_t trailer_count(uint64_t stream_offset, uint64_t data_end)
{
	if (data_end <= stream_offset)
		return 0;
	return (size_t)((data_end - 1) / CHUNK_SIZE - stream_offset / CHUNK_SIZE + 1);
}

size_t trailer_size(size_t n_sums)
{
	return FIXED + n_sums * 8 + TAIL;
}

uint8_t *trailer_encode(const struct trailer *t)
{
	size_t size = trailer_size(t->n_sums);
	uint8_t *b = xcalloc(1, size), *tail = b + size - TAIL;

	put_le32(b, SKIPPABLE_FRAME);
	put_le32(b + 4, (uint32_t)(size - 8));
	memcpy(b + 8, MAGIC, MAGIC_SIZE);
	put_le32(b + 24, VERSION);
	put_le32(b + 28, t->format);
	put_le64(b + 32, t->stream_offset);
	put_le64(b + 40, t->data_end);
	put_le64(b + 48, CHUNK_SIZE);
	put_le64(b + 56, t->n_sums);
	put_le64(b + 64, t->header_sums[0]);
	put_le64(b + 72, t->header_sums[1]);
	for (size_t i = 0; i < t->n_sums; i++)
		put_le64(b + FIXED + i * 8, t->sums[i]);
	put_le64(tail, checksum(b, size - TAIL));
	put_le64(tail + 8, t->data_end);
	memcpy(tail + 16, MAGIC, MAGIC_SIZE);
	return b;
}

static int damaged(struct error *err, const char *name)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: the checksums at its end were altered", name);
}

static int decode(const uint8_t *b, size_t size, const char *name, uint64_t offset, struct trailer *ret,
	struct error *err)
{
	const uint8_t *tail = b + size - TAIL;

	if (checksum(b, size - TAIL) != get_le64(tail) || get_le64(tail + 8) != offset ||
		memcmp(tail + 16, MAGIC, MAGIC_SIZE) != 0 || memcmp(b + 8, MAGIC, MAGIC_SIZE) != 0 ||
		get_le32(b + 4) != size - 8)
		return damaged(err, name);
	if (get_le32(b + 24) != VERSION || get_le64(b + 48) != CHUNK_SIZE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has checksums of a version (%u) this program does not know", name,
			get_le32(b + 24));
	*ret = (struct trailer){.format = get_le32(b + 28),
		.stream_offset = get_le64(b + 32),
		.data_end = get_le64(b + 40),
		.header_sums = {get_le64(b + 64), get_le64(b + 72)},
		.n_sums = get_le64(b + 56)};
	if (ret->data_end != offset || ret->n_sums != trailer_count(ret->stream_offset, ret->data_end) ||
		trailer_size(ret->n_sums) != size)
		return damaged(err, name);
	ret->sums = xcalloc(ret->n_sums + 1, sizeof(uint64_t));
	for (size_t i = 0; i < ret->n_sums; i++)
		ret->sums[i] = get_le64(b + FIXED + i * 8);
	return 0;
}

int trailer_read(
	int fd, const char *name, uint64_t offset, uint64_t size, struct trailer *ret, struct error *err)
{
	_cleanup_free_ uint8_t *b = NULL;
	uint8_t start[8];
	ssize_t n;

	if (size == 0) {
		n = pread_full(fd, start, sizeof(start), (off_t)offset);
		if (n != sizeof(start))
			return damaged(err, name);
		size = (uint64_t)get_le32(start + 4) + 8;
	}
	if (size < trailer_size(0) || size > trailer_size(SUMS_MAX) || size % 8 != 0)
		return damaged(err, name);
	b = xcalloc(1, size);
	n = pread_full(fd, b, size, (off_t)offset);
	if (n < 0)
		return error_errno(err, errno, "read %s", name);
	if ((uint64_t)n < size)
		return error_set(err, ERROR_DAMAGED,
			"image %s is truncated: it has %" PRIu64 " bytes of %" PRIu64, name,
			offset + (uint64_t)n, offset + size);
	return decode(b, size, name, offset, ret, err);
}

uint64_t trailer_find_at_end(int fd)
{
	uint8_t tail[TAIL];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)trailer_size(0))
		return 0;
	if (pread_full(fd, tail, TAIL, st.st_size - TAIL) != TAIL ||
		memcmp(tail + 16, MAGIC, MAGIC_SIZE) != 0)
		return 0;
	/* A damaged offset is as good as none: the mark in the header knows it too. */
	if (get_le64(tail + 8) > (uint64_t)st.st_size - trailer_size(0))
		return 0;
	return get_le64(tail + 8);
}
