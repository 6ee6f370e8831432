/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting a VM down: its state into an image, then QEMU ended.
 *
 * The image is written beside its final name and renamed when it is whole and synced; that rename is the commit
 * point. Until then every failure, cancel or crash lets the guest run on and leaves no file. A block device cannot be
 * renamed onto: there the image is complete when its magic says so.
 */
#include "save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

#include "disk-check.h"
#include "file.h"
#include "log.h"
#include "monitor.h"
#include "paging.h"
#include "vm-lease-internal.h"

/* ---- stop-cpus ---- */

static enum step_result stop_now(struct save_operation *save, struct error *err)
{
	struct vm *vm = save->op.vm;

	if (vm->state != VM_RUNNING)
		return STEP_DONE;
	vm->pause_reason = PAUSED_SAVE;
	return operation_command(&save->op, "stop", NULL, err);
}

static void memory_is_in(void *userdata, const struct error *err)
{
	struct save_operation *save = userdata;
	struct error failure = ERROR_INIT;

	save->awaits_memory = false;
	if (!err && save->op.vm->state != VM_RUNNING && save->op.vm->state != VM_PAUSED) {
		error_set(&failure, ERROR_OPERATION_FAILED, "it has shut down meanwhile");
		err = &failure;
	}
	if (err)
		operation_step_done(&save->op, err);
	else if (stop_now(save, &failure) != STEP_WAIT)
		operation_step_done(&save->op, failure.code != ERROR_NONE ? &failure : NULL);
}

/* Of a guest whose memory is still coming in there is no whole state yet: it runs on until the last page is there. */
static enum step_result stop_cpus(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	if (!save->op.vm->paging)
		return stop_now(save, err);
	save->awaits_memory = true;
	paging_wait(save->op.vm->paging, memory_is_in, save);
	return STEP_WAIT;
}

static enum step_result resume_cpus(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;
	struct vm *vm = save->op.vm;

	if (!save->was_running || !vm->qmp || vm->process_ended || vm->state == VM_RUNNING ||
		(vm->paging && vm->paging->trouble.code != ERROR_NONE))
		return STEP_DONE;
	vm->resume_reason = RUNNING_SAVE_CANCELED;
	return vm_run_cpus(vm, operation_vm_done, &save->op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

/* ---- stream ---- */

static int open_target(struct save_operation *save, struct error *err)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;

	save->file_fd = save->in_place ? open(save->path, flags)
				       : open(save->partial, flags | O_CREAT | O_EXCL, 0600);
	if (save->file_fd < 0)
		return error_errno(err, errno, "create %s", save->in_place ? save->path : save->partial);
	return 0;
}

static void fail(struct save_operation *save, const struct error *err)
{
	save->op.on_migration = NULL;
	if (save->op.vm->qmp)
		qmp_forget(save->op.vm->qmp, &save->op);
	disk_check_end(&save->looker);
	operation_step_done(&save->op, err);
}

static void check_streamed(struct save_operation *save)
{
	if (!save->qemu_done || !save->transfer_streamed)
		return;
	save->op.on_migration = NULL;
	operation_step_done(&save->op, NULL);
}

static void transfer_streamed(struct transfer *t, void *userdata)
{
	struct save_operation *save = userdata;

	save->transfer_streamed = true;
	check_streamed(save);
}

/* QEMU broke off: its own word says why, if it has one. */
static void broken_off_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct save_operation *save = userdata;
	const char *why = json_get_string(ret, "error-desc");

	if (why)
		error_set(&save->broken_off, ERROR_QEMU, "QEMU could not save the state: %s", why);
	fail(save, &save->broken_off);
}

static void transfer_done(struct transfer *t, const struct error *err, void *userdata)
{
	struct save_operation *save = userdata;

	/* In the step "sync" this is its end; in "stream" it can only be a failure. */
	if (!err) {
		operation_step_done(&save->op, NULL);
	} else if (err->code == ERROR_QEMU && save->op.vm->qmp) {
		save->op.on_migration = NULL;
		save->broken_off = *err;
		qmp_command(save->op.vm->qmp, "query-migrate", NULL, -1, 0, broken_off_replied, save);
	} else {
		fail(save, err);
	}
}

static const struct transfer_ops transfer_callbacks = {.streamed = transfer_streamed, .done = transfer_done};

static void reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct error failure = ERROR_INIT;
	const char *why = json_get_string(ret, "error-desc");

	error_set(&failure, ERROR_QEMU, "QEMU could not save the state%s%s", why ? ": " : "", why ? why : "");
	fail(userdata, &failure);
}

