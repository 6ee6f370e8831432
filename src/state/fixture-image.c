/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images for tests (fixture-image.h). */
#include "fixture-image.h"

#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "image-layout.h"
#include "image-save.h"

int fixture_image(enum image_format format, const struct buf *stream)
{
	int fd = memfd_create("image", MFD_CLOEXEC), stream_fd;
	struct image_progress progress = {0};
	struct image_save *s = NULL;
	struct error err = ERROR_INIT;
	struct pump pump;

	stream_fd = pump_start(&pump, stream->data, stream->len);
	if (image_save_start(&(struct image_save_options){.file_fd = fd,
				     .stream_fd = stream_fd,
				     .name = FIXTURE_IMAGE_NAME,
				     .threads = 2,
				     .format = format,
				     .xml = FIXTURE_IMAGE_XML,
				     .cookie = FIXTURE_IMAGE_COOKIE,
				     .was_running = true},
		    &progress, &s, &err) < 0 ||
		image_save_stream(s, &err) < 0 || image_save_commit(s, FIXTURE_IMAGE_DISKS, &err) < 0)
		ok(false, err.message);
	image_save_free(s);
	close(stream_fd);
	pump_finish(&pump);
	buf_fini(&pump.data);
	return fd;
}

static void sum_state(int fd, struct trailer *t)
{
	_cleanup_free_ uint8_t *piece = xcalloc(1, TRAILER_PIECE_V1);
	size_t n = 0;

	for (uint64_t from = t->stream_offset, to; from < t->data_end; from = to) {
		trailer_piece_bounds(t, from, &from, &to);
		pread_full(fd, piece, to - from, (off_t)from);
		t->sums[n++] = checksum(piece, to - from);
	}
}

void fixture_image_make_version_1(int fd)
{
	_cleanup_free_ uint8_t *region = NULL, *encoded = NULL;
	struct image_layout l;
	struct trailer t = {0};
	struct error err = ERROR_INIT;

	if (image_open(fd, FIXTURE_IMAGE_NAME, &l, &t, NULL, &err) < 0)
		abort();
	t.version = 1;
	t.piece_size = TRAILER_PIECE_V1;
	t.n_sums = trailer_count(t.stream_offset, t.data_end, t.piece_size);
	buf_clear(&t.notes);
	sum_state(fd, &t);

	l.trailer_size = trailer_size(&t);
	region = image_region_format(&l, FIXTURE_IMAGE_XML, FIXTURE_IMAGE_COOKIE);
	t.header_sums[0] = t.header_sums[1] = checksum(region, t.stream_offset);
	encoded = trailer_encode(&t);
	pwrite_full(fd, region, t.stream_offset, 0);
	pwrite_full(fd, encoded, trailer_size(&t), (off_t)t.data_end);
	(void)!ftruncate(fd, (off_t)(t.data_end + trailer_size(&t)));
	trailer_fini(&t);
}

void fixture_image_make_foreign(int fd)
{
	uint8_t header[IMAGE_HEADER_SIZE];
	struct image_layout l = {0};

	pread_full(fd, header, sizeof(header), 0);
	image_mark_find(header, &l);
	(void)!ftruncate(fd, (off_t)l.trailer_offset);
	memset(header + 36, 0, 56);
	pwrite_full(fd, header, sizeof(header), 0);
}

void fixture_image_flip(int fd, off_t at)
{
	uint8_t byte = 0;

	pread_full(fd, &byte, 1, at);
	byte ^= (uint8_t)(1u << at % 8);
	pwrite_full(fd, &byte, 1, at);
}
