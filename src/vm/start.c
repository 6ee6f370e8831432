/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting a VM: fresh, from its managed save, from an image file, or as a clone of one. Four tables over the same steps.
 *
 * The commit point lies before the guest's first instruction: up to it QEMU is killed and nothing has changed;
 * from it on the guest may have run and is never thrown away. A managed save is put aside in that step, so that no
 * crash can bring back memory older than the disks.
 *
 * A clone is the exception: nobody has it before it runs, and what it was made of stays as it is, so running is its commit step, and a guest that
 * cannot run, or ran for a moment before the daemon died, leaves nothing.
 */
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "disk-check.h"
#include "disk.h"
#include "file.h"
#include "monitor.h"
#include "paging.h"
#include "vm-lease-internal.h"

static enum step_result launched(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	return status_write(start->op.vm, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- the managed save, from image to memory ---- */

static char *used_name(const struct vm *vm)
{
	return vm_file_name(vm, ".save.used");
}

static enum step_result claim_image(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".save"), *used = used_name(vm);
	int dir = vm->registry->save_fd;

	if (renameat(dir, name, dir, used) < 0 && !(errno == ENOENT && file_exists(dir, used))) {
		error_errno(err, errno, "rename managed save %s to %s", name, used);
		return STEP_FAILED;
	}
	if (fsync(dir) < 0) {
		error_errno(err, errno, "sync directory of %s", name);
		return STEP_FAILED;
	}
	if (vm->paging) {
		_cleanup_free_ char *path = xasprintf("%s.used", start->image_path);

		paging_rename_image(vm->paging, path);
	}
	return STEP_DONE;
}

static enum step_result unclaim_image(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".save"), *used = used_name(vm);
	int dir = vm->registry->save_fd;

	if (renameat(dir, used, dir, name) < 0 && errno != ENOENT) {
		error_errno(err, errno, "rename %s back to %s", used, name);
		return STEP_FAILED;
	}
	if (vm->paging)
		paging_rename_image(vm->paging, start->image_path);
	return STEP_DONE;
}

static bool image_is_claimed(void *context)
{
	struct start_operation *start = context;
	_cleanup_free_ char *used = used_name(start->op.vm);

	return file_exists(start->op.vm->registry->save_fd, used);
}