static void migration_changed(struct operation *op, const char *status)
{
	struct save_operation *save = (struct save_operation *)op;

	if (streq(status, "completed")) {
		save->qemu_done = true;
		check_streamed(save);
	} else if ((streq(status, "failed") || streq(status, "cancelled")) && save->transfer) {
		qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, reason_replied, op);
	}
}

static void qemu_gone(struct operation *op)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "QEMU ended while its state was being saved");
	fail((struct save_operation *)op, &err);
}

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err && err->code == ERROR_QEMU)
		fail(userdata, err);
}

/*
 * Events on, everything else off: a load or an earlier job may have left capabilities behind, and a plain stream wants
 * none. No limit on the rate: 0 is none.
 */
static void start_migration(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct save_operation *save = userdata;
	json *capabilities = json_object_new_array();

	if (err) {
		close_p(&save->stream_fd);
		save->stream_fd = -1;
		command_replied(q, ret, err, save);
		return;
	}
	json_object_array_add(capabilities, json_pack("s:capability", "events", "b:state", true, NULL));
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "capability");

		if (json_get_bool(item, "state", false) && !streq(name, "events"))
			json_object_array_add(
				capabilities, json_pack("s:capability", name, "b:state", false, NULL));
	}
	qmp_command(q, "migrate-set-capabilities", json_pack("o:capabilities", capabilities, NULL), -1, 0,
		command_replied, save);
	qmp_command(q, "migrate-set-parameters", json_pack("i:max-bandwidth", (int64_t)0, NULL), -1, 0,
		command_replied, save);
	qmp_command(
		q, "getfd", json_pack("s:fdname", "state", NULL), save->stream_fd, 0, command_replied, save);
	qmp_command(q, "migrate", json_pack("s:uri", "fd:state", NULL), -1, 0, command_replied, save);
	close_p(&save->stream_fd);
	save->stream_fd = -1;
}

static enum step_result stream(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;
	struct vm *vm = save->op.vm;
	int pair[2] = {-1, -1}, r;
	struct transfer_options options = {
		.kind = TRANSFER_SAVE,
		.program = vm->registry->settings.io_program,
		.name = save->path,
		.direct = true,
		.channels = save->channels,
		.format = save->format,
		.xml = save->xml,
		.was_running = save->image_running,
	};

	if (!vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (open_target(save, err) < 0)
		return STEP_FAILED;
	if (transfer_stream_pair(pair, err) < 0)
		return STEP_FAILED;
	options.file_fd = save->file_fd;
	options.stream_fd = pair[0];
	r = transfer_start(vm->registry->loop, &options, &transfer_callbacks, save, &save->transfer, err);
	if (r == 0) {
		save->op.on_migration = migration_changed;
		save->op.on_gone = qemu_gone;
		save->stream_fd = take_fd(&pair[1]);
		qmp_command(vm->qmp, "query-migrate-capabilities", NULL, -1, 0, start_migration, save);
	}
	close_p(&pair[0]);
	close_p(&pair[1]);
	return r < 0 ? STEP_FAILED : STEP_WAIT;
}

static enum step_result drop_file(struct save_operation *save, struct error *err)
{
	close_p(&save->file_fd);
	save->file_fd = -1;
	if (save->in_place || unlink(save->partial) == 0 || errno == ENOENT)
		return STEP_DONE;
	error_errno(err, errno, "remove %s", save->partial);
	return STEP_FAILED;
}

static void ask_cancelled(struct save_operation *save);

static int ask_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct save_operation *save = userdata;

	save->timer = sd_event_source_unref(save->timer);
	ask_cancelled(save);
	return 0;
}

static void cancelling_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	static const char *const busy[] = {"setup", "active", "cancelling", "device", "pre-switchover"};
	struct save_operation *save = userdata;
	const char *status = json_get_string(ret, "status");
	struct error failure = ERROR_INIT;

	for (size_t i = 0; !err && i < ARRAY_SIZE(busy); i++) {
		if (streq(status, busy[i])) {
			sd_event_add_time_relative(save->op.vm->registry->loop, &save->timer, CLOCK_MONOTONIC,
				2000, 0, ask_again, save);
			return;
		}
	}
	operation_step_done(&save->op, drop_file(save, &failure) == STEP_FAILED ? &failure : NULL);
}

static void ask_cancelled(struct save_operation *save)
{
	struct error failure = ERROR_INIT;

	if (!save->op.vm->qmp)
		operation_step_done(&save->op, drop_file(save, &failure) == STEP_FAILED ? &failure : NULL);
	else
		qmp_command(save->op.vm->qmp, "query-migrate", NULL, -1, 0, cancelling_replied, save);
}

