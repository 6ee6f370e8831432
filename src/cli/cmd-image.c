/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands for saved files themselves. They work where no daemon runs: on a backup, on another host. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>

#include "alloc.h"
#include "commands.h"
#include "file.h"
#include "image-convert.h"
#include "image-info.h"
#include "image-load.h"
#include "image-work.h"
#include "strv.h"
#include "xml.h"

static int open_image(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return error_errno(err, errno, "open %s", path);
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return fd;
	close(fd);
	return error_set(err, ERROR_INVALID_ARGUMENT, "%s is neither a file nor a block device", path);
}

/* ---- info ---- */

struct identity {
	char *name, *uuid, *memory; /* owned; NULL: not said */
	uint64_t memory_bytes;
};

static void identity_fini(struct identity *id)
{
	free(id->name);
	free(id->uuid);
	free(id->memory);
}

/* Of a document that need not be one. Either side saves memory in KiB. */
static void identify(const char *xml, struct identity *ret)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	_cleanup_free_ char *unit = NULL;
	const xmlNode *root;

	if (!xml || xml_parse(xml, strlen(xml), "domain", &doc, NULL) < 0)
		return;
	root = xmlDocGetRootElement(doc);
	ret->name = xml_child_text(root, "name");
	ret->uuid = xml_child_text(root, "uuid");
	ret->memory = xml_child_text(root, "memory");
	unit = xml_child_attr(root, "memory", "unit");
	if (ret->memory && (!unit || streq(unit, "KiB")))
		ret->memory_bytes = strtoull(ret->memory, NULL, 10) * 1024;
}

static void add_size(struct record *r, const char *label, const char *key, uint64_t bytes)
{
	const char *unit;
	double scaled = scale_bytes(bytes, &unit);

	record_shown_as(
		r, label, key, json_object_new_uint64(bytes), "%.*f %s", bytes < 1024 ? 0 : 1, scaled, unit);
}

static void add_bool(struct record *r, const char *label, const char *key, bool value)
{
	record_shown_as(r, label, key, json_object_new_boolean(value), "%s", value ? "yes" : "no");
}

static void add_checksums(struct record *r, const struct image_info *info)
{
	record_shown_as(r, NULL, "checksums", json_object_new_boolean(info->piece_size > 0), "%s", "");
	if (info->piece_size == 0)
		return record_shown_as(
			r, "Checksums:", NULL, NULL, "%s", info->marked ? "not readable" : "none");
	record_shown_as(r, "Checksums:", "checksum_bytes", json_object_new_uint64(info->piece_size),
		"of every %llu KiB", (unsigned long long)info->piece_size >> 10);
}

static void add_lazy(struct record *r, const struct image_info *info)
{
	const char *how = info->lazy ? "yes" : info->lazy_after_walk ? "yes, once it was read through" : NULL;

	record_shown_as(r, "Lazy restore:", "lazy_restore",
		json_object_new_boolean(info->lazy || info->lazy_after_walk), "%s%s",
		how ? how : "no: ", how ? "" : info->not_lazy.message);
	if (!how)
		record_string(r, NULL, "not_lazy_because", info->not_lazy.message);
}

static void add_disks(struct record *r, const char *disks)
{
	json *value = NULL;

	/* A text that is none is shown as what it is. */
	if (disks && json_parse(disks, strlen(disks), &value, NULL) < 0)
		value = json_object_new_string(disks);
	record_shown_as(r, "Disks noted:", "disks", value, "%s", disks ? "yes" : "no");
}

static void add_machine(struct record *r, const struct image_header *h)
{
	_cleanup_(identity_fini) struct identity id = {0};

	identify(h->xml, &id);
	record_string(r, "VM:", "vm", id.name ? id.name : "unknown");
	if (id.uuid)
		record_string(r, "UUID:", "uuid", id.uuid);
	add_bool(r, "Was running:", "was_running", h->was_running);
	if (id.memory_bytes > 0)
		add_size(r, "Memory:", "memory", id.memory_bytes);
}

static void print_info(struct cli *cli, const char *path, const struct image_info *info)
{
	struct record r;

	record_init(&r, cli->json, 16);
	record_string(&r, "File:", "file", path);
	record_string(&r, "Written by:", "written_by", info->marked ? "godwit" : "libvirt");
	record_shown_as(&r, "Version:", "version", json_object_new_int((int)info->version), "%u%s",
		info->version, info->other_byte_order ? ", by a host of the other byte order" : "");
	record_shown_as(
		&r, NULL, "other_byte_order", json_object_new_boolean(info->other_byte_order), "%s", "");
	record_string(&r, "Format:", "format", image_format_name(info->header.format));
	add_bool(&r, "Complete:", "complete", info->header.complete);
	add_machine(&r, &info->header);
	add_size(&r, "State:", "state_size", info->state_size);
	add_size(&r, "File size:", "file_size", info->file_size);
	add_size(&r, "On disk:", "allocated", info->allocated);
	add_checksums(&r, info);
	add_lazy(&r, info);
	add_disks(&r, info->disks);
	if (info->problem.code != ERROR_NONE)
		record_string(&r, "Problem:", "problem", info->problem.message);
	cli_print_record(cli, &r);
	record_fini(&r);
}

int cmd_image_info(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *path = arguments_string(args, "file");
	_cleanup_(image_info_fini) struct image_info info = {0};
	_cleanup_close_ int fd = open_image(path, err);

	if (fd < 0 || image_info_read(fd, path, &info, err) < 0)
		return -1;
	print_info(cli, path, &info);
	return 0;
}

/* ---- verify ---- */

static int verify(void *userdata, struct image_progress *progress, struct error *err)
{
	return image_load(userdata, progress, err);
}

