/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains: what headers say, and how they change. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "fixture-qcow2.h"
#include "strv.h"
#include "tap.h"

static struct domain *domain_of(const char *directory, const char *name, const char *format)
{
	_cleanup_free_ char *xml = xasprintf(
		"<domain type='kvm'><name>c</name><memory>1</memory><os><type>hvm</type></os><devices>"
		"<disk type='file'><driver type='%s'/><source file='%s/%s'/><target dev='vda'/></disk>"
		"</devices></domain>",
		format, directory, name);
	struct domain *d = NULL;
	struct error err = ERROR_INIT;

	if (domain_parse(xml, strlen(xml), 0, &d, &err) < 0)
		abort();
	return d;
}

/* "name format node", the source first; the directory is cut off. */
static const char *describe(const struct disk *disk, const char *directory)
{
	static char text[8192];
	_cleanup_(buf_fini) struct buf b = {0};

	for (size_t i = 0; i <= disk->backing.n; i++) {
		struct disk_layer image = chain_get(disk, i);
		const char *name = image.source;

		if (startswith(name, directory))
			name += strlen(directory) + 1;
		buf_addf(&b, "%s%s %s %u", i ? ", " : "", name, disk_format_name(image.format), image.node);
	}
	snprintf(text, sizeof(text), "%s", b.data);
	return text;
}

/* As a child finds it and its parent takes it; or why not. */
static const char *looked(const char *directory, const char *name)
{
	static char text[8192];
	_cleanup_domain_ struct domain *d = domain_of(directory, name, "qcow2"), *parent = domain_copy(d);
	_cleanup_(buf_fini) struct buf result = {0};
	struct error err = ERROR_INIT;

	if (chain_look_work(&result, d, &err) < 0 || chain_take(parent, result.data, result.len, &err) < 0)
		snprintf(text, sizeof(text), "%s", err.message);
	else if (chain_is_asked(parent))
		snprintf(text, sizeof(text), "still unknown");
	else
		snprintf(text, sizeof(text), "%s", describe(parent->disks.items[0], directory));
	return text;
}

static bool refused(const char *directory, const char *name, const char *why, const char *which)
{
	const char *text = looked(directory, name);

	if (strstr(text, why) && strstr(text, which) && strstr(text, "vda"))
		return true;
	printf("# %s\n", text);
	return false;
}

static bool cut(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && ftruncate(fd, 402) == 0;
}

