/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of hot pages: what is stored comes back, grows no further than it may, forgets in time, and is believed only when whole. */
#include "hot-list.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "tap.h"

static const struct ram_block blocks[] = {
	{.name = "pc.ram", .length = UINT64_C(8) << 30}, {.name = "vga.vram", .length = 16 << 20}};

static int make_file(void)
{
	char path[] = "/tmp/godwit-test-hot-list-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	unlink(path);
	return fd;
}

static void add(struct hot_list *l, unsigned block, uint64_t page)
{
	VEC_ADD(&l->pages, ((struct page_ref){.block = block, .page = page}));
}

static bool has(const struct hot_list *l, unsigned block, uint64_t page)
{
	VEC_FOREACH (p, &l->pages)
		if (p.block == block && p.page == page)
			return true;
	return false;
}

static void test_round_trip(int fd)
{
	_cleanup_(hot_list_fini) struct hot_list asked = {0}, before = {0}, got = {0};

	hot_list_read(fd, blocks, 2, &got);
	ok(got.pages.n == 0, "nothing at first");
	add(&asked, 0, 2000000);
	add(&asked, 1, 7);
	add(&asked, 0, 5);
	add(&asked, 0, 6);
	add(&asked, 0, 5); /* QEMU asks again after a recovery */
	add(&asked, 0, 0);
	hot_list_write(fd, blocks, &asked, &before);
	hot_list_read(fd, blocks, 2, &got);
	is_int(got.pages.n, 5, "each page once");
	ok(has(&got, 0, 0) && has(&got, 0, 5) && has(&got, 0, 6) && has(&got, 0, 2000000) && has(&got, 1, 7),
		"every one");
	ok(got.pages.n == 5 && got.pages.items[1].page == 5 && got.pages.items[4].block == 1, "in order");
	is_int(got.generation, 1, "the first generation");

	hot_list_fini(&got);
	hot_list_read(fd, blocks, 1, &got);
	is_int(got.pages.n, 4, "pages of a block that is gone are left out");
}

static void test_copy(int fd)
{
	_cleanup_(hot_list_fini) struct hot_list got = {0};
	_cleanup_close_ int other = make_file(), none = make_file();

	ok(hot_list_copy(fd, other) == 0, "copied");
	hot_list_read(other, blocks, 2, &got);
	is_int(got.pages.n, 5, "the same");
	ok(hot_list_copy(none, other) < 0, "there is nothing to copy");
}

static void test_bounds(int fd)
{
	_cleanup_(hot_list_fini) struct hot_list asked = {0}, before = {0}, got = {0}, run = {0};
	char value[4096];

	for (uint64_t i = 0; i < 5000; i++)
		add(&asked, 0, i * 7919 % 2000003); /* no two beside each other */
	hot_list_write(fd, blocks, &asked, &before);
	hot_list_read(fd, blocks, 2, &got);
	ok(got.pages.n > 700 && got.pages.n < 2048, "as many as fit");
	ok(has(&got, 0, 0) && has(&got, 0, 7919) && !has(&got, 0, 4999 * 7919 % 2000003), "the first ones");
	ok(fgetxattr(fd, HOT_LIST_ATTRIBUTE, value, sizeof(value)) <= 3000,
		"little enough for a file system");

	for (uint64_t i = 0; i < 5000; i++)
		add(&run, 0, i);
	hot_list_write(fd, blocks, &run, &before);
	hot_list_fini(&got);
	hot_list_read(fd, blocks, 2, &got);
	is_int(got.pages.n, HOT_LIST_PAGES_MAX, "not more than bring a restore forward");
}

/* A page that is never asked for again goes, one that is stays. */
static void test_forgetting(int fd)
{
	_cleanup_(hot_list_fini) struct hot_list list = {0}, first = {0}, asked = {0}, none = {0};
	size_t after_one = 0;

	for (uint64_t i = 0; i < 320; i++)
		add(&first, 0, i);
	hot_list_write(fd, blocks, &first, &none);
	for (unsigned i = 0; i < 16; i++) {
		hot_list_fini(&list);
		hot_list_read(fd, blocks, 2, &list);
		/* What is not sent unasked is asked for, when it is needed. */
		if (!has(&list, 0, 123) && asked.pages.n == 0)
			add(&asked, 0, 123);
		hot_list_write(fd, blocks, &asked, &list);
		if (i == 0) {
			hot_list_fini(&list);
			hot_list_read(fd, blocks, 2, &list);
			after_one = list.pages.n;
		}
	}
	hot_list_fini(&list);
	hot_list_read(fd, blocks, 2, &list);
	is_int(after_one, 300, "one in sixteen goes");
	ok(list.pages.n == 1 && has(&list, 0, 123), "in the end all but what is needed");
}

static void test_damage(int fd)
{
	uint8_t value[4096];
	ssize_t len = fgetxattr(fd, HOT_LIST_ATTRIBUTE, value, sizeof(value));
	bool believed = false;

	for (ssize_t i = 0; i < len; i++) {
		_cleanup_(hot_list_fini) struct hot_list got = {0};

		value[i] ^= 4;
		fsetxattr(fd, HOT_LIST_ATTRIBUTE, value, (size_t)len, 0);
		hot_list_read(fd, blocks, 2, &got);
		believed = believed || got.pages.n > 0;
		value[i] ^= 4;
	}
	ok(len > 9 && !believed, "altered, it is as none");
	fsetxattr(fd, HOT_LIST_ATTRIBUTE, value, 6, 0);
	{
		_cleanup_(hot_list_fini) struct hot_list got = {0};

		hot_list_read(fd, blocks, 2, &got);
		ok(got.pages.n == 0, "cut off as well");
	}
}

int main(void)
{
	_cleanup_close_ int fd = make_file();

	if (fsetxattr(fd, HOT_LIST_ATTRIBUTE, "x", 1, 0) < 0) {
		ok(true, "hot lists # SKIP no extended attributes in /tmp");
		return done_testing();
	}
	test_round_trip(fd);
	test_copy(fd);
	test_bounds(fd);
	test_forgetting(fd);
	test_damage(fd);
	return done_testing();
}
