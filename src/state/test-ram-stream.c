/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parser of QEMU's stream: in pieces of any size the same, and nothing impossible is believed. */
#include "fixture-stream.h"
#include "stream-walk.h"

struct seen {
	unsigned heads, pages, zeros, blocks;
	uint64_t sum;
	struct buf rest;
};

static int on_head(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
	const struct ram_block *blocks, unsigned n, struct error *err)
{
	struct seen *s = userdata;

	s->heads++;
	s->blocks = n;
	return 0;
}

static int on_page(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err)
{
	struct seen *s = userdata;
	uint8_t want[RAM_PAGE];
	bool filled = fixture_page(block, (unsigned)(offset / RAM_PAGE), want);

	if (data ? filled && memcmp(data, want, RAM_PAGE) == 0 : !filled)
		s->pages++;
	s->zeros += !data;
	return 0;
}

static int on_verbatim(void *userdata, const void *data, size_t len, struct error *err)
{
	struct seen *s = userdata;

	buf_add(&s->rest, data, len);
	return 0;
}

static const struct ram_stream_ops seen_ops = {on_head, on_page, on_verbatim};

/* Feeds pieces of `step` bytes, as a reader with a window does. */
static int parse(const struct buf *in, size_t step, struct seen *seen, struct error *err)
{
	_cleanup_(buf_fini) struct buf window = {0};
	struct ram_stream s;
	int r = 0;

	*seen = (struct seen){0};
	ram_stream_init(&s, &seen_ops, seen);
	for (size_t at = 0; at < in->len && r == 0; at += step) {
		ssize_t n;

		buf_add(&window, in->data + at, step < in->len - at ? step : in->len - at);
		n = ram_stream_feed(&s, (const uint8_t *)window.data, window.len, err);
		if (n < 0)
			r = -1;
		else
			buf_drop_front(&window, (size_t)n);
	}
	if (r == 0 && (window.len > 0 || s.state != RAM_STREAM_TAIL))
		r = error_set(err, ERROR_DAMAGED, "ends early");
	ram_stream_fini(&s);
	return r;
}

static void test_pieces(void)
{
	static const size_t steps[] = {1 << 30, 256 << 10, 4096, 4104, 1021};
	_cleanup_(buf_fini) struct buf in = {0};
	_cleanup_(buf_fini) struct buf rest = {0};
	unsigned pages = 0;

	fixture_stream(&in, false);
	fixture_end(&rest);
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++)
		pages += fixture_blocks[i].pages;
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		struct error err = ERROR_INIT;
		struct seen seen;

		okf(parse(&in, steps[i], &seen, &err) == 0, "in pieces of %zu: %s", steps[i], err.message);
		ok(seen.heads == 1 && seen.blocks == FIXTURE_BLOCKS && seen.pages == pages &&
				seen.zeros > 1000,
			"every page once, with its contents");
		ok(seen.rest.len == rest.len && memcmp(seen.rest.data, rest.data, rest.len) == 0,
			"the rest as it stands");
		buf_fini(&seen.rest);
	}
}

static void refuse(const struct buf *in, enum error_code code, const char *name)
{
	struct error err = ERROR_INIT;
	struct seen seen;

	okf(parse(in, 1 << 30, &seen, &err) < 0 && err.code == code, "%s: %s", name, err.message);
	buf_fini(&seen.rest);
}

static void test_background(void)
{
	_cleanup_(buf_fini) struct buf in = {0};
	_cleanup_(buf_fini) struct buf rest = {0};
	struct error err = ERROR_INIT;
	const size_t command = 5, end = command + 5 + 8 + 5; /* END, without records */
	struct seen seen;

	fixture_start(&in);
	fixture_memory(&in, false);
	fixture_end(&rest);
	buf_add(&in, rest.data, command);
	buf_add(&in, rest.data + end, rest.len - end);
	okf(parse(&in, 4096, &seen, &err) == 0, "devices behind the last PART: %s", err.message);
	ok(seen.rest.len == rest.len && memcmp(seen.rest.data, rest.data, rest.len) == 0,
		"and the END it has not");
	buf_fini(&seen.rest);
	buf_clear(&in);
	fixture_start(&in);
	buf_add(&in, rest.data + end, rest.len - end);
	refuse(&in, ERROR_UNSUPPORTED_CONFIG, "devices and no memory");
}

/* A stream with `len` bytes at `at` put in place of what is there. */
static void refuse_with(size_t at, const void *data, size_t len, enum error_code code, const char *name)
{
	_cleanup_(buf_fini) struct buf in = {0};

	fixture_stream(&in, false);
	memcpy(in.data + at, data, len);
	refuse(&in, code, name);
}

