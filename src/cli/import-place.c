/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an import puts things.
 *
 * The order of an end, when all came and the sums are right: all files are synced; the file "verified" says so; the state gets the
 * paths of this host; firmware variables and disks get their names; the VM is defined (by the caller); the state gets its name. A
 * death behind "verified" leaves what another import of the same bundle finishes without reading more than the manifest.
 */
#include "import-place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "alloc.h"
#include "disk.h"
#include "fault.h"
#include "file.h"
#include "image.h"
#include "strv.h"
#include "xml.h"

#define MANIFEST "manifest.json"
#define DISK_DIR "disk-dir"
#define VERIFIED "verified"

void import_place_fini(struct import_place *p)
{
	close_p(&p->directory_fd);
	bundle_manifest_fini(&p->manifest);
	domain_free(p->domain);
	free(p->vm);
	free(p->directory);
	free(p->manifest_text);
	free(p->disk_dir);
	*p = (struct import_place){.directory_fd = -1};
}

static void init(const struct managed_saves *where, const char *vm, struct import_place *p)
{
	*p = (struct import_place){
		.where = where,
		.vm = xstrdup(vm),
		.directory = xasprintf("%s/.%s.import", where->directory, vm),
		.directory_fd = -1,
	};
}

static int lock(struct import_place *p, struct error *err)
{
	if (flock(p->directory_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, ERROR_BUSY, "another import of %s is under way", p->vm);
	return error_errno(err, errno, "lock %s", p->directory);
}

/* ---- what is kept of an import ---- */

static int read_kept(struct import_place *p, struct error *err)
{
	size_t len;

	p->verified = file_exists(p->directory_fd, VERIFIED);
	if (file_exists(p->directory_fd, DISK_DIR) &&
		file_read(p->directory_fd, DISK_DIR, 4096, &p->disk_dir, NULL, err) < 0)
		return -1;
	/* it is the last that is written: without it there is nothing */
	if (!file_exists(p->directory_fd, MANIFEST))
		return 0;
	if (file_read(p->directory_fd, MANIFEST, BUNDLE_MANIFEST_MAX, &p->manifest_text, &len, err) < 0)
		return -1;
	return bundle_manifest_parse(p->manifest_text, len, p->directory, &p->manifest, err);
}

/* Nothing is left to be done where the state has got its name: only the directory was not removed. */
static bool is_finished(const struct import_place *p)
{
	return p->verified && !file_exists(p->directory_fd, p->manifest.members.items[1].name);
}

int import_place_open(const struct managed_saves *where, const char *vm, struct import_place *ret,
	bool *ret_there, struct error *err)
{
	init(where, vm, ret);
	*ret_there = false;
	if (domain_check_name(vm, err) < 0)
		return -1;
	ret->directory_fd = open(ret->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->directory_fd < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "open %s", ret->directory);
	if (lock(ret, err) < 0 || read_kept(ret, err) < 0)
		return -1;
	if (!ret->manifest_text || is_finished(ret))
		return import_place_discard(ret, err);
	*ret_there = true;
	return 0;
}

int import_place_make(const struct managed_saves *where, const struct bundle_manifest *m, const char *text,
	const char *disk_dir, struct import_place *ret, struct error *err)
{
	init(where, m->vm, ret);
	if (domain_check_name(m->vm, err) < 0)
		return -1;
	ret->directory_fd = dir_open_or_make(ret->directory, 0700, err);
	if (ret->directory_fd < 0 || lock(ret, err) < 0 ||
		(disk_dir && file_replace(ret->directory_fd, DISK_DIR, disk_dir, strlen(disk_dir), 0600,
				     err) < 0) ||
		file_replace(ret->directory_fd, MANIFEST, text, strlen(text), 0600, err) < 0)
		return -1;
	return read_kept(ret, err);
}

/* ---- where each member is ---- */

static const struct disk *disk_of(const struct import_place *p, const struct bundle_member *m)
{
	return domain_find_disk(p->domain, m->target);
}

/* The last path of disks and firmware variables; owned by the caller. */
static char *final_path(const struct import_place *p, const struct bundle_member *m)
{
	return xstrdup(m->kind == BUNDLE_DISK ? disk_of(p, m)->source : p->domain->os.nvram);
}

static char *partial_path(const struct import_place *p, const struct bundle_member *m)
{
	_cleanup_free_ char *final = NULL;
	const char *slash;

	if (m->kind != BUNDLE_DISK)
		return xasprintf("%s/%s", p->directory, m->name);
	final = final_path(p, m);
	slash = strrchr(final, '/');
	return xasprintf("%.*s/.%s.import", (int)(slash - final), final, slash + 1);
}

/* Has the member its last name already? */
static bool is_published(const struct import_place *p, const struct bundle_member *m)
{
	_cleanup_free_ char *partial = NULL, *final = NULL;

	if (!p->verified || (m->kind != BUNDLE_DISK && m->kind != BUNDLE_NVRAM))
		return false;
	partial = partial_path(p, m);
	final = final_path(p, m);
	return access(partial, F_OK) < 0 && access(final, F_OK) == 0;
}

int import_place_open_member(struct import_place *p, size_t i, struct error *err)
{
	_cleanup_free_ char *path = partial_path(p, &p->manifest.members.items[i]);
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

uint64_t import_place_position(struct import_place *p)
{
	uint64_t position = 0;

	if (p->verified)
		return bundle_manifest_total(&p->manifest);
	VEC_FOREACH (m, &p->manifest.members) {
		_cleanup_free_ char *path = NULL;
		struct stat st;

		if (m.kind != BUNDLE_DEFINITION && !p->domain)
			break;
		path = partial_path(p, &m);
		if (stat(path, &st) < 0)
			break;
		position += (uint64_t)st.st_size;
		if ((uint64_t)st.st_size < m.size)
			break;
	}
	return position;
}

int import_place_check_free(const struct import_place *p, bool replace_nvram, struct error *err)
{
	VEC_FOREACH (m, &p->manifest.members) {
		_cleanup_free_ char *final = NULL;

		if (m.kind != BUNDLE_DISK && (m.kind != BUNDLE_NVRAM || replace_nvram))
			continue;
		final = final_path(p, &m);
		if (access(final, F_OK) < 0 || is_published(p, &m))
			continue;
		return error_set(err, ERROR_EXISTS, "%s is there already (%s goes there%s)", final, m.name,
			m.kind == BUNDLE_DISK ? "; --disk-dir puts disks elsewhere" : "");
	}
	return 0;
}

/* ---- the definition ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Another directory for a path; true when it has changed. */
static bool move_path(char **path, const char *directory)
{
	char *moved = xasprintf("%s/%s", directory, base_name(*path));
	bool changed = !streq(moved, *path);

	free(*path);
	*path = moved;
	return changed;
}

/* The paths of this host, in the definition or in the state's own. True when any is another one. */
static bool move_paths(const struct import_place *p, struct domain *d)
{
	bool changed = false;

	VEC_FOREACH (m, &p->manifest.members) {
		struct disk *disk = m.kind == BUNDLE_DISK ? domain_find_disk(d, m.target) : NULL;

		if (disk && disk->source && p->disk_dir)
			changed = move_path(&disk->source, p->disk_dir) || changed;
		if (m.kind == BUNDLE_NVRAM && d->os.nvram)
			changed = move_path(&d->os.nvram, p->where->nvram) || changed;
	}
	return changed;
}

static int check_members(const struct import_place *p, const struct domain *d, struct error *err)
{
	bool nvram = false;

	VEC_FOREACH (m, &p->manifest.members) {
		const struct disk *disk = m.kind == BUNDLE_DISK ? domain_find_disk(d, m.target) : NULL;

		nvram = nvram || m.kind == BUNDLE_NVRAM;
		if (m.kind == BUNDLE_DISK && (!disk || !disk->source || disk->source[0] != '/'))
			return error_set(err, ERROR_DAMAGED,
				"the bundle is damaged: its definition has no disk %s with a file", m.target);
	}
	if (nvram != (d->os.nvram != NULL))
		return error_set(err, ERROR_DAMAGED,
			"the bundle is damaged: only one of its definition and its manifest has firmware "
			"variables");
	if (d->tpm)
		return error_set(
			err, ERROR_UNSUPPORTED, "%s has a TPM, whose state is in no bundle", d->name);
	return 0;
}

/* Disks of one file name, from several directories, may meet in one. */
static int check_apart(const struct import_place *p, struct error *err)
{
	VEC_FOREACH (a, &p->manifest.members) {
		if (a.kind != BUNDLE_DISK)
			continue;
		VEC_FOREACH (b, &p->manifest.members)
			if (b.kind == BUNDLE_DISK && !streq(a.target, b.target) &&
				streq(disk_of(p, &a)->source, disk_of(p, &b)->source))
				return error_set(err, ERROR_UNSUPPORTED,
					"the disks %s and %s would both be %s", a.target, b.target,
					disk_of(p, &a)->source);
	}
	return 0;
}

int import_place_read_definition(struct import_place *p, struct error *err)
{
	const char *name = p->manifest.members.items[0].name;
	_cleanup_free_ char *text = NULL;
	_cleanup_domain_ struct domain *d = NULL;
	char uuid[UUID_TEXT_MAX];
	size_t len;

	if (file_read(p->directory_fd, name, XML_TEXT_MAX, &text, &len, err) < 0 ||
		domain_parse(text, len, 0, &d, err) < 0)
		return error_prefix(err, "definition of %s", p->vm);
	uuid_format(d->uuid, uuid);
	if (!streq(d->name, p->manifest.vm) || !streq(uuid, p->manifest.uuid))
		return error_set(err, ERROR_DAMAGED,
			"the bundle is damaged: its definition is of %s, its manifest of %s", d->name,
			p->manifest.vm);
	if (check_members(p, d, err) < 0)
		return -1;
	move_paths(p, d);
	domain_free(p->domain);
	p->domain = TAKE_PTR(d);
	return check_apart(p, err);
}

int import_place_reread_definition(struct import_place *p, struct error *err)
{
	const struct bundle_member *m = &p->manifest.members.items[0];
	struct stat st;

	if (fstatat(p->directory_fd, m->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (uint64_t)st.st_size < m->size)
		return 0;
	return import_place_read_definition(p, err);
}

#define AS_DEFINED (DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE)

char *import_place_format_definition(const struct import_place *p)
{
	return domain_format(p->domain, AS_DEFINED);
}

bool import_place_is_defined_as(const struct import_place *p, const char *xml)
{
	_cleanup_free_ char *there = NULL, *mine = import_place_format_definition(p);
	_cleanup_domain_ struct domain *d = NULL;

	if (domain_parse(xml, strlen(xml), 0, &d, NULL) < 0)
		return false;
	there = domain_format(d, AS_DEFINED);
	return streq(there, mine);
}

/* ---- the end ---- */

/* The state has a definition of its own, which is what it is resumed with. */
static int move_paths_of_state(const struct import_place *p, struct error *err)
{
	_cleanup_free_ char *path = partial_path(p, &p->manifest.members.items[1]), *text = NULL;
	_cleanup_close_ int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(image_header_fini) struct image_header header = {0};
	_cleanup_domain_ struct domain *d = NULL;

	if (fd < 0)
		return error_errno(err, errno, "open %s", path);
	if (image_read_header(fd, path, &header, err) < 0 ||
		domain_parse(header.xml, strlen(header.xml), DOMAIN_PARSE_LIVE, &d, err) < 0)
		return -1;
	if (!move_paths(p, d))
		return 0;
	text = domain_format(d, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_MIGRATABLE);
	return image_write_header(fd, path, text, header.was_running, err);
}

/* Whole and right, but under its other name: everything down to the disk, with the time of its last write. */
static int settle(const struct import_place *p, const struct bundle_member *m, struct error *err)
{
	_cleanup_free_ char *path = partial_path(p, m);
	_cleanup_close_ int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_NOW}, {.tv_sec = m->mtime_s, .tv_nsec = m->mtime_ns}};

	if (fd < 0)
		return error_errno(err, errno, "open %s", path);
	if (fsync(fd) < 0 || (m->kind == BUNDLE_DISK && (futimens(fd, times) < 0 || fsync(fd) < 0)))
		return error_errno(err, errno, "sync %s", path);
	return 0;
}

static int settle_all(struct import_place *p, struct error *err)
{
	VEC_FOREACH (m, &p->manifest.members)
		if (settle(p, &m, err) < 0)
			return -1;
	if (file_replace(p->directory_fd, VERIFIED, "", 0, 0600, err) < 0)
		return -1;
	p->verified = true;
	return 0;
}

int import_place_publish(struct import_place *p, bool replace_nvram, struct error *err)
{
	if (!p->verified && settle_all(p, err) < 0)
		return -1;
	fault_point("import/verified");
	if (import_place_check_free(p, replace_nvram, err) < 0 || move_paths_of_state(p, err) < 0)
		return -1;
	VEC_FOREACH (m, &p->manifest.members) {
		_cleanup_free_ char *partial = NULL, *final = NULL;

		if ((m.kind != BUNDLE_DISK && m.kind != BUNDLE_NVRAM) || is_published(p, &m))
			continue;
		partial = partial_path(p, &m);
		final = final_path(p, &m);
		if (file_rename(partial, final, m.kind == BUNDLE_NVRAM && replace_nvram, err) < 0)
			return -1;
	}
	fault_point("import/published");
	return 0;
}

/* Between an import that was cut at its end and this one the VM may have been booted. */
static int check_unwritten(const struct import_place *p, struct error *err)
{
	VEC_FOREACH (m, &p->manifest.members) {
		_cleanup_free_ char *path = NULL;
		struct stat st;

		if (m.kind != BUNDLE_DISK)
			continue;
		path = final_path(p, &m);
		if (stat(path, &st) < 0)
			return error_errno(err, errno, "look at %s", path);
		if ((uint64_t)st.st_size != m.size || st.st_mtim.tv_sec != m.mtime_s ||
			st.st_mtim.tv_nsec != m.mtime_ns)
			return error_set(err, ERROR_OPERATION_FAILED,
				"%s was written since it came: the state no longer fits it "
				"('--discard-partial %s' throws the state away)",
				path, p->vm);
	}
	return 0;
}

int import_place_finish(struct import_place *p, struct error *err)
{
	_cleanup_free_ char *state = partial_path(p, &p->manifest.members.items[1]);
	_cleanup_free_ char *saved = managed_saves_path(p->where, p->vm);

	fault_point("import/defined");
	if (check_unwritten(p, err) < 0 || file_rename(state, saved, false, err) < 0)
		return -1;
	fault_point("import/saved");
	return import_place_discard(p, err);
}

int import_place_discard(struct import_place *p, struct error *err)
{
	_cleanup_close_ int parent = open(p->where->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0)
		return error_errno(err, errno, "open %s", p->where->directory);
	VEC_FOREACH (m, &p->manifest.members) {
		_cleanup_free_ char *path = NULL;

		if (m.kind != BUNDLE_DISK || !p->domain)
			continue;
		path = partial_path(p, &m);
		if (unlink(path) < 0 && errno != ENOENT)
			return error_errno(err, errno, "remove %s", path);
	}
	return dir_remove(parent, base_name(p->directory), err);
}
