/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The trailer (trailer.h). Little-endian:
 *
 *	 0  u32  0x184D2A50		zstd's skippable frame (RFC 8878, 3.1.2)
 *	 4  u32  bytes that follow
 *	 8  16   "GodwitImageTrail"
 *	24  u32  version
 *	28  u32  format
 *	32  u64  where QEMU's state begins
 *	40  u64  where it ends, which is where this trailer begins
 *	48  u64  piece size
 *	56  u64  number of sums
 *	64  2 x u64  sums of the header region
 *	80  u64  each piece's sum
 *	 .  notes, in version 2: u32 kind, u32 0, u64 length, bytes, zeros up to a multiple of 8
 *	 .  u64  sum of everything above
 *	 .  u64  where this trailer begins
 *	 .  16   "GodwitImageTrail"
 *
 * The first 80 and the last 32 bytes are for all versions, so that a program knows a newer trailer for what it is.
 */
#include "trailer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "alloc.h"
#include "file.h"

#define SKIPPABLE_FRAME 0x184D2A50u
#define FIXED		80u
#define TAIL		32u
#define MAGIC		"GodwitImageTrail"
#define MAGIC_SIZE	16u
#define NOTE_HEADER	16u

uint64_t checksum(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

uint64_t sum_of_zeros(uint64_t len)
{
	static const uint8_t zeros[TRAILER_PIECE_V1];

	return checksum(zeros, (size_t)len);
}

void trailer_fini(struct trailer *t)
{
	free(t->sums);
	buf_fini(&t->notes);
	*t = (struct trailer){0};
}

size_t trailer_count(uint64_t stream_offset, uint64_t data_end, uint64_t piece_size)
{
	if (data_end <= stream_offset)
		return 0;
	return (size_t)((data_end - 1) / piece_size - stream_offset / piece_size + 1);
}

uint64_t trailer_size(const struct trailer *t)
{
	return FIXED + (uint64_t)t->n_sums * 8 + t->notes.len + TAIL;
}

uint8_t *trailer_encode(const struct trailer *t)
{
	size_t size = (size_t)trailer_size(t);
	uint8_t *b = xcalloc(1, size), *tail = b + size - TAIL;

	assert(size <= TRAILER_MAX);
	put_le32(b, SKIPPABLE_FRAME);
	put_le32(b + 4, (uint32_t)(size - 8));
	memcpy(b + 8, MAGIC, MAGIC_SIZE);
	put_le32(b + 24, t->version);
	put_le32(b + 28, t->format);
	put_le64(b + 32, t->stream_offset);
	put_le64(b + 40, t->data_end);
	put_le64(b + 48, t->piece_size);
	put_le64(b + 56, t->n_sums);
	put_le64(b + 64, t->header_sums[0]);
	put_le64(b + 72, t->header_sums[1]);
	for (size_t i = 0; i < t->n_sums; i++)
		put_le64(b + FIXED + i * 8, t->sums[i]);
	if (t->notes.len)
		memcpy(b + FIXED + t->n_sums * 8, t->notes.data, t->notes.len);
	put_le64(tail, checksum(b, size - TAIL));
	put_le64(tail + 8, t->data_end);
	memcpy(tail + 16, MAGIC, MAGIC_SIZE);
	return b;
}

/* ---- notes ---- */

static size_t note_room(uint64_t len)
{
	return (size_t)(NOTE_HEADER + (len + 7) / 8 * 8);
}

void trailer_add_note(struct trailer *t, enum trailer_note kind, const void *data, size_t len)
{
	static const uint8_t zeros[8];
	uint8_t header[NOTE_HEADER] = {0};

	put_le32(header, kind);
	put_le64(header + 8, len);
	buf_add(&t->notes, header, sizeof(header));
	buf_add(&t->notes, data, len);
	buf_add(&t->notes, zeros, note_room(len) - NOTE_HEADER - len);
}

static bool notes_are_sound(const struct buf *notes)
{
	size_t at = 0;

	while (at < notes->len) {
		uint64_t len;

		if (notes->len - at < NOTE_HEADER)
			return false;
		len = get_le64(notes->data + at + 8);
		if (len > TRAILER_NOTE_LEN_MAX || note_room(len) > notes->len - at)
			return false;
		at += note_room(len);
	}
	return true;
}

const void *trailer_find_note(const struct trailer *t, enum trailer_note kind, size_t *ret_len)
{
	for (size_t at = 0; at < t->notes.len;) {
		const char *note = t->notes.data + at;
		uint64_t len = get_le64(note + 8);

		if (get_le32(note) == (uint32_t)kind) {
			*ret_len = (size_t)len;
			return note + NOTE_HEADER;
		}
		at += note_room(len);
	}
	return NULL;
}

/* ---- reading ---- */

static int damaged(struct error *err, const char *name)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: the checksums at its end were altered", name);
}

