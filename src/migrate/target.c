/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM comes: the job of the destination. What is true behind each step:
 *
 *	make-disks		there are images for the disks that the source copies
 *	prepare ... configure	a QEMU waits here, as when a saved VM is loaded; its leases are another host's
 *	listen			the source can send to it, and ask what becomes of it
 *	receive			all of the state is in; post-copy: all but memory
 *	end-exports	its disks are written to by nobody else
 *	take-leases		it has its leases
 *	accept			it is written down that it runs here        <- the commit point
 *	run			it runs
 *	fill			all of its memory is in
 *	define			it is defined here, as asked for
 *	finish			whoever carries the phases has heard of it, or is gone
 *
 * Up to `accept` whatever fails ends QEMU, and the source goes on. A source that is a godwit has passed the right to run before it sends the last of the
 * state, so nobody is waited for between `receive` and `run`. Any other keeps its own rule: it must not run here before finish.
 */
#include "target.h"

#include <assert.h>

#include "clock.h"
#include "ports.h"
#include "qemu-img.h"
#include "source.h"
#include "vm-lease-internal.h"

/* The longest a VM that has come is kept for the client's finish. */
#define FINISH_USEC (10 * USEC_PER_SEC)

struct target_operation *target_find(const struct vm *vm)
{
	return vm->operation && vm->operation->type == &target_operation_type
		       ? (struct target_operation *)vm->operation
		       : NULL;
}

void target_init(struct target_operation *t)
{
	t->start.image_fd = t->start.monitor_fd = t->stream_fd = -1;
	t->start.is_incoming = t->start.from_host = true;
	migrate_options_init(&t->options);
}

/* ---- receive ---- */

static void received(struct target_operation *t, const struct error *err)
{
	t->awaits_state = false;
	operation_step_done(&t->start.op, err);
}

static void check_received(struct target_operation *t)
{
	if (t->awaits_state && t->is_in && (t->token || t->is_finished))
		received(t, NULL);
}

static void reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct target_operation *t = userdata;
	const char *why = json_get_string(ret, "error-desc");
	struct error failure = ERROR_INIT;

	if (!t->awaits_state)
		return;
	error_set(&failure, ERROR_QEMU, "QEMU could not take the state%s%s", why ? ": " : "", why ? why : "");
	received(t, &failure);
}

static void gone(struct operation *op)
{
	struct target_operation *t = (struct target_operation *)op;

	t->awaits_state = false;
	launch_gone(op);
}

/* From the beginning of `listen` to the end of `fill`. */
void target_hear(struct operation *op, const char *status)
{
	struct target_operation *t = (struct target_operation *)op;

	if (streq(status, "active"))
		t->is_connected = true;
	if (streq(status, "completed")) {
		t->is_in = true;
		t->is_postcopy = false;
	} else if (streq(status, "postcopy-active")) {
		t->is_in = t->is_postcopy = true;
	} else if (streq(status, "failed") && t->awaits_state) {
		qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, reason_replied, t);
	}
	check_received(t);
	if (t->awaits_memory && !t->is_postcopy) {
		t->awaits_memory = false;
		operation_step_done(op, NULL);
	}
}

static enum step_result receive(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	t->start.op.on_gone = gone;
	t->awaits_state = true;
	if (t->is_in && (t->token || t->is_finished)) {
		t->awaits_state = false;
		return STEP_DONE;
	}
	return STEP_WAIT;
}

/* ---- take-leases ---- */

static void leases_taken(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	operation_step_done(userdata, err);
}

