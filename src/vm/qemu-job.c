/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking QEMU about one of its jobs until it has ended. */
#include "qemu-job.h"

#define ASK_AGAIN_USEC 2000

struct qemu_job {
	struct vm *vm; /* a reference */
	char *id;
	vm_done_fn done;
	void *userdata;
	struct error outcome;
	sd_event_source *timer;
};

void qemu_job_forget(struct qemu_job *j)
{
	if (!j)
		return;
	if (j->vm->qmp)
		qmp_forget(j->vm->qmp, j);
	sd_event_source_disable_unref(j->timer);
	vm_unref(j->vm);
	free(j->id);
	free(j);
}

static void end(struct qemu_job *j)
{
	struct vm *vm = vm_ref(j->vm);
	struct error outcome = j->outcome;
	vm_done_fn done = j->done;
	void *userdata = j->userdata;

	qemu_job_forget(j);
	done(vm, outcome.code != ERROR_NONE ? &outcome : NULL, userdata);
	vm_unref(vm);
}

static void ask(struct qemu_job *j);

static int ask_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct qemu_job *j = userdata;

	j->timer = sd_event_source_disable_unref(j->timer);
	ask(j);
	return 0;
}

static void dismissed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	end(userdata);
}

static void take_outcome(struct qemu_job *j, json *job)
{
	const char *why = json_get_string(job, "error");

	if (why)
		error_set(&j->outcome, ERROR_QEMU, "%s", why);
	qmp_command(j->vm->qmp, "job-dismiss", json_pack("s:id", j->id, NULL), -1, 0, dismissed, j);
}

static void jobs_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct qemu_job *j = userdata;

	if (err) {
		j->outcome = *err;
		end(j);
		return;
	}
	JSON_FOREACH (job, ret) {
		if (!streq(json_get_string(job, "id"), j->id))
			continue;
		if (streq(json_get_string(job, "status"), "concluded"))
			take_outcome(j, job);
		else
			sd_event_add_time_relative(j->vm->registry->loop, &j->timer, CLOCK_MONOTONIC,
				ASK_AGAIN_USEC, 0, ask_again, j);
		return;
	}
	end(j);
}

static void ask(struct qemu_job *j)
{
	if (j->vm->qmp) {
		qmp_command(j->vm->qmp, "query-jobs", NULL, -1, 0, jobs_listed, j);
	} else {
		error_set(&j->outcome, ERROR_OPERATION_FAILED, "QEMU is gone");
		end(j);
	}
}

static void begun(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct qemu_job *j = userdata;

	if (err)
		j->outcome = *err;
	if (err)
		end(j);
	else
		ask(j);
}

static struct qemu_job *new_job(struct vm *vm, const char *id, vm_done_fn done, void *userdata)
{
	struct qemu_job *j = NEW(struct qemu_job);

	*j = (struct qemu_job){.vm = vm_ref(vm), .id = xstrdup(id), .done = done, .userdata = userdata};
	return j;
}

struct qemu_job *qemu_job_start(
	struct vm *vm, const char *command, json *arguments, vm_done_fn done, void *userdata)
{
	struct qemu_job *j = new_job(vm, json_get_string(arguments, "job-id"), done, userdata);

	qmp_command(vm->qmp, command, arguments, -1, 0, begun, j);
	return j;
}

struct qemu_job *qemu_job_await(struct vm *vm, const char *id, vm_done_fn done, void *userdata)
{
	struct qemu_job *j = new_job(vm, id, done, userdata);

	qmp_command(vm->qmp, "query-jobs", NULL, -1, 0, jobs_listed, j);
	return j;
}