static void test_refused(void)
{
	_cleanup_(buf_fini) struct buf in = {0}, start = {0};
	const size_t config = 8, section = config + 5 + 11, list = section + 5 + 4 + 8, block = list + 8;
	size_t records;

	fixture_start(&start);
	records = start.len + 5;
	refuse_with(0, "QEVN", 4, ERROR_DAMAGED, "no magic");
	refuse_with(4, "\0\0\0\2", 4, ERROR_UNSUPPORTED_CONFIG, "version 2");
	refuse_with(config + 1, "\377\377\377\377", 4, ERROR_DAMAGED, "machine type of 4 GiB");
	refuse_with(config, "\x44", 1, ERROR_DAMAGED, "unknown section");
	refuse_with(section, "\4", 1, ERROR_UNSUPPORTED_CONFIG, "device before memory");
	refuse_with(section + 6, "rom", 3, ERROR_UNSUPPORTED_CONFIG, "another iterable section");
	refuse_with(section + 13, "\0\0\0\5", 4, ERROR_UNSUPPORTED_CONFIG, "memory of version 5");
	refuse_with(list, "\377\377\377\377\377\377\360\4", 8, ERROR_DAMAGED, "16 EiB of memory");
	refuse_with(block, "\0", 1, ERROR_DAMAGED, "block without a name");
	refuse_with(block + 7, "\0\0\0\0\0\0\0\1", 8, ERROR_DAMAGED, "block of one byte");
	refuse_with(block + 7, "\1\0\0\0\0\0\0\0", 8, ERROR_DAMAGED, "block larger than all");
	refuse_with(records - 10, "\177", 1, ERROR_DAMAGED, "no footer");
	refuse_with(records + 6, "\001\000", 2, ERROR_UNSUPPORTED_CONFIG, "compressed page");
	refuse_with(records + 6, "\002\010", 2, ERROR_UNSUPPORTED_CONFIG, "two kinds at once");
	refuse_with(records, "\1", 1, ERROR_DAMAGED, "page beyond its block");
	refuse_with(records + 7, "\50", 1, ERROR_DAMAGED, "page that continues no block");
	refuse_with(records + 9, "xx", 2, ERROR_DAMAGED, "page of an unknown block");

	fixture_start(&in);
	fixture_section(&in, STREAM_PART);
	fixture_record(&in, 0, 0, true, NULL);
	in.data[in.len - 1] = 1;
	fixture_section_end(&in);
	fixture_end(&in);
	refuse(&in, ERROR_DAMAGED, "page of ones");
}

static void test_configuration(void)
{
	static const char page_bits[] = "configuration/target-page-bits", uuid[] = "configuration/uuid";
	_cleanup_(buf_fini) struct buf in = {0}, start = {0};
	struct error err = ERROR_INIT;
	const size_t end = 8 + 5 + 11;
	struct stream_prefix p;
	size_t prefix_len;

	fixture_start(&start);
	buf_add(&in, start.data, end);
	fixture_byte(&in, STREAM_SUBSECTION);
	fixture_name(&in, page_bits);
	fixture_be32(&in, 1);
	fixture_be32(&in, 12);
	fixture_byte(&in, STREAM_SUBSECTION);
	fixture_name(&in, uuid);
	fixture_be32(&in, 1);
	buf_add(&in, "0123456789abcdef", 16);
	prefix_len = in.len + 5 + 4 + 8;
	buf_add(&in, start.data + end, start.len - end);
	okf(stream_prefix_parse((uint8_t *)in.data, in.len, &p, &err) == 1 && p.len == prefix_len &&
			p.config_end == p.start_at,
		"known entries are passed over: %s", err.message);
	for (size_t len = 0; len < prefix_len; len++)
		if (stream_prefix_parse((uint8_t *)in.data, len, &p, &err) != 0) {
			okf(false, "%zu bytes are not enough", len);
			return;
		}
	ok(true, "none too early");
	in.data[end + 2 + sizeof(page_bits) - 1 + 7] = 14;
	ok(stream_prefix_parse((uint8_t *)in.data, in.len, &p, &err) < 0 &&
			err.code == ERROR_UNSUPPORTED_CONFIG,
		"pages of 16 KiB are refused");
}

static int walk(const struct buf *in, size_t step, struct error *err)
{
	struct stream_walk *w = stream_walk_new();
	int r = 0;

	for (size_t at = 0; at < in->len && r == 0; at += step)
		r = stream_walk_feed(w, in->data + at, step < in->len - at ? step : in->len - at, err);
	if (r == 0)
		r = stream_walk_finish(w, err);
	stream_walk_free(w);
	return r;
}

static void test_walk(void)
{
	_cleanup_(buf_fini) struct buf in = {0};
	struct error err = ERROR_INIT;
	size_t whole;

	fixture_stream(&in, true);
	whole = in.len;
	okf(walk(&in, 1 << 30, &err) == 0, "a whole stream: %s", err.message);
	okf(walk(&in, 3000, &err) == 0, "in pieces smaller than a page: %s", err.message);
	okf(walk(&in, 300000, &err) == 0, "in pieces larger than the window: %s", err.message);
	in.len = whole - 1;
	okf(walk(&in, 1 << 20, &err) < 0 && err.code == ERROR_DAMAGED, "one byte short: %s", err.message);
	in.len = whole / 2;
	okf(walk(&in, 1 << 20, &err) < 0 && err.code == ERROR_DAMAGED, "half: %s", err.message);
	in.len = whole;
	buf_add(&in, in.data, 100000);
	okf(walk(&in, 1 << 20, &err) == 0, "what follows a whole state is nobody's business: %s",
		err.message);
}

int main(void)
{
	test_pieces();
	test_background();
	test_refused();
	test_configuration();
	test_walk();
	return done_testing();
}
