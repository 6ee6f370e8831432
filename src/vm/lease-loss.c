/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of a VM that has lost its leases, and how that is noticed.
 *
 * With lockd the kernel keeps them, whatever happens. With sanlock they can be lost while QEMU lives: sanlock then ends QEMU, or,
 * where <on_lockfailure> asks for something else, runs `godwit lease-lost`. When sanlock itself dies its host is to be reset by a
 * watchdog; a host without one would go on, so the daemon keeps a child that notices, and then asks for each VM whether it
 * still holds what it must.
 */
#include <signal.h>

#include "clock.h"
#include "log.h"
#include "monitor.h"
#include "operation.h"
#include "vm-lease-internal.h"

/* A VM that is to start anew may find its lease still held, or sanlock still away. */
#define RESTART_USEC (5 * USEC_PER_SEC)
/* How long a guest may take to stand still before it is ended. */
#define PAUSE_USEC (10 * USEC_PER_SEC)
/* A watch that ends sooner has watched nothing: the next begins after a pause, longer each time. */
#define WATCH_USEC	 USEC_PER_SEC
#define WATCH_PAUSE_USEC (60 * USEC_PER_SEC)

/* ---- pause ---- */

static void released(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	struct stop_waiter waiter = *(struct stop_waiter *)userdata;

	/* Whether sanlock could be told or not: the guest stands still. */
	free(userdata);
	if (waiter.done)
		waiter.done(vm, NULL, waiter.userdata);
}

static void stopped(struct vm *vm, const struct error *err, void *userdata)
{
	struct error failure = ERROR_INIT;

	vm->end_timer = sd_event_source_disable_unref(vm->end_timer);
	if (!err && vm_lease_release(vm, released, userdata, &failure) == 0)
		return;
	if (vm->process) {
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "%s cannot be paused: %s", vm->name,
			err ? err->message : failure.message);
		vm_stop_process(vm, SIGKILL, SHUTOFF_FAILED, STOPPED_FAILED);
	}
	released(vm, "", NULL, userdata);
}

static void pause_guest(struct vm *vm, vm_done_fn done, void *userdata)
{
	struct stop_waiter *waiter = NEW(struct stop_waiter);

	*waiter = (struct stop_waiter){.done = done, .userdata = userdata};
	vm->pause_reason = PAUSED_USER; /* as libvirt's helper, which calls virDomainSuspend */
	/* QEMU flushes its disks first, and they may never answer. */
	vm_kill_after(vm, PAUSE_USEC);
	vm_command(vm, "stop", NULL, stopped, waiter);
}

/* ---- restart ---- */

static int try_restart(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct vm *vm = userdata;

	vm->restart_timer = sd_event_source_disable_unref(vm->restart_timer);
	if (vm->state == VM_OFF && !vm->operation)
		vm_lease_restart(vm);
	return 0;
}

static void restarted(struct vm *vm, const struct error *err, void *userdata)
{
	if (!err)
		log_write(LOG_LEVEL_NOTICE, vm->name, NULL, "%s runs again, with its leases", vm->name);
	else if (err->code != ERROR_OPERATION_ABORTED && vm->registry) {
		vm_lease_forget_restart(vm);
		sd_event_add_time_relative(vm->registry->loop, &vm->restart_timer, CLOCK_MONOTONIC,
			RESTART_USEC, 0, try_restart, vm);
	}
}

void vm_lease_restart(struct vm *vm)
{
	struct error err = ERROR_INIT;

	vm->restart_when_off = false;
	if (!vm->persistent) {
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "%s cannot be started again: it was not defined",
			vm->name);
	} else if (vm_start(vm, &(struct vm_start_options){0}, restarted, NULL, &err) < 0) {
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "start %s again: %s", vm->name, err.message);
		restarted(vm, &err, NULL);
	}
}

bool vm_lease_forget_restart(struct vm *vm)
{
	bool was_coming = vm->restart_when_off || vm->restart_timer;

	vm->restart_when_off = false;
	vm->restart_timer = sd_event_source_disable_unref(vm->restart_timer);
	return was_coming;
}

/* ---- lost ---- */

int vm_lose_leases(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	enum lockfailure_action action = vm->live ? vm->live->on_lockfailure : LOCKFAILURE_DEFAULT;

	if (!vm_lease_is_needed(vm) || vm->lease_kind != LEASE_KIND_SANLOCK)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' has no leases that could be lost",
			vm->name);
	if (vm->lease_state != LEASE_HELD)
		return error_set(err, ERROR_OPERATION_INVALID, "the leases of domain '%s' are %s", vm->name,
			lease_state_name(vm->lease_state));
	vm_lease_event(vm, LEASE_EVENT_LOST);
	log_write(LOG_LEVEL_ERROR, vm->name, NULL, "%s has lost its leases: %s", vm->name,
		action == LOCKFAILURE_PAUSE	? "pausing it"
		: action == LOCKFAILURE_RESTART ? "ending it, to start it again"
						: "ending it");
	if (action == LOCKFAILURE_PAUSE && vm->qmp) {
		pause_guest(vm, done, userdata);
		return 0;
	}
	/* Not over the head of whoever is ending it already. */
	vm->restart_when_off = action == LOCKFAILURE_RESTART && !vm->stopping;
	VEC_ADD(&vm->stop_waiters, ((struct stop_waiter){.done = done, .userdata = userdata}));
	/* SIGKILL: a QEMU that may flush would write. */
	vm_stop_process(vm, SIGKILL, SHUTOFF_FAILED, STOPPED_FAILED);
	return 0;
}

