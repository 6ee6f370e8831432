/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The step "move" of a VM that leaves (source.c): its memory on the way, until QEMU stands before the switch-over. */
#include "clock.h"
#include "figures.h"
#include "log.h"
#include "monitor.h"
#include "qemu-setup.h"
#include "source.h"
#include "vm-lease-internal.h"

enum {
	POLL_USEC = 200 * 1000, /* how old the numbers of a migration may be */
	DROP_USEC = 2 * 1000,	/* between questions whether QEMU has let go */
};

static void move_over(struct source_operation *s, const struct error *err)
{
	s->op.on_migration = NULL;
	s->timer = sd_event_source_unref(s->timer);
	if (s->op.vm->qmp)
		qmp_forget(s->op.vm->qmp, s);
	operation_step_done(&s->op, err);
}

/* Best effort: with another limit the migration goes on as well. */
static void limit_downtime(struct source_operation *s, uint64_t ms)
{
	if (s->op.vm->migrate_downtime_ms == 0 && s->op.vm->qmp)
		qmp_command(s->op.vm->qmp, "migrate-set-parameters", json_pack("u:downtime-limit", ms, NULL),
			-1, 0, NULL, NULL);
}

static void progress_replied(struct qmp *q, json *ret, const struct error *err, void *userdata);

static int ask_progress(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct source_operation *s = userdata;

	s->timer = sd_event_source_unref(s->timer);
	if (s->op.vm->qmp)
		qmp_command(s->op.vm->qmp, "query-migrate", NULL, -1, 0, progress_replied, s);
	return 0;
}

static void progress_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	if (err)
		return;
	json_object_put(s->progress);
	s->progress = json_object_get(ret);
	if (downtime_raise(&s->downtime, ret))
		limit_downtime(s, s->downtime.limit_ms);
	if (!s->timer)
		sd_event_add_time_relative(
			s->op.vm->registry->loop, &s->timer, CLOCK_MONOTONIC, POLL_USEC, 0, ask_progress, s);
}

/* QEMU gave up: its own word says why. */
static void reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;
	const char *why = json_get_string(ret, "error-desc");
	struct error failure = ERROR_INIT;

	if (streq(json_get_string(ret, "status"), "cancelled") || job_is_cancelled(s->op.job))
		error_set(&failure, ERROR_OPERATION_ABORTED, "canceled by client");
	else
		error_set(&failure, ERROR_QEMU, "QEMU could not send the state%s%s", why ? ": " : "",
			why ? why : "");
	move_over(s, &failure);
}

static void note_stopped(struct source_operation *s)
{
	if (s->was_running && !s->stopped_ms)
		s->stopped_ms = clock_wall() / USEC_PER_MSEC;
}

static void moving(struct operation *op, const char *status)
{
	struct source_operation *s = (struct source_operation *)op;

	if (streq(status, "pre-switchover")) {
		note_stopped(s);
		move_over(s, NULL);
	} else if (streq(status, "failed") || streq(status, "cancelled")) {
		qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, reason_replied, s);
	}
}

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err && err->code == ERROR_QEMU)
		move_over(userdata, err);
}

static void tell(struct source_operation *s, const char *command, json *arguments)
{
	qmp_command(s->op.vm->qmp, command, arguments, -1, 0, command_replied, s);
}

/* Not before QEMU is set as it must be: without the pause before the switch-over there would be no rule to keep. */
static void setup_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	if (err) {
		command_replied(q, ret, err, s);
		return;
	}
	if (s->was_running && !(s->options.flags & MIGRATE_LIVE)) {
		note_stopped(s);
		tell(s, "stop", NULL);
	}
	if (s->stream_fd >= 0) {
		qmp_command(q, "getfd", json_pack("s:fdname", "migrate", NULL), s->stream_fd, 0,
			command_replied, s);
		close_p(&s->stream_fd);
		s->stream_fd = -1;
	}
	tell(s, "migrate", json_pack("s:uri", s->uri ? s->uri : "fd:migrate", NULL));
	qmp_command(q, "query-migrate", NULL, -1, 0, progress_replied, s);
}

