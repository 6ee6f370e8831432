/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header: both versions and byte orders, what is refused and in which words, and changing the XML in place. */
#include <signal.h>
#include <sys/mman.h>

#include "file.h"
#include "fixture-image.h"
#include "image-layout.h"
#include "image-load.h"
#include "image-save.h"
#include "strv.h"

#define NAME "/x/guest7.save"
#define XML  "<domain><name>guest7</name></domain>"

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	pwrite_full(fd, data, len, 0);
	return fd;
}

static uint32_t swap(uint32_t v, bool swapped)
{
	return swapped ? __builtin_bswap32(v) : v;
}

/* A file as libvirt begins it: five words behind the magic. */
static int foreign_image(
	const char *magic, uint32_t version, uint32_t format, bool swapped, const char *cookie)
{
	uint32_t cookie_at = cookie ? sizeof(XML) : 0;
	uint32_t data_len = (uint32_t)(sizeof(XML) + (cookie ? strlen(cookie) + 1 : 0) + 100);
	uint32_t words[5] = {version, data_len, 1, format, cookie_at};
	uint8_t b[1024] = {0};

	memcpy(b, magic, 16);
	for (unsigned i = 0; i < 5; i++) {
		words[i] = swap(words[i], swapped);
		memcpy(b + 16 + 4 * i, &words[i], 4);
	}
	memcpy(b + 92, XML, sizeof(XML));
	if (cookie)
		memcpy(b + 92 + cookie_at, cookie, strlen(cookie) + 1);
	memcpy(b + 92 + data_len, "QEVM", 4);
	return file_of(b, 92 + data_len + 100);
}

static void test_foreign(void)
{
	for (int swapped = 0; swapped < 2; swapped++) {
		_cleanup_close_ int fd =
			foreign_image("LibvirtQemudSave", 2, IMAGE_FORMAT_ZSTD, swapped, "<c/>");
		_cleanup_(image_header_fini) struct image_header h = {0};
		struct error err = ERROR_INIT;

		okf(image_read_header(fd, NAME, &h, &err) == 0, "%s byte order: %s",
			swapped ? "other" : "own", err.message);
		ok(h.complete && h.was_running && h.format == IMAGE_FORMAT_ZSTD && !h.has_trailer, "fields");
		is_str(h.xml, XML, "XML");
		is_str(h.cookie, "<c/>", "cookie");
		is_int(h.stream_offset, 92 + sizeof(XML) + 5 + 100, "where the state begins");
	}
}

static void test_version_1(void)
{
	_cleanup_close_ int fd = foreign_image("LibvirtQemudSave", 1, 2, false, NULL);
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;

	ok(image_read_header(fd, NAME, &h, &err) == 0 && h.format == IMAGE_FORMAT_RAW && !h.cookie,
		"version 1 knew no compression");
}

static void refuse(int fd, const char *words, const char *name)
{
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;

	okf(image_read_header(fd, NAME, &h, &err) < 0 && err.code == ERROR_DAMAGED &&
			strstr(err.message, words),
		"%s: %s", name, err.message);
	ok(!h.xml && !h.cookie, "and nothing is returned");
	close(fd);
}

static void test_refused(void)
{
	uint8_t b[400] = {0};
	int fd;

	refuse(file_of("", 0), "is no save image", "empty file");
	refuse(file_of("hello", 5), "is no save image", "short file");
	refuse(file_of(b, sizeof(b)), "is no save image", "zeros");
	refuse(file_of("LibvirtQemudSave\2\0\0\0", 20), "is truncated", "cut inside the header");
	refuse(foreign_image("LibvirtQemudSave", 3, 0, false, NULL), "version", "version 3");
	refuse(foreign_image("LibvirtQemudSave", 2, 7, false, NULL), "format", "format 7");
	fd = foreign_image("LibvirtQemudSave", 2, 0, false, NULL);
	pwrite_full(fd, "\377\377\377\377", 4, 20);
	refuse(fd, "cannot be", "XML of 4 GiB");
	fd = foreign_image("LibvirtQemudSave", 2, 0, false, "<c/>");
	pwrite_full(fd, "\377\377\0\0", 4, 32);
	refuse(fd, "cookie", "cookie outside");
	fd = foreign_image("LibvirtQemudSave", 2, 0, false, NULL);
	(void)!ftruncate(fd, 150);
	refuse(fd, "is truncated", "cut inside the XML");
	fd = foreign_image("LibvirtQemudSave", 2, 0, false, NULL);
	memset(b, 'x', sizeof(b));
	pwrite_full(fd, b, sizeof(XML) + 100, 92);
	refuse(fd, "has no end", "XML without an end");
	fd = foreign_image("LibvirtQemudSave", 2, 0, false, NULL);
	pwrite_full(fd, "", 1, 92);
	refuse(fd, "has no contents", "no XML");
}

static void test_compressed_by_others(void)
{
	static const enum image_format formats[] = {
		IMAGE_FORMAT_GZIP, IMAGE_FORMAT_BZIP2, IMAGE_FORMAT_XZ, IMAGE_FORMAT_LZOP};

	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		_cleanup_close_ int fd = foreign_image("LibvirtQemudSave", 2, formats[i], false, NULL);
		struct image_progress progress = {0};
		struct error err = ERROR_INIT;
		struct image_load_options o = {.file_fd = fd, .stream_fd = -1, .name = NAME, .threads = 1};

		okf(image_load(&o, &progress, &err) < 0 && err.code == ERROR_UNSUPPORTED_CONFIG &&
				strstr(err.message, image_format_name(formats[i])),
			"refused by name: %s", err.message);
	}
}

