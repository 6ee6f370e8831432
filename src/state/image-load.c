/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading and checking (image-load.h).
 *
 * With a trailer every chunk is compared before any of its bytes go to QEMU. Without one (libvirt wrote the image) the
 * stream's own structure is followed to its end, and zstd's checksums are checked where there are any.
 */
#include "image-load.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>
#include <zstd.h>

#include "alloc.h"
#include "buf.h"
#include "chunk-reader.h"
#include "mapped-clone.h"
#include "stream-io.h"
#include "stream-walk.h"

#define OUTPUT_SIZE (1u << 20)

struct load {
	const struct image_load_options *options;
	struct image_progress *progress;
	struct image_layout layout;
	struct trailer trailer;
	uint64_t stream_offset, data_end;
	struct chunk_reader *reader;
	struct stream_walk *walk; /* only without a trailer */
};

/* Some of the plain stream, to the checks and to QEMU. */
static int deliver(struct load *l, const void *data, size_t len, struct error *err)
{
	if (l->walk && stream_walk_feed(l->walk, data, len, err) < 0)
		return error_prefix(err, "image %s is damaged", l->options->name);
	if (l->options->stream_fd >= 0 && stream_write(l->options->stream_fd, data, len, err) < 0)
		return -1;
	return 0;
}

static int deliver_zeros(struct load *l, size_t len, struct error *err)
{
	static const uint8_t zeros[1 << 16];

	while (len > 0) {
		size_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		if (deliver(l, zeros, n, err) < 0)
			return -1;
		len -= n;
	}
	return 0;
}

static int load_raw(struct load *l, struct error *err)
{
	struct chunk_view v;
	int r;

	while ((r = chunk_reader_next(l->reader, &v, err)) > 0) {
		if (v.data ? deliver(l, v.data, v.len, err) < 0 : deliver_zeros(l, v.len, err) < 0)
			return -1;
		l->progress->processed += v.len;
		/* Behind the end of libvirt's image on a device is whatever was there before. */
		if (l->walk && stream_walk_is_whole(l->walk))
			return 0;
	}
	return r;
}

struct zstd_load {
	ZSTD_DCtx *dctx;
	uint8_t *output;
	bool at_end;   /* between two frames */
	bool finished; /* the state is whole and so is its frame: what follows is not ours to judge */
};

static int decompress(struct load *l, struct zstd_load *z, const struct chunk_view *v, struct error *err)
{
	static const uint8_t zeros[CHUNK_SIZE];
	ZSTD_inBuffer in = {.src = v->data ? v->data : zeros, .size = v->len};

	bool more = true;

	/* A full output may leave some behind when the input is used up. */
	while (more && !z->finished) {
		ZSTD_outBuffer out = {.dst = z->output, .size = OUTPUT_SIZE};
		size_t left = ZSTD_decompressStream(z->dctx, &out, &in);

		if (ZSTD_isError(left))
			return error_set(err, ERROR_DAMAGED,
				"image %s is damaged: near offset %" PRIu64 ": zstd: %s", l->options->name,
				v->offset + in.pos, ZSTD_getErrorName(left));
		z->at_end = left == 0;
		more = in.pos < in.size || (left > 0 && out.pos == out.size);
		if (out.pos > 0 && deliver(l, z->output, out.pos, err) < 0)
			return -1;
		z->finished = z->at_end && l->walk && stream_walk_is_whole(l->walk);
	}
	return 0;
}

static int load_zstd(struct load *l, struct error *err)
{
	struct zstd_load z = {.dctx = ZSTD_createDCtx(), .output = xcalloc(1, OUTPUT_SIZE)};
	struct chunk_view v;
	int r = -1;

	if (!z.dctx) {
		error_set(err, ERROR_INTERNAL, "load %s: zstd cannot be set up", l->options->name);
		goto out;
	}
	while (!z.finished && (r = chunk_reader_next(l->reader, &v, err)) > 0) {
		r = decompress(l, &z, &v, err);
		if (r < 0)
			goto out;
		l->progress->processed += v.len;
	}
	if (r == 0 && !z.at_end)
		r = error_set(err, ERROR_DAMAGED, "image %s is truncated: its compressed state has no end",
			l->options->name);
out:
	ZSTD_freeDCtx(z.dctx);
	free(z.output);
	return r;
}

