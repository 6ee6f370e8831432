/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Freezing a guest for a job, and thawing it whatever happens.
 *
 *     vm_freeze:  guest-fsfreeze-status --thawed--> note it in the status file --> guest-fsfreeze-freeze --> done
 *                          `--frozen--> done: by a user, or by this job before a crash
 *     vm_thaw:    guest-fsfreeze-thaw --> take the note away --> done
 *
 * The note is what counts. It is taken away only when the agent has said that the guest is thawed; to thaw what is not frozen does no harm.
 */
#include "quiesce.h"

#include "clock.h"
#include "log.h"
#include "operation.h"
#include "vm-agent.h"
#include "vm-internal.h"

#define TRY_AGAIN_MAX_SECONDS 60u

/* ---- answering ---- */

static int try_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct vm *vm = userdata;

	vm->quiesce.later = sd_event_source_disable_unref(vm->quiesce.later);
	quiesce_settle(vm);
	return 0;
}

static void try_later(struct vm *vm)
{
	struct quiesce *q = &vm->quiesce;
	uint64_t pause = q->tries < 6 ? 1u << q->tries : TRY_AGAIN_MAX_SECONDS;

	q->later = sd_event_source_disable_unref(q->later);
	sd_event_add_time_relative(
		vm->registry->loop, &q->later, CLOCK_MONOTONIC, pause * USEC_PER_SEC, 0, try_again, vm);
}

/* Who waits; a thawing that nobody waits for goes on. A job that was told of a failure ends, and then vm_settle() comes here. */
static void tell(struct vm *vm, const struct error *err)
{
	struct quiesce *q = &vm->quiesce;
	vm_done_fn done = TAKE_PTR(q->done);

	q->is_busy = false;
	json_object_put(TAKE_PTR(q->mountpoints));
	if (done)
		done(vm, err, q->userdata);
	else if (err && q->is_frozen)
		try_later(vm);
}

static int on_later(sd_event_source *s, void *userdata)
{
	struct vm *vm = userdata;

	vm->quiesce.later = sd_event_source_disable_unref(vm->quiesce.later);
	tell(vm, NULL);
	return 0;
}

static void tell_later(struct vm *vm)
{
	struct quiesce *q = &vm->quiesce;

	q->later = sd_event_source_disable_unref(q->later);
	sd_event_add_defer(vm->registry->loop, &q->later, on_later, vm);
}

/* ---- freezing ---- */

static void freeze_replied(json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	/* An agent that refuses has frozen nothing, or thawed it again (qemu-ga's qmp_guest_fsfreeze_freeze). */
	if (err && err->code == ERROR_AGENT_REFUSED)
		quiesce_forget(vm);
	if (!err)
		log_write(LOG_LEVEL_INFO, vm->name, NULL, "%s has frozen its filesystems: %lld", vm->name,
			(long long)json_object_get_int64(ret));
	tell(vm, err);
}

static int freeze(struct vm *vm, struct error *err)
{
	struct quiesce *q = &vm->quiesce;
	json *list = TAKE_PTR(q->mountpoints);

	q->is_frozen = true;
	if (status_write(vm, err) < 0) {
		json_object_put(list);
		q->is_frozen = false;
		return -1;
	}
	return vm_agent_command(vm, list ? "guest-fsfreeze-freeze-list" : "guest-fsfreeze-freeze",
		list ? json_pack("o:mountpoints", list, NULL) : NULL, FREEZE_SECONDS, freeze_replied, vm,
		err);
}

static void freeze_status_replied(json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		return tell(vm, err);
	if (json_object_is_type(ret, json_type_string) && streq(json_object_get_string(ret), "frozen"))
		return tell(vm, NULL);
	if (freeze(vm, &failure) < 0)
		tell(vm, &failure);
}

int vm_freeze(struct vm *vm, json *mountpoints, vm_done_fn done, void *userdata, struct error *err)
{
	struct quiesce *q = &vm->quiesce;

	if (q->is_busy) {
		json_object_put(mountpoints);
		return error_set(err, ERROR_BUSY, "cannot freeze %s: it is just being thawed", vm->name);
	}
	if (vm_agent_command(
		    vm, "guest-fsfreeze-status", NULL, AGENT_DEFAULT, freeze_status_replied, vm, err) < 0) {
		json_object_put(mountpoints);
		return -1;
	}
	q->is_busy = true;
	q->mountpoints = mountpoints;
	q->done = done;
	q->userdata = userdata;
	return 0;
}

int vm_check_freeze(const struct vm *vm, struct error *err)
{
	if (vm->quiesce.is_frozen && vm->operation)
		return error_set(err, ERROR_BUSY, "job '%s' has frozen the filesystems of %s",
			vm->operation->type->job.name, vm->name);
	return 0;
}

/* ---- thawing ---- */

static void thaw_replied(json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;
	struct quiesce *q = &vm->quiesce;

	if (err) {
		log_write(q->tries > 1 ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, vm->name, NULL,
			"%s is to thaw its filesystems: %s", vm->name, err->message);
		return tell(vm, err);
	}
	q->is_frozen = false;
	q->tries = 0;
	status_write(vm, NULL);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "%s has thawed its filesystems", vm->name);
	tell(vm, NULL);
}

static int ask_to_thaw(struct vm *vm, struct error *err)
{
	vm->quiesce.tries++;
	if (vm_agent_command(vm, "guest-fsfreeze-thaw", NULL, FREEZE_SECONDS, thaw_replied, vm, err) < 0)
		return -1;
	vm->quiesce.is_busy = true;
	return 0;
}

int vm_thaw(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	struct quiesce *q = &vm->quiesce;

	if (q->done)
		return error_set(
			err, ERROR_BUSY, "cannot thaw %s: it is just being frozen or thawed", vm->name);
	if (vm->process_ended || vm->monitor_ended)
		quiesce_forget(vm);
	if (!q->is_busy && q->is_frozen && ask_to_thaw(vm, err) < 0)
		return -1;
	if (!q->is_busy)
		tell_later(vm);
	q->is_busy = true;
	q->done = done;
	q->userdata = userdata;
	return 0;
}

void quiesce_settle(struct vm *vm)
{
	struct quiesce *q = &vm->quiesce;

	if (q->is_frozen && !q->is_busy && !q->later && !vm->operation && vm->state == VM_RUNNING &&
		ask_to_thaw(vm, NULL) < 0)
		try_later(vm);
}

void quiesce_hurry(struct vm *vm)
{
	struct quiesce *q = &vm->quiesce;

	if (q->is_busy)
		return;
	q->later = sd_event_source_disable_unref(q->later);
	quiesce_settle(vm);
}

void quiesce_forget(struct vm *vm)
{
	struct quiesce *q = &vm->quiesce;

	if (!q->is_frozen)
		return;
	q->is_frozen = false;
	q->tries = 0;
	if (!q->is_busy)
		q->later = sd_event_source_disable_unref(q->later);
	status_write(vm, NULL);
}

void quiesce_fini(struct quiesce *q)
{
	q->later = sd_event_source_disable_unref(q->later);
	json_object_put(q->mountpoints);
}
