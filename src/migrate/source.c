/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM leaves: the job of the source, as seen from here. What is true behind each step:
 *
 *	offer        a destination has been found, and waits for memory         the guest runs here
 *	copy		disks that the destination does not reach are there, and what the guest writes goes there, too
 *	move         the guest stands still; all but the last of its state is there
 *	end-copies	those disks are there for good
 *	give-leases  nobody holds its leases
 *	pass         it is written down: whether it runs is for the destination to say      <- the commit point
 *	switch-over  QEMU has sent the rest, or failed to
 *	hear         the destination has said what it is
 *	end-qemu     it runs there: QEMU has ended here
 *	come-back    it never will: it has its leases here again and runs
 *	undefine     as asked for
 *	forget       nothing is written down any more, here or there
 *	confirm      whoever carries the phases has confirmed, or is gone
 *
 * Up to `pass` everything is undone by going on here. QEMU itself lets the guest run again when it gives up, before and after: that is right, because
 * what it calls failed has not arrived (qemu-setup.c says why), and for a moment in which leases are missing monitor.c stops the guest.
 */
#include "source.h"

#include <assert.h>
#include <signal.h>

#include "clock.h"
#include "monitor.h"
#include "vm-lease-internal.h"

/* How long leases are waited for, and how often they are asked for, by a VM that comes back. */
#define COME_BACK_USEC	     (60 * USEC_PER_SEC)
#define COME_BACK_PAUSE_USEC (100 * USEC_PER_MSEC)
/* The longest a VM that has gone is kept for the client's confirm. */
#define CONFIRM_USEC (10 * USEC_PER_SEC)

struct source_operation *source_find(const struct vm *vm)
{
	return vm->operation && vm->operation->type == &source_operation_type
		       ? (struct source_operation *)vm->operation
		       : NULL;
}

/* ---- offer ---- */

static void offer_now(struct source_operation *s)
{
	_cleanup_free_ char *cookie = NULL, *xml = NULL;
	struct error err = ERROR_INIT;

	if (source_make_offer(s, &cookie, &xml, &err) < 0) {
		operation_step_done(&s->op, &err);
		return;
	}
	s->awaits_perform = true;
	phase_answer(&s->begin, s->op.vm, &(struct migrate_reply){.cookie = cookie, .xml = xml}, NULL);
}

static void inquired(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;
	struct error failure = ERROR_INIT;

	if (!err)
		replace_string(&s->lease_state, answer->state);
	else
		failure = *err;
	lease_request_free(TAKE_PTR(s->inquiry));
	if (err)
		operation_step_done(&s->op, &failure);
	else
		offer_now(s);
}

static enum step_result ask_leases(struct source_operation *s, struct error *err)
{
	struct vm *vm = s->op.vm;

	return lease_request_start(vm->registry->loop, vm->leases, LEASE_INQUIRE, vm_get_pid(vm), NULL,
		       inquired, s, &s->inquiry, err) < 0
		       ? STEP_FAILED
		       : STEP_WAIT;
}

/* How large are its disks? What is copied must find room. */
static void nodes_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;
	struct vm *vm = s->op.vm;
	struct error failure = ERROR_INIT;

	/* A QEMU that is gone reports itself. */
	if (err)
		return;
	s->block_nodes = json_object_get(ret);
	if (!vm_lease_is_needed(vm) || vm->lease_state != LEASE_HELD)
		offer_now(s);
	else if (ask_leases(s, &failure) == STEP_FAILED)
		operation_step_done(&s->op, &failure);
}

void source_qemu_gone(struct operation *op)
{
	struct source_operation *s = (struct source_operation *)op;
	struct error err = ERROR_INIT;

	s->awaits_perform = s->awaits_copies = false;
	lease_request_free(TAKE_PTR(s->inquiry));
	error_set(&err, ERROR_OPERATION_FAILED, "QEMU ended while the VM was being migrated");
	operation_step_done(op, &err);
}

