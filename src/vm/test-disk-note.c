/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The note of a state's disks: its text, what counts as the same, and how a disk's files are found. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk-look.h"
#include "file.h"
#include "fixture-qcow2.h"
#include "strv.h"
#include "tap.h"

#define TAKEN 1700000000500000000

static struct disk_file regular(const char *path, int64_t written_ns)
{
	return (struct disk_file){.path = xstrdup(path),
		.kind = DISK_FILE_REGULAR,
		.size = 4096,
		.written_ns = written_ns,
		.id = 7,
		.device = 64};
}

static struct disk_file device(const char *boot, uint64_t sectors)
{
	return (struct disk_file){.path = xstrdup("/dev/x"),
		.kind = DISK_FILE_BLOCK,
		.size = 4096,
		.device = 2049,
		.boot = xstrdup(boot),
		.sequence = 3,
		.sectors = sectors};
}

/* One disk, vda, of one or two files; they are taken. */
static struct disk_notes notes(struct disk_file first, const struct disk_file *second)
{
	struct disk_notes n = {.taken_ns = TAKEN};
	struct disk_note d = {.target = xstrdup("vda")};

	VEC_ADD(&d.files, first);
	if (second)
		VEC_ADD(&d.files, *second);
	VEC_ADD(&n.disks, d);
	return n;
}

/* What is said of the two, "" when they are the same, behind "; " what could not be compared; both are used up. */
static const char *compared(struct disk_notes saved, struct disk_notes now)
{
	static char text[ERROR_MESSAGE_MAX];
	_cleanup_(buf_fini) struct buf remarks = {0};
	struct error err = ERROR_INIT;

	snprintf(text, sizeof(text), "%s",
		disk_notes_compare(&saved, &now, &remarks, &err) < 0 ? err.message
		: remarks.len > 0				     ? remarks.data
								     : "");
	if (err.code != ERROR_NONE && err.code != ERROR_OPERATION_INVALID)
		snprintf(text, sizeof(text), "code %d", err.code);
	disk_notes_fini(&saved);
	disk_notes_fini(&now);
	return text;
}

static void test_text(void)
{
	static const char text[] =
		"{\"version\":1,\"taken\":1700000000500000000,\"disks\":[{\"target\":\"vda\",\"files\":["
		"{\"path\":\"/"
		"a\",\"kind\":\"file\",\"size\":4096,\"written\":1699999999000000001,\"inode\":7,\"device\":"
		"64},"
		"{\"path\":\"/dev/"
		"x\",\"kind\":\"device\",\"size\":4096,\"device\":2049,\"boot\":\"b\",\"sequence\":3,"
		"\"sectors\":8}]}]}";
	struct disk_file second = device("b", 8);
	struct disk_notes n = notes(regular("/a", 1699999999000000001), &second), again = {0};
	_cleanup_free_ char *formatted = disk_notes_format(&n), *twice = NULL;
	struct error err = ERROR_INIT;

	is_str(formatted, text, "the text of docs/formats/image.md");
	is_int(disk_notes_parse(text, &again, &err), 0, "it is read");
	twice = disk_notes_format(&again);
	is_str(twice, text, "to the same");
	is_str(compared(n, again), "", "and is equal to what was written");
}

static void test_bad_text(void)
{
	static const char *const damaged[] = {"", "[", "[]", "{}", "{\"version\":1}",
		"{\"version\":0,\"disks\":[]}", "{\"version\":1,\"disks\":[{}]}",
		"{\"version\":1,\"disks\":[{\"target\":\"a\",\"files\":[{\"kind\":\"file\"}]}]}",
		"{\"version\":1,\"disks\":[{\"target\":\"a\",\"files\":[{\"path\":\"\",\"kind\":\"x\"}]}]}"};
	struct disk_notes n = {0};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++)
		ok(disk_notes_parse(damaged[i], &n, &err) < 0 && err.code == ERROR_DAMAGED, damaged[i]);
	ok(disk_notes_parse("{\"version\":2,\"disks\":{}}", &n, &err) < 0 &&
			err.code == ERROR_UNSUPPORTED_CONFIG,
		"a later version");
	is_str(err.message, "the note of its disks has version 2, and this godwit knows 1", "is named");
}

