/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checked reading from anywhere (checked-file.h).
 *
 * The file is read in the pieces it is summed in, and the last few are kept: neighbouring pages lie in one piece, and a page across
 * two of them needs both. An image without sums is read in the same way, only nothing is compared. Of a compressed one the last few
 * frames are kept as well, decompressed.
 */
#include "checked-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <zstd.h>

#include "alloc.h"
#include "file.h"
#include "image-layout.h"
#include "zstd-frames.h"

#define PIECES_KEPT 4u
#define FRAMES_KEPT 4u

struct piece {
	uint8_t *data; /* of the size of a piece; NULL until first used */
	uint64_t from, to;
	uint64_t used; /* when; 0: it holds nothing */
};

struct frame {
	uint8_t *data; /* of the size of a plain frame; NULL until first used */
	size_t number;
	uint64_t used; /* as a piece's */
};

struct checked_file {
	int fd;
	char *name;
	struct image_layout layout;
	struct trailer trailer;
	uint64_t stream_offset, data_end;
	uint64_t piece_size;
	struct piece pieces[PIECES_KEPT];
	uint64_t clock; /* counts uses */

	/* zstd only */
	struct zstd_frames frames;
	struct frame kept[FRAMES_KEPT];
	ZSTD_DCtx *dctx;
	uint8_t *packed; /* the largest compressed frame fits */
	size_t packed_size;
};

static void piece_bounds(const struct checked_file *f, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t start = at - at % f->piece_size, end = start + f->piece_size;

	*ret_from = start > f->stream_offset ? start : f->stream_offset;
	*ret_to = end < f->data_end ? end : f->data_end;
}

static struct piece *find_piece(struct checked_file *f, uint64_t at)
{
	for (unsigned i = 0; i < PIECES_KEPT; i++) {
		struct piece *p = &f->pieces[i];

		if (p->used && at >= p->from && at < p->to)
			return p;
	}
	return NULL;
}

static struct piece *oldest_piece(struct checked_file *f)
{
	struct piece *oldest = &f->pieces[0];

	for (unsigned i = 1; i < PIECES_KEPT; i++)
		if (f->pieces[i].used < oldest->used)
			oldest = &f->pieces[i];
	return oldest;
}

/* The piece with byte `at` of the file, checked. A piece that fails is not kept. */
static struct piece *get_piece(struct checked_file *f, uint64_t at, struct error *err)
{
	struct piece *p = find_piece(f, at);
	ssize_t n;

	if (p)
		goto out;
	p = oldest_piece(f);
	p->used = 0;
	if (!p->data)
		p->data = xcalloc(1, f->piece_size);
	piece_bounds(f, at, &p->from, &p->to);
	n = pread_full(f->fd, p->data, p->to - p->from, (off_t)p->from);
	if (n < 0) {
		error_errno(err, errno, "read %s at offset %" PRIu64, f->name, p->from);
		return NULL;
	}
	if ((uint64_t)n < p->to - p->from) {
		error_set(err, ERROR_DAMAGED, "image %s is truncated: it has %" PRIu64 " bytes of %" PRIu64,
			f->name, p->from + (uint64_t)n, f->data_end);
		return NULL;
	}
	if (trailer_check(&f->trailer, f->name, p->data, p->from, p->to, err) < 0)
		return NULL;
out:
	p->used = ++f->clock;
	return p;
}

/* Bytes of the file, all of them in the state. */
static int read_file(struct checked_file *f, uint64_t at, uint8_t *to, size_t len, struct error *err)
{
	while (len > 0) {
		const struct piece *p = get_piece(f, at, err);
		size_t n;

		if (!p)
			return -1;
		n = p->to - at < len ? (size_t)(p->to - at) : len;
		memcpy(to, p->data + (at - p->from), n);
		at += n;
		to += n;
		len -= n;
	}
	return 0;
}

static size_t frame_plain_size(const struct checked_file *f, size_t number)
{
	uint64_t left = f->frames.plain_size - (uint64_t)number * f->frames.frame_plain;

	return left < f->frames.frame_plain ? (size_t)left : f->frames.frame_plain;
}

static int decompress(struct checked_file *f, size_t number, uint8_t *to, struct error *err)
{
	uint64_t at = f->stream_offset + f->frames.offsets[number];
	size_t packed = (size_t)(f->frames.offsets[number + 1] - f->frames.offsets[number]);
	size_t plain = frame_plain_size(f, number), n;

	if (read_file(f, at, f->packed, packed, err) < 0)
		return -1;
	n = ZSTD_decompressDCtx(f->dctx, to, plain, f->packed, packed);
	if (ZSTD_isError(n) || n != plain)
		return error_set(err, ERROR_DAMAGED, "image %s is damaged: at offset %" PRIu64 ": zstd: %s",
			f->name, at, ZSTD_isError(n) ? ZSTD_getErrorName(n) : "a frame is too short");
	return 0;
}

/* A frame of the state, plain; as get_piece. */
static struct frame *get_frame(struct checked_file *f, size_t number, struct error *err)
{
	struct frame *oldest = &f->kept[0];

	for (unsigned i = 0; i < FRAMES_KEPT; i++) {
		struct frame *frame = &f->kept[i];

		if (frame->used && frame->number == number) {
			frame->used = ++f->clock;
			return frame;
		}
		if (frame->used < oldest->used)
			oldest = frame;
	}
	oldest->used = 0;
	if (!oldest->data)
		oldest->data = xcalloc(1, f->frames.frame_plain);
	if (decompress(f, number, oldest->data, err) < 0)
		return NULL;
	oldest->number = number;
	oldest->used = ++f->clock;
	return oldest;
}