static enum step_result remove_claimed_image(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	_cleanup_free_ char *used = used_name(vm);

	/* The guest never ran: its image is as good as before. */
	if (start->op.failure.code != ERROR_NONE)
		return unclaim_image(job, context, err);
	/* Its pages are still being read: it goes with the last one (paging_finish). */
	if (vm->paging) {
		vm->paging->spent = true;
		return status_write(vm, err) < 0 ? STEP_FAILED : STEP_DONE;
	}
	return file_remove(vm->registry->save_fd, used, true, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* ---- the guest's first instruction ---- */

static void run_replied(struct vm *vm, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	if (err) {
		start->op.failure = *err;
		if (start->clone)
			clone_explain_lock(&start->op.failure);
		err = &start->op.failure;
		vm_stop_process(vm, SIGKILL, SHUTOFF_FAILED, STOPPED_FAILED);
	}
	operation_step_done(&start->op, err);
}

/* How the guest came to run, in libvirt's numbers. */
struct origin {
	int started, paused, suspended, running;
};

static const struct origin *get_origin(const struct start_operation *start)
{
	static const struct origin booted = {STARTED_BOOTED, PAUSED_USER, SUSPENDED_PAUSED, RUNNING_BOOTED},
				   restored = {STARTED_RESTORED, PAUSED_USER, SUSPENDED_RESTORED,
					   RUNNING_RESTORED},
				   reverted = {STARTED_FROM_SNAPSHOT, PAUSED_FROM_SNAPSHOT,
					   SUSPENDED_FROM_SNAPSHOT, RUNNING_FROM_SNAPSHOT},
				   migrated = {STARTED_MIGRATED, PAUSED_MIGRATION, SUSPENDED_PAUSED,
					   RUNNING_MIGRATED};

	return start->from_host	      ? &migrated
	       : start->from_snapshot ? &reverted
	       : start->image_path    ? &restored
				      : &booted;
}

enum step_result start_run_guest(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	const struct origin *origin = get_origin(start);
	struct vm *vm = start->op.vm;

	if (vm->state == VM_STARTING)
		vm_set_state(vm, VM_PAUSED, DOMAIN_PAUSED,
			origin->running == RUNNING_RESTORED ? PAUSED_USER : PAUSED_STARTING_UP);
	if (!vm->qmp) {
		error_set(&start->op.failure, ERROR_OPERATION_FAILED, "QEMU is gone");
		error_copy(err, &start->op.failure);
		return STEP_FAILED;
	}
	/* From now on an end that nobody asked for is a crash. */
	vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_CRASHED};
	vm->stop_detail = STOPPED_FAILED;
	vm_emit_lifecycle(vm, EVENT_STARTED, origin->started);
	if (start->paused) {
		if (vm->paging)
			paging_go(vm->paging);
		vm_set_state(vm, VM_PAUSED, DOMAIN_PAUSED, origin->paused);
		vm_emit_lifecycle(vm, EVENT_SUSPENDED, origin->suspended);
		return status_write(vm, err) < 0 ? STEP_FAILED : STEP_DONE;
	}
	vm->resume_reason = origin->running;
	if (vm_run_cpus(vm, run_replied, start, err) == 0) {
		if (vm->paging)
			paging_go(vm->paging);
		return STEP_WAIT;
	}
	error_copy(&start->op.failure, err);
	vm_stop_process(vm, SIGKILL, SHUTOFF_FAILED, STOPPED_FAILED);
	return STEP_FAILED;
}

/* ---- the tables ---- */

static const struct job_step start_steps[] = {
	{"prepare", launch_prepare, launch_unprepare},
	{"spawn", launch_spawn, launch_kill},
	{"monitor", launch_monitor, NULL},
	{"configure", launch_configure, NULL},
	{"launched", launched, NULL},
	{"run", start_run_guest, NULL},
};

static const struct job_step restore_steps[] = {
	{"prepare", launch_prepare, launch_unprepare},
	{"spawn", launch_spawn, launch_kill},
	{"check-disks", start_check_disks, NULL},
	{"monitor", launch_monitor, NULL},
	{"load", load_image, NULL},
	{"configure", launch_configure, NULL},
	{"take-disks", launch_take_disks, NULL},
	{"launched", launched, NULL},
	{"run", start_run_guest, NULL},
};

static const struct job_step start_managed_steps[] = {
	{"prepare", launch_prepare, launch_unprepare},
	{"spawn", launch_spawn, launch_kill},
	{"check-disks", start_check_disks, NULL},
	{"monitor", launch_monitor, NULL},
	{"load", load_image, NULL},
	{"configure", launch_configure, NULL},
	{"take-disks", launch_take_disks, NULL},
	{"claim-image", claim_image, unclaim_image},
	{"run", start_run_guest, NULL},
	{"remove-image", remove_claimed_image, NULL},
};

static const struct job_step clone_steps[] = {
	{"check", clone_check, NULL},
	{"check-disks", start_check_disks, NULL},
	{"make-files", clone_make_files, clone_remove_files},
	{"prepare", launch_prepare, launch_unprepare},
	{"spawn", launch_spawn, launch_kill},
	{"monitor", launch_monitor, NULL},
	{"load", load_image, NULL},
	{"configure", launch_configure, NULL},
	{"define", clone_define, clone_undefine},
	{"launched", launched, NULL},
	{"run", start_run_guest, NULL},
};

enum { START_COMMIT = 4, RESTORE_COMMIT = 7, START_MANAGED_COMMIT = 7, CLONE_COMMIT = 10 };

static void end_canceled(struct start_operation *start)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	operation_step_done(&start->op, &err);
}

void start_cancel_long(struct start_operation *start)
{
	/* May wait for long; its end is the step's. */
	if (start->leasing) {
		process_kill(start->op.vm->process, SIGKILL);
	} else if (start->transfer || start->lazy_step) {
		load_cancel(start);
	} else if (start->looker) {
		disk_check_end(&start->looker);
		end_canceled(start);
	}
}

void start_cancel(struct start_operation *start)
{
	if (start->probing)
		return; /* a moment; the engine turns back behind it */
	if (start->leasing || start->transfer || start->lazy_step || start->looker) {
		start_cancel_long(start);
		return;
	}
	if (start->clone && clone_cancel_files(start->clone))
		return;
	if (start->op.vm->qmp)
		qmp_forget(start->op.vm->qmp, &start->op);
	end_canceled(start);
}

static void cancel(struct job *job, void *context)
{
	start_cancel(context);
}

static json *encode(const struct operation *op)
{
	const struct start_operation *start = (const struct start_operation *)op;

	return json_pack(
		"s:image", start->image_path, "b:managed", start->managed, "b:paused", start->paused, NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct start_operation *start = (struct start_operation *)op;

	start->image_fd = start->monitor_fd = -1;
	start->image_path = xstrdup(json_get_string(params, "image"));
	start->managed = json_get_bool(params, "managed", false);
	start->paused = json_get_bool(params, "paused", false);
	return 0;
}

static void finished(struct operation *op, const struct error *err)
{
	struct vm *vm = op->vm;

	if (!err)
		status_write(vm, NULL);
	else if (vm->state == VM_STARTING && vm->process_ended)
		vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_FAILED};
}

void start_operation_release(struct operation *op)
{
	struct start_operation *start = (struct start_operation *)op;

	disk_check_end(&start->looker);
	transfer_free(start->transfer);
	paging_free(start->paging, &start->op.outcome);
	clone_plan_free(start->clone);
	domain_free(start->domain);
	image_header_fini(&start->header);
	close_p(&start->image_fd);
	close_p(&start->monitor_fd);
	free(start->image_path);
	free(start->disks);
}

