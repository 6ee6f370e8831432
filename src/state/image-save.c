/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving (image-save.h): the header says "part" until everything behind it is on the disk, so that whatever is found after a crash
 * is either no image or a whole one.
 */
#include "image-save.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "chunk-writer.h"
#include "frame-writer.h"
#include "mapped-ram.h"
#include "page-index.h"
#include "stream-io.h"

struct image_save {
	struct image_save_options options;
	struct image_progress *progress;
	struct image_layout layout;
	uint64_t stream_offset, data_end;
	struct chunk_writer *writer;
	uint8_t *region; /* header, XML, cookie, padding; complete once committed */
	struct page_index_builder *index;
	struct zstd_frames frames;
};

void image_progress_begin(struct image_progress *p)
{
	if (!p->has_begun && p->memory_begun)
		p->memory_begun(p->userdata);
	p->has_begun = true;
}

static void feed_index(struct image_save *s, const void *data, size_t len)
{
	page_index_builder_feed(s->index, data, len);
	if (page_index_builder_has_pages(s->index))
		image_progress_begin(s->progress);
}

static int save_raw(struct image_save *s, struct error *err)
{
	for (;;) {
		uint8_t *to;
		size_t room;
		ssize_t n;

		if (chunk_writer_map(s->writer, s->data_end, &to, &room, err) < 0)
			return -1;
		n = stream_read(s->options.stream_fd, to, room, err);
		if (n <= 0)
			return (int)n;
		chunk_writer_mark(s->writer, s->data_end, (size_t)n);
		feed_index(s, to, (size_t)n);
		s->data_end += (uint64_t)n;
		s->progress->processed += (uint64_t)n;
	}
}

static int save_zstd(struct image_save *s, struct error *err)
{
	struct frame_writer *frames;
	int r = -1;

	if (frame_writer_start(
		    s->writer, s->options.name, s->options.threads, s->stream_offset, &frames, err) < 0)
		return -1;
	for (;;) {
		uint8_t *to;
		size_t room;
		ssize_t n;

		if (frame_writer_map(frames, &to, &room, err) < 0)
			break;
		n = stream_read(s->options.stream_fd, to, room, err);
		if (n <= 0) {
			r = (int)n;
			break;
		}
		feed_index(s, to, (size_t)n);
		frame_writer_mark(frames, (size_t)n);
		s->progress->processed += (uint64_t)n;
	}
	if (r == 0)
		r = frame_writer_finish(frames, &s->frames, &s->data_end, err);
	frame_writer_free(frames);
	return r;
}

static int save_state(struct image_save *s, struct error *err)
{
	switch (s->options.format) {
	case IMAGE_FORMAT_RAW:
		return save_raw(s, err);
	case IMAGE_FORMAT_ZSTD:
		return save_zstd(s, err);
	case IMAGE_FORMAT_SPARSE:
		if (mapped_ram_save(s->writer, s->options.stream_fd, s->stream_offset, &s->data_end,
			    s->progress, err) == 0)
			return 0;
		if (err && err->code == ERROR_UNSUPPORTED_CONFIG)
			error_prefix(err, "format sparse cannot hold this state, raw and zstd can");
		return -1;
	case IMAGE_FORMAT_GZIP:
	case IMAGE_FORMAT_BZIP2:
	case IMAGE_FORMAT_XZ:
	case IMAGE_FORMAT_LZOP:
		break;
	}
	return error_set(err, ERROR_UNSUPPORTED_CONFIG, "images are not saved in format %s",
		image_format_name(s->options.format));
}

int image_save_stream(struct image_save *s, struct error *err)
{
	if (save_state(s, err) < 0)
		return -1;
	image_progress_begin(s->progress);
	if (s->progress->processed == 0)
		return error_set(err, ERROR_OPERATION_FAILED,
			"save %s: QEMU closed the stream without sending any state", s->options.name);
	return chunk_writer_settle(s->writer, s->data_end, err);
}

