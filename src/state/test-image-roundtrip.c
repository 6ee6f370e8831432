/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images of all formats: what was saved comes back, and what was altered or cut off is noticed wherever it is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "file.h"
#include "fixture-image.h"
#include "image-load.h"
#include "image-save.h"

#define XML    "<domain type='qemu'><name>guest7</name></domain>"
#define COOKIE "<cookie/>"
#define NAME   "/x/guest7.save"

static const enum image_format formats[] = {IMAGE_FORMAT_RAW, IMAGE_FORMAT_ZSTD, IMAGE_FORMAT_SPARSE};

/* An image file of its own, without a name: on a disk for direct I/O, in memory for speed. */
static int new_file(bool on_disk)
{
	int fd = on_disk ? open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	return fd >= 0 ? fd : memfd_create("image", MFD_CLOEXEC);
}

static int save_to(int fd, enum image_format format, bool direct, const struct buf *stream, bool commit,
	struct error *err)
{
	struct image_progress progress = {0};
	struct image_save *s = NULL;
	struct pump pump;
	int stream_fd = pump_start(&pump, stream->data, stream->len), r;

	r = image_save_start(&(struct image_save_options){.file_fd = fd,
				     .stream_fd = stream_fd,
				     .name = NAME,
				     .direct = direct,
				     .threads = 2,
				     .format = format,
				     .xml = XML,
				     .cookie = COOKIE,
				     .was_running = true},
		&progress, &s, err);
	if (r == 0)
		r = image_save_stream(s, err);
	if (r == 0 && commit)
		r = image_save_commit(s, NULL, err);
	image_save_free(s);
	close(stream_fd);
	pump_finish(&pump);
	buf_fini(&pump.data);
	return r;
}

/* ret_stream may be NULL: only check. */
static int load_from(int fd, struct buf *ret_stream, struct error *err)
{
	struct image_progress progress = {0};
	struct image_load_options o = {.file_fd = fd, .stream_fd = -1, .name = NAME, .threads = 2};
	struct pump pump;
	int r;

	if (!ret_stream)
		return image_load(&o, &progress, err);
	o.stream_fd = pump_start(&pump, NULL, 0);
	r = image_load(&o, &progress, err);
	close(o.stream_fd);
	pump_finish(&pump);
	*ret_stream = pump.data;
	return r;
}

/* What a stream leaves in memory, and everything else of it. */
struct memory {
	uint8_t *pages;
	struct buf rest;
	size_t at[64], total;
};

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n, struct error *err)
{
	struct memory *m = userdata;
	size_t total = 0;

	buf_add(&m->rest, data, prefix->len);
	for (unsigned i = 0; i < n && i < 64; i++) {
		m->at[i] = total;
		total += blocks[i].length;
		buf_addf(&m->rest, "[%s %llu]", blocks[i].name, (unsigned long long)blocks[i].length);
	}
	m->total = total;
	m->pages = xcalloc(1, total);
	memset(m->pages, 0xee, total);
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct memory *m = userdata;

	if (data)
		memcpy(m->pages + m->at[block] + offset, data, RAM_PAGE);
	else
		memset(m->pages + m->at[block] + offset, 0, RAM_PAGE);
	return 0;
}

static int on_verbatim(void *userdata, const void *data, size_t len, struct error *err)
{
	struct memory *m = userdata;

	buf_add(&m->rest, data, len);
	return 0;
}

static const struct ram_stream_ops memory_ops = {on_head, on_page, on_verbatim};

static bool same_memory(const struct buf *a, const struct buf *b)
{
	const struct buf *streams[] = {a, b};
	struct memory m[2] = {0};
	bool same = true;

	for (int i = 0; i < 2; i++) {
		struct ram_stream s;

		ram_stream_init(&s, &memory_ops, &m[i]);
		if (ram_stream_feed(&s, (const uint8_t *)streams[i]->data, streams[i]->len, NULL) !=
			(ssize_t)streams[i]->len)
			same = false;
		ram_stream_fini(&s);
	}
	same = same && m[0].rest.len == m[1].rest.len && m[0].total == m[1].total &&
	       memcmp(m[0].rest.data, m[1].rest.data, m[0].rest.len) == 0 &&
	       memcmp(m[0].pages, m[1].pages, m[0].total) == 0;
	for (int i = 0; i < 2; i++) {
		free(m[i].pages);
		buf_fini(&m[i].rest);
	}
	return same;
}

