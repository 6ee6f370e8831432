/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where pages are: built while saving, kept in the image, or found by reading it; and what no index can be made of. */
#include "page-index.h"

#include <signal.h>

#include "file.h"
#include "fixture-image.h"
#include "strv.h"

#define NAME FIXTURE_IMAGE_NAME

/* The index of a stream that is fed in steps of `step` bytes. */
static int build(const struct buf *stream, size_t step, struct page_index *ret, struct error *err)
{
	struct page_index_builder *b = page_index_builder_new();
	int r;

	for (size_t at = 0; at < stream->len; at += step)
		page_index_builder_feed(
			b, stream->data + at, stream->len - at < step ? stream->len - at : step);
	r = page_index_builder_finish(b, ret, err);
	page_index_builder_free(b);
	return r;
}

static bool same(const struct page_index *a, const struct page_index *b)
{
	if (a->n_blocks != b->n_blocks || a->head_len != b->head_len || a->tail_offset != b->tail_offset ||
		a->section_id != b->section_id)
		return false;
	for (unsigned i = 0; i < a->n_blocks; i++)
		if (!streq(a->blocks[i].name, b->blocks[i].name) ||
			a->blocks[i].length != b->blocks[i].length ||
			memcmp(a->offsets[i], b->offsets[i], a->blocks[i].length / RAM_PAGE * 8) != 0)
			return false;
	return true;
}

/* Each page of the fixture is where the index says. */
static bool finds_pages(const struct page_index *index, const struct buf *stream)
{
	uint8_t page[RAM_PAGE];

	if (index->n_blocks != FIXTURE_BLOCKS)
		return false;
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++)
		for (unsigned n = 0; n < fixture_blocks[i].pages; n++) {
			uint64_t at = index->offsets[i][n];

			if (!fixture_page(i, n, page)) {
				if (at != PAGE_ZERO)
					return false;
				continue;
			}
			if (at == PAGE_ZERO || at == PAGE_ABSENT ||
				memcmp(stream->data + at, page, RAM_PAGE) != 0)
				return false;
		}
	return true;
}

static void test_building(bool again)
{
	static const size_t steps[] = {SIZE_MAX / 2, 1 << 20, 65536, 4097, 997};
	_cleanup_(buf_fini) struct buf stream = {0};
	_cleanup_(page_index_fini) struct page_index whole = {0};
	struct error err = ERROR_INIT;

	fixture_stream(&stream, again);
	okf(build(&stream, steps[0], &whole, &err) == 0, "built at once: %s", err.message);
	ok(whole.section_id == FIXTURE_SECTION, "with the section");
	okf(finds_pages(&whole, &stream), "%s: every page is where it says",
		again ? "sent twice" : "in order");
	ok(whole.tail_offset < stream.len && stream.data[whole.tail_offset] == STREAM_FULL &&
			stream.data[whole.tail_offset - 5] == STREAM_FOOTER,
		"the tail begins with the first device");
	for (unsigned i = 1; i < ARRAY_SIZE(steps); i++) {
		_cleanup_(page_index_fini) struct page_index index = {0};

		okf(build(&stream, steps[i], &index, &err) == 0 && same(&index, &whole),
			"in steps of %zu bytes", steps[i]);
	}
}

static void test_bytes(void)
{
	_cleanup_(buf_fini) struct buf stream = {0}, note = {0};
	_cleanup_(page_index_fini) struct page_index index = {0}, back = {0};
	struct error err = ERROR_INIT;
	unsigned taken = 0;

	fixture_stream(&stream, true);
	build(&stream, stream.len, &index, &err);
	/* As if one were never sent. */
	index.offsets[0][17] = PAGE_ABSENT;
	page_index_encode(&index, &note);
	okf(note.len < 8000, "%zu bytes", note.len);
	okf(page_index_decode(note.data, note.len, stream.len, NAME, &back, &err) == 0 && same(&index, &back),
		"read back the same: %s", err.message);
	for (size_t len = 0; len < note.len; len += 7) {
		struct page_index none = {0};

		if (page_index_decode(note.data, len, stream.len, NAME, &none, &err) == 0)
			taken++;
		page_index_fini(&none);
	}
	okf(taken == 0 && err.code == ERROR_DAMAGED && strstr(err.message, NAME), "cut off it is refused: %s",
		err.message);
	ok(page_index_decode(note.data, note.len, back.tail_offset - 1, NAME, &back, &err) < 0,
		"so is one that points behind the state");
}