/* What a success means for an image without checksums. */
static const char *what_was_checked(enum image_format format)
{
	switch (format) {
	case IMAGE_FORMAT_RAW:
		return "its state is followed from its beginning to its end; what its pages hold cannot be "
		       "checked";
	case IMAGE_FORMAT_ZSTD:
		return "its state decompresses, with zstd's own checksums where it has them, to a whole one";
	case IMAGE_FORMAT_SPARSE:
		return "its layout fits the file and has an end; what its pages hold cannot be checked";
	case IMAGE_FORMAT_GZIP:
	case IMAGE_FORMAT_BZIP2:
	case IMAGE_FORMAT_XZ:
	case IMAGE_FORMAT_LZOP:
		break;
	}
	return "nothing";
}

static void print_verified(struct cli *cli, const char *path, const struct image_info *info)
{
	bool sums = info->piece_size > 0;
	const char *what = sums ? "header, domain XML, notes and state are what was saved"
				: what_was_checked(info->header.format);
	const char *unit;
	double state = scale_bytes(info->state_size, &unit);

	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:file", path, "b:whole", true, "b:checksums", sums,
			"s:checked", what, "u:state_size", info->state_size, NULL);

		return cli_print_json(cli, o);
	}
	cli_print(cli, "%s: whole (%.1f %s): %s%s\n", path, state, unit, sums ? "" : "no checksums; ", what);
}

int cmd_image_verify(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *path = arguments_string(args, "file");
	_cleanup_(image_info_fini) struct image_info info = {0};
	_cleanup_close_ int fd = open_image(path, err);
	struct image_load_options load = {.file_fd = fd,
		.stream_fd = -1,
		.name = path,
		.direct = true,
		.threads = image_work_threads()};
	struct image_work work = {
		.cli = cli, .title = "Verify", .object = path, .run = verify, .userdata = &load};

	if (fd < 0 || image_work_run(&work, err) < 0 || image_info_read(fd, path, &info, err) < 0)
		return -1;
	print_verified(cli, path, &info);
	return 0;
}

/* ---- convert ---- */

static int convert(void *userdata, struct image_progress *progress, struct error *err)
{
	return image_convert(userdata, progress, err);
}

static int choose_format(
	int fd, const char *source, const char *name, enum image_format *ret, struct error *err)
{
	_cleanup_(image_header_fini) struct image_header h = {0};

	if (name) {
		if (image_format_parse(name, ret) && image_format_is_supported(*ret))
			return 0;
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "format '%s' is not one of raw, zstd and sparse", name);
	}
	if (image_read_header(fd, source, &h, err) < 0)
		return -1;
	*ret = h.format;
	return 0;
}

/* In the directory of `target`, so that it can be renamed; owned. */
static char *temporary_name(const char *target)
{
	_cleanup_free_ char *a = xstrdup(target), *b = xstrdup(target);

	return xasprintf("%s/.%s.%d.partial", dirname(a), basename(b), (int)getpid());
}

/* Give the file its name, which nobody may have taken, for good. */
static int publish(const char *temporary, const char *target, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(target);
	_cleanup_close_ int dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = renameat2(AT_FDCWD, temporary, AT_FDCWD, target, RENAME_NOREPLACE);

	/* Not every file system can. */
	if (r < 0 && errno == EINVAL) {
		r = link(temporary, target);
		if (r == 0)
			unlink(temporary);
	}
	if (r < 0 && errno == EEXIST)
		return error_set(err, ERROR_EXISTS, "%s is there already", target);
	if (r < 0 || dir < 0 || fsync(dir) < 0)
		return error_errno(err, errno, "write %s", target);
	return 0;
}

static int convert_into(struct cli *cli, struct image_convert_options *o, struct error *err)
{
	_cleanup_free_ char *temporary = temporary_name(o->target);
	_cleanup_close_ int fd = -1;
	struct image_work work = {.cli = cli,
		.title = "Convert",
		.object = o->source,
		.run = convert,
		.userdata = o,
		.remove = temporary};
	struct stat st;

	if (lstat(o->target, &st) == 0)
		return error_set(err, ERROR_EXISTS, "%s is there already", o->target);
	fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "create %s", temporary);
	o->target_fd = fd;
	if (image_work_run(&work, err) == 0 && publish(temporary, o->target, err) == 0)
		return 0;
	unlink(temporary);
	return -1;
}

static void print_converted(struct cli *cli, const struct image_convert_options *o)
{
	struct stat before = {0}, after = {0};
	const char *unit_before, *unit_after;
	double size_before, size_after;

	fstat(o->source_fd, &before);
	stat(o->target, &after);
	if (cli->json) {
		_cleanup_json_ json *json_ = json_pack("s:source", o->source, "s:target", o->target,
			"s:format", image_format_name(o->format), "u:allocated",
			(uint64_t)after.st_blocks * 512, NULL);

		return cli_print_json(cli, json_);
	}
	size_before = scale_bytes((uint64_t)before.st_blocks * 512, &unit_before);
	size_after = scale_bytes((uint64_t)after.st_blocks * 512, &unit_after);
	cli_print(cli, "%s: written in format %s, %.1f %s on disk (before: %.1f %s)\n", o->target,
		image_format_name(o->format), size_after, unit_after, size_before, unit_before);
}

int cmd_image_convert(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct image_convert_options o = {.source = arguments_string(args, "source"),
		.target = arguments_string(args, "target"),
		.direct = true,
		.threads = image_work_threads()};
	_cleanup_close_ int source = open_image(o.source, err);

	if (source < 0)
		return -1;
	o.source_fd = source;
	if (choose_format(source, o.source, arguments_string(args, "format"), &o.format, err) < 0 ||
		convert_into(cli, &o, err) < 0)
		return -1;
	print_converted(cli, &o);
	return 0;
}
