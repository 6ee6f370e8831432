/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a definition away, with what hangs on it. What is to go is put aside first and removed for good only behind
 * the commit point, the removal of the definition itself: a crash leaves all of it or nothing. The files of a clone go behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "clone.h"
#include "file.h"
#include "operation.h"
#include "snapshot-store.h"

struct undefine_operation {
	struct operation op;
	bool managed_save, nvram, snapshots;
	char *nvram_path;
	bool was_active; /* it runs on, transient */
};

#define ASIDE ".undefined"

static int move(int dirfd, const char *from, const char *to, struct error *err)
{
	if (renameat(dirfd, from, dirfd, to) < 0 && errno != ENOENT)
		return error_errno(err, errno, "rename %s to %s", from, to);
	return 0;
}

static enum step_result put_aside(struct job *job, void *context, struct error *err)
{
	struct undefine_operation *undefine = context;
	struct vm *vm = undefine->op.vm;
	_cleanup_free_ char *save = vm_file_name(vm, ".save"), *aside = vm_file_name(vm, ".save" ASIDE);
	_cleanup_free_ char *nvram_aside = NULL;

	if (undefine->managed_save && move(vm->registry->save_fd, save, aside, err) < 0)
		return STEP_FAILED;
	if (undefine->nvram) {
		nvram_aside = xasprintf("%s" ASIDE, undefine->nvram_path);
		if (move(AT_FDCWD, undefine->nvram_path, nvram_aside, err) < 0)
			return STEP_FAILED;
	}
	return STEP_DONE;
}

static enum step_result put_back(struct job *job, void *context, struct error *err)
{
	struct undefine_operation *undefine = context;
	struct vm *vm = undefine->op.vm;
	_cleanup_free_ char *save = vm_file_name(vm, ".save"), *aside = vm_file_name(vm, ".save" ASIDE);
	_cleanup_free_ char *nvram_aside = NULL;

	if (undefine->managed_save && move(vm->registry->save_fd, aside, save, err) < 0)
		return STEP_FAILED;
	if (undefine->nvram) {
		nvram_aside = xasprintf("%s" ASIDE, undefine->nvram_path);
		if (move(AT_FDCWD, nvram_aside, undefine->nvram_path, err) < 0)
			return STEP_FAILED;
	}
	return STEP_DONE;
}

static enum step_result remove_definition(struct job *job, void *context, struct error *err)
{
	struct undefine_operation *undefine = context;
	struct vm *vm = undefine->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".xml");

	return file_remove(vm->registry->domains_fd, name, true, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static bool definition_is_removed(void *context)
{
	struct undefine_operation *undefine = context;
	struct vm *vm = undefine->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".xml");

	return !file_exists(vm->registry->domains_fd, name);
}

static enum step_result remove_rest(struct job *job, void *context, struct error *err)
{
	struct undefine_operation *undefine = context;
	struct vm *vm = undefine->op.vm;
	_cleanup_free_ char *aside = vm_file_name(vm, ".save" ASIDE), *link = vm_file_name(vm, ".xml");
	_cleanup_free_ char *once = vm_file_name(vm, ".xml.once");
	_cleanup_free_ char *nvram_aside =
		undefine->nvram ? xasprintf("%s" ASIDE, undefine->nvram_path) : NULL;

	if ((undefine->snapshots && snapshot_store_remove_all(vm, err) < 0) ||
		vm_remove_clone_files(vm, err) < 0 ||
		file_remove(vm->registry->save_fd, aside, false, err) < 0 ||
		file_remove(vm->registry->autostart_fd, link, false, err) < 0 ||
		file_remove(vm->registry->autostart_fd, once, false, err) < 0)
		return STEP_FAILED;
	if (nvram_aside && unlink(nvram_aside) < 0 && errno != ENOENT) {
		error_errno(err, errno, "remove %s", nvram_aside);
		return STEP_FAILED;
	}
	return STEP_DONE;
}

static const struct job_step undefine_steps[] = {
	{"put-aside", put_aside, put_back},
	{"remove-definition", remove_definition, NULL},
	{"remove-rest", remove_rest, NULL},
};

enum { UNDEFINE_COMMIT = 1 };

