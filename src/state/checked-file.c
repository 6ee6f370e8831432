/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checked reading from anywhere (checked-file.h).
 *
 * The file is read in the pieces it is summed in, and the last few are kept: neighbouring pages lie in one piece, and a page across
 * two of them needs both. An image without sums is read in the same way, only nothing is compared.
 */
#include "checked-file.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc.h"
#include "file.h"
#include "image-layout.h"

#define PIECES_KEPT 4u

struct piece {
	uint8_t *data; /* of the size of a piece; NULL until first used */
	uint64_t from, to;
	uint64_t used; /* when; 0: it holds nothing */
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

int checked_file_read(struct checked_file *f, uint64_t offset, void *data, size_t len, struct error *err)
{
	uint64_t size = checked_file_size(f);

	if (offset > size || len > size - offset)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: %zu bytes at %" PRIu64
			" of its state are beyond its end (%" PRIu64 ")",
			f->name, len, offset, size);
	return read_file(f, f->stream_offset + offset, data, len, err);
}

uint64_t checked_file_size(const struct checked_file *f)
{
	return f->data_end - f->stream_offset;
}

uint64_t checked_file_stream_offset(const struct checked_file *f)
{
	return f->stream_offset;
}

enum image_format checked_file_format(const struct checked_file *f)
{
	return (enum image_format)f->layout.format;
}

bool checked_file_has_sums(const struct checked_file *f)
{
	return f->trailer.n_sums > 0;
}

const void *checked_file_note(const struct checked_file *f, enum trailer_note kind, size_t *ret_len)
{
	return trailer_find_note(&f->trailer, kind, ret_len);
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
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s, compressed with %s, can only be read from its beginning", f->name,
			image_format_name(checked_file_format(f)));
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
	trailer_fini(&f->trailer);
	free(f->name);
	free(f);
}