static enum step_result offer(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (!s->op.vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	s->op.on_gone = source_qemu_gone;
	qmp_command(s->op.vm->qmp, "query-named-block-nodes", json_pack("b:flat", true, NULL), -1, 0,
		nodes_replied, s);
	return STEP_WAIT;
}

/* ---- give-leases ---- */

static void leases_given(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	operation_step_done(userdata, err);
}

static enum step_result give_leases(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	if (!vm_lease_is_needed(vm) || vm->lease_state == LEASE_RELEASED)
		return STEP_DONE;
	return vm_lease_release(vm, leases_given, &s->op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

static enum step_result take_leases(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	if (!vm->qmp || !vm_lease_is_needed(vm) || vm->lease_state != LEASE_RELEASED)
		return STEP_DONE;
	return vm_lease_take(vm, vm->lease_version, leases_given, &s->op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

/* ---- pass: the commit point ---- */

static void hand_over(struct source_operation *s, enum handover_source_event event)
{
	bool moved = handover_source_move(&s->handover, event);

	assert(moved);
}

static enum step_result pass(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (passed_write(s, err) < 0)
		return STEP_FAILED;
	hand_over(s, HANDOVER_PASS);
	return STEP_DONE;
}

static enum step_result unpass(struct job *job, void *context, struct error *err)
{
	return passed_remove(context, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static bool has_passed(void *context)
{
	struct source_operation *s = context;

	return passed_read(s);
}

/* ---- switch-over ---- */

static void answer_perform(struct source_operation *s)
{
	_cleanup_free_ char *cookie = source_make_report(s);

	phase_answer(&s->perform, s->op.vm, &(struct migrate_reply){.cookie = cookie}, NULL);
}

static void figures_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	s->awaits_figures = false;
	if (!err) {
		json_object_put(s->progress);
		s->progress = json_object_get(ret);
	}
	if (s->perform.done && !s->is_postcopy)
		answer_perform(s);
}

static void sent(struct source_operation *s)
{
	/* QEMU knows now how long the guest stood still, which the other side is told. Its guest does not wait for that. */
	s->awaits_figures = s->op.vm->qmp;
	if (s->awaits_figures)
		qmp_command(s->op.vm->qmp, "query-migrate", NULL, -1, 0, figures_replied, s);
	s->op.on_migration = NULL;
	s->is_sent = true;
	operation_step_done(&s->op, NULL);
}

static void failed(struct source_operation *s, const char *why)
{
	s->op.on_migration = NULL;
	/* What has not been sent has not arrived: nobody needs to be asked. */
	if (!s->is_postcopy)
		s->verdict = VERDICT_GONE;
	error_set(&s->op.failure, ERROR_QEMU, "QEMU could not send the last of the state%s%s",
		why ? ": " : "", why ? why : "");
	operation_step_done(&s->op, NULL);
}

static void switch_reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	failed(userdata, json_get_string(ret, "error-desc"));
}

static void switching(struct operation *op, const char *status)
{
	struct source_operation *s = (struct source_operation *)op;

	if (streq(status, "completed")) {
		sent(s);
	} else if (streq(status, "postcopy-active")) {
		/* It runs there, and what is still missing follows. */
		s->is_postcopy = true;
		answer_perform(s);
	} else if (streq(status, "failed") || streq(status, "cancelled")) {
		qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, switch_reason_replied, s);
	}
}

static void continue_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	/* A QEMU that is gone reports itself. */
	if (err && err->code == ERROR_QEMU)
		failed(userdata, err->message);
}

/* After a restart of the daemon QEMU may be past any of it. */
static void switch_state_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;
	const char *status = json_get_string(ret, "status");

	if (err)
		return;
	json_object_put(s->progress);
	s->progress = json_object_get(ret);
	if (streq(status, "pre-switchover"))
		qmp_command(q, "migrate-continue", json_pack("s:state", "pre-switchover", NULL), -1, 0,
			continue_replied, s);
	else if (status)
		switching(&s->op, status);
	else
		failed(s, NULL);
}

/* A QEMU that has ended sends nothing any more; whether it had sent all of it, the destination knows. */
static void switch_gone(struct operation *op)
{
	struct source_operation *s = (struct source_operation *)op;

	s->op.on_migration = NULL;
	error_set(&op->failure, ERROR_OPERATION_FAILED, "QEMU ended while it sent the last of the state");
	operation_step_done(op, NULL);
}

static enum step_result switch_over(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	if (!vm->qmp)
		return STEP_DONE;
	s->op.on_gone = switch_gone;
	s->op.on_migration = switching;
	qmp_command(vm->qmp, "query-migrate", NULL, -1, 0, switch_state_replied, s);
	return STEP_WAIT;
}

/* ---- hear ---- */

static void heard(struct source_operation *s)
{
	struct error err = ERROR_INIT;

	s->awaits_confirm = false;
	s->op.on_gone = NULL;
	verdict_question_free(TAKE_PTR(s->question));
	/* What it has been told it must know again after a restart. */
	operation_step_done(&s->op, passed_write(s, &err) < 0 ? &err : NULL);
}

static void take_word(struct source_operation *s, enum verdict verdict)
{
	/* A godwit says it itself, and its word counts. */
	if (!s->awaits_confirm || s->their_port)
		return;
	s->verdict = verdict;
	heard(s);
}

void source_heard(enum verdict verdict, void *userdata)
{
	struct source_operation *s = userdata;

	s->verdict = verdict;
	heard(s);
}

static struct verdict_address their_address(const struct source_operation *s)
{
	return (struct verdict_address){s->their_host, s->their_port, s->their_place};
}

static enum step_result hear(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	const struct verdict_address where = their_address(s);

	if (s->is_sent && !s->is_postcopy && !s->awaits_figures)
		answer_perform(s);
	if (s->verdict != VERDICT_NONE)
		return passed_write(s, err) < 0 ? STEP_FAILED : STEP_DONE;
	s->awaits_confirm = true;
	if (!s->their_port)
		return s->client ? STEP_WAIT : STEP_DONE;
	if (verdict_ask(s->op.vm->registry->loop, s->op.vm->name, &where, s->token, false, source_heard, s,
		    &s->question, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

/* ---- what follows from it ---- */

static void ended(struct operation *op)
{
	operation_step_done(op, NULL);
}

static enum step_result end_qemu(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	if (s->verdict != VERDICT_RUNS)
		return STEP_DONE;
	hand_over(s, HANDOVER_ANSWER_RUNS);
	if (!vm->process || vm->process_ended) {
		vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_MIGRATED};
		vm->stop_detail = STOPPED_MIGRATED;
		return STEP_DONE;
	}
	s->op.on_gone = ended;
	vm_stop_process(vm, SIGTERM, SHUTOFF_MIGRATED, STOPPED_MIGRATED);
	return STEP_WAIT;
}

static void came_back(struct vm *vm, const struct error *err, void *userdata);

static int come_back_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct source_operation *s = userdata;
	struct error err = ERROR_INIT;

	s->timer = sd_event_source_unref(s->timer);
	if (!s->op.vm->qmp)
		operation_step_done(&s->op, NULL);
	else if (vm_run_cpus(s->op.vm, came_back, s, &err) < 0)
		operation_step_done(&s->op, &err);
	return 0;
}

/* The other side may not yet have let go of the leases. */
static void came_back(struct vm *vm, const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	if (!err || err->code != ERROR_IN_USE || clock_now() > s->come_back_until) {
		operation_step_done(&s->op, err);
		return;
	}
	s->timer = sd_event_source_unref(s->timer);
	sd_event_add_time_relative(
		vm->registry->loop, &s->timer, CLOCK_MONOTONIC, COME_BACK_PAUSE_USEC, 0, come_back_again, s);
}

static enum step_result come_back(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;
	struct vm *vm = s->op.vm;

	if (s->verdict == VERDICT_NONE) {
		error_set(&s->op.failure, ERROR_OPERATION_FAILED,
			"whether it runs on %s is not known: if it does, 'destroy' it here, else 'resume' it",
			s->their_host ? s->their_host : "the other host");
		return STEP_DONE;
	}
	if (s->verdict != VERDICT_GONE)
		return STEP_DONE;
	hand_over(s, HANDOVER_ANSWER_GONE);
	assert(handover_source_may_run(s->handover));
	if (s->op.failure.code == ERROR_NONE)
		error_set(&s->op.failure, ERROR_OPERATION_FAILED, "the destination could not take it");
	if (!vm->qmp)
		return STEP_DONE;
	if (!s->was_running)
		return take_leases(job, context, err);
	/* One that QEMU has let run by itself, without its leases, is just being stopped. */
	if (vm->state == VM_RUNNING && lease_may_run(vm->lease_state))
		return STEP_DONE;
	vm->resume_reason = RUNNING_MIGRATION_CANCELED;
	s->come_back_until = clock_now() + COME_BACK_USEC;
	return vm_run_cpus(vm, came_back, s, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

static enum step_result undefine(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (s->verdict != VERDICT_RUNS || !(s->options.flags & MIGRATE_UNDEFINE_SOURCE))
		return STEP_DONE;
	return vm_remove_definition(s->op.vm, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static void say_understood(struct source_operation *s)
{
	const struct verdict_address where = their_address(s);

	if (s->their_port)
		verdict_understood(s->op.vm->registry->loop, &where, s->token);
	s->their_port = 0;
}

static enum step_result forget(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (passed_remove(s, err) < 0)
		return STEP_FAILED;
	say_understood(s);
	return STEP_DONE;
}

static int confirm_missed(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct source_operation *s = userdata;

	s->timer = sd_event_source_unref(s->timer);
	s->awaits_confirm = false;
	operation_step_done(&s->op, NULL);
	return 0;
}

static enum step_result confirm(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (!s->client || s->is_confirmed || s->verdict != VERDICT_RUNS)
		return STEP_DONE;
	s->awaits_confirm = true;
	s->timer = sd_event_source_unref(s->timer);
	sd_event_add_time_relative(
		s->op.vm->registry->loop, &s->timer, CLOCK_MONOTONIC, CONFIRM_USEC, 0, confirm_missed, s);
	return STEP_WAIT;
}

void source_confirmed(struct source_operation *s, bool cancelled)
{
	struct error ignored = ERROR_INIT;

	s->is_confirmed = true;
	s->was_canceled = cancelled;
	if (cancelled && s->handover == HANDOVER_OWNER)
		(void)job_cancel(s->op.job, &ignored);
	if (!s->awaits_confirm)
		return;
	if (s->verdict == VERDICT_NONE)
		take_word(s, cancelled ? VERDICT_GONE : VERDICT_RUNS);
	else
		confirm_missed(NULL, 0, s);
}

/* ---- the table ---- */

static const struct job_step source_steps[] = {
	{"offer", offer, NULL},
	{"copy", source_copy, source_uncopy},
	{"move", source_move, source_unmove},
	{"end-copies", source_end_copies, NULL},
	{"give-leases", give_leases, take_leases},
	{"pass", pass, unpass},
	{"switch-over", switch_over, NULL},
	{"hear", hear, NULL},
	{"end-qemu", end_qemu, NULL},
	{"come-back", come_back, NULL},
	{"undefine", undefine, NULL},
	{"forget", forget, NULL},
	{"confirm", confirm, NULL},
};

enum { SOURCE_COMMIT = 5 };

static void cancel(struct job *job, void *context)
{
	struct source_operation *s = context;
	struct error err = ERROR_INIT;

	if (s->awaits_perform || s->awaits_copies || s->inquiry) {
		s->awaits_perform = s->awaits_copies = false;
		lease_request_free(TAKE_PTR(s->inquiry));
		error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
		operation_step_done(&s->op, &err);
	} else {
		source_cancel_move(s);
	}
}

void source_client_gone(struct source_operation *s)
{
	struct error ignored = ERROR_INIT;

	s->client = NULL;
	if (s->awaits_confirm && s->verdict == VERDICT_NONE && !s->their_port)
		heard(s);
	else if (s->awaits_confirm && s->verdict != VERDICT_NONE)
		confirm_missed(NULL, 0, s);
	else
		(void)job_cancel(s->op.job, &ignored);
}

static json *encode(const struct operation *op)
{
	const struct source_operation *s = (const struct source_operation *)op;

	return json_pack("s:token", s->token, "b:was_running", s->was_running, "i:flags",
		(int64_t)s->options.flags, NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct source_operation *s = (struct source_operation *)op;

	source_init(s);
	s->token = xstrdup(json_get_string(params, "token"));
	s->was_running = json_get_bool(params, "was_running", false);
	s->options.flags = (unsigned)json_get_int(params, "flags", 0);
	s->handover = handover_source_found(passed_read(s));
	return 0;
}

static void finished(struct operation *op, const struct error *err)
{
	struct source_operation *s = (struct source_operation *)op;

	/* One that never got so far as to ask. */
	if (s->handover == HANDOVER_OWNER)
		say_understood(s);
	source_end_resolve(s, err);
	phase_answer(&s->begin, NULL, NULL, err);
	if (s->awaits_figures && !err)
		answer_perform(s);
	phase_answer(&s->perform, NULL, NULL, err);
	/* A confirm that says "cancelled" is content with a VM that goes on here. */
	phase_answer(&s->confirm, op->vm, NULL, s->was_canceled ? NULL : err);
}

static void release(struct operation *op)
{
	struct source_operation *s = (struct source_operation *)op;

	if (op->vm->qmp)
		qmp_forget(op->vm->qmp, s);
	sd_event_source_unref(s->timer);
	lease_request_free(s->inquiry);
	verdict_question_free(s->question);
	migrate_options_fini(&s->options);
	strv_fini(&s->theirs);
	copies_free(s->copies);
	json_object_put(s->progress);
	json_object_put(s->block_nodes);
	free(s->nbd_host);
	close_p(&s->stream_fd);
	free(s->token);
	free(s->lease_state);
	free(s->uri);
	free(s->their_host);
	free(s->their_place);
}

const struct operation_type source_operation_type = {
	.job = {.name = "migrate-out",
		.steps = source_steps,
		.n_steps = ARRAY_SIZE(source_steps),
		.commit = SOURCE_COMMIT,
		.durable = true,
		.committed = has_passed,
		.cancel = cancel},
	.verb = "migrate",
	.kind = VM_JOB_MIGRATION_OUT,
	.lets_suspend = true,
	.explain = source_explain,
	.size = sizeof(struct source_operation),
	.encode = encode,
	.decode = decode,
	.finished = finished,
	.fill_info = source_fill_info,
	.release = release,
};
