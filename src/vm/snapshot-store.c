/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots' metadata in files, and the tree that is read from them. */
#include "snapshot-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "file.h"
#include "log.h"
#include "snapshot-hook.h"
#include "snapshot-note.h"
#include "vm-internal.h"
#include "vm-snapshot.h"
#include "xml.h"

#define SUFFIX ".xml"

const struct snapshot_tree *vm_get_snapshots(const struct vm *vm)
{
	return &vm->snapshots;
}

static int open_directory(const struct vm *vm)
{
	return openat(vm->registry->snapshot_fd, vm->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- reading ---- */

typedef VEC(struct snapshot *) snapshot_vec;

/* The VM may have been renamed since. */
static void name_domains(const struct snapshot *s, const char *name)
{
	if (s->domain)
		replace_string(&s->domain->name, name);
	if (s->inactive)
		replace_string(&s->inactive->name, name);
}

static int load_file(
	struct vm *vm, int dir, const char *file, struct snapshot **ret, bool *ret_current, struct error *err)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = NULL;
	_cleanup_free_ char *xml = NULL, *expected = NULL;
	const uint8_t *uuid;
	size_t len;

	if (file_read(dir, file, XML_TEXT_MAX, &xml, &len, err) < 0 ||
		snapshot_parse(xml, len, SNAPSHOT_PARSE_REDEFINE | SNAPSHOT_PARSE_INTERNAL, &s, ret_current,
			err) < 0)
		return -1;
	expected = xasprintf("%s" SUFFIX, s->name);
	if (!streq(expected, file))
		return error_set(err, ERROR_DAMAGED, "it describes snapshot '%s'", s->name);
	uuid = s->domain ? s->domain->uuid : s->uuid;
	if ((s->domain || s->has_uuid) && memcmp(uuid, vm->uuid, 16) != 0)
		return error_set(err, ERROR_DAMAGED, "it is of a VM with another UUID");
	name_domains(s, vm->name);
	*ret = TAKE_PTR(s);
	return 0;
}

/* `len` of `name`; NULL: of all of them. */
static void add_unreadable(struct vm *vm, const char *name, size_t len, const char *why)
{
	VEC_ADD(&vm->unreadable_snapshots,
		((struct unreadable_snapshot){
			.name = name ? xstrndup(name, len) : NULL, .why = xstrdup(why)}));
}

static void load_files(struct vm *vm, int dir_fd, snapshot_vec *found)
{
	DIR *dir = fdopendir(dir_fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct error err = ERROR_INIT;
		struct snapshot *s = NULL;
		bool current = false;

		if (entry->d_name[0] == '.' || !endswith(entry->d_name, SUFFIX))
			continue;
		if (load_file(vm, dirfd(dir), entry->d_name, &s, &current, &err) < 0) {
			log_write(LOG_LEVEL_ERROR, vm->name, NULL, "snapshot file %s/%s is left alone: %s",
				vm->name, entry->d_name, err.message);
			add_unreadable(
				vm, entry->d_name, strlen(entry->d_name) - strlen(SUFFIX), err.message);
			continue;
		}
		VEC_ADD(found, s);
		if (current && vm->snapshots.current)
			log_write(LOG_LEVEL_WARNING, vm->name, NULL,
				"snapshot %s is not taken as the current one: %s is", s->name,
				vm->snapshots.current);
		else if (current)
			vm->snapshots.current = xstrdup(s->name);
	}
	if (dir)
		closedir(dir);
	else
		close(dir_fd);
}

static bool is_found(const snapshot_vec *found, const char *name)
{
	VEC_FOREACH (s, found) {
		if (streq(s->name, name))
			return true;
	}
	return false;
}

/* Whose parent is there, or else is in no file: it then stands as a root. In what is left, each one is below itself. */
static size_t pick_next(const struct vm *vm, const snapshot_vec *found)
{
	for (size_t i = 0; i < found->n; i++)
		if (!found->items[i]->parent || snapshot_tree_find(&vm->snapshots, found->items[i]->parent))
			return i;
	for (size_t i = 0; i < found->n; i++)
		if (!is_found(found, found->items[i]->parent))
			return i;
	log_write(LOG_LEVEL_WARNING, vm->name, NULL, "snapshot %s is below itself: it is taken as a root",
		found->items[0]->name);
	replace_string(&found->items[0]->parent, NULL);
	return 0;
}

void snapshot_store_load(struct vm *vm)
{
	int dir = open_directory(vm);
	snapshot_vec found = {0};

	if (dir < 0) {
		if (errno == ENOENT)
			return;
		add_unreadable(vm, NULL, 0, strerror(errno));
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "its snapshots cannot be read: %s",
			vm->unreadable_snapshots.items[0].why);
		return;
	}
	load_files(vm, dir, &found);
	while (found.n > 0) {
		size_t next = pick_next(vm, &found);
		struct snapshot *s = found.items[next];

		VEC_REMOVE(&found, next);
		if (s->parent && !snapshot_tree_find(&vm->snapshots, s->parent))
			log_write(LOG_LEVEL_WARNING, vm->name, NULL, "snapshot %s: its parent %s is missing",
				s->name, s->parent);
		snapshot_tree_put(&vm->snapshots, s);
	}
	VEC_FREE(&found);
}

