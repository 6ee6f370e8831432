/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The child that looks has the daemon's memory: all VMs are before it. What a header calls an image may be another name than the one the
 * daemon knows; what is the same file gets the daemon's name, for a plan goes by names.
 */
#include "snapshot-images.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "chain.h"
#include "file.h"
#include "image-names.h"
#include "snapshot-plan.h"

#define FILE_NAME  "images.json"
#define FILE_MAX   (4u << 20)
#define FILE_MAGIC "godwit snapshot images"

void image_look_fini(struct image_look *l)
{
	image_links_fini(&l->links);
	strv_fini(&l->foreign);
}

/* ---- in the child ---- */

struct known_image {
	const char *path; /* borrowed */
	dev_t device;
	ino_t inode;
};

struct look {
	struct vm *vm;
	const struct image_links *remembered;
	VEC(struct known_image) known;
	struct image_look found;
};

static bool identify(const char *path, struct known_image *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	*ret = S_ISBLK(st.st_mode) ? (struct known_image){path, st.st_rdev, 0}
				   : (struct known_image){path, st.st_dev, st.st_ino};
	return true;
}

/* The daemon's name for this file; NULL: it has none. */
static const char *find_known(const struct look *l, const char *path)
{
	struct known_image one;

	if (!identify(path, &one))
		return NULL;
	VEC_FOREACH (k, &l->known) {
		if (k.device == one.device && k.inode == one.inode)
			return k.path;
	}
	return NULL;
}

static int know(struct look *l, const char *path, bool must, struct error *err)
{
	struct known_image one;
	const char *other;

	if (!identify(path, &one))
		return must ? error_errno(err, errno, "Cannot access storage file '%s'", path) : 0;
	other = find_known(l, path);
	if (other && !streq(other, path))
		return error_set(err, ERROR_OPERATION_FAILED, "image '%s' is also called '%s'", path, other);
	if (!other)
		VEC_ADD(&l->known, one);
	return 0;
}

/* What a snapshot did nothing to may be gone. */
static bool is_needed(const struct snapshot *s, const struct disk *disk)
{
	const struct snapshot_disk *own = snapshot_find_disk(s, disk->target);

	return own && (own->location == SNAPSHOT_EXTERNAL || own->location == SNAPSHOT_INTERNAL);
}

static int know_definition(struct look *l, const struct domain *d, struct error *err)
{
	for (size_t i = 0; d && i < d->disks.n; i++)
		if (d->disks.items[i]->source && d->disks.items[i]->device == DISK_DISK &&
			know(l, d->disks.items[i]->source, true, err) < 0)
			return -1;
	return 0;
}

static int know_all(struct look *l, struct error *err)
{
	VEC_FOREACH (link, &l->remembered->items) {
		if (know(l, link.image, false, err) < 0 || know(l, link.on, false, err) < 0)
			return -1;
	}
	if (know_definition(l, l->vm->live, err) < 0 || know_definition(l, l->vm->persistent, err) < 0)
		return -1;
	VEC_FOREACH (s, &l->vm->snapshots.all) {
		for (size_t i = 0; s->domain && i < s->domain->disks.n; i++) {
			const struct disk *disk = s->domain->disks.items[i];

			if (!disk->source || disk->device != DISK_DISK ||
				know(l, disk->source, is_needed(s, disk), err) == 0)
				continue;
			return error_prefix(err, "snapshot %s", s->name);
		}
		VEC_FOREACH (own, &s->disks) {
			if (own.source && know(l, own.source, false, err) < 0)
				return error_prefix(err, "snapshot %s", s->name);
		}
		VEC_FOREACH (own, &s->revert_disks) {
			if (own.source && know(l, own.source, false, err) < 0)
				return error_prefix(err, "snapshot %s", s->name);
		}
	}
	return 0;
}

/* The disk by itself, with its chain not known. */
static struct domain *lonely(const struct disk *disk)
{
	struct domain *d = domain_new();
	struct disk *one = NEW(struct disk);

	one->target = xstrdup(disk->target);
	one->source = xstrdup(disk->source);
	one->source_type = disk->source_type;
	one->format = disk->format;
	VEC_ADD(&d->disks, one);
	return d;
}

/* A device has no such number: what it has room for. */
static uint64_t count_bytes(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	off_t end;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (S_ISREG(st.st_mode))
		return (uint64_t)st.st_blocks * 512;
	end = S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : 0;
	return end < 0 ? 0 : (uint64_t)end;
}

