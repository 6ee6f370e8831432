/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check has to look at on a host: in a child, as storage and name servers take their time. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "check.h"
#include "copy.h"
#include "disk.h"
#include "enums.h"

#define MIB (1024 * 1024)

/* The rest of the first line that begins with `key`; NULL when there is none. Caller frees. */
static char *read_line(const char *path, const char *key)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	while (f && getline(&line, &room, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (startswith(line, key))
			return xstrdup(line + strlen(key));
	}
	return NULL;
}

/* Which network this is: hosts that share it and the kernel are one. Caller frees. */
static char *read_network(void)
{
	char target[64];
	ssize_t n = readlink("/proc/self/ns/net", target, sizeof(target));

	return n < 0 ? NULL : xstrndup(target, (size_t)n);
}

/* ---- describing ---- */

static void describe_file(
	json *files, const struct disk *disk, const char *path, bool is_copied, bool is_backing)
{
	json *o = check_file_look(path);

	json_object_object_add(o, "disk", json_object_new_string(disk->target));
	json_object_object_add(o, "path", json_object_new_string(path));
	json_object_object_add(o, "copied", json_object_new_boolean(is_copied));
	json_object_object_add(o, "backing", json_object_new_boolean(is_backing));
	json_object_object_add(o, "readonly", json_object_new_boolean(disk->readonly || is_backing));
	json_object_array_add(files, o);
}

static void add_text(json *o, const char *key, char *text)
{
	if (text)
		json_object_object_add(o, key, json_object_new_string(text));
	free(text);
}

void check_look(json *description, const struct domain *d, const struct migrate_options *o)
{
	json *files = json_object_new_array();

	VEC_FOREACH (disk, &d->disks) {
		bool is_copied = copy_includes(o, disk);

		if (!disk->source)
			continue;
		describe_file(files, disk, disk->source, is_copied, false);
		if (is_copied && !(o->flags & MIGRATE_NON_SHARED_INC))
			continue; /* the copy stands on nothing */
		VEC_FOREACH (layer, &disk->backing)
			describe_file(files, disk, layer.source, false, true);
	}
	json_object_object_add(description, "files", files);
	add_text(description, "boot", read_line("/proc/sys/kernel/random/boot_id", ""));
	add_text(description, "network", read_network());
	add_text(description, "cpu_flags", read_line("/proc/cpuinfo", "flags\t\t:"));
}

/* ---- here, at the destination ---- */

struct look {
	json *description, *here, *rows; /* here: "boot", "network", "cpu_flags" */
	const struct domain *domain;
	bool same_kernel;
};

static bool has_same_text(const struct look *l, const char *key)
{
	const char *a = json_get_string(l->description, key);

	return a && streq(a, json_get_string(l->here, key));
}

static void look_at_room(const struct look *l, json *file, const char *path, const char *what)
{
	_cleanup_json_ json *here = check_file_look(path);
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = xstrndup(path, slash && slash > path ? (size_t)(slash - path) : 1);
	uint64_t need = json_get_uint(file, "allocated", json_get_uint(file, "size", 0)), room;
	uint64_t most = json_get_uint(file, "size", 0);
	struct statvfs fs;

	if (streq(json_get_string(here, "kind"), "block")) {
		check_add(l->rows, CHECK_OK, CHECK_STORAGE, what, NULL, "copied to the device %s", path);
		return;
	}
	if (statvfs(directory, &fs) < 0) {
		check_add(l->rows, CHECK_FAILURE, CHECK_STORAGE, what, "make the directory there",
			"to be copied to %s, where there is no directory", path);
		return;
	}
	room = (uint64_t)fs.f_bavail * fs.f_frsize + json_get_uint(here, "allocated", 0);
	check_add(l->rows, room < need ? CHECK_FAILURE : (room < most ? CHECK_WARNING : CHECK_OK),
		CHECK_STORAGE, what, "make room there",
		"to be copied to %s: %" PRIu64 " MiB, which may grow to %" PRIu64 " MiB, and %" PRIu64
		" MiB are free",
		path, need / MIB, most / MIB, room / MIB);
}

/* `path`: where it should be here. */
static void look_at_file(const struct look *l, json *file, const char *path)
{
	const char *disk = json_get_string(file, "disk"), *why;
	_cleanup_free_ char *what =
		xasprintf("disk %s%s", disk, json_get_bool(file, "backing", false) ? ", backing image" : "");
	_cleanup_json_ json *here = check_file_look(path);
	const char *error = json_get_string(file, "error");
	enum check_status status;

	if (error) {
		check_add(l->rows, CHECK_FAILURE, CHECK_STORAGE, what,
			"see to it that the source's daemon reaches it", "%s at the source: %s",
			json_get_string(file, "path"), error);
		return;
	}
	if (json_get_bool(file, "copied", false)) {
		look_at_room(l, file, path, what);
		return;
	}
	error = json_get_string(here, "error");
	if (error) {
		check_add(l->rows, CHECK_FAILURE, CHECK_STORAGE, what,
			"mount its storage there, or copy it (--copy-storage-all)", "%s: %s", path, error);
		return;
	}
	status = check_same_file(file, here, l->same_kernel, &why);
	/* nobody writes to it: a copy does as well, if it is one */
	if (status == CHECK_FAILURE && json_get_bool(file, "readonly", false) &&
		json_get_uint(file, "size", 0) == json_get_uint(here, "size", 0))
		status = CHECK_WARNING;
	check_add(l->rows, status, CHECK_STORAGE, what,
		status == CHECK_WARNING
			? "make sure yourself that both have the same contents"
			: "mount its storage there, copy it (--copy-storage-all), or if it is the very same "
			  "say --unsafe",
		"%s: %s", path, why);
}

