/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images a disk consists of (chain.h). */
#include "chain.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "image-names.h"
#include "json.h"
#include "strv.h"

/* ---- looking ---- */

/* The image whose header is read. */
struct link {
	const struct disk *disk;
	struct disk_layer image; /* borrowed strings */
	const char *from;	 /* the image that names it; NULL: none */
};

struct identity {
	dev_t device;
	ino_t inode;
};

static int cannot(const struct link *l, const char *why, struct error *err)
{
	if (!l->from)
		return error_set(err, ERROR_OPERATION_FAILED,
			"Cannot access storage file '%s' of disk '%s': %s", l->image.source, l->disk->target,
			why);
	return error_set(err, ERROR_OPERATION_FAILED,
		"Cannot access backing file '%s' of storage file '%s' of disk '%s': %s", l->image.source,
		l->from, l->disk->target, why);
}

/* A descriptor; what it is goes into `type`. */
static int open_image(
	const struct link *l, enum disk_source *ret_type, struct identity *ret_identity, struct error *err)
{
	_cleanup_close_ int fd = open(l->image.source, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cannot(l, strerror(errno), err);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return cannot(l, "it is neither a file nor a block device", err);
	*ret_type = S_ISBLK(st.st_mode) ? DISK_SOURCE_BLOCK : DISK_SOURCE_FILE;
	*ret_identity = S_ISBLK(st.st_mode) ? (struct identity){st.st_rdev, 0}
					    : (struct identity){st.st_dev, st.st_ino};
	return take_fd(&fd);
}

static int parse_format(
	const struct link *l, const struct image_names *names, enum disk_format *ret, struct error *err)
{
	if (!names->backing_format)
		return error_set(err, ERROR_OPERATION_FAILED,
			"disk '%s': format of backing image '%s' of image '%s' was not specified in the "
			"image "
			"metadata (qemu-img rebase -u -F FORMAT sets it)",
			l->disk->target, names->backing, l->image.source);
	if (streq(names->backing_format, "raw"))
		*ret = DISK_FORMAT_RAW;
	else if (streq(names->backing_format, "qcow2"))
		*ret = DISK_FORMAT_QCOW2;
	else
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s': format '%.40s' of backing image '%s' of image '%s' is not supported",
			l->disk->target, names->backing_format, names->backing, l->image.source);
	return 0;
}

/* ret->source NULL: the header names none. */
static int read_backing(const struct link *l, int fd, struct disk_layer *ret, struct error *err)
{
	struct image_names names = {0};
	int r = -1;

	image_names_read(fd, &names);
	if (!names.is_qcow2) {
		error_set(err, ERROR_OPERATION_FAILED, "disk '%s': image '%s'%s%s%s is no qcow2 image",
			l->disk->target, l->image.source, l->from ? ", which '" : "", l->from ? l->from : "",
			l->from ? "' stands on," : "");
		goto out;
	}
	if (names.is_damaged) {
		error_set(err, ERROR_OPERATION_FAILED,
			"disk '%s': the header of image '%s' is damaged: the name of its backing file is too "
			"long or "
			"not in it",
			l->disk->target, l->image.source);
		goto out;
	}
	if (!names.backing) {
		r = 0;
		goto out;
	}
	if (parse_format(l, &names, &ret->format, err) < 0)
		goto out;
	ret->source = image_name_resolve(l->image.source, names.backing);
	if (!ret->source)
		error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s': backing image '%.80s' of image '%s' is not a file", l->disk->target,
			names.backing, l->image.source);
	else
		r = 0;
out:
	image_names_fini(&names);
	return r;
}

static bool is_known(const struct identity *seen, size_t n, struct identity one)
{
	for (size_t i = 0; i < n; i++)
		if (seen[i].device == one.device && seen[i].inode == one.inode)
			return true;
	return false;
}

/* The image at `position`, of which `seen` were there before; `ret_next`: what it stands on. */
static int look_at(struct disk *disk, size_t position, struct identity *seen, struct disk_layer *ret_next,
	struct error *err)
{
	struct link l = {.disk = disk, .image = chain_get(disk, position)};
	enum disk_source type = DISK_SOURCE_FILE;
	_cleanup_close_ int fd = -1;

	if (position > 0)
		l.from = position == 1 ? disk->source : disk->backing.items[position - 2].source;
	fd = open_image(&l, &type, &seen[position], err);
	if (fd < 0)
		return -1;
	if (is_known(seen, position, seen[position]))
		return error_set(err, ERROR_OPERATION_FAILED,
			"disk '%s': image '%s', which '%s' stands on, stands on itself", disk->target,
			l.image.source, l.from);
	if (position > 0)
		disk->backing.items[position - 1].source_type = type;
	return l.image.format == DISK_FORMAT_QCOW2 ? read_backing(&l, fd, ret_next, err) : 0;
}

static int look_at_disk(struct disk *disk, struct error *err)
{
	struct identity seen[DISK_CHAIN_MAX + 1];

	for (size_t i = 0; i <= disk->backing.n; i++) {
		struct disk_layer next = {0};

		if (look_at(disk, i, seen, &next, err) < 0)
			return -1;
		if (!next.source || i < disk->backing.n) {
			free(next.source);
			continue;
		}
		if (disk->backing.n >= DISK_CHAIN_MAX) {
			free(next.source);
			return error_set(err, ERROR_OPERATION_FAILED,
				"disk '%s': more than %d images stand on each other", disk->target,
				DISK_CHAIN_MAX);
		}
		VEC_ADD(&disk->backing, next);
	}
	disk->backing_known = true;
	return 0;
}

