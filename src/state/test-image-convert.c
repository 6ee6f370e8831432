/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images into all formats and back, and what is said of images that are not as they should be. */
#include "image-convert.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "file.h"
#include "fixture-image.h"
#include "image-info.h"
#include "image-layout.h"
#include "image-load.h"
#include "strv.h"

#define NAME   FIXTURE_IMAGE_NAME
#define TARGET "/x/converted.save"

static const enum image_format formats[] = {IMAGE_FORMAT_RAW, IMAGE_FORMAT_ZSTD, IMAGE_FORMAT_SPARSE};

static struct buf stream;

static int new_file(void)
{
	return memfd_create("image", MFD_CLOEXEC);
}

static int convert(int source, int target, enum image_format format, struct error *err)
{
	struct image_progress progress = {0};

	return image_convert(&(struct image_convert_options){.source_fd = source,
				     .target_fd = target,
				     .source = NAME,
				     .target = TARGET,
				     .format = format,
				     .threads = 2},
		&progress, err);
}

/* The plain stream in an image; owned by the caller. */
static struct buf load(int fd, struct error *err)
{
	struct image_progress progress = {0};
	struct image_load_options o = {.file_fd = fd, .name = NAME, .threads = 2};
	struct pump pump;

	o.stream_fd = pump_start(&pump, NULL, 0);
	image_load(&o, &progress, err);
	close(o.stream_fd);
	pump_finish(&pump);
	return pump.data;
}

static void test_pair(enum image_format from, enum image_format to, bool foreign)
{
	_cleanup_close_ int source = fixture_image(from, &stream), target = new_file(), back = new_file();
	_cleanup_(image_header_fini) struct image_header h = {0};
	_cleanup_(buf_fini) struct buf before = {0}, after = {0};
	_cleanup_free_ char *disks = NULL;
	struct error err = ERROR_INIT;

	if (foreign)
		fixture_image_make_foreign(source);
	okf(convert(source, target, to, &err) == 0 && convert(target, back, from, &err) == 0,
		"%s to %s and back%s: %s", image_format_name(from), image_format_name(to),
		foreign ? ", from libvirt's" : "", err.message);
	before = load(source, &err);
	after = load(back, &err);
	/* Only through sparse do section bounds change; test-image-roundtrip compares what is in them. */
	ok(to == IMAGE_FORMAT_SPARSE && from != to
			? after.len > before.len / 2
			: after.len == before.len && memcmp(before.data, after.data, before.len) == 0,
		"the same state");
	ok(image_read_header(target, TARGET, &h, &err) == 0 && h.complete && h.was_running && h.has_trailer &&
			h.format == to && streq(h.xml, FIXTURE_IMAGE_XML) &&
			streq(h.cookie, FIXTURE_IMAGE_COOKIE),
		"the same header, now with checksums");
	ok(image_read_disks(target, TARGET, &disks, &err) == 0 &&
			(foreign ? !disks : streq(disks, FIXTURE_IMAGE_DISKS)),
		"and note about disks");
}

static void test_damaged(enum image_format from, enum image_format to)
{
	_cleanup_close_ int source = fixture_image(from, &stream), target = new_file();
	_cleanup_(image_header_fini) struct image_header h = {0};
	struct error err = ERROR_INIT, other = ERROR_INIT;

	fixture_image_flip(source, 200000);
	okf(convert(source, target, to, &err) < 0 && err.code == ERROR_DAMAGED && strstr(err.message, NAME) &&
			strstr(err.message, "at offset"),
		"%s to %s: damage is found: %s", image_format_name(from), image_format_name(to), err.message);
	ok(image_read_header(target, TARGET, &h, &other) < 0 || !h.complete, "and the target is no image");
}

static void test_target_full(void)
{
	_cleanup_close_ int source = fixture_image(IMAGE_FORMAT_RAW, &stream);
	_cleanup_close_ int target = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct error err = ERROR_INIT;

	okf(convert(source, target, IMAGE_FORMAT_RAW, &err) < 0 && strstr(err.message, "/dev/full") == NULL &&
			strstr(err.message, TARGET),
		"a target that cannot be written: %s", err.message);
}

