/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting a VM down: its state into an image, then QEMU ended.
 *
 * The image is written beside its final name and renamed when it is whole and synced; that rename is the commit
 * point. Until then every failure, cancel or crash lets the guest run on and leaves no file.
 */
#include "save.h"

#include <signal.h>

#include "disk-check.h"
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

/* ---- stream ... publish ---- */

static void stream_done(struct operation *op, const struct error *err)
{
	operation_step_done(op, err);
}

const struct state_stream_ops save_stream_ops = {.done = stream_done};

static void qemu_gone(struct operation *op)
{
	struct save_operation *save = (struct save_operation *)op;
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "QEMU ended while its state was being saved");
	state_stream_fail(&save->stream, &err);
}

static enum step_result stream(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	if (state_stream_start(&save->stream, err) < 0)
		return STEP_FAILED;
	save->op.on_gone = qemu_gone;
	return STEP_WAIT;
}

static enum step_result drop_stream(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	return state_stream_drop(&save->stream, operation_step_done, err);
}

static enum step_result note_disks(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	return state_stream_note_disks(&save->stream, save->op.vm->live, err);
}

static enum step_result sync_image(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	state_stream_sync(&save->stream);
	return STEP_WAIT;
}

static enum step_result publish(struct job *job, void *context, struct error *err)
{
	struct save_operation *save = context;

	return state_stream_publish(&save->stream, err);
}

static bool is_published(void *context)
{
	const struct save_operation *save = context;

	return state_stream_is_published(&save->stream);
}

/* ---- kill-qemu ---- */

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
	{"note-disks", note_disks, NULL},
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
	/* Stopping or resuming takes no time; the engine undoes it afterwards. */
	(void)state_stream_cancel(&save->stream);
}

static json *encode(const struct operation *op)
{
	const struct save_operation *save = (const struct save_operation *)op;
	json *params = json_pack("b:was_running", save->was_running, NULL);

	state_stream_encode(&save->stream, params);
	return params;
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct save_operation *save = (struct save_operation *)op;

	state_stream_init(&save->stream, op, &save_stream_ops);
	save->was_running = json_get_bool(params, "was_running", false);
	return state_stream_decode(&save->stream, params, err);
}

static void fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct save_operation *save = (const struct save_operation *)op;

	state_stream_fill_info(&save->stream, info);
}

static void release(struct operation *op)
{
	struct save_operation *save = (struct save_operation *)op;

	if (save->awaits_memory)
		paging_forget_waiter(op->vm->paging, save);
	state_stream_fini(&save->stream);
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
