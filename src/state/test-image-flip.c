/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any single altered byte is found: a thousand places and values in an image of each format, chosen by chance, and every
 * byte of header and trailer. GODWIT_SEED repeats a run that failed.
 */
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>

#include "file.h"
#include "fixture-image.h"
#include "image-layout.h"
#include "image-load.h"

#define NAME  FIXTURE_IMAGE_NAME
#define TRIES 1000u
#define PAGES 40u

/* A small state, so that the whole of it can be checked many times: runs of data and of zeros, a device, an end. */
static void make_stream(struct buf *b)
{
	static const char description[] = "{\"devices\": []}";
	uint8_t page[RAM_PAGE];

	fixture_be32(b, 0x5145564d);
	fixture_be32(b, 3);
	fixture_section(b, STREAM_START);
	fixture_name(b, "ram");
	fixture_be32(b, 0);
	fixture_be32(b, 4);
	fixture_be64(b, PAGES * RAM_PAGE | RAM_MEM_SIZE);
	fixture_name(b, fixture_blocks[0].name);
	fixture_be64(b, PAGES * RAM_PAGE);
	fixture_section_end(b);
	fixture_section(b, STREAM_PART);
	for (unsigned i = 0; i < PAGES; i++)
		fixture_record(b, 0, i, i == 0, fixture_page(0, i, page) ? page : NULL);
	fixture_section_end(b);
	fixture_section(b, STREAM_END);
	fixture_section_end(b);
	fixture_byte(b, STREAM_EOF);
	fixture_byte(b, STREAM_DESCRIPTION);
	fixture_be32(b, sizeof(description) - 1);
	buf_adds(b, description);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static bool verifies(int fd)
{
	struct image_progress progress = {0};
	struct error err = ERROR_INIT;

	return image_load(
		       &(struct image_load_options){
			       .file_fd = fd, .stream_fd = -1, .name = NAME, .threads = 1},
		       &progress, &err) == 0;
}

/* With the byte at `at` another one; put back afterwards. */
static bool verifies_with(int fd, off_t at, uint8_t difference)
{
	uint8_t byte = 0, other;
	bool passes;

	pread_full(fd, &byte, 1, at);
	other = byte ^ difference;
	pwrite_full(fd, &other, 1, at);
	passes = verifies(fd);
	pwrite_full(fd, &byte, 1, at);
	return passes;
}

static void test_by_chance(enum image_format format, int fd, uint64_t seed)
{
	uint64_t random = seed;
	unsigned missed = 0;
	struct stat st;

	fstat(fd, &st);
	for (unsigned i = 0; i < TRIES; i++) {
		off_t at = (off_t)(next_random(&random) % (uint64_t)st.st_size);
		uint8_t difference = (uint8_t)(1 + next_random(&random) % 255);

		if (verifies_with(fd, at, difference)) {
			printf("# byte %jd of %jd\n", (intmax_t)at, (intmax_t)st.st_size);
			missed++;
		}
	}
	okf(missed == 0, "%s: %u of %u altered bytes went unnoticed (GODWIT_SEED=%" PRIu64 ")",
		image_format_name(format), missed, TRIES, seed);
}

static void test_ends(enum image_format format, int fd)
{
	struct image_layout l;
	struct trailer t = {0};
	unsigned missed = 0;
	struct stat st;

	fstat(fd, &st);
	image_open(fd, NAME, &l, &t, NULL, NULL);
	for (off_t at = 0; at < st.st_size; at++) {
		if (at == IMAGE_HEADER_SIZE)
			at = (off_t)t.data_end;
		if (verifies_with(fd, at, (uint8_t)(1u << at % 8))) {
			printf("# byte %jd\n", (intmax_t)at);
			missed++;
		}
	}
	okf(missed == 0, "%s: %u bytes of header and trailer have no meaning", image_format_name(format),
		missed);
	trailer_fini(&t);
}

int main(void)
{
	static const enum image_format formats[] = {IMAGE_FORMAT_RAW, IMAGE_FORMAT_ZSTD, IMAGE_FORMAT_SPARSE};
	const char *given = getenv("GODWIT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 20261130;
	_cleanup_(buf_fini) struct buf stream = {0};

	signal(SIGPIPE, SIG_IGN);
	make_stream(&stream);
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		_cleanup_close_ int fd = fixture_image(formats[i], &stream);

		okf(verifies(fd), "%s: whole", image_format_name(formats[i]));
		test_by_chance(formats[i], fd, seed);
		test_ends(formats[i], fd);
		okf(verifies(fd), "%s: whole again", image_format_name(formats[i]));
	}
	return done_testing();
}
