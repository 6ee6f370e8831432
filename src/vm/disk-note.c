/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The note of a state's disks: text and comparison.
 *
 * What decides is what a write changes and a faithful copy keeps: the size and the time of the last write. Inode and path are what
 * moving a VM to another place changes, and its disks are as they were; they are kept to explain. A device has no such time; what this
 * host has written to it since is counted by the kernel, as long as host and device stay up.
 */
#include "disk-note.h"

#include <string.h>
#include <time.h>

#include "json.h"
#include "strv.h"

enum { NOTE_VERSION = 1, NS_PER_S = 1000000000 };

static const char *const kind_names[DISK_FILE_KIND_MAX_] = {
	[DISK_FILE_UNSEEN] = "unseen",
	[DISK_FILE_GONE] = "gone",
	[DISK_FILE_REGULAR] = "file",
	[DISK_FILE_BLOCK] = "device",
};

void disk_file_fini(struct disk_file *f)
{
	free(f->path);
	free(f->why);
	free(f->boot);
	*f = (struct disk_file){0};
}

static void note_fini(struct disk_note *d)
{
	free(d->target);
	for (size_t i = 0; i < d->files.n; i++)
		disk_file_fini(&d->files.items[i]);
	VEC_FREE(&d->files);
}

void disk_notes_fini(struct disk_notes *n)
{
	for (size_t i = 0; i < n->disks.n; i++)
		note_fini(&n->disks.items[i]);
	VEC_FREE(&n->disks);
	*n = (struct disk_notes){0};
}

void disk_notes_drop(struct disk_notes *n, size_t i)
{
	note_fini(&n->disks.items[i]);
	VEC_REMOVE(&n->disks, i);
}

/* ---- text ---- */

static json *file_json(const struct disk_file *f)
{
	json *o = json_pack("s:path", f->path, "s:kind", kind_names[f->kind], "s:why", f->why, NULL);

	if (f->kind == DISK_FILE_REGULAR || f->kind == DISK_FILE_BLOCK)
		json_object_object_add(o, "size", json_object_new_uint64(f->size));
	if (f->kind == DISK_FILE_REGULAR) {
		json_object_object_add(o, "written", json_object_new_int64(f->written_ns));
		json_object_object_add(o, "inode", json_object_new_uint64(f->id));
		json_object_object_add(o, "device", json_object_new_uint64(f->device));
	}
	if (f->kind == DISK_FILE_BLOCK && f->boot) {
		json_object_object_add(o, "device", json_object_new_uint64(f->device));
		json_object_object_add(o, "boot", json_object_new_string(f->boot));
		json_object_object_add(o, "sequence", json_object_new_uint64(f->sequence));
		json_object_object_add(o, "sectors", json_object_new_uint64(f->sectors));
	}
	return o;
}

char *disk_notes_format(const struct disk_notes *n)
{
	json *disks = json_object_new_array();
	_cleanup_json_ json *o = NULL;

	for (size_t i = 0; i < n->disks.n; i++) {
		const struct disk_note *d = &n->disks.items[i];
		json *files = json_object_new_array();

		for (size_t k = 0; k < d->files.n; k++)
			json_object_array_add(files, file_json(&d->files.items[k]));
		json_object_array_add(disks, json_pack("s:target", d->target, "o:files", files, NULL));
	}
	o = json_pack("i:version", (int64_t)NOTE_VERSION, "i:taken", n->taken_ns, "o:disks", disks, NULL);
	return json_format(o);
}

static int file_parse(json *o, struct disk_file *ret, struct error *err)
{
	const char *path = json_get_string(o, "path"), *kind = json_get_string(o, "kind");
	const char *why = json_get_string(o, "why"), *boot = json_get_string(o, "boot");
	size_t i = 0;

	while (i < ARRAY_SIZE(kind_names) && !streq(kind, kind_names[i]))
		i++;
	if (!path || i == ARRAY_SIZE(kind_names))
		return error_set(err, ERROR_DAMAGED,
			"the note of its disks names no file, or an unknown kind of file");
	*ret = (struct disk_file){.path = xstrdup(path),
		.kind = (enum disk_file_kind)i,
		.why = xstrdup(why),
		.size = json_get_uint(o, "size", 0),
		.written_ns = json_get_int(o, "written", 0),
		.id = json_get_uint(o, "inode", 0),
		.device = json_get_uint(o, "device", 0),
		.boot = xstrdup(boot),
		.sequence = json_get_uint(o, "sequence", 0),
		.sectors = json_get_uint(o, "sectors", 0)};
	return 0;
}

static int disk_parse_note(json *o, struct disk_notes *notes, struct error *err)
{
	const char *target = json_get_string(o, "target");
	struct disk_note d = {0};

	if (!target)
		return error_set(err, ERROR_DAMAGED, "the note of its disks names no disk");
	d.target = xstrdup(target);
	JSON_FOREACH (item, json_get(o, "files")) {
		struct disk_file f;

		if (file_parse(item, &f, err) < 0) {
			note_fini(&d);
			return -1;
		}
		VEC_ADD(&d.files, f);
	}
	VEC_ADD(&notes->disks, d);
	return 0;
}