/* ---- is it still held? ---- */

/*
 * What the kernel keeps cannot be lost. This QEMU was started before its leases were asked for in the configuration, its
 * disk has been renamed, or nobody could look: no reason to end a guest that runs.
 */
static void warn_of_missing(struct vm *vm, size_t n_held, const struct error *err)
{
	if (err)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "ask for the leases of %s: %s", vm->name,
			err->message);
	else
		log_write(LOG_LEVEL_WARNING, vm->name, NULL,
			"%s runs with %zu of the %zu leases it should have, until it is started again",
			vm->name, n_held, vm->leases->items.n);
}

static void verified(struct vm *vm, size_t n_held, const struct error *err, void *userdata)
{
	struct error ignored = ERROR_INIT;

	if (vm->lease_state != LEASE_HELD)
		return;
	if (!err && n_held < vm->leases->items.n && vm->lease_kind == LEASE_KIND_SANLOCK) {
		vm_lose_leases(vm, NULL, NULL, &ignored);
		return;
	}
	if (err || n_held < vm->leases->items.n)
		warn_of_missing(vm, n_held, err);
	/* Also after an error: a sanlock that is just dying is found dead by this, and the question is asked again. */
	if (!vm->registry->lease_watch && !vm->registry->watch_timer)
		registry_watch_leases(vm->registry);
}

void vm_lease_verify(struct vm *vm)
{
	struct error err = ERROR_INIT;

	if (vm_inquire_leases(vm, verified, NULL, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "ask for the leases of %s: %s", vm->name,
			err.message);
}

static void verify_all(struct registry *r)
{
	VEC_FOREACH (vm, &r->vms) {
		if (vm->lease_state == LEASE_HELD && vm_lease_is_needed(vm))
			vm_lease_verify(vm);
	}
}

static int watch_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct registry *r = userdata;

	r->watch_timer = sd_event_source_disable_unref(r->watch_timer);
	verify_all(r);
	return 0;
}

static void watch_ended(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct registry *r = userdata;
	bool watched = clock_now() - r->watch_began >= WATCH_USEC;

	lease_request_free(r->lease_watch);
	r->lease_watch = NULL;
	if (watched || r->watch_pause_usec == 0) {
		log_warning("%s", err ? err->message : "the watch over leases has ended");
		r->watch_pause_usec = watched ? 0 : WATCH_USEC;
		verify_all(r);
		return;
	}
	/* All was well, and still it did not last. */
	sd_event_add_time_relative(
		r->loop, &r->watch_timer, CLOCK_MONOTONIC, r->watch_pause_usec, 0, watch_again, r);
	if (r->watch_pause_usec < WATCH_PAUSE_USEC)
		r->watch_pause_usec *= 2;
}

void registry_watch_leases(struct registry *r)
{
	_cleanup_(lease_set_free_p) struct lease_set *all = lease_set_new(&r->settings.leases);
	struct error err = ERROR_INIT;

	if (r->settings.leases.kind != LEASE_KIND_SANLOCK)
		return;
	VEC_FOREACH (vm, &r->vms) {
		if (vm->lease_state == LEASE_HELD && vm_lease_is_needed(vm))
			VEC_ADD(&all->holders, ((struct lease_holder){vm_get_pid(vm), vm->leases->items.n}));
	}
	lease_request_free(r->lease_watch);
	r->lease_watch = NULL;
	r->watch_timer = sd_event_source_disable_unref(r->watch_timer);
	r->watch_began = clock_now();
	if (lease_request_start(r->loop, all, LEASE_WATCH, 0, NULL, watch_ended, r, &r->lease_watch, &err) <
		0)
		log_warning("watch over leases: %s", err.message);
}

/* ---- the lockspace ---- */

static void joined(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct registry *r = userdata;

	lease_request_free(r->lease_join);
	r->lease_join = NULL;
	/* Each start tries again, and says so. */
	if (err)
		log_warning("%s", err->message);
	else
		log_info("this host has joined the lockspace for disks");
}

void registry_join_lockspace(struct registry *r)
{
	_cleanup_(lease_set_free_p) struct lease_set *none = lease_set_new(&r->settings.leases);
	struct error err = ERROR_INIT;

	if (r->settings.leases.kind != LEASE_KIND_SANLOCK || !r->settings.leases.auto_disk_leases)
		return;
	if (lease_request_start(r->loop, none, LEASE_JOIN, 0, NULL, joined, r, &r->lease_join, &err) < 0)
		log_warning("join the lockspace: %s", err.message);
}

void registry_close_leases(struct registry *r)
{
	registry_forget_inquiries(r);
	lease_request_free(r->lease_watch);
	lease_request_free(r->lease_join);
	r->lease_watch = r->lease_join = NULL;
	r->watch_timer = sd_event_source_disable_unref(r->watch_timer);
}
