/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's state as a stream, in pieces of a size that the first byte chooses; or, when that byte is 0, as a mapped-ram file of a
 * save image, which is checked and turned into a stream that must be one.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "image-load.h"
#include "ram-stream.h"
#include "stream-walk.h"

#define NAME "/x/guest7.save"
#define XML  "<domain/>"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct ram_block blocks[RAM_BLOCKS_MAX];
	unsigned n_blocks;
	uint8_t sum;
};

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n, struct error *err)
{
	struct seen *s = userdata;

	assert(prefix->config_end <= prefix->start_at && prefix->start_at < prefix->len);
	assert(prefix->caps_at + prefix->caps_len <= prefix->config_end);
	assert(n > 0 && n <= RAM_BLOCKS_MAX);
	memcpy(s->blocks, blocks, n * sizeof(*blocks));
	s->n_blocks = n;
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct seen *s = userdata;

	assert(block < s->n_blocks && offset % RAM_PAGE == 0 && offset < s->blocks[block].length);
	if (data)
		s->sum ^= data[0] ^ data[RAM_PAGE - 1];
	return 0;
}

static int on_verbatim(void *userdata, const void *data, size_t len, struct error *err)
{
	assert(len > 0);
	return 0;
}

static const struct ram_stream_ops ops = {on_head, on_page, on_verbatim};

static void parse(const uint8_t *data, size_t size, size_t step)
{
	static struct seen seen;
	_cleanup_(buf_fini) struct buf window = {0};
	struct error err = ERROR_INIT;
	struct ram_stream s;

	seen.n_blocks = 0;
	ram_stream_init(&s, &ops, &seen);
	for (size_t at = 0; at < size; at += step) {
		ssize_t n;

		buf_add(&window, data + at, step < size - at ? step : size - at);
		n = ram_stream_feed(&s, (const uint8_t *)window.data, window.len, &err);
		assert(n >= 0 || err.code != ERROR_NONE);
		if (n < 0)
			break;
		assert((size_t)n <= window.len);
		assert(n > 0 || window.len < STREAM_WINDOW_MIN);
		buf_drop_front(&window, (size_t)n);
	}
	ram_stream_fini(&s);
}

static void walk(const uint8_t *data, size_t size, size_t step)
{
	struct stream_walk *w = stream_walk_new();
	struct error err = ERROR_INIT;
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += step)
		r = stream_walk_feed(w, data + at, step < size - at ? step : size - at, &err);
	if (r == 0)
		r = stream_walk_finish(w, &err);
	assert(r == 0 || err.code == ERROR_DAMAGED);
	stream_walk_free(w);
}

static void load_mapped(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC),
			    out = memfd_create("stream", MFD_CLOEXEC);
	struct image_layout l = {
		.complete = true, .version = 2, .data_len = sizeof(XML), .format = IMAGE_FORMAT_SPARSE};
	_cleanup_free_ uint8_t *header = image_region_format(&l, XML, NULL), *stream = NULL;
	struct image_progress progress = {0};
	struct error err = ERROR_INIT;
	off_t len;

	assert(fd >= 0 && out >= 0);
	pwrite_full(fd, header, IMAGE_HEADER_SIZE + sizeof(XML), 0);
	pwrite_full(fd, data, size, IMAGE_HEADER_SIZE + sizeof(XML));
	if (image_load(
		    &(struct image_load_options){.file_fd = fd, .stream_fd = out, .name = NAME, .threads = 1},
		    &progress, &err) < 0) {
		assert(err.code != ERROR_NONE);
		return;
	}
	len = lseek(out, 0, SEEK_END);
	stream = xcalloc(1, (size_t)len + 1);
	pread_full(out, stream, (size_t)len, 0);
	walk(stream, (size_t)len, (size_t)len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = {0, 1, 7, 512, 4096, 4105, 70000, 1 << 20};
	size_t step;

	signal(SIGPIPE, SIG_IGN);
	if (size == 0)
		return 0;
	step = steps[data[0] % 8];
	if (step == 0) {
		load_mapped(data + 1, size - 1);
	} else if (size < 4096 || step > 7) {
		parse(data + 1, size - 1, step);
		walk(data + 1, size - 1, step);
	}
	return 0;
}