bool chain_is_asked(struct domain *d)
{
	bool asked = false;

	VEC_FOREACH (disk, &d->disks) {
		if (disk->source && !disk->backing_known && disk->format != DISK_FORMAT_QCOW2)
			disk->backing_known = true;
		asked = asked || (disk->source && !disk->backing_known);
	}
	return asked;
}

int chain_look(struct domain *d, struct error *err)
{
	if (!chain_is_asked(d))
		return 0;
	VEC_FOREACH (disk, &d->disks)
		if (disk->source && !disk->backing_known && look_at_disk(disk, err) < 0)
			return -1;
	return 0;
}

void chain_forget(struct domain *d)
{
	VEC_FOREACH (disk, &d->disks)
		if (!disk->backing_given)
			disk_clear_backing(disk);
	domain_clear_nodes(d);
}

/* ---- from the child that looked ---- */

int chain_look_work(struct buf *result, void *domain, struct error *err)
{
	struct domain *d = domain;
	_cleanup_json_ json *o = json_object_new_object();
	_cleanup_free_ char *text = NULL;

	if (chain_look(d, err) < 0)
		return -1;
	VEC_FOREACH (disk, &d->disks) {
		json *layers = json_object_new_array();

		VEC_FOREACH (layer, &disk->backing)
			json_object_array_add(layers,
				json_pack("s:source", layer.source, "u:format", (uint64_t)layer.format,
					"u:type", (uint64_t)layer.source_type, NULL));
		json_object_object_add(o, disk->target, layers);
	}
	text = json_format(o);
	buf_adds(result, text);
	return 0;
}

int chain_look_start(sd_event *loop, struct domain *d, process_worked_fn worked, void *userdata,
	struct process **ret, struct error *err)
{
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = chain_look_work,
		.work_userdata = d,
		.worked = worked};

	return process_start(loop, &options, NULL, userdata, ret, err);
}

int chain_take(struct domain *d, const char *result, size_t len, struct error *err)
{
	_cleanup_json_ json *o = NULL;

	if (json_parse(result, len, &o, err) < 0)
		return -1;
	VEC_FOREACH (disk, &d->disks) {
		bool given = disk->backing_given;

		if (!disk->source || disk->backing_known)
			continue;
		disk_clear_backing(disk);
		JSON_FOREACH (item, json_get(o, disk->target)) {
			struct disk_layer layer = {.source = xstrdup(json_get_string(item, "source")),
				.format = (enum disk_format)json_get_uint(item, "format", 0),
				.source_type = (enum disk_source)json_get_uint(item, "type", 0)};

			VEC_ADD(&disk->backing, layer);
		}
		disk->backing_known = true;
		disk->backing_given = given;
	}
	return 0;
}

/* ---- changing ---- */

void chain_push(struct domain *d, struct disk *disk, enum disk_source type, const char *source,
	enum disk_format format)
{
	struct disk_layer below = {disk->source_type, disk->source, disk->format, disk->node};

	VEC_ADD(&disk->backing, below);
	for (size_t i = disk->backing.n - 1; i > 0; i--)
		disk->backing.items[i] = disk->backing.items[i - 1];
	disk->backing.items[0] = below;
	disk->source_type = type;
	disk->source = xstrdup(source);
	disk->format = format;
	disk->node = 0;
	if (below.node)
		domain_number_disks(d);
}

void chain_drop(struct disk *disk, size_t first, size_t last)
{
	assert(first <= last && last <= disk->backing.n && (first > 0 || last < disk->backing.n));
	if (first == 0) {
		struct disk_layer *top = &disk->backing.items[last];

		free(disk->source);
		disk->source = TAKE_PTR(top->source);
		disk->source_type = top->source_type;
		disk->format = top->format;
		disk->node = top->node;
		/* Its place among the layers goes with those above it. */
		first = 1;
		last++;
	}
	for (size_t i = last; i >= first; i--) {
		free(disk->backing.items[i - 1].source);
		VEC_REMOVE(&disk->backing, i - 1);
	}
}

/* ---- finding ---- */

/* "vda[2]" */
static int find_by_node(const struct disk *disk, const char *image)
{
	size_t len = strlen(disk->target);

	if (strncmp(image, disk->target, len) != 0 || image[len] != '[')
		return -1;
	for (size_t i = 0; i <= disk->backing.n; i++) {
		_cleanup_free_ char *name = xasprintf("[%u]", chain_get(disk, i).node);

		if (streq(image + len, name))
			return (int)i;
	}
	return -1;
}

int chain_find(const struct disk *disk, const char *image)
{
	if (!image)
		return 0;
	for (size_t i = 0; i <= disk->backing.n; i++)
		if (streq(chain_get(disk, i).source, image))
			return (int)i;
	return find_by_node(disk, image);
}

struct disk_layer chain_get(const struct disk *disk, size_t position)
{
	if (position == 0)
		return (struct disk_layer){disk->source_type, disk->source, disk->format, disk->node};
	return disk->backing.items[position - 1];
}