static void add_links(struct look *l, const struct disk *disk)
{
	const char *above = disk->source;

	VEC_FOREACH (layer, &disk->backing) {
		const char *name = find_known(l, layer.source);

		name = name ? name : layer.source;
		image_links_add(&l->found.links, &(struct image_link){.target = disk->target,
							 .image = (char *)above,
							 .on = (char *)name,
							 .on_type = layer.source_type,
							 .on_format = layer.format,
							 .bytes = count_bytes(above)});
		above = name;
	}
	image_links_add(&l->found.links,
		&(struct image_link){
			.target = disk->target, .image = (char *)above, .bytes = count_bytes(above)});
}

static int check_same(const struct disk *running, const struct disk *found, struct error *err)
{
	bool same = running->backing.n == found->backing.n;

	for (size_t i = 0; same && i < found->backing.n; i++)
		same = streq(running->backing.items[i].source, found->backing.items[i].source);
	return same ? 0
		    : error_set(err, ERROR_OPERATION_FAILED,
			      "disk '%s' of the running domain does not consist of the images that their "
			      "headers say",
			      running->target);
}

/* `running`: its chain is known, too. */
static int look_at_disk(struct look *l, const struct disk *disk, bool running, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;

	if (!disk->source || disk->device != DISK_DISK)
		return 0;
	d = lonely(disk);
	if (chain_look(d, err) < 0)
		return -1;
	if (running && disk->backing_known && !disk->backing_given &&
		check_same(disk, d->disks.items[0], err) < 0)
		return -1;
	add_links(l, d->disks.items[0]);
	return 0;
}

static int look_at_definition(struct look *l, const struct domain *d, bool running, struct error *err)
{
	for (size_t i = 0; d && i < d->disks.n; i++)
		if (look_at_disk(l, d->disks.items[i], running, err) < 0)
			return -1;
	return 0;
}

/* What was made for it; it may be gone, or another file. */
static void look_at_overlays(struct look *l, const struct snapshot_disk *overlays, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct disk disk = {.target = overlays[i].target,
			.source = overlays[i].source,
			.source_type = overlays[i].source_type,
			.format = overlays[i].format == DISK_FORMAT_NONE ? DISK_FORMAT_QCOW2
									 : overlays[i].format,
			.device = DISK_DISK};
		struct error ignored = ERROR_INIT;

		if (overlays[i].location == SNAPSHOT_EXTERNAL)
			look_at_disk(l, &disk, false, &ignored);
	}
}

static void look_at_remembered(struct look *l)
{
	VEC_FOREACH (link, &l->remembered->items) {
		const struct snapshot_disk overlay = {
			.target = link.target, .location = SNAPSHOT_EXTERNAL, .source = link.image};

		look_at_overlays(l, &overlay, 1);
	}
}

static int look_at_snapshots(struct look *l, struct error *err)
{
	VEC_FOREACH (s, &l->vm->snapshots.all) {
		for (size_t i = 0; s->domain && i < s->domain->disks.n; i++) {
			const struct disk *disk = s->domain->disks.items[i];
			struct error failure = ERROR_INIT;

			if (look_at_disk(l, disk, false, &failure) < 0 && is_needed(s, disk)) {
				error_copy(err, &failure);
				return error_prefix(err, "snapshot %s", s->name);
			}
		}
		look_at_overlays(l, s->disks.items, s->disks.n);
		look_at_overlays(l, s->revert_disks.items, s->revert_disks.n);
	}
	return 0;
}

static void add_foreign(struct look *l, const char *path)
{
	const char *name = find_known(l, path);

	if (name && !strv_contains(&l->found.foreign, name))
		strv_add(&l->found.foreign, name);
}

static void look_at_other(struct look *l, const struct domain *d)
{
	for (size_t i = 0; d && i < d->disks.n; i++) {
		_cleanup_domain_ struct domain *one = NULL;
		struct error ignored = ERROR_INIT;

		if (!d->disks.items[i]->source || d->disks.items[i]->device != DISK_DISK)
			continue;
		one = lonely(d->disks.items[i]);
		/* Of a chain with a hole, what is above it. */
		chain_look(one, &ignored);
		add_foreign(l, d->disks.items[i]->source);
		VEC_FOREACH (layer, &one->disks.items[0]->backing)
			add_foreign(l, layer.source);
	}
}

static void look_at_others(struct look *l)
{
	VEC_FOREACH (other, &l->vm->registry->vms) {
		if (other == l->vm)
			continue;
		look_at_other(l, other->persistent);
		look_at_other(l, other->live);
	}
}

