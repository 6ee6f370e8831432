/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image whose main memory is mapped: where that lies, and that the rest, all of it and checked, goes to QEMU. */
#include <signal.h>
#include <sys/mman.h>

#include "file.h"
#include "fixture-stream.h"
#include "image-layout.h"
#include "image-load.h"
#include "image-memory.h"
#include "image-save.h"

#define NAME "/x/guest7.save"

static int new_image(enum image_format format)
{
	_cleanup_(buf_fini) struct buf in = {0};
	struct image_progress progress = {0};
	struct image_save *s = NULL;
	struct pump pump;
	int fd = memfd_create("image", MFD_CLOEXEC), stream_fd;

	fixture_stream(&in, false);
	stream_fd = pump_start(&pump, in.data, in.len);
	ok(image_save_start(&(struct image_save_options){.file_fd = fd,
				    .stream_fd = stream_fd,
				    .name = NAME,
				    .threads = 2,
				    .format = format,
				    .xml = "<domain/>"},
		   &progress, &s, NULL) == 0 &&
			image_save_stream(s, NULL) == 0 && image_save_commit(s, NULL, NULL) == 0,
		"an image");
	image_save_free(s);
	close(stream_fd);
	pump_finish(&pump);
	buf_fini(&pump.data);
	return fd;
}

static int clone_from(int fd, struct buf *ret_stream, struct error *err)
{
	struct image_progress progress = {0};
	struct pump pump;
	struct image_load_options o = {
		.file_fd = fd, .name = NAME, .threads = 2, .without_main_memory = true};
	int r;

	o.stream_fd = pump_start(&pump, NULL, 0);
	r = image_load(&o, &progress, err);
	close(o.stream_fd);
	pump_finish(&pump);
	*ret_stream = pump.data;
	return r;
}

static int find_memory(int fd, struct image_memory *ret, struct error *err)
{
	_cleanup_(image_header_fini) struct image_header h = {0};

	return image_read_header(fd, NAME, &h, err) < 0 ? -1 : image_find_memory(fd, NAME, &h, ret, err);
}

static void test_memory_in_file(int fd)
{
	struct image_memory memory = {0};
	struct error err = ERROR_INIT;
	unsigned wrong = 0;

	ok(find_memory(fd, &memory, &err) == 0, "main memory is found");
	is_int((long)memory.length, (long)fixture_blocks[0].pages * RAM_PAGE, "all of it");
	ok(memory.offset % RAM_PAGE == 0, "at a page's boundary");
	for (unsigned page = 0; page < fixture_blocks[0].pages; page++) {
		uint8_t want[RAM_PAGE], have[RAM_PAGE];

		fixture_page(0, page, want);
		pread_full(fd, have, RAM_PAGE, (off_t)(memory.offset + page * RAM_PAGE));
		wrong += memcmp(want, have, RAM_PAGE) != 0;
	}
	is_int(wrong, 0, "each page lies in its place");
}

/* ---- the stream ---- */

struct seen {
	unsigned pages[FIXTURE_BLOCKS], wrong;
	bool caps;
	struct buf rest;
};

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n, struct error *err)
{
	struct seen *s = userdata;

	s->caps = prefix->caps_len > 0;
	s->wrong += n != FIXTURE_BLOCKS;
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct seen *s = userdata;
	uint8_t want[RAM_PAGE];
	bool filled = fixture_page(block, (unsigned)(offset / RAM_PAGE), want);

	s->pages[block]++;
	s->wrong += data ? !filled || memcmp(data, want, RAM_PAGE) != 0 : filled;
	return 0;
}

static int on_verbatim(void *userdata, const void *data, size_t len, struct error *err)
{
	struct seen *s = userdata;

	buf_add(&s->rest, data, len);
	return 0;
}

static const struct ram_stream_ops seen_ops = {on_head, on_page, on_verbatim};