/* ---- what could not be read ---- */

bool vm_snapshot_is_unreadable(const struct vm *vm, const char *name)
{
	VEC_FOREACH (u, &vm->unreadable_snapshots) {
		if (!u.name || streq(u.name, name))
			return true;
	}
	return false;
}

int snapshot_store_check_readable(const struct vm *vm, struct error *err)
{
	const struct unreadable_snapshot *u = vm->unreadable_snapshots.items;

	if (vm->unreadable_snapshots.n == 0)
		return 0;
	if (!u->name)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the snapshots of domain '%s' cannot be read (%.100s), nor is it known what they "
			"need",
			vm->name, u->why);
	return error_set(err, ERROR_OPERATION_INVALID,
		"snapshot '%.60s' of domain '%.60s' cannot be read (%.50s), nor is it known what it needs; "
		"redefine it or delete its metadata",
		u->name, vm->name, u->why);
}

static void forget_unreadable_at(struct vm *vm, size_t i)
{
	free(vm->unreadable_snapshots.items[i].name);
	free(vm->unreadable_snapshots.items[i].why);
	VEC_REMOVE(&vm->unreadable_snapshots, i);
}

static void forget_unreadable(struct vm *vm, const char *name)
{
	for (size_t i = vm->unreadable_snapshots.n; i-- > 0;)
		if (streq(vm->unreadable_snapshots.items[i].name, name))
			forget_unreadable_at(vm, i);
}

void snapshot_store_forget_unreadable(struct vm *vm)
{
	while (vm->unreadable_snapshots.n > 0)
		forget_unreadable_at(vm, vm->unreadable_snapshots.n - 1);
	VEC_FREE(&vm->unreadable_snapshots);
}

/* ---- writing ---- */

static int write_file(struct vm *vm, const struct snapshot *s, bool current, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, s->name),
			    *xml = snapshot_format(
				    s, SNAPSHOT_FORMAT_SECURE | SNAPSHOT_FORMAT_INTERNAL, current);
	_cleanup_close_ int dir = open_directory(vm);

	if (dir < 0 && errno == ENOENT) {
		dir = dir_open_or_make_at(vm->registry->snapshot_fd, vm->name, 0700, err);
		if (dir < 0)
			return -1;
		if (fsync(vm->registry->snapshot_fd) < 0)
			return error_errno(err, errno, "sync the directory of snapshots");
	}
	if (dir < 0)
		return error_errno(err, errno, "open the directory of snapshots of %s", vm->name);
	return file_replace(dir, file, xml, strlen(xml), 0600, err);
}

int snapshot_store_write(struct vm *vm, const struct snapshot *s, struct error *err)
{
	return write_file(vm, s, streq(vm->snapshots.current, s->name), err);
}

