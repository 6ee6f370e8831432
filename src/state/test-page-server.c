/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page server against a destination that is as strict as QEMU (fixture-destination.h): every page once, whole, and in time;
 * broken connections, unreadable pages, hot pages, and a QEMU that talks nonsense.
 */
#include "page-server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include "file.h"
#include "fixture-destination.h"
#include "fixture-image.h"
#include "hot-list.h"

#define NAME FIXTURE_IMAGE_NAME

static int make_image(enum image_format format)
{
	_cleanup_(buf_fini) struct buf stream = {0};

	fixture_stream(&stream, false);
	return fixture_image(format, &stream);
}

static struct page_server *new_server(int fd)
{
	struct page_server *s = NULL;
	struct error err = ERROR_INIT;

	okf(page_server_new(fd, NAME, &s, &err) == 0, "the image can be served: %s", err.message);
	if (!s)
		exit(done_testing());
	return s;
}

static void connect_server(struct page_server *s, struct destination *d, bool resume)
{
	struct error err = ERROR_INIT;

	okf(page_server_connect(
		    s, take_fd(&d->server_main_fd), take_fd(&d->server_urgent_fd), resume, &err) == 0,
		"connected: %s", err.message);
}

/* Waits as long as nothing that `good` accepts is the case. */
static struct page_server_status wait_status(
	struct page_server *s, bool (*good)(const struct page_server_status *status))
{
	struct page_server_status status;

	for (;;) {
		struct pollfd bell = {.fd = page_server_bell(s), .events = POLLIN};

		page_server_get_status(s, &status);
		if (good(&status))
			return status;
		poll(&bell, 1, -1);
	}
}

static bool is_over(const struct page_server_status *status)
{
	return status->stage != PAGE_SERVER_SERVING;
}

static bool is_in_trouble(const struct page_server_status *status)
{
	return status->trouble.code != ERROR_NONE;
}

static bool is_mended(const struct page_server_status *status)
{
	return status->mended > 0;
}

static void is_done(struct page_server *s)
{
	struct page_server_status status = wait_status(s, is_over);

	okf(status.stage == PAGE_SERVER_DONE && status.processed == status.total, "done: %s",
		status.error.message);
}

/* ---- all of it ---- */

static void test_whole(enum image_format format, bool foreign, bool preempt)
{
	_cleanup_close_ int fd = make_image(format);
	struct page_server *s;
	struct destination d;

	if (foreign)
		fixture_image_make_foreign(fd);
	destination_init(&d);
	destination_listen(&d, preempt);
	s = new_server(fd);
	connect_server(s, &d, false);
	okf(destination_begin(&d), "%s%s, %s preempt: begins as it must", foreign ? "libvirt's " : "",
		image_format_name(format), preempt ? "with" : "without");

	/* Before the guest may run nothing but this comes. */
	destination_request(&d, 0, 1234, true);
	destination_request(&d, 0, 2500, false);
	destination_request(&d, 0, 2500, false); /* a race in QEMU */
	destination_request(&d, 2, 3, true);	 /* zero */
	for (unsigned i = 0; i < 3; i++)
		ok(preempt ? destination_urgent(&d) : destination_section(&d), "an answer");
	ok(d.n_seen == 3 && destination_has(&d, 0, 1234) && destination_has(&d, 0, 2500) &&
			destination_has(&d, 2, 3),
		"to what was asked");
	if (preempt)
		destination_preempt(&d);
	page_server_go(s);
	ok(destination_finish(&d), "every page once, and END behind the last urgent one");
	is_done(s);
	page_server_free(s);
	destination_fini(&d);
}

static void test_requests_in_the_fill(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW);
	struct page_server *s = new_server(fd);
	struct destination d;

	destination_init(&d);
	destination_listen(&d, true);
	connect_server(s, &d, false);
	ok(destination_begin(&d), "begins");
	destination_preempt(&d);
	page_server_go(s);
	/* From behind, until the fill comes to meet them. */
	for (unsigned page = 2599; page > 1000; page -= 3) {
		destination_request(&d, 0, page, true);
		if (page % 80 == 0)
			destination_section(&d);
	}
	ok(destination_finish(&d), "requests and fill never send a page twice");
	is_done(s);
	page_server_free(s);
	destination_fini(&d);
}