static int load_sparse(struct load *l, struct error *err)
{
	const struct mapped_ram_load o = {.reader = l->reader,
		.stream_offset = l->stream_offset,
		.data_end = l->data_end,
		.trailer = l->trailer.n_sums > 0,
		.stream_fd = l->options->stream_fd,
		.name = l->options->name,
		.progress = l->progress};

	if (l->options->without_main_memory)
		return mapped_ram_clone(&o, l->options->file_fd, err);
	return mapped_ram_load(&o, err);
}

/* The stream need not be made for checking when there are sums over all of it. */
static int check_only(struct load *l, struct error *err)
{
	struct chunk_view v;
	int r;

	while ((r = chunk_reader_next(l->reader, &v, err)) > 0)
		l->progress->processed += v.len;
	return r;
}

static int load_state(struct load *l, struct error *err)
{
	if (l->options->stream_fd < 0 && l->trailer.n_sums > 0)
		return check_only(l, err);
	switch ((enum image_format)l->layout.format) {
	case IMAGE_FORMAT_RAW:
		return load_raw(l, err);
	case IMAGE_FORMAT_ZSTD:
		return load_zstd(l, err);
	case IMAGE_FORMAT_SPARSE:
		return load_sparse(l, err);
	case IMAGE_FORMAT_GZIP:
	case IMAGE_FORMAT_BZIP2:
	case IMAGE_FORMAT_XZ:
	case IMAGE_FORMAT_LZOP:
		break;
	}
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"image %s is compressed with %s, which is not supported; raw, zstd and sparse are",
		l->options->name, image_format_name((enum image_format)l->layout.format));
}

static int open_image(struct load *l, struct error *err)
{
	const struct image_load_options *o = l->options;
	int64_t size;

	if (image_open(o->file_fd, o->name, &l->layout, &l->trailer, NULL, err) < 0)
		return -1;
	if (!l->layout.complete)
		return error_set(
			err, ERROR_DAMAGED, "image %s is incomplete: its save did not finish", o->name);
	size = image_file_size(o->file_fd);
	if (size < 0)
		return error_errno(err, errno, "look at %s", o->name);
	l->stream_offset = IMAGE_HEADER_SIZE + (uint64_t)l->layout.data_len;
	l->data_end = l->trailer.n_sums ? l->trailer.data_end : (uint64_t)size;
	if (l->data_end <= l->stream_offset)
		return error_set(err, ERROR_DAMAGED, "image %s is truncated: it has no state", o->name);
	l->progress->total = l->data_end - l->stream_offset;
	return 0;
}

static int load(struct load *l, struct error *err)
{
	const struct image_load_options *o = l->options;
	int r;

	if (open_image(l, err) < 0)
		return -1;
	if (o->without_main_memory && l->layout.format != IMAGE_FORMAT_SPARSE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has format %s: only memory in a sparse one can be mapped", o->name,
			image_format_name((enum image_format)l->layout.format));
	if (l->trailer.n_sums == 0 && l->layout.format != IMAGE_FORMAT_SPARSE)
		l->walk = stream_walk_new();
	if (chunk_reader_start(&(struct chunk_reader_options){.fd = o->file_fd,
				       .name = o->name,
				       .direct = o->direct,
				       .threads = o->without_main_memory ? 0 : o->threads,
				       .from = l->stream_offset,
				       .to = l->data_end,
				       .trailer = &l->trailer},
		    &l->reader, err) < 0)
		return -1;
	r = load_state(l, err);
	if (r == 0 && l->walk && stream_walk_finish(l->walk, err) < 0)
		r = error_prefix(err, "image %s is truncated", o->name);
	return r;
}

int image_load(const struct image_load_options *options, struct image_progress *progress, struct error *err)
{
	struct load l = {.options = options, .progress = progress};
	int r = load(&l, err);

	chunk_reader_free(l.reader);
	stream_walk_free(l.walk);
	trailer_fini(&l.trailer);
	return r;
}
