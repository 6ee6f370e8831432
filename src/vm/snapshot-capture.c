/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory and disks of one instant (docs/decisions/snapshot-instant.md). In the best way, of a guest that runs:
 *
 *	shut the gate -> migrate, in the background -> "active": QEMU has touched all memory and stands at the gate
 *	  -> stop -> transaction: overlays on all disks -> open the gate: QEMU saves the devices, write-protects memory, sends pages
 *	  -> the first page has come -> query-status, a fence: QEMU's own going on is over -> cont -> remove the gate
 *
 * Where QEMU cannot, the next way is tried (enum capture_method), and the log says why. None is tried once the guest has gone on: what then
 * fails is the job.
 */
#include "clock.h"
#include "disk-check.h"
#include "hotplug.h"
#include "log.h"
#include "monitor.h"
#include "snapshot-create.h"
#include "vm-lease-internal.h"

static const char *const method_names[] = {
	[CAPTURE_GATE] = "within one short stop",
	[CAPTURE_BACKGROUND] = "stopping the guest before its memory is prepared",
	[CAPTURE_STOPPED] = "stopping the guest until all is written",
	[CAPTURE_LIVE] = "by pre-copy",
};

static void begin(struct snapshot_operation *o);
static void start_stream(struct snapshot_operation *o);
static void switch_disks(struct snapshot_operation *o);
static void go_on(struct snapshot_operation *o);

/* The step is over; what still comes of it is not listened to. */
static void finish(struct snapshot_operation *o, const struct error *err)
{
	struct error failure = ERROR_INIT;

	if (!o->capture.active)
		return;
	o->capture.active = false;
	if (err)
		failure = *err;
	else if (o->capture.failure.code != ERROR_NONE)
		failure = o->capture.failure;
	operation_step_done(&o->op, failure.code != ERROR_NONE ? &failure : NULL);
}

/* The reply to a command without which there is no going on. */
static bool may_continue(struct snapshot_operation *o, const struct error *err)
{
	if (err)
		finish(o, err);
	return o->capture.active;
}

/* ---- another way ---- */

static void dropped(struct operation *op, const struct error *err)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;

	if (may_continue(o, err))
		begin(o);
}

/* What QEMU still has to answer is noted, and followed no further. */
static void fall_back(struct snapshot_operation *o, enum capture_method method, const struct error *why)
{
	struct snapshot_capture *c = &o->capture;
	struct error failure = ERROR_INIT;
	enum step_result r;

	c->method = method;
	c->falling_back = true;
	log_write(LOG_LEVEL_NOTICE, o->op.vm->name, "snapshot-create", "the snapshot is taken %s: %s",
		method_names[c->method], why->message);
	gate_remove(&c->gate, o->op.vm, NULL, NULL);
	r = state_stream_drop(&o->stream, dropped, &failure);
	if (r == STEP_FAILED)
		finish(o, &failure);
	else if (r == STEP_DONE)
		begin(o);
}

/* ---- the guest stands still ---- */

static void stop_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	o->capture.stood = clock_now();
	if (may_continue(o, err) && !o->capture.falling_back)
		switch_disks(o);
}

static void stop_guest(struct snapshot_operation *o)
{
	struct vm *vm = o->op.vm;

	if (vm->state != VM_RUNNING) {
		switch_disks(o);
		return;
	}
	vm->pause_reason = PAUSED_SNAPSHOT;
	o->capture.stopped = clock_now();
	qmp_command(vm->qmp, "stop", NULL, -1, 0, stop_replied, o);
}

static void disks_switched(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct snapshot_capture *c = &o->capture;

	if (!may_continue(o, err))
		return;
	if (c->method == CAPTURE_GATE)
		gate_open(&c->gate);
	c->overlaid = clock_now();
	c->switched = true;
	snapshot_push_overlays(o, o->op.vm->live);
	if (c->falling_back)
		return;
	if (!o->has_memory || c->method == CAPTURE_LIVE)
		go_on(o);
	else if (c->method != CAPTURE_GATE)
		start_stream(o);
}

static void switch_disks(struct snapshot_operation *o)
{
	if (o->capture.switched || o->overlays.n == 0)
		disks_switched(o->op.vm->qmp, NULL, NULL, o);
	else
		qmp_command(
			o->op.vm->qmp, "transaction", snapshot_switch_arguments(o), -1, 0, disks_switched, o);
}

/* ---- and goes on ---- */

