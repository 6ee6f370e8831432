/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an image from anywhere: the right bytes, only checked ones, and again after a mend. */
#include "checked-file.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "file.h"
#include "fixture-image.h"
#include "image-layout.h"

#define NAME FIXTURE_IMAGE_NAME

enum kind { OWN, VERSION_1, FOREIGN };
static const char *const kind_names[] = {"godwit's", "version 1", "libvirt's"};

static struct buf stream;

static int make_image(enum image_format format, enum kind kind)
{
	int fd = fixture_image(format, &stream);

	if (kind == VERSION_1)
		fixture_image_make_version_1(fd);
	if (kind == FOREIGN)
		fixture_image_make_foreign(fd);
	return fd;
}

/* What the state should read as: the plain stream, or the file's own bytes. */
static char *expected_state(int fd, const struct checked_file *f)
{
	size_t len = checked_file_size(f);
	char *state = xcalloc(1, len + 1);

	if (checked_file_format(f) == IMAGE_FORMAT_SPARSE)
		pread_full(fd, state, len, (off_t)checked_file_stream_offset(f));
	else if (len == stream.len)
		memcpy(state, stream.data, len);
	return state;
}

/* Ranges of all sizes at places that jump about; true when each has the right bytes. */
static bool reads_right(struct checked_file *f, const char *state, struct error *err)
{
	static const size_t sizes[] = {1, 8, 4096, 65536, 200000};
	uint64_t size = checked_file_size(f), at = 0;
	_cleanup_free_ uint8_t *data = xcalloc(1, 200000);

	for (unsigned i = 0; i < 400; i++) {
		size_t len = sizes[i % ARRAY_SIZE(sizes)];

		at = (at + 7777777) % size;
		if (len > size - at)
			len = (size_t)(size - at);
		if (checked_file_read(f, at, data, len, err) < 0 || memcmp(data, state + at, len) != 0)
			return false;
	}
	return true;
}

static void test_reading(enum image_format format, enum kind kind)
{
	_cleanup_close_ int fd = make_image(format, kind);
	_cleanup_free_ char *state = NULL;
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;
	const void *note;
	uint8_t byte;
	size_t len;

	okf(checked_file_open(fd, NAME, &f, &err) == 0, "%s, %s: opened: %s", image_format_name(format),
		kind_names[kind], err.message);
	ok(checked_file_format(f) == format && checked_file_has_sums(f) == (kind != FOREIGN), "as it is");
	ok(format == IMAGE_FORMAT_SPARSE || checked_file_size(f) == stream.len, "its size");
	state = expected_state(fd, f);
	okf(reads_right(f, state, &err), "reads right from anywhere: %s", err.message);
	okf(checked_file_read(f, checked_file_size(f), &byte, 1, &err) < 0 && err.code == ERROR_DAMAGED,
		"nothing behind the end: %s", err.message);
	note = checked_file_note(f, TRAILER_NOTE_DISKS, &len);
	ok(kind == OWN ? note && len == strlen(FIXTURE_IMAGE_DISKS) &&
				 memcmp(note, FIXTURE_IMAGE_DISKS, len) == 0
		       : !note,
		"the note about disks");
	checked_file_free(f);
}

static void test_mending(enum image_format format, enum kind kind)
{
	_cleanup_close_ int fd = make_image(format, kind);
	_cleanup_free_ char *state = NULL, *at = NULL;
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;
	char page[4096];
	off_t bad;

	checked_file_open(fd, NAME, &f, &err);
	state = expected_state(fd, f);
	bad = (off_t)checked_file_stream_offset(f) + 20;
	fixture_image_flip(fd, bad);
	at = xasprintf("at offset %lu", (unsigned long)checked_file_stream_offset(f));
	okf(checked_file_read(f, 4096, page, sizeof(page), &err) < 0 && err.code == ERROR_DAMAGED &&
			strstr(err.message, at) && strstr(err.message, NAME),
		"%s, %s: damage nearby is found and named: %s", image_format_name(format), kind_names[kind],
		err.message);
	ok(checked_file_read(f, 4096, page, sizeof(page), &err) < 0, "and again");
	fixture_image_flip(fd, bad);
	ok(checked_file_read(f, 4096, page, sizeof(page), &err) == 0 && memcmp(page, state + 4096, 4096) == 0,
		"mended, it is read");
	fixture_image_flip(fd, bad);
	ok(checked_file_read(f, 8192, page, sizeof(page), &err) == 0, "what was checked is not read anew");
	checked_file_free(f);
}