static void test_files(void)
{
	const int64_t written = 1699999999123456789;
	struct disk_file other = regular("/b", written), base = regular("/base", written), same_base = base;

	other.id = 8;
	other.device = 65;
	base.path = xstrdup("/base");
	is_str(compared(notes(regular("/a", written), NULL), notes(other, NULL)), "",
		"moved or copied faithfully");
	is_str(compared(notes(regular("/a", written), NULL), notes(regular("/a", 1699999999000000000), NULL)),
		"", "copied with a time in seconds");
	is_str(compared(notes(regular("/a", written), NULL), notes(regular("/a", 1699999999123456000), NULL)),
		"", "in microseconds");
	is_str(compared(notes(regular("/a", written), NULL), notes(regular("/a", 1700000001250000000), NULL)),
		"disk vda: /a was written at 2023-11-14 22:13:21.250 UTC, after the state was saved at "
		"2023-11-14 22:13:20.500 UTC",
		"written since");
	is_str(compared(notes(regular("/a", written), NULL), notes(regular("/a", 1699999998000000000), NULL)),
		"disk vda: /a was last written at 2023-11-14 22:13:18.000 UTC, and at 2023-11-14 "
		"22:13:19.123 UTC when the state was saved",
		"an older version");
	other = regular("/a", written);
	other.size = 8192;
	is_str(compared(notes(regular("/a", written), NULL), notes(other, NULL)),
		"disk vda: /a has another size: 8192 bytes, and 4096 when the state was saved",
		"another size");
	other = (struct disk_file){.path = xstrdup("/a"), .kind = DISK_FILE_GONE};
	is_str(compared(notes(regular("/a", written), NULL), notes(other, NULL)), "disk vda: /a is gone",
		"gone");
	is_str(compared(notes(regular("/a", written), NULL), notes(device("b", 0), NULL)),
		"disk vda: /dev/x is a device, and was a file when the state was saved", "moved to a device");
	same_base.written_ns -= 1000000;
	is_str(compared(notes(regular("/a", written), &base), notes(regular("/a", written), &same_base)),
		"disk vda: /base was last written at 2023-11-14 22:13:19.122 UTC, and at 2023-11-14 "
		"22:13:19.123 UTC when the state was "
		"saved",
		"its backing file");
	base = regular("/base", written);
	is_str(compared(notes(regular("/a", written), &base), notes(regular("/a", written), NULL)),
		"disk vda stands on 1 files, and on 2 when the state was saved", "without its backing file");
}

static void test_devices(void)
{
	static const char unseen[] =
		"disk vda: /dev/x: whether a device was written before it came to this host, or "
		"before this host was booted, cannot be seen";
	struct disk_file again = device("b", 8);

	is_str(compared(notes(device("b", 8), NULL), notes(device("b", 8), NULL)), "", "an idle device");
	is_str(compared(notes(device("b", 8), NULL), notes(device("b", 11), NULL)),
		"disk vda: /dev/x was written since the state was saved: 2 KiB went to it through this host",
		"a written one");
	is_str(compared(notes(device("b", 8), NULL), notes(device("c", 0), NULL)), unseen, "after a boot");
	is_str(compared(notes(device("b", 8), NULL), notes(device(NULL, 0), NULL)), unseen,
		"where nothing is counted");
	again.sequence = 4;
	is_str(compared(notes(device("b", 8), NULL), notes(again, NULL)), unseen,
		"another one of that number");
	again = device("c", 0);
	again.size = 512;
	is_str(compared(notes(device("b", 8), NULL), notes(again, NULL)),
		"disk vda: /dev/x has another size: 512 bytes, and 4096 when the state was saved",
		"a smaller one");
}

static void test_unknown(void)
{
	struct disk_file unseen = {
		.path = xstrdup("/a"), .kind = DISK_FILE_UNSEEN, .why = xstrdup("Permission denied")};
	struct disk_notes none = {0};

	is_str(compared(notes(regular("/a", 1), NULL), notes(unseen, NULL)),
		"disk vda: /a: Permission denied", "what cannot be seen is said");
	is_str(compared(none, notes(regular("/a", 1), NULL)), "", "a disk the state did not have");
	is_str(compared(notes(regular("/a", 1), NULL), none),
		"disk vda, which the state was saved with, is not among its disks now",
		"a disk that is left out");
}