static json *encode(const struct operation *op)
{
	const struct undefine_operation *undefine = (const struct undefine_operation *)op;

	return json_pack("b:managed_save", undefine->managed_save, "b:nvram", undefine->nvram, "s:nvram_path",
		undefine->nvram_path, "b:snapshots", undefine->snapshots, NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct undefine_operation *undefine = (struct undefine_operation *)op;

	undefine->managed_save = json_get_bool(params, "managed_save", false);
	undefine->snapshots = json_get_bool(params, "snapshots", false);
	undefine->nvram_path = xstrdup(json_get_string(params, "nvram_path"));
	undefine->nvram = json_get_bool(params, "nvram", false) && undefine->nvram_path;
	return 0;
}

static void become_transient(struct vm *vm)
{
	domain_free(vm->persistent);
	vm->persistent = NULL;
	vm->autostart = vm->autostart_once = false;
	vm_emit_lifecycle(vm, EVENT_UNDEFINED, UNDEFINED_REMOVED);
}

static void finished(struct operation *op, const struct error *err)
{
	if (!err)
		become_transient(op->vm);
}

int vm_remove_definition(struct vm *vm, struct error *err)
{
	_cleanup_free_ char *name = vm_file_name(vm, ".xml"), *once = vm_file_name(vm, ".xml.once");

	if (file_remove(vm->registry->domains_fd, name, true, err) < 0 ||
		snapshot_store_remove_all(vm, err) < 0 ||
		file_remove(vm->registry->autostart_fd, name, false, err) < 0 ||
		file_remove(vm->registry->autostart_fd, once, false, err) < 0)
		return -1;
	if (vm->persistent)
		become_transient(vm);
	return 0;
}

static void release(struct operation *op)
{
	free(((struct undefine_operation *)op)->nvram_path);
}

const struct operation_type undefine_operation_type = {
	.job = {.name = "undefine",
		.steps = undefine_steps,
		.n_steps = ARRAY_SIZE(undefine_steps),
		.commit = UNDEFINE_COMMIT,
		.durable = true,
		.committed = definition_is_removed},
	.verb = "undefine",
	.kind = VM_JOB_OTHER,
	.size = sizeof(struct undefine_operation),
	.encode = encode,
	.decode = decode,
	.finished = finished,
	.release = release,
};

static bool is_clone_file(const struct vm *vm, const char *path)
{
	_cleanup_free_ char *directory = clone_directory_path(vm->registry, vm->uuid);
	size_t len = strlen(directory);

	return strncmp(path, directory, len) == 0 && path[len] == '/';
}

/* Its disks, and its firmware variables, were made for it and go with it; so it must not be running on them. */
static int check_clone(const struct vm *vm, const struct vm_undefine_options *options, struct error *err)
{
	const char *nvram = vm->persistent->os.nvram;

	if (!vm_has_clone_files(vm))
		return 0;
	if (vm_is_active(vm))
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is a clone and runs on disks that go with its definition; end it first",
			vm->name);
	if (options->keep_nvram && nvram && is_clone_file(vm, nvram))
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is a clone: its firmware variables cannot be kept without it", vm->name);
	return 0;
}

int vm_undefine(struct vm *vm, const struct vm_undefine_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	struct undefine_operation *undefine;
	size_t n_snapshots = vm->snapshots.all.n;
	const char *nvram;
	bool has_nvram, has_save = vm_has_managed_save(vm);

	if (!vm->persistent)
		return error_set(
			err, ERROR_OPERATION_INVALID, "cannot undefine transient domain '%s'", vm->name);
	if (vm_check_verb(vm, VERB_UNDEFINE, err) < 0)
		return -1;
	if (check_clone(vm, options, err) < 0)
		return -1;
	nvram = vm->persistent->os.nvram;
	has_nvram = nvram && access(nvram, F_OK) == 0 && !is_clone_file(vm, nvram);
	if (has_save && !options->managed_save)
		return error_set(err, ERROR_OPERATION_INVALID,
			"Refusing to undefine '%s' while domain managed "
			"save image exists",
			vm->name);
	if (has_nvram && !options->nvram && !options->keep_nvram)
		return error_set(
			err, ERROR_OPERATION_INVALID, "cannot undefine domain '%s' with nvram", vm->name);
	/* Those of a VM that runs on go when it ends. */
	if (n_snapshots && !vm_is_active(vm) && !options->snapshots_metadata)
		return error_set(err, ERROR_OPERATION_INVALID,
			"cannot delete inactive domain with %zu snapshots", n_snapshots);
	/* Whoever means to lose these says so of each. */
	if (!vm_is_active(vm) && snapshot_store_check_readable(vm, err) < 0)
		return -1;
	undefine = operation_new(&undefine_operation_type, vm);
	undefine->managed_save = has_save;
	undefine->snapshots = n_snapshots && !vm_is_active(vm);
	undefine->nvram = has_nvram && options->nvram;
	undefine->nvram_path = xstrdup(nvram);
	return operation_begin(&undefine->op, done, userdata, err);
}