static void test_look(void)
{
	char path[] = "/tmp/test-chain-XXXXXX";
	_cleanup_close_ int dir = open(mkdtemp(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char *const names[] = {"raw", "alone", "middle", "top", "lost", "vague", "far", "json",
		"ring", "ring-2", "false", "vmdk", "long", "outside"};
	static char long_name[1025];

	fixture_write_file(dir, "raw", "raw", 3);
	fixture_write_qcow2(dir, "alone", NULL, NULL, NULL);
	fixture_write_qcow2(dir, "middle", "./raw", "raw", NULL);
	fixture_write_qcow2(dir, "top", "middle", "qcow2", NULL);
	fixture_write_qcow2(dir, "lost", "nowhere", "raw", NULL);
	fixture_write_qcow2(dir, "vague", "alone", NULL, NULL);
	fixture_write_qcow2(dir, "far", "nbd://host/x", "raw", NULL);
	fixture_write_qcow2(dir, "json", "json:{\"driver\":\"file\"}", "raw", NULL);
	fixture_write_qcow2(dir, "ring", "ring-2", "qcow2", NULL);
	fixture_write_qcow2(dir, "ring-2", "./ring", "qcow2", NULL);
	fixture_write_qcow2(dir, "false", "raw", "qcow2", NULL);
	fixture_write_qcow2(dir, "vmdk", "raw", "vmdk", NULL);
	memset(long_name, 'x', sizeof(long_name) - 1);
	fixture_write_qcow2(dir, "long", long_name, "raw", NULL);
	fixture_write_qcow2(dir, "outside", "raw", "raw", NULL);
	ok(cut(dir, "outside"), "an image ends before the name in it");
	is_str(looked(path, "alone"), "alone qcow2 0", "an image on nothing");
	is_str(looked(path, "top"), "top qcow2 0, middle qcow2 0, ./raw raw 0", "a chain of three");
	ok(refused(path, "nothing", "No such file", "storage file"), "no image");
	ok(refused(path, "lost", "/nowhere' of storage file", "/lost'"), "a lost one, and who wants it");
	ok(refused(path, "vague", "was not specified in the image metadata", "alone"), "one of no format");
	ok(refused(path, "far", "nbd://host/x", "/far' is not a file"), "one far away");
	ok(refused(path, "json", "json:", "/json' is not a file"), "one described in JSON");
	ok(refused(path, "ring", "stands on itself", "/ring-2' stands on"), "a ring");
	ok(refused(path, "false", "/false' stands on, is no qcow2 image", "/raw'"), "a false format");
	ok(refused(path, "raw", "is no qcow2 image", "/raw'"), "... of the disk itself");
	ok(refused(path, "vmdk", "format 'vmdk'", "/vmdk'"), "a format that is not supported");
	ok(refused(path, "long", "is damaged", "/long'"), "too long a name is not none");
	ok(refused(path, "outside", "is damaged", "/outside'"), "nor is one that is not there");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(dir, names[i], 0);
	rmdir(path);
}

static void test_raw(void)
{
	_cleanup_domain_ struct domain *d = domain_of("/nowhere", "x", "raw");

	ok(!chain_is_asked(d) && d->disks.items[0]->backing_known, "a raw disk needs no looking");
	chain_forget(d);
	ok(!d->disks.items[0]->backing_known, "and is forgotten");
}

static void test_change(void)
{
	_cleanup_domain_ struct domain *d = domain_of("/d", "a", "raw");
	struct disk *disk = d->disks.items[0];

	chain_push(d, disk, DISK_SOURCE_FILE, "/d/b", DISK_FORMAT_QCOW2);
	is_str(describe(disk, "/d"), "b qcow2 0, a raw 0", "an overlay of a VM that is off");
	domain_number_disks(d);
	chain_push(d, disk, DISK_SOURCE_FILE, "/d/c", DISK_FORMAT_QCOW2);
	chain_push(d, disk, DISK_SOURCE_FILE, "/d/e", DISK_FORMAT_QCOW2);
	is_str(describe(disk, "/d"), "e qcow2 4, c qcow2 3, b qcow2 1, a raw 2", "overlays of one that runs");
	ok(chain_find(disk, NULL) == 0 && chain_find(disk, "/d/b") == 2 && chain_find(disk, "vda[2]") == 3 &&
			chain_find(disk, "vda[4]") == 0,
		"images are found by path and number");
	ok(chain_find(disk, "/d/z") < 0 && chain_find(disk, "vda[9]") < 0 && chain_find(disk, "vdb[2]") < 0 &&
			chain_find(disk, "vda[2]x") < 0,
		"... others are not");
	chain_drop(disk, 1, 1);
	is_str(describe(disk, "/d"), "e qcow2 4, b qcow2 1, a raw 2", "one in the middle goes");
	chain_drop(disk, 0, 0);
	is_str(describe(disk, "/d"), "b qcow2 1, a raw 2", "the top goes");
	chain_push(d, disk, DISK_SOURCE_FILE, "/d/f", DISK_FORMAT_QCOW2);
	chain_drop(disk, 0, 1);
	is_str(describe(disk, "/d"), "a raw 2", "several go");
	chain_push(d, disk, DISK_SOURCE_FILE, "/d/g", DISK_FORMAT_QCOW2);
	chain_drop(disk, 1, 1);
	is_str(describe(disk, "/d"), "g qcow2 6", "the lowest goes");
}

int main(void)
{
	test_look();
	test_raw();
	test_change();
	return done_testing();
}