/* Its size stands in the mark, and the mark's sum in it. */
static int add_trailer(struct image_save *s, struct trailer *t, struct error *err)
{
	if (trailer_size(t) > TRAILER_MAX)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"save %s: its state is too large (%" PRIu64 " bytes)", s->options.name, s->data_end);
	s->layout.complete = s->layout.marked = true;
	s->layout.trailer_offset = t->data_end;
	s->layout.trailer_size = trailer_size(t);
	image_layout_encode(&s->layout, s->region);
	t->header_sums[0] = t->header_sums[1] = checksum(s->region, s->stream_offset);
	return chunk_writer_finish(s->writer, t, err);
}

static void add_note(struct trailer *t, enum trailer_note kind, struct buf *data)
{
	if (data->len <= TRAILER_NOTE_LEN_MAX)
		trailer_add_note(t, kind, data->data, data->len);
	buf_fini(data);
}

/* What makes it possible to read a page alone. A state that is not understood can only be loaded from its beginning. */
static void add_indexes(struct image_save *s, struct trailer *t)
{
	struct page_index index = {0};
	struct buf data = {0};

	if (s->frames.n > 0) {
		zstd_frames_encode(&s->frames, &data);
		add_note(t, TRAILER_NOTE_FRAMES, &data);
	}
	if (s->options.format != IMAGE_FORMAT_SPARSE &&
		page_index_builder_finish(s->index, &index, NULL) == 0) {
		page_index_encode(&index, &data);
		add_note(t, TRAILER_NOTE_PAGE_INDEX, &data);
		page_index_fini(&index);
	}
}

int image_save_commit(struct image_save *s, const char *disks, struct error *err)
{
	struct trailer t = {.version = TRAILER_VERSION,
		.format = s->layout.format,
		.stream_offset = s->stream_offset,
		.data_end = s->data_end,
		.piece_size = TRAILER_PIECE};
	int r;

	t.n_sums = trailer_count(t.stream_offset, t.data_end, t.piece_size);
	add_indexes(s, &t);
	if (disks)
		trailer_add_note(&t, TRAILER_NOTE_DISKS, disks, strlen(disks));
	r = add_trailer(s, &t, err);
	if (r == 0)
		r = chunk_writer_publish(s->writer, s->region, err);
	trailer_fini(&t);
	return r;
}

static int set_layout(struct image_save *s, struct error *err)
{
	const struct image_save_options *o = &s->options;
	size_t xml = strlen(o->xml) + 1, cookie = o->cookie ? strlen(o->cookie) + 1 : 0;

	if (xml + cookie + IMAGE_XML_PADDING > IMAGE_REGION_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"save %s: the domain XML is too long (%zu bytes)", o->name, xml + cookie);
	s->layout = (struct image_layout){.version = 2,
		.data_len = (uint32_t)(xml + cookie + IMAGE_XML_PADDING),
		.was_running = o->was_running,
		.format = (uint32_t)o->format,
		.cookie_offset = cookie ? (uint32_t)xml : 0};
	s->stream_offset = s->data_end = IMAGE_HEADER_SIZE + (uint64_t)s->layout.data_len;
	s->region = image_region_format(&s->layout, o->xml, o->cookie);
	return 0;
}

int image_save_start(const struct image_save_options *options, struct image_progress *progress,
	struct image_save **ret, struct error *err)
{
	struct image_save *s = NEW(struct image_save);

	s->options = *options;
	s->progress = progress;
	s->index = page_index_builder_new();
	if (set_layout(s, err) < 0)
		goto fail;
	if (chunk_writer_start(&(struct chunk_writer_options){.fd = options->file_fd,
				       .name = options->name,
				       .direct = options->direct,
				       .threads = options->threads,
				       .sum_from = s->stream_offset,
				       .written = &progress->written},
		    &s->writer, err) < 0)
		goto fail;
	if (chunk_writer_put(s->writer, 0, s->region, s->stream_offset, err) < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	image_save_free(s);
	return -1;
}

void image_save_free(struct image_save *s)
{
	if (!s)
		return;
	chunk_writer_free(s->writer);
	page_index_builder_free(s->index);
	zstd_frames_fini(&s->frames);
	free(s->region);
	free(s);
}