/* The guest may go on only when QEMU has let go of its state; the file goes first when QEMU is gone. */
static enum step_result drop_stream(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;
	struct vm *vm = save->op.vm;

	transfer_free(save->transfer);
	save->transfer = NULL;
	if (!vm->qmp || vm->process_ended)
		return drop_file(save, err);
	qmp_command(vm->qmp, "migrate_cancel", NULL, -1, 0, NULL, NULL);
	ask_cancelled(save);
	return STEP_WAIT;
}

/* ---- sync, publish, kill-qemu ---- */

static enum step_result sync_image(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	vm_give_hot_list(save->op.vm, save->file_fd);
	transfer_commit(save->transfer, save->disks);
	return STEP_WAIT;
}

static int sync_directory(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory =
		slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_errno(err, errno, "sync directory %s", directory);
	return 0;
}

static enum step_result publish(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	if (save->in_place)
		return STEP_DONE;
	if (rename(save->partial, save->path) < 0 && !(errno == ENOENT && access(save->path, F_OK) == 0)) {
		error_errno(err, errno, "rename %s to %s", save->partial, save->path);
		return STEP_FAILED;
	}
	return sync_directory(save->path, err) < 0 ? STEP_FAILED : STEP_DONE;
}

/* Only the rename takes the partial file away before the undoing does. */
static bool is_published(void *context)
{
	struct save_operation *save = context;

	return !save->in_place && access(save->partial, F_OK) < 0 && errno == ENOENT &&
	       access(save->path, F_OK) == 0;
}

static void killed(struct operation *op)
{
	operation_step_done(op, NULL);
}

static enum step_result kill_qemu(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;
	struct vm *vm = save->op.vm;

	if (!vm->process || vm->process_ended) {
		vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_SAVED};
		vm->stop_detail = STOPPED_SAVED;
		return STEP_DONE;
	}
	save->op.on_gone = killed;
	vm_stop_process(vm, SIGTERM, SHUTOFF_SAVED, STOPPED_SAVED);
	return STEP_WAIT;
}

static const struct job_step save_steps[] = {
	{"stop-cpus", stop_cpus, resume_cpus},
	{"stream", stream, drop_stream},
	{"note-disks", save_note_disks, NULL},
	{"sync", sync_image, NULL},
	{"publish", publish, NULL},
	{"kill-qemu", kill_qemu, NULL},
};

enum { SAVE_COMMIT = 4 };

static void cancel(struct job *job, void *context)
{
	struct save_operation *save = context;
	struct error err = ERROR_INIT;

	if (save->awaits_memory) {
		paging_forget_waiter(save->op.vm->paging, save);
		error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
		memory_is_in(save, &err);
		return;
	}
	if (!save->transfer)
		return; /* stopping or resuming takes no time; the engine undoes it afterwards */
	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	transfer_free(save->transfer);
	save->transfer = NULL;
	fail(save, &err);
}

static json *encode(const struct operation *op)
{
	const struct save_operation *save = (const struct save_operation *)op;

	return json_pack("s:path", save->path, "s:partial", save->partial, "b:in_place", save->in_place,
		"b:was_running", save->was_running, NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct save_operation *save = (struct save_operation *)op;

	save->file_fd = save->stream_fd = -1;
	save->path = xstrdup(json_get_string(params, "path"));
	save->partial = xstrdup(json_get_string(params, "partial"));
	save->in_place = json_get_bool(params, "in_place", false);
	save->was_running = json_get_bool(params, "was_running", false);
	if (!save->path || !save->partial)
		return error_set(err, ERROR_DAMAGED, "journal of a save names no file");
	return 0;
}

static void fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct save_operation *save = (const struct save_operation *)op;
	struct transfer_progress progress = {0};

	info->memory_total = op->vm->live ? op->vm->live->memory_kib * 1024 : 0;
	if (save->transfer)
		transfer_get_progress(save->transfer, &progress);
	info->memory_processed =
		progress.processed < info->memory_total ? progress.processed : info->memory_total;
	info->file_written = progress.written;
}

static void release(struct operation *op)
{
	struct save_operation *save = (struct save_operation *)op;

	sd_event_source_unref(save->timer);
	if (save->awaits_memory)
		paging_forget_waiter(op->vm->paging, save);
	transfer_free(save->transfer);
	close_p(&save->file_fd);
	close_p(&save->stream_fd);
	disk_check_end(&save->looker);
	free(save->path);
	free(save->partial);
	free(save->xml);
	free(save->disks);
}

const struct operation_type save_operation_type = {
	.job = {.name = "save",
		.steps = save_steps,
		.n_steps = ARRAY_SIZE(save_steps),
		.commit = SAVE_COMMIT,
		.durable = true,
		.committed = is_published,
		.cancel = cancel},
	.verb = "save",
	.kind = VM_JOB_SAVE,
	.size = sizeof(struct save_operation),
	.encode = encode,
	.decode = decode,
	.fill_info = fill_info,
	.release = release,
};