/* Written by the source's host last, read by this one next: which cache may be in between? */
static void explain_cache(const struct look *l, const struct disk *disk, bool is_copied)
{
	_cleanup_free_ char *what = xasprintf("disk %s, cache", disk->target);

	if (disk->readonly || is_copied)
		check_add(l->rows, CHECK_OK, CHECK_STORAGE, what, NULL,
			"%s: no cache of both hosts is involved", is_copied ? "copied" : "read-only");
	else if (disk->cache == DISK_CACHE_NONE || disk->cache == DISK_CACHE_DIRECTSYNC)
		check_add(l->rows, CHECK_OK, CHECK_STORAGE, what, NULL,
			"%s: QEMU goes past the hosts' caches", disk_cache_name(disk->cache));
	else if (disk->cache == DISK_CACHE_UNSAFE)
		check_add(l->rows, l->same_kernel ? CHECK_OK : CHECK_FAILURE, CHECK_STORAGE, what,
			"use another cache mode", "unsafe: QEMU never writes the cache of %s out",
			l->same_kernel ? "the host that both share" : "the source's host");
	else
		check_add(l->rows, CHECK_OK, CHECK_STORAGE, what, NULL,
			"%s: QEMU writes the source's cache out, and drops the destination's, at the "
			"hand-over",
			disk->cache == DISK_CACHE_DEFAULT ? "default" : disk_cache_name(disk->cache));
}

static void look_at_disks(const struct look *l)
{
	JSON_FOREACH (file, json_get(l->description, "files")) {
		const char *target = json_get_string(file, "disk");
		const struct disk *disk = target ? domain_find_disk(l->domain, target) : NULL;
		const char *path = json_get_string(file, "path");
		bool is_backing = json_get_bool(file, "backing", false);

		if (!disk || !disk->source || !path)
			continue;
		look_at_file(l, file, is_backing ? path : disk->source);
		if (!is_backing)
			explain_cache(l, disk, json_get_bool(file, "copied", false));
	}
}

static void look_at_memory(const struct look *l)
{
	_cleanup_free_ char *text = read_line("/proc/meminfo", "MemAvailable:");
	uint64_t available = text ? strtoull(text, NULL, 10) : 0, need = l->domain->memory_kib;
	/* without its memory it comes all the same, and only cannot be started */
	enum check_status bad =
		json_get_bool(l->description, "offline", false) ? CHECK_WARNING : CHECK_FAILURE;

	check_add(l->rows, available < need ? bad : CHECK_OK, 0, "memory",
		"free memory there, or give the VM less", "%" PRIu64 " MiB needed, %" PRIu64 " MiB available",
		need / 1024, available / 1024);
}

static void look_at_bridges(const struct look *l)
{
	VEC_FOREACH (nic, &l->domain->nics) {
		_cleanup_free_ char *what = NULL, *path = NULL;
		bool is_there;

		if (nic->type != NIC_BRIDGE || !nic->source)
			continue;
		what = xasprintf("bridge %s", nic->source);
		path = xasprintf("/sys/class/net/%s/bridge", nic->source);
		is_there = access(path, F_OK) == 0;
		check_add(l->rows, is_there ? CHECK_OK : CHECK_FAILURE, 0, what,
			"make the bridge there, or name another one (--xml)", "%s",
			is_there ? "is there" : "there is none");
	}
}

/* Words of `here` that `there` lacks, at most so many; "" for none. Caller frees. */
static char *find_missing(const char *here, const char *there)
{
	_cleanup_free_ char *list = xstrdup(here), *padded = xasprintf(" %s ", there);
	struct buf missing = {0};
	char *rest = list;

	for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
		_cleanup_free_ char *needle = xasprintf(" %s ", word);

		if (*word && !strstr(padded, needle))
			buf_addf(&missing, " %s", word);
	}
	return buf_take(&missing);
}

/* Of guests that see the host's own processor; models are looked up in what QEMU knows (check-compare.c). */
static void look_at_cpu(const struct look *l)
{
	const char *here = json_get_string(l->description, "cpu_flags");
	const char *there = json_get_string(l->here, "cpu_flags");
	enum cpu_mode mode = l->domain->cpu.mode;
	_cleanup_free_ char *missing = NULL;

	if (l->domain->type != DOMAIN_TYPE_KVM || mode == CPU_MODE_NONE || mode == CPU_MODE_CUSTOM)
		return;
	missing = here && there ? find_missing(here, there) : xstrdup("");
	if (!here || !there)
		check_add(l->rows, CHECK_WARNING, 0, "CPU", "compare the hosts' processors",
			"%s, and a host does not say what its processor can do",
			enum_name(&cpu_mode_names, mode));
	else
		check_add(l->rows, *missing ? CHECK_FAILURE : CHECK_OK, 0, "CPU",
			"give the VM a CPU model that both have", "%s, and the processor there lacks%s",
			enum_name(&cpu_mode_names, mode), *missing ? missing : " nothing");
}

bool check_look_here(json *description, const struct domain *d, json *rows)
{
	struct look l = {description, json_object_new_object(), rows, d, false};
	const char *hostname = json_get_string(description, "hostname");
	static const struct migrate_options none;
	static const struct domain empty;
	bool same_host;

	check_look(l.here, &empty, &none);
	l.same_kernel = has_same_text(&l, "boot");
	same_host = l.same_kernel && has_same_text(&l, "network");
	look_at_cpu(&l);
	look_at_memory(&l);
	look_at_disks(&l);
	look_at_bridges(&l);
	if (hostname)
		check_name(rows, "source's name", hostname, same_host, CHECK_WARNING);
	json_object_put(l.here);
	return same_host;
}