/* A complete image of our own. */
static int own_image(void)
{
	_cleanup_(buf_fini) struct buf stream = {0};

	fixture_start(&stream);
	fixture_end(&stream);
	return fixture_image(IMAGE_FORMAT_RAW, &stream);
}

static bool verifies(int fd, struct error *err)
{
	struct image_progress progress = {0};

	return image_load(
		       &(struct image_load_options){
			       .file_fd = fd, .stream_fd = -1, .name = NAME, .threads = 1},
		       &progress, err) == 0;
}

static void test_write_header(bool version_1)
{
	_cleanup_close_ int fd = own_image();
	_cleanup_(image_header_fini) struct image_header h = {0}, after = {0};
	struct error err = ERROR_INIT;
	_cleanup_free_ char *longer = xcalloc(1, 60001), *too_long = xcalloc(1, 70001);

	if (version_1)
		fixture_image_make_version_1(fd);
	memset(longer, 'y', 60000);
	memset(too_long, 'z', 70000);
	ok(image_write_header(fd, NAME, longer, true, &err) == 0, "a longer XML fits into the padding");
	okf(image_read_header(fd, NAME, &h, &err) == 0 && h.was_running, "and is read back: %s", err.message);
	is_str(h.xml, longer, "as it was given");
	is_str(h.cookie, FIXTURE_IMAGE_COOKIE, "the cookie stays");
	okf(verifies(fd, &err), "the image still verifies: %s", err.message);
	okf(image_write_header(fd, NAME, too_long, false, &err) < 0 && err.code == ERROR_OPERATION_INVALID,
		"one too long is refused: %s", err.message);
	ok(image_read_header(fd, NAME, &after, &err) == 0 && after.was_running && streq(after.xml, longer),
		"and changed nothing");
}

static void test_disks(void)
{
	_cleanup_close_ int own = own_image(), old = own_image();
	_cleanup_free_ char *text = NULL, *none = NULL;
	struct error err = ERROR_INIT;

	ok(image_write_header(own, NAME, XML, false, &err) == 0 &&
			image_read_disks(own, NAME, &text, &err) == 0,
		"what was noted about disks is there, also with another header");
	is_str(text, FIXTURE_IMAGE_DISKS, "as it was given");
	fixture_image_make_version_1(old);
	ok(image_read_disks(old, NAME, &none, &err) == 0 && !none, "an older image has no such note");
}

static void test_newer_trailer(void)
{
	_cleanup_close_ int fd = own_image();
	_cleanup_free_ uint8_t *encoded = NULL;
	struct image_layout l;
	struct trailer t = {0};
	struct error err = ERROR_INIT;

	if (image_open(fd, NAME, &l, &t, NULL, &err) < 0)
		ok(false, err.message);
	t.version = TRAILER_VERSION + 1;
	encoded = trailer_encode(&t);
	pwrite_full(fd, encoded, trailer_size(&t), (off_t)t.data_end);
	okf(!verifies(fd, &err) && err.code == ERROR_UNSUPPORTED_CONFIG &&
			strstr(err.message, "newer godwit"),
		"a newer trailer is called so: %s", err.message);
	trailer_fini(&t);
}

static void test_edited_by_others(void)
{
	_cleanup_close_ int fd = own_image();
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;
	bool altered = false;

	pwrite_full(fd, "<DOMAIN", 7, 92);
	okf(image_read_header(fd, NAME, &h, &err) < 0 && err.code == ERROR_DAMAGED &&
			strstr(err.message, "save-image-define"),
		"an edited XML is refused with advice: %s", err.message);
	ok(!verifies(fd, &err), "so is loading");
	ok(image_peek_header(fd, NAME, &h, &altered, &err) == 0 && altered && startswith(h.xml, "<DOMAIN"),
		"it can be looked at");
	ok(image_write_header(fd, NAME, XML, false, &err) == 0 && verifies(fd, &err), "and accepted");
}

static void test_write_foreign_header(void)
{
	_cleanup_close_ int fd = foreign_image("LibvirtQemudSave", 2, 0, true, "<c/>");
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;

	ok(image_write_header(fd, NAME, "<d/>", false, &err) == 0 &&
			image_read_header(fd, NAME, &h, &err) == 0,
		"libvirt's header of the other byte order is rewritten");
	ok(streq(h.xml, "<d/>") && streq(h.cookie, "<c/>") && !h.was_running && !h.has_trailer,
		"with what was asked for");
}

static void test_incomplete(void)
{
	_cleanup_close_ int fd = foreign_image("LibvirtQemudPart", 2, 0, false, NULL);
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT;

	ok(image_read_header(fd, NAME, &h, &err) == 0 && !h.complete,
		"an incomplete image is told from a damaged one");
	ok(image_write_header(fd, NAME, "<d/>", false, &err) < 0 && err.code == ERROR_OPERATION_INVALID,
		"and is not edited");
}

static void test_format_names(void)
{
	enum image_format f;

	ok(image_format_parse("sparse", &f) && f == IMAGE_FORMAT_SPARSE, "a format's name");
	ok(!image_format_parse("Sparse", &f) && !image_format_parse("", &f), "nothing else");
	is_str(image_format_name((enum image_format)99), "unknown", "a format without one");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_format_names();
	test_foreign();
	test_version_1();
	test_refused();
	test_compressed_by_others();
	test_write_header(false);
	test_write_header(true);
	test_disks();
	test_newer_trailer();
	test_edited_by_others();
	test_write_foreign_header();
	test_incomplete();
	return done_testing();
}
