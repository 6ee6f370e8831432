/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is exported.
 *
 * Disks are kept from being written meanwhile as QEMU keeps them from one another: by a lock on the byte that says "I share this
 * with no writer" (block/file-posix.c), which every QEMU looks at before it opens a file for writing. Whatever does not look is found
 * out by the time of the file's last write.
 */
#include "export-source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "alloc.h"
#include "domain.h"
#include "file.h"
#include "image.h"
#include "strv.h"

/* Of QEMU's locks: RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE, each with the bit of BLK_PERM_WRITE. */
#define LOCK_WRITES	    101
#define LOCK_WITHOUT_WRITER 201

/* Of a qcow2's header, big-endian: u32 version, u64 offset of the backing file's name, u64 incompatible features. */
#define QCOW2_AT_VERSION  4
#define QCOW2_AT_BACKING  8
#define QCOW2_AT_FEATURES 72
#define QCOW2_HEADER_SIZE 80
#define QCOW2_DATA_FILE	  (UINT64_C(1) << 2)

void export_source_fini(struct export_source *x)
{
	VEC_FOREACH (source, &x->sources) {
		close(source.fd);
		free((char *)source.path);
	}
	VEC_FREE(&x->sources);
	bundle_manifest_fini(&x->manifest);
	domain_free(x->domain);
	free(x->xml);
	free(x->state_path);
	*x = (struct export_source){0};
}

int export_source_use_vm(struct export_source *x, const char *xml, const char *state_path, struct error *err)
{
	x->xml = xstrdup(xml);
	x->state_path = xstrdup(state_path);
	return domain_parse(xml, strlen(xml), 0, &x->domain, err);
}

int export_source_use_image(struct export_source *x, const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(image_header_fini) struct image_header header = {0};

	if (fd < 0)
		return error_errno(err, errno, "open image %s", path);
	if (image_read_header(fd, path, &header, err) < 0)
		return -1;
	if (!header.complete)
		return error_set(err, ERROR_DAMAGED, "image %s is incomplete: its save did not finish", path);
	x->state_path = xstrdup(path);
	if (domain_parse(header.xml, strlen(header.xml), DOMAIN_PARSE_LIVE, &x->domain, err) < 0)
		return error_prefix(err, "image %s", path);
	x->xml = domain_format(x->domain, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	return 0;
}

/* Takes `fd` over. */
static int add_source(struct export_source *x, enum bundle_kind kind, const char *target, int fd,
	const char *path, struct error *err)
{
	struct bundle_member *member = bundle_add_member(&x->manifest, kind, target);
	struct bundle_source source = {fd, xstrdup(path)};

	VEC_ADD(&x->sources, source);
	return bundle_member_measure(member, &source, err);
}

static int open_to_read(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

static int add_file(struct export_source *x, enum bundle_kind kind, const char *target, const char *path,
	struct error *err)
{
	int fd = open_to_read(path, err);

	return fd < 0 ? -1 : add_source(x, kind, target, fd, path, err);
}

static int add_definition(struct export_source *x, struct error *err)
{
	int fd = memfd_create("definition", MFD_CLOEXEC);

	if (fd < 0 || write_full(fd, x->xml, strlen(x->xml)) < 0) {
		error_errno(err, errno, "keep the definition");
		close_p(&fd);
		return -1;
	}
	return add_source(x, BUNDLE_DEFINITION, NULL, fd, "the definition", err);
}

/* What a definition says of backing images counts, whatever the header says. */
static int check_qcow2(const struct export_source *x, const struct disk *disk, int fd, struct error *err)
{
	const char *path = disk->source;
	uint8_t h[QCOW2_HEADER_SIZE] = {0};

	if (pread_full(fd, h, sizeof(h), 0) < 0)
		return error_errno(err, errno, "read %s", path);
	if (disk->backing.n > 0 || get_be64(h + QCOW2_AT_BACKING) != 0)
		return error_set(err, ERROR_UNSUPPORTED,
			"%s lies over another image (a backing file): a bundle carries single images "
			"('blockpull %s %s' makes one of them, while the VM runs)",
			path, x->domain->name, disk->target);
	if (get_be32(h + QCOW2_AT_VERSION) >= 3 && (get_be64(h + QCOW2_AT_FEATURES) & QCOW2_DATA_FILE))
		return error_set(err, ERROR_UNSUPPORTED,
			"%s has its data in another file: a bundle carries single images", path);
	return 0;
}

/* Held until the descriptor is closed. A file system without locks leaves it at the comparison of times. */
static int keep_from_writers(int fd, const char *path, struct error *err)
{
	struct flock writers = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_WRITES, .l_len = 1};
	struct flock mine = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = LOCK_WITHOUT_WRITER, .l_len = 1};

	if (fcntl(fd, F_OFD_SETLK, &mine) < 0)
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &writers) == 0 && writers.l_type != F_UNLCK)
		return error_set(err, ERROR_IN_USE, "%s is in use: a VM writes it", path);
	return 0;
}

static int add_disk(struct export_source *x, const struct disk *disk, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (!disk->source)
		return 0; /* an empty drive */
	if (disk->source_type != DISK_SOURCE_FILE)
		return error_set(err, ERROR_UNSUPPORTED,
			"disk %s is the block device %s: a bundle carries files only", disk->target,
			disk->source);
	fd = open_to_read(disk->source, err);
	if (fd < 0 || (disk->format == DISK_FORMAT_QCOW2 && check_qcow2(x, disk, fd, err) < 0) ||
		keep_from_writers(fd, disk->source, err) < 0)
		return error_prefix(err, "disk %s", disk->target);
	return add_source(x, BUNDLE_DISK, disk->target, take_fd(&fd), disk->source, err);
}

int export_source_add_files(struct export_source *x, bool with_disks, struct error *err)
{
	const struct domain *d = x->domain;

	if (d->tpm)
		return error_set(err, ERROR_UNSUPPORTED,
			"%s has a TPM: its state is secret, and does not go into a bundle", d->name);
	x->manifest.vm = xstrdup(d->name);
	uuid_format(d->uuid, x->manifest.uuid);
	if (add_definition(x, err) < 0 || add_file(x, BUNDLE_STATE, NULL, x->state_path, err) < 0)
		return -1;
	if (d->os.nvram && add_file(x, BUNDLE_NVRAM, NULL, d->os.nvram, err) < 0)
		return -1;
	VEC_FOREACH (disk, &d->disks)
		if (with_disks && add_disk(x, disk, err) < 0)
			return -1;
	return 0;
}

int export_source_check_current(const struct export_source *x, struct error *err)
{
	/* the first is the definition, which is no file */
	for (size_t i = 1; i < x->sources.n; i++) {
		const struct bundle_source *source = &x->sources.items[i];
		struct stat open, named;

		if (fstat(source->fd, &open) < 0 || stat(source->path, &named) < 0)
			return error_errno(err, errno, "look at %s", source->path);
		if (open.st_dev != named.st_dev || open.st_ino != named.st_ino)
			return error_set(err, ERROR_OPERATION_FAILED, "%s was replaced while it was read",
				source->path);
	}
	return 0;
}