/* ---- looking ---- */

/* "kind name" of each file of the one disk, joined by a space; the directory is cut off. */
static const char *looked(const char *dir, const char *name, enum disk_format format)
{
	static const char *const kinds[] = {"unseen", "gone", "file", "device"};
	static char text[8192];
	_cleanup_free_ char *source = xasprintf("%s/%s", dir, name);
	_cleanup_(buf_fini) struct buf b = {0};
	struct disk disk = {.source = source, .target = (char *)"vda", .format = format}, *disks[] = {&disk};
	struct domain d = {.disks = {.items = disks, .n = 1}};
	struct disk_notes n = {0};
	struct error err = ERROR_INIT;

	if (disk_look(&d, true, &n, &err) < 0) {
		snprintf(text, sizeof(text), "%s", err.message);
		return text;
	}
	for (size_t i = 0; i < n.disks.items[0].files.n; i++) {
		const struct disk_file *f = &n.disks.items[0].files.items[i];
		bool inside = startswith(f->path, dir);

		buf_addf(&b, "%s%s %s", i ? " " : "", kinds[f->kind],
			f->path + (inside ? strlen(dir) + 1 : 0));
	}
	disk_notes_fini(&n);
	snprintf(text, sizeof(text), "%s", b.data);
	return text;
}

static void test_look(void)
{
	char path[] = "/tmp/test-disk-note-XXXXXX";
	_cleanup_close_ int dir = open(mkdtemp(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error err = ERROR_INIT;
	char longer[104] = {0};

	fixture_write_file(dir, "raw", "QFI", 3);
	fixture_write_qcow2(dir, "base", NULL, NULL, NULL);
	fixture_write_qcow2(dir, "middle", "base", NULL, "data");
	fixture_write_file(dir, "data", "", 0);
	fixture_write_qcow2(dir, "top", "middle", "qcow2", NULL);
	fixture_write_qcow2(dir, "as-raw", "middle", "raw", NULL);
	fixture_write_qcow2(dir, "far", "nbd://host/x", NULL, NULL);
	fixture_write_qcow2(dir, "lost", "nowhere", NULL, NULL);
	put_be32(longer, 0x514649fb);
	put_be64(longer + 8, 1);
	put_be32(longer + 16, sizeof(longer) + 1);
	fixture_write_file(dir, "short", longer, sizeof(longer));
	fixture_write_qcow2(dir, "loop", "loop", NULL, NULL);
	is_str(looked(path, "top", DISK_FORMAT_QCOW2), "file top file middle file data file base",
		"a chain, each with what it names");
	is_str(looked(path, "top", DISK_FORMAT_RAW), "file top",
		"a raw disk is what it is, whatever a guest wrote there");
	is_str(looked(path, "as-raw", DISK_FORMAT_QCOW2), "file as-raw file middle",
		"so is a raw backing file");
	is_str(looked(path, "raw", DISK_FORMAT_QCOW2), "file raw", "a qcow2 image that is none");
	is_str(looked(path, "far", DISK_FORMAT_QCOW2), "file far unseen nbd://host/x",
		"a backing file far away");
	is_str(looked(path, "short", DISK_FORMAT_QCOW2),
		"file short unseen (a backing file whose name is damaged)",
		"a header that names more than there is");
	is_str(looked(path, "lost", DISK_FORMAT_QCOW2), "file lost gone nowhere", "one that is gone");
	ok(strlen(looked(path, "loop", DISK_FORMAT_QCOW2)) > 100, "a ring ends");
	ok(strstr(looked(path, "nothing", DISK_FORMAT_QCOW2),
		   "nothing is gone; a state is worth nothing without it"),
		"a disk that is gone");
	dir_remove(AT_FDCWD, path, &err);
}

int main(void)
{
	test_text();
	test_bad_text();
	test_files();
	test_devices();
	test_unknown();
	test_look();
	return done_testing();
}