static void test_stream(int fd)
{
	_cleanup_(buf_fini) struct buf out = {0}, end = {0};
	struct error err = ERROR_INIT;
	struct seen seen = {0};
	struct ram_stream s;

	okf(clone_from(fd, &out, &err) == 0, "the rest of the state: %s", err.message);
	ram_stream_init(&s, &seen_ops, &seen);
	ok(ram_stream_feed(&s, (const uint8_t *)out.data, out.len, NULL) == (ssize_t)out.len,
		"it is a stream");
	ok(s.state == RAM_STREAM_TAIL && !seen.caps, "whole, and an ordinary one");
	is_int(seen.pages[0], 0, "no page of main memory");
	for (unsigned i = 1; i < FIXTURE_BLOCKS; i++)
		is_int(seen.pages[i], fixture_blocks[i].pages, "every page of another block");
	is_int(seen.wrong, 0, "as they were");
	fixture_end(&end);
	ok(seen.rest.len >= end.len &&
			memcmp(seen.rest.data + seen.rest.len - end.len, end.data, end.len) == 0,
		"and the devices behind them");
	ram_stream_fini(&s);
	buf_fini(&seen.rest);
}

/* ---- what is wrong with it ---- */

static int clone_with(int fd, off_t at, uint8_t turned, struct error *err)
{
	_cleanup_(buf_fini) struct buf out = {0};
	uint8_t before = 0, after;
	int r;

	pread_full(fd, &before, 1, at);
	after = before ^ turned;
	pwrite_full(fd, &after, 1, at);
	r = clone_from(fd, &out, err);
	pwrite_full(fd, &before, 1, at);
	return r;
}

/* The end of a block of main memory begins another chunk only by chance: a byte well inside of it. */
static void test_damage(int fd)
{
	struct image_memory memory = {0};
	struct error err = ERROR_INIT;
	off_t inside, behind;

	find_memory(fd, &memory, &err);
	inside = (off_t)((memory.offset / CHUNK_SIZE + 1) * CHUNK_SIZE);
	behind = (off_t)(memory.offset + memory.length) + (2 << 20);
	okf(clone_with(fd, inside, 1, &err) == 0, "what is mapped is not read: %s", err.message);
	okf(clone_with(fd, behind, 1, &err) < 0 && err.code == ERROR_DAMAGED && strstr(err.message, NAME),
		"what is read is checked: %s", err.message);
	okf(clone_with(fd, 100, 1, &err) < 0 && err.code == ERROR_DAMAGED, "and so is the header: %s",
		err.message);
}

/* As QEMU writes it: no trailer; of a running guest: with leftovers. */
static void test_foreign(int fd)
{
	struct image_layout l = {0};
	struct image_memory memory = {0};
	struct error err = ERROR_INIT;
	uint8_t header[IMAGE_HEADER_SIZE];
	off_t zero;

	find_memory(fd, &memory, &err);
	zero = (off_t)memory.offset + 3 * RAM_PAGE;
	okf(clone_with(fd, zero + 77, 4, &err) < 0 && err.code == ERROR_DAMAGED,
		"in the first chunk anything is noticed: %s", err.message);
	pread_full(fd, header, sizeof(header), 0);
	image_mark_find(header, &l);
	(void)!ftruncate(fd, (off_t)l.trailer_offset);
	memset(header + 36, 0, 56);
	pwrite_full(fd, header, sizeof(header), 0);
	okf(clone_with(fd, zero, 0, &err) == 0, "without a trailer: %s", err.message);
	okf(clone_with(fd, zero + 77, 4, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG &&
			strstr(err.message, "convert"),
		"leftovers are refused: %s", err.message);
	okf(clone_with(fd, zero + RAM_PAGE, 4, &err) == 0, "a page that is there may hold anything: %s",
		err.message);
	(void)!ftruncate(fd, (off_t)l.trailer_offset - 9);
	okf(clone_with(fd, zero, 0, &err) < 0 && err.code == ERROR_DAMAGED, "a cut end is noticed: %s",
		err.message);
}

static void test_other_formats(void)
{
	static const enum image_format formats[] = {IMAGE_FORMAT_RAW, IMAGE_FORMAT_ZSTD};

	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		_cleanup_close_ int fd = new_image(formats[i]);
		_cleanup_(buf_fini) struct buf out = {0};
		struct image_memory memory;
		struct error err = ERROR_INIT;

		okf(find_memory(fd, &memory, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG &&
				strstr(err.message, image_format_name(formats[i])),
			"refused by name: %s", err.message);
		okf(clone_from(fd, &out, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG,
			"and never sent: %s", err.message);
	}
}

int main(void)
{
	_cleanup_close_ int fd = -1;

	signal(SIGPIPE, SIG_IGN);
	fd = new_image(IMAGE_FORMAT_SPARSE);
	test_memory_in_file(fd);
	test_stream(fd);
	test_damage(fd);
	test_foreign(fd);
	test_other_formats();
	return done_testing();
}
