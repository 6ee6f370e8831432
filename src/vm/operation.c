/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of an operation: journal first, then steps from the loop, then the VM settled and the caller told. */
#include "operation.h"

#include <assert.h>

#include "clock.h"
#include "log.h"

static const struct operation_type *const operation_types[] = {
	&start_operation_type,
	&start_managed_operation_type,
	&restore_operation_type,
	&clone_operation_type,
	&save_operation_type,
	&undefine_operation_type,
	&revert_operation_type,
	&revert_off_operation_type,
	&revert_stored_off_operation_type,
	&attach_operation_type,
	&detach_operation_type,
	&snapshot_operation_type,
	&snapshot_delete_operation_type,
};

const struct operation_type *operation_find_type(const struct registry *r, const char *name)
{
	const struct operation_type *const *more = r->settings.more_jobs;

	for (size_t i = 0; i < ARRAY_SIZE(operation_types); i++)
		if (streq(operation_types[i]->job.name, name))
			return operation_types[i];
	for (; more && *more; more++)
		if (streq((*more)->job.name, name))
			return *more;
	return NULL;
}

static int record(struct job *job, const char *event, const char *step, void *userdata, struct error *err)
{
	struct operation *op = userdata;

	return journal_append(op->journal, event, step, err);
}

static void tell_completion(struct operation *op)
{
	struct vm_event event = {.type = VM_EVENT_JOB_COMPLETED, .vm = op->vm};
	struct vm_job_info *info = &op->vm->last_job;

	*info = (struct vm_job_info){0};
	vm_get_job_info(op->vm, false, info);
	info->completed = true;
	info->succeeded = op->outcome.code == ERROR_NONE;
	event.job.info = *info;
	if (info->operation == VM_JOB_SAVE || info->operation == VM_JOB_RESTORE ||
		info->operation == VM_JOB_SNAPSHOT || info->operation == VM_JOB_MIGRATION_IN ||
		info->operation == VM_JOB_MIGRATION_OUT)
		registry_emit(op->vm->registry, &event);
}

static int complete(sd_event_source *source, void *userdata)
{
	struct operation *op = userdata;
	struct vm *vm = vm_ref(op->vm);
	struct error ignored = ERROR_INIT;
	const struct error *err;

	op->deferred = sd_event_source_unref(op->deferred);
	if (op->outcome.code == ERROR_NONE && op->failure.code != ERROR_NONE)
		op->outcome = op->failure;
	if (op->outcome.code != ERROR_NONE)
		error_prefix(&op->outcome, "%s %s", op->type->verb, vm->name);
	err = op->outcome.code != ERROR_NONE ? &op->outcome : NULL;
	if (journal_finish(op->journal, &ignored) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, op->type->job.name, "%s", ignored.message);
	op->journal = NULL;
	if (err)
		log_write(LOG_LEVEL_ERROR, vm->name, op->type->job.name, "%s", err->message);
	tell_completion(op);
	if (op->type->finished)
		op->type->finished(op, err);
	vm->operation = NULL;
	vm_settle(vm);
	if (op->done)
		op->done(vm, err, op->userdata);
	operation_free(op);
	vm_unref(vm);
	return 0;
}

static int defer(struct operation *op, sd_event_handler_t handler)
{
	int r = sd_event_add_defer(op->vm->registry->loop, &op->deferred, handler, op);

	assert(r >= 0);
	return r;
}

static void finished(struct job *job, const struct error *err, void *userdata)
{
	struct operation *op = userdata;

	if (err)
		op->outcome = *err;
	defer(op, complete);
}

static const struct job_ops engine_ops = {.record = record, .finished = finished};

void *operation_new(const struct operation_type *type, struct vm *vm)
{
	struct operation *op = xcalloc(1, type->size);

	op->type = type;
	op->vm = vm_ref(vm);
	op->started = clock_now();
	op->job = job_new(&type->job, &engine_ops, op, op);
	return op;
}

void operation_free(struct operation *op)
{
	if (!op)
		return;
	if (op->type->release)
		op->type->release(op);
	sd_event_source_unref(op->deferred);
	journal_free(op->journal);
	job_free(op->job);
	vm_unref(op->vm);
	free(op);
}

static int begin(sd_event_source *source, void *userdata)
{
	struct operation *op = userdata;

	op->deferred = sd_event_source_unref(op->deferred);
	job_begin(op->job);
	return 0;
}

int operation_begin(struct operation *op, vm_done_fn done, void *userdata, struct error *err)
{
	struct vm *vm = op->vm;
	_cleanup_json_ json *params = op->type->encode(op);

	assert(!vm->operation);
	json_object_object_add(params, "name", json_object_new_string(vm->name));
	if (journal_create(vm->registry->journal_fd, vm->uuid, op->type->job.name, params,
		    op->type->job.durable, &op->journal, err) < 0) {
		error_prefix(err, "%s %s", op->type->verb, vm->name);
		operation_free(op);
		return -1;
	}
	op->done = done;
	op->userdata = userdata;
	vm->operation = op;
	defer(op, begin);
	return 0;
}

void operation_recover(struct operation *op, struct journal *journal, const struct job_progress *progress)
{
	op->journal = journal;
	op->vm->operation = op;
	log_write(LOG_LEVEL_NOTICE, op->vm->name, op->type->job.name,
		"continuing after a restart: %zu steps begun, %zu finished", progress->begun,
		progress->finished);
	job_recover(op->job, progress);
}

void operation_step_done(struct operation *op, const struct error *err)
{
	op->on_monitor = NULL;
	op->on_gone = NULL;
	job_step_done(op->job, err);
}

void operation_qmp_reply(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	operation_step_done(userdata, err);
}

void operation_vm_done(struct vm *vm, const struct error *err, void *userdata)
{
	operation_step_done(userdata, err);
}

enum step_result operation_command(
	struct operation *op, const char *command, json *arguments, struct error *err)
{
	if (!op->vm->qmp) {
		json_object_put(arguments);
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	qmp_command(op->vm->qmp, command, arguments, -1, 0, operation_qmp_reply, op);
	return STEP_WAIT;
}

void operation_monitor_ready(struct operation *op)
{
	void (*f)(struct operation *) = op->on_monitor;

	op->on_monitor = NULL;
	if (f)
		f(op);
}

void operation_qemu_gone(struct operation *op)
{
	void (*f)(struct operation *) = op->on_gone;

	op->on_gone = NULL;
	if (f)
		f(op);
}

void operation_migration(struct operation *op, const char *status)
{
	if (op->on_migration)
		op->on_migration(op, status);
}

void operation_job_status(struct operation *op, const char *id, const char *status)
{
	if (op->on_job && id && status)
		op->on_job(op, id, status);
}

bool operation_device_deleted(struct operation *op, const char *alias)
{
	return op->on_device_deleted && op->on_device_deleted(op, alias);
}