int snapshot_store_add(struct vm *vm, struct snapshot *s, bool replace, struct error *err)
{
	if (!replace && vm_snapshot_is_unreadable(vm, s->name))
		return snapshot_store_check_readable(vm, err);
	if (snapshot_tree_check(&vm->snapshots, s, replace, err) < 0 || snapshot_store_write(vm, s, err) < 0)
		return -1;
	forget_unreadable(vm, s->name);
	return snapshot_tree_add(&vm->snapshots, s, replace, err);
}

/* First nobody is current, then the other one: never two of them. */
int snapshot_store_set_current(struct vm *vm, const char *name, struct error *err)
{
	const struct snapshot *old = snapshot_tree_get_current(&vm->snapshots),
			      *new = snapshot_tree_find(&vm->snapshots, name);

	if (name && !new)
		return error_set(err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", name);
	if (old == new)
		return 0;
	if (old && write_file(vm, old, false, err) < 0)
		return -1;
	replace_string(&vm->snapshots.current, NULL);
	if (new &&write_file(vm, new, true, err) < 0)
		return -1;
	replace_string(&vm->snapshots.current, name);
	return 0;
}

static int give_to_parent(struct vm *vm, const struct snapshot *s, struct error *err)
{
	VEC_FOREACH (child, &vm->snapshots.all) {
		if (!streq(child->parent, s->name))
			continue;
		replace_string(&child->parent, s->parent);
		if (snapshot_store_write(vm, child, err) < 0) {
			replace_string(&child->parent, s->name);
			return -1;
		}
	}
	return 0;
}

static int remove_file(struct vm *vm, const char *name, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, name);
	_cleanup_close_ int dir = open_directory(vm);

	if (dir < 0 && errno != ENOENT)
		return error_errno(err, errno, "open the directory of snapshots of %s", vm->name);
	/* A note, or a program, must not wait for the next snapshot of this name. */
	if (dir >= 0 && (snapshot_note_write(vm, name, NULL, err) < 0 ||
				snapshot_hook_remember(vm, name, NULL, err) < 0 ||
				file_remove(dir, file, true, err) < 0))
		return -1;
	forget_unreadable(vm, name);
	/* As libvirt leaves it; there may be files in it that are not ours. */
	unlinkat(vm->registry->snapshot_fd, vm->name, AT_REMOVEDIR);
	return 0;
}

/* Its children leave it before it goes: none of them is ever without a parent that is there. */
int snapshot_store_remove(struct vm *vm, const char *name, struct error *err)
{
	struct snapshot *s = snapshot_tree_find(&vm->snapshots, name);
	bool was_current = s && s == snapshot_tree_get_current(&vm->snapshots);
	const struct snapshot *parent;

	if (!s)
		return remove_file(vm, name, err);
	if (give_to_parent(vm, s, err) < 0)
		return -1;
	if (remove_file(vm, name, err) < 0)
		return -1;
	snapshot_tree_remove(&vm->snapshots, s);
	parent = was_current ? snapshot_tree_get_current(&vm->snapshots) : NULL;
	return parent ? snapshot_store_write(vm, parent, err) : 0;
}

int snapshot_store_remove_all(struct vm *vm, struct error *err)
{
	if (dir_remove(vm->registry->snapshot_fd, vm->name, err) < 0)
		return -1;
	snapshot_tree_fini(&vm->snapshots);
	snapshot_store_forget_unreadable(vm);
	return 0;
}

int snapshot_store_rename(struct vm *vm, const char *name, struct error *err)
{
	int root = vm->registry->snapshot_fd;

	if (renameat(root, vm->name, root, name) < 0)
		return errno == ENOENT
			       ? 0
			       : error_errno(err, errno, "rename the snapshots of %s to %s", vm->name, name);
	if (fsync(root) < 0)
		return error_errno(err, errno, "sync the directory of snapshots");
	VEC_FOREACH (s, &vm->snapshots.all) {
		name_domains(s, name);
	}
	return 0;
}