/* Whatever is in it, pages lie within memory, or it is refused. */
static void test_wrong_bytes(void)
{
	_cleanup_(buf_fini) struct buf stream = {0}, note = {0};
	_cleanup_(page_index_fini) struct page_index index = {0};
	struct error err = ERROR_INIT;
	unsigned outside = 0;

	fixture_stream(&stream, false);
	build(&stream, stream.len, &index, &err);
	page_index_encode(&index, &note);
	for (size_t at = 0; at < note.len; at++) {
		_cleanup_(page_index_fini) struct page_index odd = {0};

		note.data[at] ^= (char)(1 << at % 8);
		if (page_index_decode(note.data, note.len, stream.len, NAME, &odd, &err) == 0)
			for (unsigned i = 0; i < odd.n_blocks; i++)
				for (uint64_t n = 0; n < odd.blocks[i].length / RAM_PAGE; n++) {
					uint64_t o = odd.offsets[i][n];

					if (o != PAGE_ZERO && o != PAGE_ABSENT &&
						(o < odd.head_len || o + RAM_PAGE > odd.tail_offset))
						outside++;
				}
		note.data[at] ^= (char)(1 << at % 8);
	}
	okf(outside == 0, "%u pages outside", outside);
}

static void test_image(enum image_format format, bool foreign)
{
	_cleanup_(buf_fini) struct buf stream = {0};
	_cleanup_(page_index_fini) struct page_index index = {0};
	_cleanup_close_ int fd = -1;
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	fixture_stream(&stream, true);
	fd = fixture_image(format, &stream);
	if (foreign)
		fixture_image_make_foreign(fd);
	okf(checked_file_open(fd, NAME, &f, &err) == 0, "opened: %s", err.message);
	ok(foreign == !checked_file_note(f, TRAILER_NOTE_PAGE_INDEX, &len), "with or without a note");
	okf(page_index_read(f, &index, &err) == 0 && finds_pages(&index, &stream), "%s, %s: indexed: %s",
		image_format_name(format), foreign ? "libvirt's" : "godwit's", err.message);
	checked_file_free(f);
}

static void refuse(const struct buf *stream, enum error_code code, const char *words)
{
	struct page_index index = {0};
	struct error err = ERROR_INIT;

	okf(build(stream, 1000, &index, &err) < 0 && err.code == code && strstr(err.message, words) &&
			!index.blocks,
		"refused: %s", err.message);
}

static void test_refused(void)
{
	_cleanup_(buf_fini) struct buf amid = {0}, half = {0};
	_cleanup_(page_index_fini) struct page_index index = {0};
	_cleanup_close_ int fd = -1;
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;

	fixture_start(&amid);
	fixture_byte(&amid, STREAM_START);
	fixture_be32(&amid, 7);
	refuse(&amid, ERROR_UNSUPPORTED_CONFIG, "amid its memory");
	fixture_stream(&half, false);
	half.len /= 2;
	refuse(&half, ERROR_DAMAGED, "middle");

	half.len *= 2;
	fd = fixture_image(IMAGE_FORMAT_SPARSE, &half);
	checked_file_open(fd, NAME, &f, &err);
	okf(page_index_read(f, &index, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG,
		"a sparse image has no plain stream: %s", err.message);
	checked_file_free(f);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_building(false);
	test_building(true);
	test_bytes();
	test_wrong_bytes();
	test_image(IMAGE_FORMAT_RAW, false);
	test_image(IMAGE_FORMAT_RAW, true);
	test_image(IMAGE_FORMAT_ZSTD, false);
	test_refused();
	return done_testing();
}