static void test_truncated(enum kind kind)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW, kind);
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;
	char page[4096];

	checked_file_open(fd, NAME, &f, &err);
	(void)!ftruncate(fd, 1 << 20);
	okf(checked_file_read(f, 2 << 20, page, sizeof(page), &err) < 0 && err.code == ERROR_DAMAGED &&
			strstr(err.message, "truncated"),
		"%s: cut off while open: %s", kind_names[kind], err.message);
	checked_file_free(f);
}

static void test_read_error(void)
{
	int fd = make_image(IMAGE_FORMAT_RAW, OWN);
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;
	char page[4096];

	checked_file_open(fd, NAME, &f, &err);
	close(fd);
	okf(checked_file_read(f, 0, page, sizeof(page), &err) < 0 && err.errnum == EBADF &&
			err.code == ERROR_SYSTEM,
		"an error of reading keeps its number: %s", err.message);
	checked_file_free(f);
}

static void refuse(int fd, enum error_code code, const char *words)
{
	struct checked_file *f = NULL;
	struct error err = ERROR_INIT;

	okf(checked_file_open(fd, NAME, &f, &err) < 0 && !f && err.code == code && strstr(err.message, words),
		"refused: %s", err.message);
	close(fd);
}

static void test_refused(void)
{
	struct stat st;
	int fd;

	fd = make_image(IMAGE_FORMAT_RAW, OWN);
	pwrite_full(fd, "LibvirtQemudPart", 16, 0);
	refuse(fd, ERROR_DAMAGED, "incomplete");
	fd = make_image(IMAGE_FORMAT_RAW, OWN);
	fixture_image_flip(fd, 95);
	refuse(fd, ERROR_DAMAGED, "header");
	fd = make_image(IMAGE_FORMAT_RAW, OWN);
	fstat(fd, &st);
	fixture_image_flip(fd, st.st_size - 100);
	refuse(fd, ERROR_DAMAGED, "checksums at its end");
	fd = make_image(IMAGE_FORMAT_RAW, OWN);
	(void)!ftruncate(fd, st.st_size - 1);
	refuse(fd, ERROR_DAMAGED, "truncated");
	refuse(make_image(IMAGE_FORMAT_ZSTD, VERSION_1), ERROR_UNSUPPORTED_CONFIG, "from its beginning");
	refuse(make_image(IMAGE_FORMAT_ZSTD, FOREIGN), ERROR_UNSUPPORTED_CONFIG, "from its beginning");
}

int main(void)
{
	static const enum image_format formats[] = {IMAGE_FORMAT_RAW, IMAGE_FORMAT_SPARSE, IMAGE_FORMAT_ZSTD};

	signal(SIGPIPE, SIG_IGN);
	fixture_stream(&stream, false);
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		/* Nobody else writes a table of zstd's frames. */
		for (unsigned kind = OWN; kind <= (formats[i] == IMAGE_FORMAT_ZSTD ? OWN : FOREIGN); kind++)
			test_reading(formats[i], (enum kind)kind);
		test_mending(formats[i], OWN);
	}
	test_mending(IMAGE_FORMAT_RAW, VERSION_1);
	test_truncated(OWN);
	test_truncated(FOREIGN);
	test_read_error();
	test_refused();
	buf_fini(&stream);
	return done_testing();
}