static enum step_result take_leases(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;
	struct vm *vm = t->start.op.vm;

	if (!vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (!vm_lease_is_needed(vm) || lease_may_run(vm->lease_state))
		return STEP_DONE;
	return vm_lease_take(vm, t->lease_state, leases_taken, &t->start.op, err) < 0 ? STEP_FAILED
										      : STEP_WAIT;
}

/* ---- accept: the commit point ---- */

static enum step_result accept_it(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;
	struct vm *vm = t->start.op.vm;
	bool moved;

	if (t->token && verdict_decide(vm->registry->settings.migrations, t->token, VERDICT_RUNS, err) < 0)
		return STEP_FAILED;
	moved = handover_target_move(&t->handover, HANDOVER_STATE_IN);
	assert(moved);
	status_write(vm, NULL);
	return STEP_DONE;
}

static bool has_accepted(void *context)
{
	const struct target_operation *t = context;

	return t->token &&
	       verdict_get(t->start.op.vm->registry->settings.migrations, t->token) == VERDICT_RUNS;
}

/* ---- run, and what follows ---- */

static enum step_result run(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	if (!t->token || handover_target_may_run(t->handover))
		return start_run_guest(job, context, err);
	/* Somebody took the record away while no daemon was there: the source may have been told that it does not run. */
	error_set(&t->start.op.failure, ERROR_DAMAGED,
		"the record that it runs here is gone: it stays paused; 'resume' it only when it does not "
		"run at the "
		"source");
	error_copy(err, &t->start.op.failure);
	return STEP_FAILED;
}

static void gone_while_filling(struct operation *op)
{
	struct target_operation *t = (struct target_operation *)op;

	t->awaits_memory = false;
	operation_step_done(op, NULL);
}

static enum step_result fill(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	if (t->start.op.vm->state == VM_RUNNING)
		t->ran_ms = clock_wall() / USEC_PER_MSEC;
	if (!t->is_postcopy || !t->start.op.vm->qmp)
		return STEP_DONE;
	t->awaits_memory = true;
	t->start.op.on_gone = gone_while_filling;
	return STEP_WAIT;
}

static enum step_result define(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	if (!t->persistent_xml)
		return STEP_DONE;
	return vm_take_definition(t->start.op.vm, t->persistent_xml, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static int finish_missed(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct target_operation *t = userdata;

	t->timer = sd_event_source_unref(t->timer);
	t->awaits_finish = false;
	operation_step_done(&t->start.op, NULL);
	return 0;
}

static enum step_result finish(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	if (t->is_finished || !t->client)
		return STEP_DONE;
	t->awaits_finish = true;
	sd_event_add_time_relative(
		t->start.op.vm->registry->loop, &t->timer, CLOCK_MONOTONIC, FINISH_USEC, 0, finish_missed, t);
	return STEP_WAIT;
}

static const struct job_step target_steps[] = {
	{"make-disks", target_make_disks, target_unmake_disks},
	{"prepare", launch_prepare, launch_unprepare},
	{"spawn", launch_spawn, launch_kill},
	{"monitor", launch_monitor, NULL},
	{"configure", launch_configure, NULL},
	{"listen", target_listen, target_unlisten},
	{"receive", receive, NULL},
	{"end-exports", target_end_exports, NULL},
	{"take-leases", take_leases, NULL},
	{"accept", accept_it, NULL},
	{"run", run, NULL},
	{"fill", fill, NULL},
	{"define", define, NULL},
	{"finish", finish, NULL},
};

enum { TARGET_COMMIT = 9 };

static void cancel(struct job *job, void *context)
{
	struct target_operation *t = context;
	struct error err = ERROR_INIT;

	if (!t->awaits_state) {
		start_cancel(&t->start);
		return;
	}
	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	received(t, &err);
}

/* Not an error when it is too late: then it runs here. */
static void give_up(struct target_operation *t)
{
	struct error ignored = ERROR_INIT;

	(void)job_cancel(t->start.op.job, &ignored);
}

void target_finished(struct target_operation *t, bool cancelled)
{
	if (cancelled && t->handover != HANDOVER_DECIDED) {
		give_up(t);
		return;
	}
	t->is_finished = true;
	if (t->awaits_finish)
		finish_missed(NULL, 0, t);
	else
		check_received(t);
}

void target_client_gone(struct target_operation *t)
{
	t->client = NULL;
	if (t->awaits_finish)
		finish_missed(NULL, 0, t);
	else if (t->handover != HANDOVER_DECIDED)
		give_up(t);
}

void target_asked(struct migrations *m, const char *token, bool failed, void *userdata)
{
	struct target_operation *t = userdata;

	/* The rest will never come. */
	if (failed && t->handover == HANDOVER_WAITING && !t->is_in)
		give_up(t);
}

static json *encode(const struct operation *op)
{
	const struct target_operation *t = (const struct target_operation *)op;

	return json_pack("s:token", t->token, "s:persistent", t->persistent_xml, "b:paused", t->start.paused,
		"o:made", json_object_get(t->made), NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct target_operation *t = (struct target_operation *)op;

	target_init(t);
	t->token = xstrdup(json_get_string(params, "token"));
	t->persistent_xml = xstrdup(json_get_string(params, "persistent"));
	t->start.paused = json_get_bool(params, "paused", false);
	t->made = json_object_get(json_get(params, "made"));
	t->handover = handover_target_found(has_accepted(t));
	if (t->handover == HANDOVER_DECIDED)
		verdict_resume(op->vm->registry->settings.migrations, t->token, target_asked, t);
	t->is_connected = true; /* who knows */
	return 0;
}

static void ended(struct operation *op, const struct error *err)
{
	struct target_operation *t = (struct target_operation *)op;
	_cleanup_free_ char *cookie = err ? NULL : target_make_report(op->vm, t);
	struct error ignored = ERROR_INIT, cancelled = ERROR_INIT;

	/* Its QEMU has ended: it will never run here. */
	if (handover_target_move(&t->handover, HANDOVER_LOST) && t->handover == HANDOVER_GONE && t->token) {
		if (!t->is_connected)
			verdict_forget(op->vm->registry->settings.migrations, t->token);
		verdict_decide(op->vm->registry->settings.migrations, t->token, VERDICT_GONE, &ignored);
	}
	if (!err)
		status_write(op->vm, NULL);
	phase_answer(&t->prepare, NULL, NULL, err);
	if (err && t->is_canceled) {
		error_set(&cancelled, ERROR_MIGRATE_FINISH_OK, "migration of domain '%s' was canceled",
			op->vm->name);
		err = &cancelled;
	}
	phase_answer(&t->finish, err ? NULL : op->vm, &(struct migrate_reply){.cookie = cookie}, err);
}

static void release(struct operation *op)
{
	struct target_operation *t = (struct target_operation *)op;

	sd_event_source_unref(t->timer);
	qemu_img_free(t->maker);
	json_object_put(t->made);
	for (size_t i = 0; i < t->capacities.n; i++)
		free(t->capacities.items[i].target);
	VEC_FREE(&t->capacities);
	if (t->nbd_port != t->options.disks_port)
		ports_give(op->vm->registry->settings.migrations, t->nbd_port);
	if (t->token)
		verdict_release(op->vm->registry->settings.migrations, t->token);
	ports_give(op->vm->registry->settings.migrations, t->port);
	migrate_options_fini(&t->options);
	strv_fini(&t->theirs);
	close_p(&t->stream_fd);
	free(t->lease_state);
	free(t->persistent_xml);
	free(t->listen_uri);
	free(t->source_uri);
	free(t->token);
	start_operation_release(op);
}

const struct operation_type target_operation_type = {
	.job = {.name = "migrate-in",
		.steps = target_steps,
		.n_steps = ARRAY_SIZE(target_steps),
		.commit = TARGET_COMMIT,
		.durable = true,
		.committed = has_accepted,
		.cancel = cancel},
	.verb = "migrate",
	.kind = VM_JOB_MIGRATION_IN,
	.size = sizeof(struct target_operation),
	.encode = encode,
	.decode = decode,
	.finished = ended,
	.fill_info = target_fill_info,
	.release = release,
};

const struct operation_type *const migrate_operation_types[] = {
	&source_operation_type, &target_operation_type, NULL};