static void test_looking_ahead(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW);
	struct page_server *s = new_server(fd);
	struct destination d;

	destination_init(&d);
	destination_listen(&d, true);
	connect_server(s, &d, false);
	ok(destination_begin(&d), "begins");
	destination_request(&d, 0, 2450, true);
	destination_request(&d, 0, 2452, true);
	ok(destination_urgent(&d) && destination_urgent(&d), "a guest goes through its memory");
	destination_request(&d, 2, 7, true); /* behind it, so that all before was looked at */
	ok(destination_urgent(&d), "and asks for something else");
	page_server_go(s);
	ok(destination_section(&d) && destination_has(&d, 0, 2453) && destination_has(&d, 0, 2460) &&
			!destination_has(&d, 0, 0),
		"where it goes the fill goes first");
	destination_preempt(&d);
	ok(destination_finish(&d), "all of it, once");
	is_done(s);
	page_server_free(s);
	destination_fini(&d);
}

/* ---- broken connections ---- */

static void test_recovery(bool preempt, bool other_process)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_ZSTD);
	struct page_server *s = new_server(fd);
	struct page_server_status status;
	struct destination d;

	destination_init(&d);
	destination_listen(&d, preempt);
	connect_server(s, &d, false);
	ok(destination_begin(&d), "begins");
	page_server_go(s);
	for (unsigned i = 0; i < 20; i++)
		destination_section(&d);
	destination_hang_up(&d);
	status = wait_status(s, is_over);
	ok(status.stage == PAGE_SERVER_LOST, "QEMU is lost");
	if (other_process) {
		page_server_free(s);
		s = new_server(fd);
	}
	destination_listen(&d, preempt);
	connect_server(s, &d, true);
	okf(destination_recover(&d), "recovered %s preempt by %s process", preempt ? "with" : "without",
		other_process ? "another" : "the same");
	destination_request(&d, 0, 2599, true);
	ok(preempt ? destination_urgent(&d) : destination_section(&d), "a request is answered again");
	if (preempt)
		destination_preempt(&d);
	page_server_go(s);
	ok(destination_finish(&d), "what QEMU lost comes again, what it has does not");
	is_done(s);
	page_server_free(s);
	destination_fini(&d);
}

/* ---- unreadable pages ---- */

/* Where in the file page `page` of block 0 begins. */
static off_t find_page(int fd, unsigned page)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t want[RAM_PAGE];
	void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	const uint8_t *found;
	off_t at;

	fixture_page(0, page, want);
	found = memmem(map, (size_t)size, want, RAM_PAGE);
	at = found ? found - (const uint8_t *)map : 0;
	munmap(map, (size_t)size);
	return at;
}

static void test_damage(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW);
	struct page_server *s = new_server(fd);
	struct page_server_status status;
	off_t at = find_page(fd, 600);
	struct destination d;
	unsigned missing;

	fixture_image_flip(fd, at);
	destination_init(&d);
	destination_listen(&d, true);
	connect_server(s, &d, false);
	ok(destination_begin(&d), "damage that nobody asked for is none yet");
	destination_request(&d, 0, 600, true);
	destination_request(&d, 0, 2400, true);
	ok(destination_urgent(&d) && destination_has(&d, 0, 2400), "the next request is answered");
	status = wait_status(s, is_in_trouble);
	okf(status.trouble.code == ERROR_DAMAGED && strstr(status.trouble.message, NAME) &&
			status.stage == PAGE_SERVER_SERVING,
		"the damage is told: %s", status.trouble.message);

	page_server_retry(s);
	status = wait_status(s, is_in_trouble);
	ok(status.mended == 0, "tried again in vain, it is told again");

	destination_preempt(&d);
	page_server_go(s);
	do {
		destination_section(&d);
		page_server_get_status(s, &status);
		missing = (unsigned)((status.total - status.processed) / RAM_PAGE);
	} while (missing > 17 || d.n_seen + missing < d.n_pages);
	ok(missing >= 1 && !destination_has(&d, 0, 600), "everything else comes");

	fixture_image_flip(fd, at);
	page_server_retry(s);
	ok(destination_finish(&d), "mended, the rest comes as well");
	is_done(s);
	page_server_get_status(s, &status);
	ok(is_mended(&status) && !is_in_trouble(&status), "and that is told");
	page_server_free(s);
	destination_fini(&d);
}