static void test_roundtrip(enum image_format format, bool direct, bool again)
{
	_cleanup_close_ int fd = new_file(direct);
	_cleanup_(buf_fini) struct buf in = {0}, out = {0};
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;
	const char *f = image_format_name(format);

	fixture_stream(&in, again);
	okf(save_to(fd, format, direct, &in, true, &err) == 0, "%s%s%s: saves: %s", f,
		direct ? ", direct" : "", again ? ", pages sent twice" : "", err.message);
	okf(image_read_header(fd, NAME, &h, &err) == 0 && h.complete && h.was_running && h.format == format &&
			h.has_trailer,
		"%s: header is complete: %s", f, err.message);
	is_str(h.xml, XML, "XML is there");
	is_str(h.cookie, COOKIE, "cookie is there");
	okf(load_from(fd, &out, &err) == 0, "%s: loads: %s", f, err.message);
	if (format == IMAGE_FORMAT_SPARSE)
		okf(same_memory(&in, &out), "%s: the same memory and devices", f);
	else
		okf(in.len == out.len && memcmp(in.data, out.data, in.len) == 0, "%s: the same stream", f);
	okf(load_from(fd, NULL, &err) == 0, "%s: verifies: %s", f, err.message);
	if (format == IMAGE_FORMAT_SPARSE) {
		struct stat st;

		fstat(fd, &st);
		ok(st.st_blocks * 512 < st.st_size, "zero pages take no room");
	}
}

/* More memory blocks than there are chunks kept in memory for their bitmaps; each begins in a chunk of its own. */
static void test_many_blocks(void)
{
	enum { N = 40, PAGES = 1040 };
	_cleanup_close_ int fd = new_file(true);
	_cleanup_(buf_fini) struct buf in = {0}, out = {0};
	struct error err = ERROR_INIT;
	uint8_t data[RAM_PAGE];
	char name[16];

	fixture_start(&in);
	in.len = 8 + 5 + 11 + 17; /* up to the list */
	fixture_be64(&in, (uint64_t)N * PAGES * RAM_PAGE | RAM_MEM_SIZE);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "dimm%u", i);
		fixture_name(&in, name);
		fixture_be64(&in, (uint64_t)PAGES * RAM_PAGE);
	}
	fixture_section_end(&in);
	fixture_section(&in, STREAM_PART);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "dimm%u", i);
		fixture_be64(&in, RAM_ZERO);
		fixture_name(&in, name);
		fixture_byte(&in, 0);
		for (unsigned page = 1; page < PAGES; page++) {
			memset(data, (int)(i + page), sizeof(data));
			fixture_record(&in, 0, page, false, page % 500 == 1 ? data : NULL);
		}
	}
	fixture_section_end(&in);
	fixture_end(&in);
	okf(save_to(fd, IMAGE_FORMAT_SPARSE, true, &in, true, &err) == 0, "many blocks: saved: %s",
		err.message);
	okf(load_from(fd, &out, &err) == 0, "many blocks: loaded: %s", err.message);
	ok(same_memory(&in, &out), "many blocks: the same");
}

static void test_incomplete(enum image_format format)
{
	_cleanup_close_ int fd = new_file(false);
	_cleanup_(buf_fini) struct buf in = {0};
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;

	fixture_stream(&in, false);
	save_to(fd, format, false, &in, false, &err);
	okf(image_read_header(fd, NAME, &h, &err) == 0 && !h.complete, "%s: not committed, not complete",
		image_format_name(format));
	okf(load_from(fd, NULL, &err) < 0 && err.code == ERROR_DAMAGED && strstr(err.message, "incomplete"),
		"and refused: %s", err.message);
}

/* Is the image still taken for whole with one bit of byte `at` turned? Header and trailer are checked without the rest. */
static bool passes_with_flip(int fd, off_t at, bool all, struct error *err)
{
	_cleanup_(image_header_fini) struct image_header h = {0};
	uint8_t byte = 0, flipped;
	bool passes;

	pread_full(fd, &byte, 1, at);
	flipped = byte ^ (uint8_t)(1u << at % 8);
	pwrite_full(fd, &flipped, 1, at);
	passes = (all ? load_from(fd, NULL, err) : image_read_header(fd, NAME, &h, err)) == 0;
	pwrite_full(fd, &byte, 1, at);
	return passes;
}

