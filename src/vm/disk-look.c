/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which files a disk has is asked of the files themselves, as QEMU does (image-names.h). So the same question has the same answer before a
 * save and before a start, with no QEMU.
 */
#include "disk-look.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"
#include "image-names.h"
#include "strv.h"

enum { SYSFS_MAX = 4096 };

/* ---- one file ---- */

static void cannot_see(struct disk_file *f, const char *why)
{
	f->kind = DISK_FILE_UNSEEN;
	replace_string(&f->why, why);
}

static char *read_line(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[SYSFS_MAX + 1];
	ssize_t n = fd < 0 ? -1 : read_full(fd, text, SYSFS_MAX);

	if (n <= 0)
		return NULL;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return xstrdup(text);
}

/* Of a device or, for a partition, of the whole device it is on. */
static char *read_device_line(const struct disk_file *f, const char *name)
{
	_cleanup_free_ char *own =
		xasprintf("/sys/dev/block/%u:%u/%s", major(f->device), minor(f->device), name);
	_cleanup_free_ char *whole =
		xasprintf("/sys/dev/block/%u:%u/../%s", major(f->device), minor(f->device), name);
	char *line = read_line(own);

	return line ? line : read_line(whole);
}

/* The kernel's Documentation/block/stat.rst: the 7th number is sectors written, the 14th sectors discarded. */
static bool count_sectors(const struct disk_file *f, uint64_t *ret)
{
	_cleanup_free_ char *path =
		xasprintf("/sys/dev/block/%u:%u/stat", major(f->device), minor(f->device));
	_cleanup_free_ char *line = read_line(path), *counts = read_device_line(f, "queue/iostats");
	char *p = line;

	*ret = 0;
	if (!line || !streq(counts, "1"))
		return false;
	for (int i = 1; i <= 14; i++) {
		char *end;
		uint64_t n = strtoull(p, &end, 10);

		if (end == p)
			return i > 7; /* kernels before 4.18 do not count discards */
		if (i == 7 || i == 14)
			*ret += n;
		p = end;
	}
	return true;
}

static void look_at_device(struct disk_file *f, int fd, const struct stat *st)
{
	_cleanup_free_ char *sequence = NULL;

	f->kind = DISK_FILE_BLOCK;
	f->device = st->st_rdev;
	sequence = read_device_line(f, "diskseq");
	if (ioctl(fd, BLKGETSIZE64, &f->size) < 0)
		cannot_see(f, strerror(errno));
	else if (count_sectors(f, &f->sectors))
		f->boot = read_line("/proc/sys/kernel/random/boot_id");
	f->sequence = sequence ? strtoull(sequence, NULL, 10) : 0;
}

static void look_at_file(struct disk_file *f, const struct stat *st)
{
	f->kind = DISK_FILE_REGULAR;
	f->size = (uint64_t)st->st_size;
	f->written_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	f->id = st->st_ino;
	f->device = st->st_dev;
}

/* What stands in the way of every sync of a descriptor is no reason to doubt what was written. */
static bool is_unsyncable(int errnum)
{
	return errnum == EINVAL || errnum == EROFS || errnum == ENOTSUP;
}

/*
 * Opening it makes a network file system ask its server. Root may be nobody there, and still see size and time. A descriptor, or
 * -1 when it cannot be read.
 */
static int look_at(struct disk_file *f, bool sync)
{
	_cleanup_close_ int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd >= 0 && sync && fsync(fd) < 0 && !is_unsyncable(errno))
		f->sync_errnum = errno;
	r = fd >= 0 ? fstat(fd, &st) : stat(f->path, &st);
	if (r < 0 && errno == ENOENT)
		f->kind = DISK_FILE_GONE;
	else if (r < 0)
		cannot_see(f, strerror(errno));
	else if (S_ISREG(st.st_mode))
		look_at_file(f, &st);
	else if (!S_ISBLK(st.st_mode))
		cannot_see(f, "it is neither a file nor a block device");
	else if (fd < 0)
		cannot_see(f, "it cannot be opened");
	else
		look_at_device(f, fd, &st);
	return take_fd(&fd);
}

/* ---- what it stands on ---- */

/* `path` NULL: `name` is no file. A descriptor of it, or -1. */
static int add_file(struct disk_note *d, const char *path, const char *name, bool sync)
{
	struct disk_file f = {.path = xstrdup(path ? path : name)};
	int fd = -1;

	if (!path)
		cannot_see(&f, "it is not a file");
	else if (d->files.n >= DISK_CHAIN_MAX)
		cannot_see(&f, "too many files stand on each other");
	else
		fd = look_at(&f, sync);
	VEC_ADD(&d->files, f);
	return fd;
}

/* What the qcow2 image at `from` stands on; a descriptor of its backing file, or -1. */
static int add_named(struct disk_note *d, int image, const char *from, bool sync, bool *ret_raw)
{
	struct image_names names = {0};
	int fd = -1;

	image_names_read(image, &names);
	if (names.data) {
		_cleanup_free_ char *path = image_name_resolve(from, names.data);
		int data = add_file(d, path, names.data, sync);

		close_p(&data);
	}
	if (names.backing) {
		_cleanup_free_ char *path = image_name_resolve(from, names.backing);

		fd = add_file(d, path, names.backing, false);
	}
	if (names.is_damaged)
		add_file(d, NULL, "(a backing file whose name is damaged)", false);
	*ret_raw = streq(names.backing_format, "raw");
	image_names_fini(&names);
	return fd;
}

static void look_at_disk(const struct disk *disk, bool sync, struct disk_note *ret)
{
	bool raw = disk->format != DISK_FORMAT_QCOW2;
	int fd;

	ret->target = xstrdup(disk->target);
	fd = add_file(ret, disk->source, disk->source, sync);
	while (fd >= 0) {
		_cleanup_close_ int image = fd;
		_cleanup_free_ char *from = xstrdup(ret->files.items[ret->files.n - 1].path);

		fd = raw ? -1 : add_named(ret, image, from, sync, &raw);
		sync = false; /* QEMU writes to the top only */
	}
}

/* A state is worth nothing without what its guest has written. */
static int check_durable(const struct disk_note *d, struct error *err)
{
	if (d->files.items[0].kind == DISK_FILE_GONE)
		return error_set(err, ERROR_OPERATION_FAILED,
			"disk %s: %s is gone; a state is worth nothing without it", d->target,
			d->files.items[0].path);
	VEC_FOREACH (f, &d->files)
		if (f.sync_errnum)
			return error_errno(err, f.sync_errnum, "disk %s: sync %s", d->target, f.path);
	return 0;
}

int disk_look(const struct domain *d, bool saving, struct disk_notes *ret, struct error *err)
{
	struct disk_notes notes = {0};
	struct timespec now;

	VEC_FOREACH (disk, &d->disks) {
		struct disk_note note = {0};

		if (!disk->source || disk->readonly || disk->shareable)
			continue;
		look_at_disk(disk, saving, &note);
		VEC_ADD(&notes.disks, note);
		if (saving && check_durable(&note, err) < 0) {
			disk_notes_fini(&notes);
			return -1;
		}
	}
	clock_gettime(CLOCK_REALTIME, &now);
	notes.taken_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	*ret = notes;
	return 0;
}