/* clang-format off */
/* Durable only where files of the user are moved: a host that lost power has lost the QEMUs anyway. */
#define OPERATION(name_, verb_, kind_, steps_, commit_, durable_, committed_) \
	{ \
		.job = {.name = name_, .steps = steps_, .n_steps = ARRAY_SIZE(steps_), .commit = commit_, \
			.durable = durable_, .committed = committed_, .cancel = cancel}, \
		.verb = verb_, .kind = kind_, .size = sizeof(struct start_operation), \
		.encode = encode, .decode = decode, .finished = finished, .fill_info = load_fill_info, \
		.release = start_operation_release, \
	}
/* clang-format on */

const struct operation_type start_operation_type =
	OPERATION("start", "start", VM_JOB_START, start_steps, START_COMMIT, false, NULL);
const struct operation_type restore_operation_type =
	OPERATION("restore", "restore", VM_JOB_RESTORE, restore_steps, RESTORE_COMMIT, false, NULL);
const struct operation_type clone_operation_type =
	OPERATION("clone", "clone", VM_JOB_RESTORE, clone_steps, CLONE_COMMIT, false, NULL);
const struct operation_type start_managed_operation_type = OPERATION("start-managed", "start", VM_JOB_RESTORE,
	start_managed_steps, START_MANAGED_COMMIT, true, image_is_claimed);

/* ---- the verbs ---- */

void start_explain_managed(const struct start_operation *start, struct error *err)
{
	struct error why = *err;

	if (start->managed)
		error_set(err, why.code,
			"%s; the managed save is kept ('start %s --force-boot' discards it and boots without "
			"it)",
			why.message, start->op.vm->name);
}

int start_open_image(struct start_operation *start, struct error *err)
{
	start->image_fd = open(start->image_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (start->image_fd < 0)
		return error_errno(err, errno, "open image %s", start->image_path);
	if (image_read_header(start->image_fd, start->image_path, &start->header, err) < 0)
		return -1;
	if (!start->header.complete)
		return error_set(err, ERROR_DAMAGED,
			"image %s is incomplete: the save that wrote it was interrupted; the guest was not "
			"stopped by it",
			start->image_path);
	if (!image_format_is_supported(start->header.format))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s is compressed with %s, which is not supported; convert it with that "
			"program, or restore it with "
			"libvirt",
			start->image_path, image_format_name(start->header.format));
	return 0;
}

struct start_operation *start_operation_new(const struct operation_type *type, struct vm *vm)
{
	struct start_operation *start = operation_new(type, vm);

	start->image_fd = start->monitor_fd = -1;
	return start;
}

int start_take_image_domain(struct start_operation *start, const char *xml, struct error *err)
{
	_cleanup_domain_ struct domain *saved = NULL;

	if (domain_parse(start->header.xml, strlen(start->header.xml), DOMAIN_PARSE_LIVE, &saved, err) < 0)
		return error_prefix(err, "image %s", start->image_path);
	domain_give_chains(saved);
	if (xml) {
		if (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &start->domain, err) < 0)
			return -1;
		if (domain_check_abi_stable(saved, start->domain, err) < 0)
			return -1;
		if (!start->domain->has_uuid)
			memcpy(start->domain->uuid, saved->uuid, 16);
		domain_keep_given_chains(saved, start->domain);
	} else {
		start->domain = TAKE_PTR(saved);
	}
	return 0;
}

static int start_from_managed_save(struct vm *vm, const struct vm_start_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct start_operation *start = start_operation_new(&start_managed_operation_type, vm);

	start->managed = true;
	start->bypass_cache = options->bypass_cache;
	start->force = options->force;
	start->eager = options->eager;
	start->image_path = vm_managed_save_path(vm);
	if (start_open_image(start, err) < 0 || start_take_image_domain(start, NULL, err) < 0)
		goto fail;
	if (memcmp(start->domain->uuid, vm->uuid, 16) != 0 || !streq(start->domain->name, vm->name)) {
		error_set(err, ERROR_OPERATION_FAILED, "managed save %s belongs to domain '%s'",
			start->image_path, start->domain->name);
		goto fail;
	}
	start->paused = options->paused || !start->header.was_running;
	/* One whose last page is long in, and whose removal failed: it must not be taken for this one. */
	paging_remove_leftover(vm);
	return operation_begin(&start->op, done, userdata, err);
fail:
	error_prefix(err, "start %s", vm->name);
	start_explain_managed(start, err);
	operation_free(&start->op);
	return -1;
}

int vm_start(struct vm *vm, const struct vm_start_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	struct start_operation *start;

	if (vm_check_verb(vm, VERB_START, err) < 0)
		return -1;
	vm_lease_forget_restart(vm);
	if (vm_has_managed_save(vm) && !options->force_boot)
		return start_from_managed_save(vm, options, done, userdata, err);
	if (vm_has_managed_save(vm) && vm_managed_save_remove(vm, err) < 0)
		return -1;
	start = start_operation_new(&start_operation_type, vm);
	start->paused = options->paused;
	start->reset_nvram = options->reset_nvram;
	return operation_begin(&start->op, done, userdata, err);
}