/* What is said of it: a word of the problem, or NULL for none. */
static void say(int fd, const char *problem, const char *name)
{
	_cleanup_(image_info_fini) struct image_info info = {0};
	struct error err = ERROR_INIT;

	okf(image_info_read(fd, NAME, &info, &err) == 0 &&
			(problem ? strstr(info.problem.message, problem) != NULL
				 : info.problem.code == ERROR_NONE),
		"%s: %s%s", name, info.problem.message, err.message);
	ok(!problem || (!info.lazy && !info.lazy_after_walk), "then nothing is restored of it lazily");
	ok(info.header.xml && streq(info.header.xml, FIXTURE_IMAGE_XML), "its XML is shown all the same");
	close(fd);
}

static int image_with_newer_trailer(void)
{
	int fd = fixture_image(IMAGE_FORMAT_RAW, &stream);
	_cleanup_free_ uint8_t *encoded = NULL;
	struct image_layout l;
	struct trailer t = {0};

	image_open(fd, NAME, &l, &t, NULL, NULL);
	t.version = TRAILER_VERSION + 1;
	encoded = trailer_encode(&t);
	pwrite_full(fd, encoded, trailer_size(&t), (off_t)t.data_end);
	trailer_fini(&t);
	return fd;
}

static void test_info(void)
{
	int fd = fixture_image(IMAGE_FORMAT_RAW, &stream);

	say(fd, NULL, "a whole one");
	fd = fixture_image(IMAGE_FORMAT_RAW, &stream);
	(void)!ftruncate(fd, 300000);
	say(fd, "truncated", "a truncated one");
	fd = fixture_image(IMAGE_FORMAT_RAW, &stream);
	pwrite_full(fd, "LibvirtQemudPart", 16, 0);
	say(fd, "incomplete", "an incomplete one");
	fd = fixture_image(IMAGE_FORMAT_RAW, &stream);
	fixture_image_flip(fd, 60000);
	say(fd, "header or domain XML", "one with an altered header");
	say(image_with_newer_trailer(), "newer godwit", "one of the future");
}

static void test_lazy(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(formats) * 3; i++) {
		enum image_format format = formats[i / 3];
		_cleanup_close_ int fd = fixture_image(format, &stream);
		_cleanup_(image_info_fini) struct image_info info = {0};
		bool own = i % 3 == 0;
		struct error err = ERROR_INIT;

		if (i % 3 == 1)
			fixture_image_make_version_1(fd);
		if (i % 3 == 2)
			fixture_image_make_foreign(fd);
		image_info_read(fd, NAME, &info, &err);
		okf(info.lazy == (own || format == IMAGE_FORMAT_SPARSE) &&
				info.lazy_after_walk == (!own && format == IMAGE_FORMAT_RAW) &&
				info.marked == (i % 3 != 2) &&
				info.piece_size == (i % 3 == 0		? 65536
							   : i % 3 == 1 ? 4194304
									: 0) &&
				(info.disks != NULL) == own,
			"%s, %s: %s", image_format_name(format),
			own	     ? "new"
			: i % 3 == 1 ? "old"
				     : "libvirt's",
			info.not_lazy.message);
	}
}

static void test_no_image(void)
{
	_cleanup_close_ int fd = new_file();
	struct image_info info = {0};
	struct error err = ERROR_INIT;

	pwrite_full(fd, "hello", 5, 0);
	okf(image_info_read(fd, NAME, &info, &err) < 0 && strstr(err.message, "no save image"), "%s",
		err.message);
	(void)!ftruncate(fd, 1 << 20);
	okf(image_info_read(fd, NAME, &info, &err) < 0 && strstr(err.message, "no save image"), "%s",
		err.message);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	fixture_stream(&stream, false);
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(formats); k++) {
			test_pair(formats[i], formats[k], false);
			test_damaged(formats[i], formats[k]);
		}
	test_pair(IMAGE_FORMAT_RAW, IMAGE_FORMAT_ZSTD, true);
	test_pair(IMAGE_FORMAT_SPARSE, IMAGE_FORMAT_RAW, true);
	test_target_full();
	test_info();
	test_lazy();
	test_no_image();
	buf_fini(&stream);
	return done_testing();
}
