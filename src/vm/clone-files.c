/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files that belong to a clone: overlays over its original's disks, a copy of its firmware variables. A child makes them: it waits
 * for the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "clone.h"
#include "file.h"
#include "overlay.h"
#include "start.h"

#define COPY_MAX (64u << 20) /* firmware variables are a megabyte or less */

char *clone_directory_path(const struct registry *r, const uint8_t uuid[16])
{
	char text[UUID_TEXT_MAX];

	uuid_format(uuid, text);
	return xasprintf("%s/clones/%s", r->settings.lib_dir, text);
}

bool vm_has_clone_files(const struct vm *vm)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	return file_exists(vm->registry->clones_fd, uuid);
}

int vm_remove_clone_files(struct vm *vm, struct error *err)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	return dir_remove(vm->registry->clones_fd, uuid, err);
}

/* ---- in the child ---- */

static int make_copy(int dir, const struct clone_file *file, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;

	if (file_read(AT_FDCWD, file->from, COPY_MAX, &data, &len, err) < 0)
		return -1;
	return file_replace(dir, file->name, data, len, 0600, err);
}

static int make_files(struct buf *result, void *userdata, struct error *err)
{
	struct start_operation *start = userdata;
	struct vm *vm = start->op.vm;
	_cleanup_close_ int dir = -1;
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	dir = dir_open_or_make_at(vm->registry->clones_fd, uuid, 0700, err);
	if (dir < 0)
		return -1;
	VEC_FOREACH (file, &start->clone->files.items) {
		if (file.is_overlay ? overlay_create(dir, file.name, file.from, file.format, err) < 0
				    : make_copy(dir, &file, err) < 0)
			return -1;
	}
	if (fsync(dir) < 0 || fsync(vm->registry->clones_fd) < 0)
		return error_errno(err, errno, "sync the directory of its disks");
	return 0;
}

/* ---- the step ---- */

static void maker_ended(struct process *p, int status, void *userdata)
{
	struct start_operation *start = userdata;

	process_free(p);
	start->clone->maker = NULL;
}

static void files_made(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;

	if (err) {
		failure = *err;
		error_prefix(&failure, "make its disks");
	}
	operation_step_done(&start->op, err ? &failure : NULL);
}

enum step_result clone_make_files(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct registry *r = start->op.vm->registry;

	if (start->clone->files.items.n == 0)
		return STEP_DONE;
	if (process_start(r->loop,
		    &(struct process_options){.fds = &r->clones_fd,
			    .n_fds = 1,
			    .stdin_fd = -1,
			    .stdout_fd = -1,
			    .stderr_fd = -1,
			    .dies_with_daemon = true,
			    .work = make_files,
			    .work_userdata = start,
			    .worked = files_made},
		    maker_ended, start, &start->clone->maker, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

bool clone_cancel_files(struct clone_plan *plan)
{
	if (!plan->maker)
		return false;
	process_kill(plan->maker, SIGKILL);
	return true;
}

enum step_result clone_remove_files(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	return vm_remove_clone_files(start->op.vm, err) < 0 ? STEP_FAILED : STEP_DONE;
}