enum step_result source_move(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;
	struct migration_setup setup = {.options = &s->options,
		.caps = capability_cache_get(vm->registry->capabilities, vm->live->emulator),
		.theirs = s->theirs.n > 0 ? &s->theirs : NULL};

	if (!vm->qmp || !setup.caps) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (migration_check_setup(&setup, err) < 0)
		return STEP_FAILED;
	s->was_running = vm->state == VM_RUNNING;
	vm->pause_reason = PAUSED_MIGRATION;
	s->op.on_gone = source_qemu_gone;
	s->op.on_migration = moving;
	tell(s, "migrate-set-parameters", migration_parameters(&setup));
	downtime_begin(&s->downtime);
	limit_downtime(s, s->downtime.limit_ms);
	qmp_command(
		vm->qmp, "migrate-set-capabilities", migration_capabilities(&setup), -1, 0, setup_replied, s);
	return STEP_WAIT;
}

void source_cancel_move(struct source_operation *s)
{
	/* Its end, or the pause before the switch-over, is the step's. */
	if (s->op.on_migration && s->op.vm->qmp)
		qmp_command(s->op.vm->qmp, "migrate_cancel", NULL, -1, 0, NULL, NULL);
}

/* ---- undoing ---- */

static bool must_run(const struct source_operation *s)
{
	const struct vm *vm = s->op.vm;

	return s->was_running && vm->qmp && !vm->process_ended && vm->state == VM_PAUSED &&
	       vm->status.reason == PAUSED_MIGRATION;
}

static void go_on_here(struct source_operation *s)
{
	struct error err = ERROR_INIT;

	if (!must_run(s))
		operation_step_done(&s->op, NULL);
	else if (vm_run_cpus(s->op.vm, operation_vm_done, &s->op, &err) < 0)
		operation_step_done(&s->op, &err);
}

static void ask_dropped(struct source_operation *s);

static int ask_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct source_operation *s = userdata;

	s->timer = sd_event_source_unref(s->timer);
	ask_dropped(s);
	return 0;
}

static void drop_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	static const char *const busy[] = {"setup", "active", "cancelling", "device", "pre-switchover"};
	struct source_operation *s = userdata;
	const char *status = json_get_string(ret, "status");

	for (size_t i = 0; !err && i < ARRAY_SIZE(busy); i++) {
		if (streq(status, busy[i])) {
			sd_event_add_time_relative(s->op.vm->registry->loop, &s->timer, CLOCK_MONOTONIC,
				DROP_USEC, 0, ask_again, s);
			return;
		}
	}
	go_on_here(s);
}

static void ask_dropped(struct source_operation *s)
{
	if (!s->op.vm->qmp)
		operation_step_done(&s->op, NULL);
	else
		qmp_command(s->op.vm->qmp, "query-migrate", NULL, -1, 0, drop_replied, s);
}

static void drop(struct source_operation *s)
{
	struct vm *vm = s->op.vm;

	vm->resume_reason = RUNNING_MIGRATION_CANCELED;
	if (vm->qmp)
		qmp_command(vm->qmp, "migrate_cancel", NULL, -1, 0, NULL, NULL);
	limit_downtime(s, DOWNTIME_MOST_MS);
	ask_dropped(s);
}

static void leases_taken(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	if (err)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err->message);
	drop(userdata);
}

/*
 * QEMU lets the guest run by itself when it had it stopped by itself, and so it must hold its leases before: a daemon that comes after a crash does not
 * know whether it does.
 */
enum step_result source_unmove(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	s->op.on_migration = NULL;
	s->timer = sd_event_source_unref(s->timer);
	if (!vm->qmp || vm->process_ended)
		return STEP_DONE;
	if (!vm_lease_is_needed(vm) || vm->lease_state != LEASE_RELEASED ||
		vm_lease_take(vm, vm->lease_version, leases_taken, s, NULL) < 0)
		drop(s);
	return STEP_WAIT;
}

void source_fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct source_operation *s = (const struct source_operation *)op;

	migration_figures(s->progress, info);
	statistics_figures(&(struct cookie_statistics){.time_elapsed = s->outcome.time_elapsed,
				   .has_downtime = s->outcome.has_downtime,
				   .downtime = s->outcome.downtime,
				   .has_delta = s->outcome.has_delta,
				   .delta_ms = s->outcome.delta_ms},
		info);
	if (!s->copies)
		return;
	copies_get_progress(s->copies, &info->disk_processed, &info->disk_total);
	if (info->disk_total > info->disk_processed)
		info->disk_remaining = info->disk_total - info->disk_processed;
}