static int read_frames(struct checked_file *f, uint64_t at, uint8_t *to, size_t len, struct error *err)
{
	while (len > 0) {
		size_t number = (size_t)(at / f->frames.frame_plain), within = at % f->frames.frame_plain;
		size_t n = frame_plain_size(f, number) - within;
		const struct frame *frame = get_frame(f, number, err);

		if (!frame)
			return -1;
		if (n > len)
			n = len;
		memcpy(to, frame->data + within, n);
		at += n;
		to += n;
		len -= n;
	}
	return 0;
}

int checked_file_read(struct checked_file *f, uint64_t offset, void *data, size_t len, struct error *err)
{
	uint64_t size = checked_file_size(f);

	if (offset > size || len > size - offset)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: %zu bytes at %" PRIu64
			" of its state are beyond its end (%" PRIu64 ")",
			f->name, len, offset, size);
	if (f->frames.n > 0)
		return read_frames(f, offset, data, len, err);
	return read_file(f, f->stream_offset + offset, data, len, err);
}

void checked_file_expect(struct checked_file *f, uint64_t offset, size_t len)
{
	uint64_t from = f->stream_offset + offset, to = from + len, ignored;

	if (len == 0 || offset > checked_file_size(f) || len > checked_file_size(f) - offset)
		return;
	if (f->frames.n > 0) {
		from = f->stream_offset + f->frames.offsets[offset / f->frames.frame_plain];
		to = f->stream_offset + f->frames.offsets[(offset + len - 1) / f->frames.frame_plain + 1];
	}
	piece_bounds(f, to - 1, &ignored, &to);
	piece_bounds(f, from, &from, &ignored);
	(void)posix_fadvise(f->fd, (off_t)from, (off_t)(to - from), POSIX_FADV_WILLNEED);
}

uint64_t checked_file_size(const struct checked_file *f)
{
	return f->frames.n > 0 ? f->frames.plain_size : f->data_end - f->stream_offset;
}

uint64_t checked_file_stream_offset(const struct checked_file *f)
{
	return f->stream_offset;
}

enum image_format checked_file_format(const struct checked_file *f)
{
	return (enum image_format)f->layout.format;
}

const char *checked_file_name(const struct checked_file *f)
{
	return f->name;
}

bool checked_file_has_sums(const struct checked_file *f)
{
	return f->trailer.n_sums > 0;
}

const void *checked_file_note(const struct checked_file *f, enum trailer_note kind, size_t *ret_len)
{
	return trailer_find_note(&f->trailer, kind, ret_len);
}

static int open_frames(struct checked_file *f, struct error *err)
{
	size_t len;
	const void *note = checked_file_note(f, TRAILER_NOTE_FRAMES, &len);

	if (f->layout.format != IMAGE_FORMAT_ZSTD || !note)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s, compressed with %s, can only be read from its beginning", f->name,
			image_format_name(checked_file_format(f)));
	if (zstd_frames_decode(note, len, f->data_end - f->stream_offset, f->name, &f->frames, err) < 0)
		return -1;
	for (size_t i = 0; i < f->frames.n; i++)
		if (f->frames.offsets[i + 1] - f->frames.offsets[i] > f->packed_size)
			f->packed_size = (size_t)(f->frames.offsets[i + 1] - f->frames.offsets[i]);
	f->packed = xcalloc(1, f->packed_size + 1);
	f->dctx = ZSTD_createDCtx();
	if (!f->dctx)
		return error_set(err, ERROR_NO_MEMORY, "read image %s: zstd cannot be set up", f->name);
	return 0;
}

static int open_state(struct checked_file *f, struct error *err)
{
	int64_t size = image_file_size(f->fd);

	if (size < 0)
		return error_errno(err, errno, "look at %s", f->name);
	if (!f->layout.complete)
		return error_set(
			err, ERROR_DAMAGED, "image %s is incomplete: its save did not finish", f->name);
	f->stream_offset = IMAGE_HEADER_SIZE + (uint64_t)f->layout.data_len;
	f->data_end = f->trailer.n_sums ? f->trailer.data_end : (uint64_t)size;
	f->piece_size = f->trailer.n_sums ? f->trailer.piece_size : TRAILER_PIECE;
	if (f->data_end <= f->stream_offset)
		return error_set(err, ERROR_DAMAGED, "image %s is truncated: it has no state", f->name);
	if (f->layout.format != IMAGE_FORMAT_RAW && f->layout.format != IMAGE_FORMAT_SPARSE)
		return open_frames(f, err);
	return 0;
}

int checked_file_open(int fd, const char *name, struct checked_file **ret, struct error *err)
{
	struct checked_file *f = NEW(struct checked_file);

	f->fd = fd;
	f->name = xstrdup(name);
	if (image_open(fd, name, &f->layout, &f->trailer, NULL, err) < 0 || open_state(f, err) < 0) {
		checked_file_free(f);
		return -1;
	}
	*ret = f;
	return 0;
}

void checked_file_free(struct checked_file *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < PIECES_KEPT; i++)
		free(f->pieces[i].data);
	for (unsigned i = 0; i < FRAMES_KEPT; i++)
		free(f->kept[i].data);
	zstd_frames_fini(&f->frames);
	ZSTD_freeDCtx(f->dctx);
	free(f->packed);
	trailer_fini(&f->trailer);
	free(f->name);
	free(f);
}