static bool version_is_known(uint32_t version, uint64_t piece_size)
{
	return (version == 1 && piece_size == TRAILER_PIECE_V1) ||
	       (version == 2 && piece_size == TRAILER_PIECE);
}

/* What stands between the fixed parts. */
static int decode_body(
	const uint8_t *body, size_t len, const char *name, struct trailer *t, struct error *err)
{
	if (t->n_sums != trailer_count(t->stream_offset, t->data_end, t->piece_size) || t->n_sums > len / 8)
		return damaged(err, name);
	buf_add(&t->notes, body + t->n_sums * 8, len - t->n_sums * 8);
	if ((t->version == 1 && t->notes.len > 0) || !notes_are_sound(&t->notes))
		return damaged(err, name);
	t->zero_sum = sum_of_zeros(t->piece_size);
	t->sums = xcalloc(t->n_sums + 1, sizeof(uint64_t));
	for (size_t i = 0; i < t->n_sums; i++)
		t->sums[i] = get_le64(body + i * 8);
	return 0;
}

static int decode(const uint8_t *b, size_t size, const char *name, uint64_t offset, struct trailer *ret,
	struct error *err)
{
	const uint8_t *tail = b + size - TAIL;
	struct trailer t;

	if (checksum(b, size - TAIL) != get_le64(tail) || get_le64(tail + 8) != offset ||
		memcmp(tail + 16, MAGIC, MAGIC_SIZE) != 0 || memcmp(b + 8, MAGIC, MAGIC_SIZE) != 0 ||
		get_le32(b) != SKIPPABLE_FRAME || get_le32(b + 4) != size - 8)
		return damaged(err, name);
	t = (struct trailer){.version = get_le32(b + 24),
		.format = get_le32(b + 28),
		.stream_offset = get_le64(b + 32),
		.data_end = get_le64(b + 40),
		.piece_size = get_le64(b + 48),
		.header_sums = {get_le64(b + 64), get_le64(b + 72)},
		.n_sums = get_le64(b + 56)};
	if (!version_is_known(t.version, t.piece_size))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s was written by a newer godwit: this one does not know its trailer "
			"(version %u)",
			name, t.version);
	if (t.data_end != offset)
		return damaged(err, name);
	if (decode_body(b + FIXED, size - FIXED - TAIL, name, &t, err) < 0) {
		trailer_fini(&t);
		return -1;
	}
	*ret = t;
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
	if (size < FIXED + TAIL || size > TRAILER_MAX || size % 8 != 0)
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

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)(FIXED + TAIL))
		return 0;
	if (pread_full(fd, tail, TAIL, st.st_size - TAIL) != TAIL ||
		memcmp(tail + 16, MAGIC, MAGIC_SIZE) != 0)
		return 0;
	/* A damaged offset is as good as none: the mark in the header knows it too. */
	if (get_le64(tail + 8) > (uint64_t)st.st_size - FIXED - TAIL)
		return 0;
	return get_le64(tail + 8);
}

/* ---- checking ---- */

void trailer_piece_bounds(const struct trailer *t, uint64_t offset, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t start = offset - offset % t->piece_size, end = start + t->piece_size;

	*ret_from = start > t->stream_offset ? start : t->stream_offset;
	*ret_to = end < t->data_end ? end : t->data_end;
}

static uint64_t sum_of(const struct trailer *t, const void *data, uint64_t len)
{
	if (data)
		return checksum(data, (size_t)len);
	/* Holes are common and large. */
	return len == t->piece_size ? t->zero_sum : sum_of_zeros(len);
}

int trailer_check(const struct trailer *t, const char *name, const void *data, uint64_t from, uint64_t to,
	struct error *err)
{
	if (t->n_sums == 0 || sum_of(t, data, to - from) ==
				      t->sums[from / t->piece_size - t->stream_offset / t->piece_size])
		return 0;
	return error_set(err, ERROR_DAMAGED,
		"image %s is damaged: its contents at offset %" PRIu64 " (to %" PRIu64
		") differ from what was saved",
		name, from, to - 1);
}