int disk_notes_parse(const char *text, struct disk_notes *ret, struct error *err)
{
	struct disk_notes n = {0};
	_cleanup_json_ json *o = NULL;
	int64_t version;

	if (json_parse(text, strlen(text), &o, NULL) < 0)
		return error_set(err, ERROR_DAMAGED, "the note of its disks is no JSON");
	version = json_get_int(o, "version", 0);
	if (version > NOTE_VERSION)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the note of its disks has version %lld, and this godwit knows %d",
			(long long)version, NOTE_VERSION);
	if (version < 1 || !json_get(o, "disks"))
		return error_set(err, ERROR_DAMAGED, "the note of its disks has no version or no disks");
	n.taken_ns = json_get_int(o, "taken", 0);
	JSON_FOREACH (item, json_get(o, "disks")) {
		if (disk_parse_note(item, &n, err) < 0) {
			disk_notes_fini(&n);
			return -1;
		}
	}
	*ret = n;
	return 0;
}

/* ---- comparison ---- */

static void format_time(int64_t ns, char text[64])
{
	time_t s = (time_t)(ns / NS_PER_S);
	char seconds[40];
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(text, 64, "%s.%03d UTC", seconds, (int)(ns % NS_PER_S / 1000000));
}

/*
 * Copying programs and file systems keep times as they can: to 100 ns, microseconds (rsync before 3.1), or seconds (scp, tar). A time cut
 * off so is the same; that a write falls onto such a number by itself is as unlikely as it is fine.
 */
static bool same_time(int64_t saved, int64_t now)
{
	static const int64_t units[] = {1, 100, 1000, NS_PER_S};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (now == saved - saved % units[i])
			return true;
	return false;
}

static int differs(struct error *err, const struct disk_note *d, const struct disk_file *f, const char *fmt,
	...) _printf_(4, 5);

static int differs(
	struct error *err, const struct disk_note *d, const struct disk_file *f, const char *fmt, ...)
{
	_cleanup_(buf_fini) struct buf what = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&what, fmt, ap);
	va_end(ap);
	return error_set(err, ERROR_OPERATION_INVALID, "disk %s: %s %s", d->target, f->path, what.data);
}

/* What a difference of times means, for somebody who does not know what they did. */
static int was_written(struct error *err, const struct disk_notes *saved, const struct disk_note *d,
	const struct disk_file *then, const struct disk_file *f)
{
	char before[64], at[64];

	format_time(f->written_ns, at);
	if (f->written_ns > saved->taken_ns) {
		format_time(saved->taken_ns, before);
		return differs(err, d, f, "was written at %s, after the state was saved at %s", at, before);
	}
	format_time(then->written_ns, before);
	return differs(err, d, f, "was last written at %s, and at %s when the state was saved", at, before);
}

static void remark(struct buf *remarks, const struct disk_note *d, const struct disk_file *f, const char *why)
{
	buf_addf(remarks, "%sdisk %s: %s: %s", remarks->len > 0 ? "; " : "", d->target, f->path, why);
}

static int compare_device(const struct disk_note *d, const struct disk_file *then, const struct disk_file *f,
	struct buf *remarks, struct error *err)
{
	if (!then->boot || !streq(then->boot, f->boot) || then->device != f->device ||
		then->sequence != f->sequence) {
		remark(remarks, d, f,
			"whether a device was written before it came to this host, or before this host "
			"was booted, cannot be seen");
		return 0;
	}
	if (f->sectors == then->sectors)
		return 0;
	return differs(err, d, f,
		"was written since the state was saved: %llu KiB went to it through this host",
		(unsigned long long)(f->sectors - then->sectors + 1) / 2);
}

static int compare_file(const struct disk_notes *saved, const struct disk_note *d,
	const struct disk_file *then, const struct disk_file *f, struct buf *remarks, struct error *err)
{
	bool was_seen = then->kind == DISK_FILE_REGULAR || then->kind == DISK_FILE_BLOCK;

	if (was_seen && f->kind == DISK_FILE_GONE)
		return differs(err, d, f, "is gone");
	if (!was_seen || f->kind == DISK_FILE_UNSEEN) {
		remark(remarks, d, f, then->why ? then->why : f->why ? f->why : "nothing is known of it");
		return 0;
	}
	if (then->kind != f->kind)
		return differs(err, d, f, "is a %s, and was a %s when the state was saved",
			kind_names[f->kind], kind_names[then->kind]);
	if (f->kind == DISK_FILE_REGULAR && !same_time(then->written_ns, f->written_ns))
		return was_written(err, saved, d, then, f);
	if (then->size != f->size)
		return differs(err, d, f, "has another size: %llu bytes, and %llu when the state was saved",
			(unsigned long long)f->size, (unsigned long long)then->size);
	return f->kind == DISK_FILE_BLOCK ? compare_device(d, then, f, remarks, err) : 0;
}

static const struct disk_note *find_note(const struct disk_notes *n, const char *target)
{
	for (size_t i = 0; i < n->disks.n; i++)
		if (streq(n->disks.items[i].target, target))
			return &n->disks.items[i];
	return NULL;
}

int disk_notes_compare(
	const struct disk_notes *saved, const struct disk_notes *now, struct buf *remarks, struct error *err)
{
	for (size_t i = 0; i < saved->disks.n; i++) {
		const struct disk_note *then = &saved->disks.items[i], *d = find_note(now, then->target);

		if (!d)
			return error_set(err, ERROR_OPERATION_INVALID,
				"disk %s, which the state was saved with, is not among its disks now",
				then->target);
		for (size_t k = 0; k < then->files.n && k < d->files.n; k++)
			if (compare_file(saved, d, &then->files.items[k], &d->files.items[k], remarks, err) <
				0)
				return -1;
		if (then->files.n != d->files.n)
			return error_set(err, ERROR_OPERATION_INVALID,
				"disk %s stands on %zu files, and on %zu when the state was saved", d->target,
				d->files.n, then->files.n);
	}
	return 0;
}