/* A change nobody notices is a failure: each byte of header and trailer, and samples of what is between. */
static void test_damage(enum image_format format)
{
	_cleanup_close_ int fd = new_file(false);
	_cleanup_(buf_fini) struct buf in = {0};
	struct error err = ERROR_INIT;
	const char *f = image_format_name(format);
	unsigned missed = 0, nameless = 0, tried = 0;
	struct stat st;

	fixture_stream(&in, false);
	save_to(fd, format, false, &in, true, &err);
	fstat(fd, &st);
	for (off_t at = 0; at < st.st_size; tried++) {
		bool ends = at < 300 || at >= st.st_size - 120;

		if (passes_with_flip(fd, at, !ends, &err))
			missed++;
		else if (!strstr(err.message, NAME))
			nameless++;
		at += ends ? 1 : st.st_size / 30;
		if (!ends && at > st.st_size - 120)
			at = st.st_size - 120;
	}
	okf(tried > 420 && missed == 0, "%s: %u of %u alterations went unnoticed", f, missed, tried);
	okf(nameless == 0, "%s: each message names the image", f);
	okf(load_from(fd, NULL, &err) == 0, "%s: and put back it is whole again", f);
}

static void test_truncation(enum image_format format)
{
	_cleanup_(buf_fini) struct buf in = {0};
	struct error err = ERROR_INIT;
	unsigned missed = 0, unclear = 0;
	_cleanup_close_ int fd = new_file(false);
	struct stat st;

	fixture_stream(&in, false);
	save_to(fd, format, false, &in, true, &err);
	fstat(fd, &st);
	for (off_t size = st.st_size - 1; size > 0; size -= 1 + (st.st_size - size) / 2) {
		(void)!ftruncate(fd, size);
		if (load_from(fd, NULL, &err) == 0)
			missed++;
		else if (size > 92 && !strstr(err.message, "truncated"))
			unclear++;
	}
	okf(missed == 0 && unclear == 0, "%s: truncation is noticed (%u not, %u not called so: %s)",
		image_format_name(format), missed, unclear, err.message);
}

static void test_foreign(enum image_format format)
{
	_cleanup_close_ int fd = new_file(false);
	_cleanup_(buf_fini) struct buf in = {0}, out = {0};
	struct error err = ERROR_INIT;
	const char *f = image_format_name(format);
	unsigned missed = 0;
	struct stat st;

	fixture_stream(&in, false);
	save_to(fd, format, false, &in, true, &err);
	fixture_image_make_foreign(fd);
	okf(load_from(fd, &out, &err) == 0, "%s without a trailer loads: %s", f, err.message);
	okf(format == IMAGE_FORMAT_SPARSE ? same_memory(&in, &out)
					  : in.len == out.len && memcmp(in.data, out.data, in.len) == 0,
		"%s without a trailer: the same", f);
	fstat(fd, &st);
	for (off_t size = st.st_size - 1; size > 0; size -= 1 + (st.st_size - size) / 2) {
		(void)!ftruncate(fd, size);
		if (load_from(fd, NULL, &err) == 0 || err.code != ERROR_DAMAGED)
			missed++;
	}
	okf(missed == 0, "%s without a trailer: truncation is noticed", f);
}

static void test_short_stream(enum image_format format)
{
	_cleanup_close_ int fd = new_file(false);
	_cleanup_(buf_fini) struct buf in = {0};
	struct error err = ERROR_INIT;
	char nothing[] = "";

	okf(save_to(fd, format, false, &(struct buf){.data = nothing}, true, &err) < 0,
		"%s: an empty stream is refused: %s", image_format_name(format), err.message);
	if (format != IMAGE_FORMAT_SPARSE)
		return;
	fixture_stream(&in, false);
	in.len /= 2;
	okf(save_to(fd, format, false, &in, true, &err) < 0 && strstr(err.message, "middle"),
		"half a stream is refused: %s", err.message);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		test_roundtrip(formats[i], false, false);
		test_roundtrip(formats[i], true, false);
		test_incomplete(formats[i]);
		test_damage(formats[i]);
		test_truncation(formats[i]);
		test_foreign(formats[i]);
		test_short_stream(formats[i]);
	}
	test_roundtrip(IMAGE_FORMAT_SPARSE, true, true);
	test_many_blocks();
	return done_testing();
}