bool image_is_foreign(struct vm *vm, const char *image)
{
	struct look l = {.vm = vm};
	bool found;

	know(&l, image, false, NULL);
	look_at_others(&l);
	found = l.found.foreign.n > 0;
	VEC_FREE(&l.known);
	image_look_fini(&l.found);
	return found;
}

bool image_stands_on(const char *image, const char *expected)
{
	_cleanup_close_ int fd = open(image, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	_cleanup_free_ char *on = NULL;
	struct image_names names = {0};
	struct stat st, other;
	bool same;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	image_names_read(fd, &names);
	on = names.backing ? image_name_resolve(image, names.backing) : NULL;
	same = streq(on, expected);
	/* A merge may have taken away what both names meant; one that is there is compared. */
	if (!same && on && expected)
		same = stat(on, &st) == 0 && stat(expected, &other) == 0 && st.st_dev == other.st_dev &&
		       st.st_ino == other.st_ino;
	image_names_fini(&names);
	return same;
}

int image_look_work(struct buf *result, void *question, struct error *err)
{
	const struct image_question *q = question;
	struct look l = {.vm = q->vm, .remembered = &q->remembered};
	json *foreign;
	_cleanup_json_ json *o = NULL;
	_cleanup_free_ char *text = NULL;

	if (know_all(&l, err) < 0 || look_at_definition(&l, l.vm->persistent, false, err) < 0 ||
		look_at_definition(&l, l.vm->live, true, err) < 0 || look_at_snapshots(&l, err) < 0)
		return -1;
	look_at_remembered(&l);
	/* Images beneath all snapshots have a name now, too. */
	VEC_FOREACH (link, &l.found.links.items)
		know(&l, link.image, false, NULL);
	look_at_others(&l);
	foreign = json_object_new_array();
	for (size_t i = 0; i < l.found.foreign.n; i++)
		json_object_array_add(foreign, json_object_new_string(l.found.foreign.items[i]));
	o = json_pack("o:links", image_links_encode(&l.found.links), "o:foreign", foreign, NULL);
	text = json_format(o);
	buf_adds(result, text);
	return 0;
}

int image_look_take(struct image_look *ret, const char *result, size_t len, struct error *err)
{
	_cleanup_json_ json *o = NULL;

	if (json_parse(result, len, &o, err) < 0 ||
		image_links_decode(json_get(o, "links"), &ret->links, err) < 0)
		return -1;
	JSON_FOREACH (item, json_get(o, "foreign"))
		strv_add(&ret->foreign, json_object_get_string(item));
	return 0;
}

/* ---- remembered ---- */

static int open_directory(struct vm *vm)
{
	return openat(vm->registry->snapshot_fd, vm->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int image_links_read(struct vm *vm, struct image_links *ret, struct error *err)
{
	_cleanup_close_ int dir = open_directory(vm);
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json *o = NULL;
	size_t len;

	if (dir < 0 || !file_exists(dir, FILE_NAME))
		return 0;
	if (file_read(dir, FILE_NAME, FILE_MAX, &text, &len, err) < 0)
		return -1;
	if (json_parse(text, len, &o, err) == 0 && !streq(json_get_string(o, "format"), FILE_MAGIC))
		error_set(err, ERROR_DAMAGED, "it is no such file");
	else if (o && json_get_int(o, "version", 0) != 1)
		error_set(err, ERROR_DAMAGED, "it is of another version");
	else if (o && image_links_decode(json_get(o, "images"), ret, err) == 0)
		return 0;
	return error_prefix(err, "%s of the snapshots of %s", FILE_NAME, vm->name);
}

int image_links_write(struct vm *vm, const struct image_links *links, struct error *err)
{
	_cleanup_close_ int dir = open_directory(vm);
	_cleanup_json_ json *o = NULL;
	_cleanup_free_ char *text = NULL;

	if (links->items.n == 0) {
		if (dir >= 0 && file_remove(dir, FILE_NAME, true, err) < 0)
			return -1;
		unlinkat(vm->registry->snapshot_fd, vm->name, AT_REMOVEDIR);
		return 0;
	}
	if (dir < 0)
		dir = dir_open_or_make_at(vm->registry->snapshot_fd, vm->name, 0700, err);
	if (dir < 0)
		return -1;
	o = json_pack(
		"s:format", FILE_MAGIC, "i:version", (int64_t)1, "o:images", image_links_encode(links), NULL);
	text = json_format(o);
	return file_replace(dir, FILE_NAME, text, strlen(text), 0600, err);
}
