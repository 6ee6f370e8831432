/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of a storage snapshot program. */
#include "snapshot-hook.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "disk.h"
#include "file.h"
#include "program.h"

#define SUFFIX	   ".hook"
#define FILE_MAGIC "godwit snapshot hook"
#define FILE_MAX   (64u << 10)

struct snapshot_hook {
	struct vm *vm; /* a reference */
	enum snapshot_hook_action action;
	char *name; /* of the snapshot */
	struct program *program;
	vm_done_fn done;
	void *userdata;
};

bool snapshot_is_manual(const struct snapshot *s)
{
	VEC_FOREACH (disk, &s->disks) {
		if (disk.location == SNAPSHOT_MANUAL)
			return true;
	}
	return false;
}

void snapshot_hook_free(struct snapshot_hook *h)
{
	if (!h)
		return;
	program_free(h->program);
	vm_unref(h->vm);
	free(h->name);
	free(h);
}

/* ---- which program ---- */

static int check_program(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || access(path, X_OK) < 0)
		return error_errno(err, errno, "run the hook %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID_ARGUMENT, "the hook %s is no program", path);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(err, ERROR_OPERATION_DENIED,
			"the hook %s can be written by others: it would run with the daemon's rights", path);
	return 0;
}

int snapshot_hook_resolve(const struct vm *vm, const char *given, char **ret, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	if (*given != '/' && (*given == '\0' || *given == '.' || strchr(given, '/')))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"hook '%.255s': it is neither an absolute path nor the name of one that came with "
			"godwit",
			given);
	path = *given == '/' ? xstrdup(given) : xasprintf("%s/%s", vm->registry->settings.hooks_dir, given);
	if (check_program(path, err) < 0)
		return -1;
	*ret = TAKE_PTR(path);
	return 0;
}

static int open_directory(const struct vm *vm)
{
	return openat(vm->registry->snapshot_fd, vm->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* NULL: no name was given. */
static int read_given(const struct vm *vm, const char *snapshot, char **ret, struct error *err)
{
	_cleanup_close_ int dir = open_directory(vm);
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, snapshot), *text = NULL;
	_cleanup_json_ json *o = NULL;
	size_t len;

	if (dir < 0 || !file_exists(dir, file))
		return 0;
	if (file_read(dir, file, FILE_MAX, &text, &len, err) < 0)
		return -1;
	if (json_parse(text, len, &o, err) < 0)
		return error_prefix(err, "%s of the snapshots of %s", file, vm->name);
	if (!streq(json_get_string(o, "format"), FILE_MAGIC) || json_get_int(o, "version", 0) != 1 ||
		!json_get_string(o, "program"))
		return error_set(
			err, ERROR_DAMAGED, "%s of the snapshots of %s: it names no program", file, vm->name);
	*ret = xstrdup(json_get_string(o, "program"));
	return 0;
}

int snapshot_hook_find(const struct vm *vm, const char *snapshot, char **ret, struct error *err)
{
	_cleanup_free_ char *given = NULL;

	if (read_given(vm, snapshot, &given, err) < 0)
		return -1;
	if (given)
		return snapshot_hook_resolve(vm, given, ret, err);
	*ret = xstrdup(vm->registry->settings.snapshot_hook);
	return 0;
}

int snapshot_hook_remember(const struct vm *vm, const char *snapshot, const char *given, struct error *err)
{
	_cleanup_close_ int dir = open_directory(vm);
	_cleanup_free_ char *file = xasprintf("%s" SUFFIX, snapshot), *text = NULL;
	_cleanup_json_ json *o = NULL;

	if (!given) {
		if (dir >= 0 && file_exists(dir, file) && file_remove(dir, file, true, err) < 0)
			return -1;
		/* if it was made for this */
		unlinkat(vm->registry->snapshot_fd, vm->name, AT_REMOVEDIR);
		return 0;
	}
	if (dir < 0)
		dir = dir_open_or_make_at(vm->registry->snapshot_fd, vm->name, 0700, err);
	if (dir < 0)
		return -1;
	o = json_pack("s:format", FILE_MAGIC, "i:version", (int64_t)1, "s:program", given, NULL);
	text = json_format(o);
	return file_replace(dir, file, text, strlen(text), 0600, err);
}

/* ---- one run ---- */

/* What "exists" has said. */
static int read_answer(const struct snapshot_hook *h, const char *output, struct error *err)
{
	if (streq(output, "no\n"))
		return 0;
	if (streq(output, "yes\n"))
		return error_set(err, ERROR_OPERATION_INVALID,
			"the storage keeps something of domain '%s' under the name '%s' already", h->vm->name,
			h->name);
	return error_set(err, ERROR_OPERATION_FAILED,
		"asked whether '%s' exists the hook said neither yes nor no", h->name);
}

static void ended(const char *output, const struct error *err, void *userdata)
{
	struct snapshot_hook *h = userdata;
	struct vm *vm = vm_ref(h->vm);
	struct error outcome = ERROR_INIT;
	vm_done_fn done = h->done;
	void *done_userdata = h->userdata;

	if (err)
		outcome = *err;
	else if (h->action == SNAPSHOT_HOOK_CHECK)
		read_answer(h, output, &outcome);
	if (outcome.code != ERROR_NONE)
		error_prefix(&outcome, "storage snapshot");
	snapshot_hook_free(h);
	done(vm, outcome.code != ERROR_NONE ? &outcome : NULL, done_userdata);
	vm_unref(vm);
}

static int add_disks(const struct vm *vm, const struct snapshot *s, struct strv *argv, struct error *err)
{
	const struct domain *d = s->domain ? s->domain : vm_get_domain(vm);

	VEC_FOREACH (selected, &s->disks) {
		const struct disk *disk;

		if (selected.location != SNAPSHOT_MANUAL)
			continue;
		disk = domain_find_disk(d, selected.target);
		if (!disk || !disk->source)
			return error_set(err, ERROR_OPERATION_INVALID, "no disk '%s' in domain '%s'",
				selected.target, vm->name);
		strv_addf(argv, "%s=%s", disk->target, disk->source);
	}
	return 0;
}

int snapshot_hook_start(struct vm *vm, const char *program, enum snapshot_hook_action action,
	const struct snapshot *s, const char *name, vm_done_fn done, void *userdata,
	struct snapshot_hook **ret, struct error *err)
{
	static const char *const words[] = {
		[SNAPSHOT_HOOK_CREATE] = "create",
		[SNAPSHOT_HOOK_REVERT] = "revert",
		[SNAPSHOT_HOOK_DELETE] = "delete",
		[SNAPSHOT_HOOK_CHECK] = "exists",
	};
	struct snapshot_hook *h = NEW(struct snapshot_hook);
	struct strv argv = {0};
	int r;

	*h = (struct snapshot_hook){.vm = vm_ref(vm),
		.action = action,
		.name = xstrdup(name),
		.done = done,
		.userdata = userdata};
	strv_add(&argv, program);
	strv_add(&argv, words[action]);
	strv_add(&argv, vm->name);
	strv_add(&argv, name);
	r = add_disks(vm, s, &argv, err);
	if (r == 0)
		r = program_start(vm->registry->loop, &argv, SNAPSHOT_HOOK_SECONDS * USEC_PER_SEC, ended, h,
			&h->program, err);
	strv_fini(&argv);
	if (r < 0)
		snapshot_hook_free(h);
	else
		*ret = h;
	return r;
}