/* ---- hot pages ---- */

static void serve_hot(int fd, unsigned first, unsigned *ret_hot)
{
	struct page_server *s = new_server(fd);
	struct destination d;
	bool answered = true;

	destination_init(&d);
	destination_listen(&d, false);
	connect_server(s, &d, false);
	ok(destination_begin(&d), "begins");
	*ret_hot = d.n_hot;
	for (unsigned page = first; page < first + 100; page++) {
		destination_request(&d, 0, page, true);
		answered = answered && destination_section(&d);
	}
	ok(answered, "a hundred requests are answered");
	page_server_go(s);
	ok(destination_finish(&d), "hot pages come once, too");
	is_done(s);
	page_server_free(s);
	destination_fini(&d);
}

static void test_hot_pages(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW), disk = -1;
	char path[] = "/tmp/godwit-test-page-server-XXXXXX";
	_cleanup_free_ uint8_t *bytes = NULL;
	off_t size = lseek(fd, 0, SEEK_END);
	unsigned hot;

	/* Attributes of files in memory are too new in Linux. */
	disk = mkostemp(path, O_CLOEXEC);
	unlink(path);
	bytes = xcalloc(1, (size_t)size);
	pread_full(fd, bytes, (size_t)size, 0);
	pwrite_full(disk, bytes, (size_t)size, 0);
	if (fsetxattr(disk, HOT_LIST_ATTRIBUTE, "x", 1, 0) < 0) {
		ok(true, "hot pages # SKIP no extended attributes in /tmp");
		return;
	}
	serve_hot(disk, 100, &hot);
	is_int(hot, 0, "no hot pages the first time");
	serve_hot(disk, 300, &hot);
	is_int(hot, 100, "then those that were asked for");
	serve_hot(disk, 2400, &hot);
	ok(hot > 180 && hot < 200, "and most of those that were sent unasked");
}

/* ---- a QEMU that is none ---- */

static void test_nonsense(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW);
	struct page_server_status status;

	for (unsigned i = 0; i < 3; i++) {
		struct page_server *s = new_server(fd);
		struct destination d;

		destination_init(&d);
		destination_listen(&d, false);
		connect_server(s, &d, false);
		ok(destination_begin(&d), "begins");
		if (i == 0)
			destination_request(&d, 0, fixture_blocks[0].pages, true);
		if (i == 1)
			destination_request(&d, 0, 0, false); /* in which block? */
		if (i == 2)
			destination_shut(&d, 1);
		status = wait_status(s, is_over);
		okf(status.stage == PAGE_SERVER_FAILED && strstr(status.error.message, NAME), "an error: %s",
			status.error.message);
		page_server_free(s);
		destination_fini(&d);
	}
}

static void test_refused(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_ZSTD);
	struct page_server *s = NULL;
	struct error err = ERROR_INIT;

	fixture_image_make_version_1(fd);
	okf(page_server_new(fd, NAME, &s, &err) < 0 && strstr(err.message, NAME), "refused: %s", err.message);
}

static void test_freed_in_the_middle(void)
{
	_cleanup_close_ int fd = make_image(IMAGE_FORMAT_RAW);
	struct page_server *s = new_server(fd);
	struct destination d;

	destination_init(&d);
	destination_listen(&d, true);
	connect_server(s, &d, false);
	page_server_free(s); /* in a write that nobody reads */
	ok(true, "freed");
	destination_fini(&d);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_whole(IMAGE_FORMAT_RAW, false, true);
	test_whole(IMAGE_FORMAT_RAW, false, false);
	test_whole(IMAGE_FORMAT_RAW, true, true);
	test_whole(IMAGE_FORMAT_ZSTD, false, true);
	test_whole(IMAGE_FORMAT_SPARSE, false, true);
	test_whole(IMAGE_FORMAT_SPARSE, true, false);
	test_requests_in_the_fill();
	test_looking_ahead();
	test_recovery(false, false);
	test_recovery(true, true);
	test_damage();
	test_hot_pages();
	test_nonsense();
	test_refused();
	test_freed_in_the_middle();
	return done_testing();
}