static void gate_removed(struct vm *vm, const struct error *err, void *userdata)
{
	finish(userdata, NULL);
}

/* The live definition has said so already; its file was not written while the guest stood still. */
static void settle(struct snapshot_operation *o)
{
	struct vm *vm = o->op.vm;
	struct snapshot_capture *c = &o->capture;
	struct error err = ERROR_INIT;

	if (o->overlays.n > 0 && vm_write_live(vm, &err) < 0)
		finish(o, &err);
	else if (!gate_remove(&c->gate, vm, gate_removed, o))
		finish(o, NULL);
}

static double milliseconds(uint64_t from, uint64_t to)
{
	return from && to > from ? (double)(to - from) / (double)USEC_PER_MSEC : 0;
}

static void tell_gap(const struct vm *vm, const struct snapshot_capture *c)
{
	uint64_t now = clock_now();

	if (c->stopped)
		log_write(LOG_LEVEL_INFO, vm->name, "snapshot-create",
			"the guest stood still for %.1f ms (stopping %.1f, disks %.1f, memory %.1f, going on "
			"%.1f; %s)",
			milliseconds(c->stopped, now), milliseconds(c->stopped, c->stood),
			milliseconds(c->stood, c->overlaid), milliseconds(c->overlaid, c->armed),
			milliseconds(c->armed, now), method_names[c->method]);
}

static void resumed(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct snapshot_capture *c = &o->capture;

	if (!may_continue(o, err))
		return;
	tell_gap(vm, c);
	settle(o);
}

static void activated(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (may_continue(o, NULL))
		settle(o);
}

static bool has_set_active(const struct vm *vm)
{
	const struct qemu_capabilities *caps =
		capability_cache_get(vm->registry->capabilities, vm->live->emulator);

	return caps && capabilities_has_command(caps, "blockdev-set-active");
}

/* A migration that completed has taken the disks from QEMU: where the guest does not go on, nothing else gives them back. */
static void stay(struct snapshot_operation *o)
{
	struct vm *vm = o->op.vm;

	if (o->capture.method >= CAPTURE_STOPPED && o->has_memory && has_set_active(vm))
		qmp_command(vm->qmp, "blockdev-set-active", json_pack("b:active", true, NULL), -1, 0,
			activated, o);
	else
		settle(o);
}

static bool stays_paused(const struct snapshot_operation *o)
{
	return !o->was_running || o->halt || o->pause;
}

static void go_on(struct snapshot_operation *o)
{
	struct vm *vm = o->op.vm;
	struct error err = ERROR_INIT;

	if (stays_paused(o)) {
		stay(o);
	} else if (!o->has_memory && vm->state == VM_RUNNING) {
		settle(o);
	} else {
		vm->resume_reason = RUNNING_UNPAUSED;
		if (vm_run_cpus(vm, resumed, o, &err) < 0)
			finish(o, &err);
	}
}

/* ---- the stream ---- */

/* What QEMU had still to do with the guest's state when it sent the page. */
static void fence_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (may_continue(o, err))
		go_on(o);
}

static void memory_begun(struct operation *op)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct snapshot_capture *c = &o->capture;

	if (!c->active || c->method > CAPTURE_BACKGROUND)
		return;
	c->memory_begun = true;
	c->armed = clock_now();
	qmp_command(op->vm->qmp, "query-status", NULL, -1, 0, fence_replied, o);
}

static void migrating(struct operation *op, const char *status)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct snapshot_capture *c = &o->capture;

	if (c->active && c->method == CAPTURE_GATE && streq(status, "active") && !c->stopped)
		stop_guest(o);
}

static void set_active_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (may_continue(o, NULL))
		switch_disks(o);
}

/* All of it is written. */
static void streamed(struct snapshot_operation *o)
{
	struct vm *vm = o->op.vm;
	struct snapshot_capture *c = &o->capture;

	c->streamed = true;
	if (c->awaits_stream) {
		c->awaits_stream = false;
		operation_step_done(&o->op, NULL);
	} else if (c->active && c->method == CAPTURE_STOPPED) {
		go_on(o);
	} else if (c->active && c->method == CAPTURE_LIVE) {
		c->stopped = clock_now();
		if (has_set_active(vm))
			qmp_command(vm->qmp, "blockdev-set-active", json_pack("b:active", true, NULL), -1, 0,
				set_active_replied, o);
		else
			switch_disks(o);
	}
}

