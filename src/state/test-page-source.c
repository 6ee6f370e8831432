/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image as pages: all of them, whoever wrote it; what is damaged, and what cannot be served. */
#include "page-source.h"

#include <signal.h>
#include <sys/mman.h>

#include "file.h"
#include "fixture-image.h"
#include "page-claims.h"

#define NAME FIXTURE_IMAGE_NAME

static bool reads_every_page(struct page_reader *r, struct error *err)
{
	uint8_t got[RAM_PAGE], want[RAM_PAGE];

	for (unsigned block = 0; block < FIXTURE_BLOCKS; block++)
		/* Not in the order in which they lie. */
		for (unsigned i = 0; i < fixture_blocks[block].pages; i++) {
			unsigned page = i * 97 % fixture_blocks[block].pages;
			bool full = fixture_page(block, page, want), zero;

			if (page_reader_read(r, block, page, got, &zero, err) < 0 || zero == full ||
				(full && memcmp(got, want, RAM_PAGE) != 0))
				return false;
		}
	return true;
}

static void test_image(enum image_format format, bool foreign, bool again)
{
	_cleanup_(buf_fini) struct buf stream = {0}, start = {0};
	struct page_source *s = NULL;
	struct page_reader *r = NULL;
	struct error err = ERROR_INIT;
	const struct ram_block *blocks;
	_cleanup_close_ int fd = -1;
	unsigned n = 0;

	fixture_stream(&stream, again);
	fd = fixture_image(format, &stream);
	if (foreign)
		fixture_image_make_foreign(fd);
	okf(page_source_open(fd, NAME, &s, &err) == 0 && page_reader_open(s, &r, &err) == 0,
		"%s%s: opened: %s", foreign ? "libvirt's " : "", image_format_name(format), err.message);
	if (!s || !r)
		return;
	blocks = page_source_blocks(s, &n);
	ok(n == FIXTURE_BLOCKS && strcmp(blocks[1].name, fixture_blocks[1].name) == 0 &&
			blocks[2].length == fixture_blocks[2].pages * RAM_PAGE,
		"its blocks");
	ok(page_source_section(s) == FIXTURE_SECTION, "its section");
	okf(reads_every_page(r, &err), "every page: %s", err.message);

	fixture_start(&start);
	ok(page_source_head(s)->len + page_source_start(s)->len == start.len &&
			memcmp(page_source_head(s)->data, start.data, page_source_head(s)->len) == 0 &&
			memcmp(page_source_start(s)->data, start.data + page_source_head(s)->len,
				page_source_start(s)->len) == 0,
		"the stream's beginning");
	ok(page_source_devices(s)->data[0] == STREAM_FULL &&
			page_source_devices(s)->len == 1 + 4 + 12 + 5000 * 4,
		"the devices and no more");
	page_reader_free(r);
	page_source_free(s);
}

static void test_damage(void)
{
	_cleanup_(buf_fini) struct buf stream = {0};
	_cleanup_close_ int fd = -1;
	uint8_t got[RAM_PAGE];
	struct page_source *s = NULL;
	struct page_reader *r = NULL;
	struct error err = ERROR_INIT;
	bool zero;

	fixture_stream(&stream, false);
	fd = fixture_image(IMAGE_FORMAT_RAW, &stream);
	page_source_open(fd, NAME, &s, &err);
	page_reader_open(s, &r, &err);
	fixture_image_flip(fd, 80000);
	okf(s && r && !reads_every_page(r, &err) && err.code == ERROR_DAMAGED && strstr(err.message, NAME),
		"damage is found where it is: %s", err.message);
	ok(page_reader_read(r, 0, 2599, got, &zero, &err) == 0, "other pages can be read");
	page_reader_free(r);
	page_source_free(s);
}

static void refuse(const struct buf *stream, enum image_format format, enum error_code code)
{
	_cleanup_close_ int fd = fixture_image(format, stream);
	struct page_source *s = NULL;
	struct error err = ERROR_INIT;

	okf(page_source_open(fd, NAME, &s, &err) < 0 && err.code == code && !s && strstr(err.message, NAME),
		"refused: %s", err.message);
}

static void test_refused(void)
{
	_cleanup_(buf_fini) struct buf before = {0}, behind = {0}, endless = {0};
	uint8_t part[] = {STREAM_PART, 0, 0, 0, 9};

	fixture_start(&before);
	fixture_byte(&before, STREAM_FULL);
	fixture_be32(&before, 9);
	fixture_memory(&before, false);
	fixture_end(&before);
	refuse(&before, IMAGE_FORMAT_RAW, ERROR_UNSUPPORTED_CONFIG);

	/* What a device has to say in another way, behind memory. */
	fixture_stream(&behind, false);
	buf_reserve(&behind, sizeof(part));
	{
		const char *device = memmem(behind.data, behind.len, "\4\0\0\0\0\13globalstate", 17);
		size_t at = device ? (size_t)(device - behind.data) : 0;

		behind.len += sizeof(part);
		memmove(behind.data + at + sizeof(part), behind.data + at, behind.len - at - sizeof(part));
		memcpy(behind.data + at, part, sizeof(part));
	}
	refuse(&behind, IMAGE_FORMAT_RAW, ERROR_UNSUPPORTED_CONFIG);

	fixture_stream(&endless, false);
	endless.len -= 1;
	refuse(&endless, IMAGE_FORMAT_RAW, ERROR_DAMAGED);
}

static void test_claims(void)
{
	static const struct ram_block blocks[] = {{.name = "a", .length = 130 * RAM_PAGE}};
	uint8_t received[17] = {[0] = 0xff, [8] = 0xfe, [16] = 0x03};
	struct page_claims c;

	page_claims_init(&c, blocks, 1);
	ok(page_claims_take(&c, 0, 64) && !page_claims_take(&c, 0, 64), "a page is taken once");
	is_int(page_claims_next(&c, 0, 64), 65, "the next one is free");
	for (unsigned i = 65; i < 130; i++)
		page_claims_take(&c, 0, i);
	ok(page_claims_next(&c, 0, 64) == UINT64_MAX && page_claims_next(&c, 0, 63) == 63, "to the end");
	is_int(page_claims_set(&c, 0, received), 8 + 7 + 2, "QEMU has some of them");
	ok(page_claims_next(&c, 0, 0) == 8 && page_claims_next(&c, 0, 64) == 64 &&
			page_claims_next(&c, 0, 65) == 72 && page_claims_next(&c, 0, 128) == UINT64_MAX,
		"and that counts instead");
	page_claims_fini(&c);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_image(IMAGE_FORMAT_RAW, false, false);
	test_image(IMAGE_FORMAT_RAW, false, true);
	test_image(IMAGE_FORMAT_RAW, true, true);
	test_image(IMAGE_FORMAT_ZSTD, false, true);
	test_image(IMAGE_FORMAT_SPARSE, false, true);
	test_image(IMAGE_FORMAT_SPARSE, true, false);
	test_damage();
	test_refused();
	test_claims();
	return done_testing();
}