void snapshot_stream_broke(struct snapshot_operation *o, const struct error *err)
{
	struct snapshot_capture *c = &o->capture;

	if (c->active && !c->memory_begun && c->method <= CAPTURE_BACKGROUND && err->code == ERROR_QEMU) {
		fall_back(o, o->live && !c->stopped && !c->switched ? CAPTURE_LIVE : CAPTURE_STOPPED, err);
		return;
	}
	c->failure = *err;
	if (c->active) {
		finish(o, err);
	} else if (c->awaits_stream) {
		c->awaits_stream = false;
		operation_step_done(&o->op, err);
	}
}

static void stream_done(struct operation *op, const struct error *err)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct error why;

	if (o->capture.syncing) {
		operation_step_done(op, err);
	} else if (err) {
		why = *err;
		snapshot_stream_broke(o, &why);
	} else {
		streamed(o);
	}
}

const struct state_stream_ops snapshot_stream_ops = {
	.migrating = migrating, .memory_begun = memory_begun, .done = stream_done};

static void start_stream(struct snapshot_operation *o)
{
	struct error err = ERROR_INIT;

	o->stream.background = o->capture.method <= CAPTURE_BACKGROUND;
	if (state_stream_start(&o->stream, &err) < 0)
		finish(o, &err);
}

/* ---- the steps ---- */

static void gate_is_shut(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (!o->capture.active)
		return;
	if (err && err->code == ERROR_QEMU)
		fall_back(o, CAPTURE_BACKGROUND, err);
	else if (may_continue(o, err))
		start_stream(o);
}

static void begin(struct snapshot_operation *o)
{
	struct snapshot_capture *c = &o->capture;
	struct error err = ERROR_INIT;

	c->falling_back = false;
	switch (c->method) {
	case CAPTURE_GATE:
		if (gate_shut(&c->gate, o->op.vm, gate_is_shut, o, &err) < 0)
			fall_back(o, CAPTURE_BACKGROUND, &err);
		break;
	case CAPTURE_BACKGROUND:
	case CAPTURE_STOPPED:
		stop_guest(o);
		break;
	case CAPTURE_LIVE:
		o->op.vm->pause_reason = PAUSED_SNAPSHOT;
		start_stream(o);
		break;
	}
}

static void qemu_gone(struct operation *op)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "QEMU ended while the snapshot was being taken");
	o->capture.memory_begun = true; /* no other way is tried */
	if (o->stream.transfer)
		state_stream_fail(&o->stream, &err);
	else
		finish(o, &err);
}

/* The best that is possible with this QEMU; what it refuses by itself is found out by asking it. */
static enum capture_method choose_method(const struct snapshot_operation *o)
{
	if (!stays_paused(o) || (o->was_running && has_set_active(o->op.vm)))
		return CAPTURE_GATE;
	/* Before version 10 QEMU lets the guest run behind a background snapshot, whatever it did before. */
	if (has_set_active(o->op.vm))
		return CAPTURE_BACKGROUND;
	log_write(LOG_LEVEL_NOTICE, o->op.vm->name, "snapshot-create",
		"the snapshot is taken %s: this QEMU would let the guest run", method_names[CAPTURE_STOPPED]);
	return CAPTURE_STOPPED;
}

static void status_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (!may_continue(o, err))
		return;
	if (!o->has_memory) {
		(o->pause ? stop_guest : switch_disks)(o);
		return;
	}
	o->was_running = o->op.vm->state == VM_RUNNING;
	o->capture.method = choose_method(o);
	begin(o);
}

enum step_result snapshot_capture(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;

	if (o->was_off || (!o->has_memory && !o->pause && o->overlays.n == 0))
		return STEP_DONE;
	if (!vm->qmp || vm->process_ended) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	o->capture.active = true;
	o->op.on_gone = qemu_gone;
	qmp_command(vm->qmp, "query-status", NULL, -1, 0, status_replied, o);
	return STEP_WAIT;
}

enum step_result snapshot_stream(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct snapshot_capture *c = &o->capture;

	if (!o->has_memory || c->streamed)
		return STEP_DONE;
	if (c->failure.code != ERROR_NONE || !o->op.vm->qmp) {
		if (c->failure.code == ERROR_NONE)
			error_set(&c->failure, ERROR_OPERATION_FAILED, "QEMU is gone");
		*err = c->failure;
		return STEP_FAILED;
	}
	c->awaits_stream = true;
	o->op.on_gone = qemu_gone;
	return STEP_WAIT;
}
