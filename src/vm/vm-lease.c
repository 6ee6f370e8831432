/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a VM's leases are taken, given up and taken again. */
#include "vm-lease-internal.h"

#include <assert.h>

#include "log.h"
#include "monitor.h"
#include "park.h"

/* One thing at a time is done about a VM's leases. */
struct lease_work {
	struct lease_request *request;
	vm_lease_done_fn done;
	void *userdata;
};

void vm_lease_event(struct vm *vm, enum lease_event event)
{
	enum lease_state before = vm->lease_state;
	bool moved = lease_state_move(&vm->lease_state, event);

	assert(moved);
	if (before != vm->lease_state)
		log_write(LOG_LEVEL_DEBUG, vm->name, NULL, "leases of %s: %s -> %s", vm->name,
			lease_state_name(before), lease_state_name(vm->lease_state));
	if (vm->lease_state == LEASE_HELD) {
		vm->leases_given = false;
		replace_string(&vm->lease_version, NULL);
		if (vm->parked)
			parked_pass_leases(vm->parked);
		if (vm_lease_is_needed(vm))
			registry_watch_leases(vm->registry);
	}
}

/* ---- start, adoption, end ---- */

int vm_lease_plan(struct vm *vm, struct error *err)
{
	lease_set_free(vm->leases);
	vm->leases = NULL;
	vm->lease_kind = vm->registry->settings.leases.kind;
	if (lease_plan(&vm->registry->settings.leases, vm->live, &vm->leases, err) < 0)
		return -1;
	vm->n_leases = vm->leases->items.n;
	return 0;
}

bool vm_lease_is_needed(const struct vm *vm)
{
	return vm->leases && vm->leases->items.n > 0;
}

int vm_lease_work(struct buf *result, void *userdata, struct error *err)
{
	struct vm *vm = userdata;

	return lease_take_here(vm->leases, true, err);
}

int vm_lease_work_later(struct buf *result, void *userdata, struct error *err)
{
	struct vm *vm = userdata;

	return lease_take_here(vm->leases, false, err);
}

/* The leases of a QEMU that an earlier daemon started, if they are what today's configuration would have it hold. */
static int plan_adopted(struct vm *vm, struct error *err)
{
	enum lease_kind kind = vm->lease_kind;
	size_t n = vm->n_leases;

	if (kind != vm->registry->settings.leases.kind)
		return error_set(err, ERROR_OPERATION_FAILED, "it was started with lock_manager \"%s\"",
			lease_kind_name(kind));
	if (vm_lease_plan(vm, err) < 0)
		return -1;
	if (vm->n_leases == n)
		return 0;
	lease_set_free(vm->leases);
	vm->leases = NULL;
	vm->n_leases = n;
	return error_set(err, ERROR_OPERATION_FAILED, "it was started with %zu leases", n);
}

/* A QEMU that stands still and has it all needs not ask for it again. */
static void found(struct vm *vm, size_t n_held, const struct error *err, void *userdata)
{
	if (err || vm->lease_state != LEASE_RELEASED || vm->lease_work || n_held < vm->leases->items.n)
		return;
	vm_lease_event(vm, LEASE_EVENT_TAKE);
	vm_lease_event(vm, LEASE_EVENT_GRANTED);
	status_write(vm, NULL);
}

void vm_lease_adopt(struct vm *vm)
{
	struct error err = ERROR_INIT;
	bool is_planned = plan_adopted(vm, &err) == 0;

	if (!is_planned)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL,
			"leases of %s stay as they are until it is started again: %s", vm->name, err.message);
	/* What was given back may be somebody else's by now, whatever the configuration has become. */
	if (vm->state != VM_RUNNING && (vm_lease_is_needed(vm) || vm->leases_given))
		vm_lease_event(vm, LEASE_EVENT_FOUND_STOPPED);
	else
		vm_lease_event(vm, LEASE_EVENT_FOUND_RUNNING);
	if (!vm_lease_is_needed(vm))
		return;
	if (vm->lease_state == LEASE_HELD)
		vm_lease_verify(vm);
	else if (!vm->leases_given && vm_inquire_leases(vm, found, NULL, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
}

static struct lease_work take_work(struct vm *vm)
{
	struct lease_work work = *vm->lease_work;

	free(vm->lease_work);
	vm->lease_work = NULL;
	return work;
}

void vm_lease_cancel(struct vm *vm)
{
	if (vm->lease_work)
		lease_request_free(take_work(vm).request);
}

void vm_lease_forget(struct vm *vm)
{
	struct lease_work work = {0};
	struct error err = ERROR_INIT;

	lease_set_free(vm->leases);
	vm->leases = NULL;
	vm->n_leases = 0;
	vm->leases_given = false;
	replace_string(&vm->lease_version, NULL);
	vm_lease_event(vm, LEASE_EVENT_GONE);
	if (!vm->lease_work)
		return;
	work = take_work(vm);
	lease_request_free(work.request);
	error_set(&err, ERROR_OPERATION_FAILED, "QEMU is gone");
	if (work.done)
		work.done(vm, "", &err, work.userdata);
}

/* ---- handing over ---- */

static int begin_work(struct vm *vm, enum lease_operation operation, const char *state,
	lease_done_fn finished, vm_lease_done_fn done, void *userdata, struct error *err)
{
	struct lease_work *work = NEW(struct lease_work);

	*work = (struct lease_work){.done = done, .userdata = userdata};
	if (lease_request_start(vm->registry->loop, vm->leases, operation, vm_get_pid(vm), state, finished,
		    vm, &work->request, err) < 0) {
		free(work);
		return -1;
	}
	vm->lease_work = work;
	return 0;
}

static void end_work(
	struct vm *vm, enum lease_event event, const struct lease_answer *answer, const struct error *err)
{
	struct lease_work work = take_work(vm);

	vm_lease_event(vm, event);
	vm_ref(vm);
	if (work.done)
		work.done(vm, answer->state, err, work.userdata);
	vm_unref(vm);
	lease_request_free(work.request);
}

static void taken(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	end_work(userdata, err ? LEASE_EVENT_REFUSED : LEASE_EVENT_GRANTED, answer, err);
}

static void released(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	if (!err)
		replace_string(&vm->lease_version, answer->state);
	status_write(vm, NULL);
	end_work(userdata, LEASE_EVENT_RELEASED, answer, err);
}

static int check_idle(const struct vm *vm, struct error *err)
{
	if (!vm->lease_work)
		return 0;
	return error_set(err, ERROR_BUSY, "the leases of domain '%s' are just being %s", vm->name,
		vm->lease_state == LEASE_RELEASING ? "released" : "taken");
}

int vm_lease_release(struct vm *vm, vm_lease_done_fn done, void *userdata, struct error *err)
{
	if (check_idle(vm, err) < 0)
		return -1;
	if (vm->lease_state != LEASE_HELD && vm->lease_state != LEASE_LOST)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' holds no leases", vm->name);
	if (vm->state == VM_RUNNING)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' runs", vm->name);
	/* Written down first: a daemon that comes after this one must know. */
	vm->leases_given = true;
	if (status_write(vm, err) < 0 ||
		begin_work(vm, LEASE_RELEASE, NULL, released, done, userdata, err) < 0) {
		vm->leases_given = false;
		return -1;
	}
	vm_lease_event(vm, LEASE_EVENT_RELEASE);
	return 0;
}

int vm_lease_take(struct vm *vm, const char *state, vm_lease_done_fn done, void *userdata, struct error *err)
{
	if (check_idle(vm, err) < 0)
		return -1;
	if (vm->lease_state != LEASE_RELEASED)
		return error_set(err, ERROR_OPERATION_INVALID, "the leases of domain '%s' are %s", vm->name,
			lease_state_name(vm->lease_state));
	if (!vm->leases)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' was made to give its leases back, under lock_manager \"%s\": destroy "
			"it, or "
			"have that lock manager again",
			vm->name, lease_kind_name(vm->lease_kind));
	if (begin_work(vm, LEASE_ACQUIRE, state, taken, done, userdata, err) < 0)
		return -1;
	vm_lease_event(vm, LEASE_EVENT_TAKE);
	return 0;
}

/* ---- running ---- */

struct run_request {
	vm_done_fn done;
	void *userdata;
};

static void taken_to_run(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	struct run_request run = *(struct run_request *)userdata;
	struct error gone = ERROR_INIT;

	free(userdata);
	if (!err && !vm->qmp) {
		error_set(&gone, ERROR_OPERATION_FAILED, "QEMU is gone");
		err = &gone;
	}
	if (!err)
		vm_command(vm, "cont", NULL, run.done, run.userdata);
	else if (run.done)
		run.done(vm, err, run.userdata);
	else
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "%s stays paused: %s", vm->name, err->message);
}

int vm_run_cpus(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	struct run_request *run;

	if (lease_may_run(vm->lease_state)) {
		vm_command(vm, "cont", NULL, done, userdata);
		return 0;
	}
	if (vm->lease_state == LEASE_LOST)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' has lost its leases: destroy it, or save it, and start it again",
			vm->name);
	run = NEW(struct run_request);
	*run = (struct run_request){done, userdata};
	/* With the version of when they were given back: memory must not go over disks that others have used. */
	if (vm_lease_take(vm, vm->lease_version, taken_to_run, run, err) < 0) {
		free(run);
		return -1;
	}
	return 0;
}

/* ---- what is held ---- */

struct lease_inquiry {
	struct vm *vm;
	pid_t pid; /* of whom it is asked: the VM may have another QEMU by the time of the answer */
	struct lease_request *request;
	size_t n; /* of how many */
	vm_held_fn done;
	void *userdata;
};

static void inquiry_free(struct lease_inquiry *inquiry)
{
	lease_request_free(inquiry->request);
	vm_unref(inquiry->vm);
	free(inquiry);
}

static int ask(struct lease_inquiry *inquiry, struct error *err);

static void inquired(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct lease_inquiry *inquiry = userdata;
	struct vm *vm = inquiry->vm;
	struct registry *r = vm->registry;
	struct error failure = ERROR_INIT;

	/* A disk came or went meanwhile: the answer is not to the question any more. */
	if (!err && vm->leases && vm->leases->items.n != inquiry->n) {
		lease_request_free(TAKE_PTR(inquiry->request));
		if (ask(inquiry, &failure) == 0)
			return;
		err = &failure;
	}
	for (size_t i = 0; i < r->lease_inquiries.n; i++)
		if (r->lease_inquiries.items[i] == inquiry)
			VEC_REMOVE(&r->lease_inquiries, i);
	if (vm_get_pid(vm) != inquiry->pid) {
		error_set(&failure, ERROR_OPERATION_FAILED, "QEMU is gone");
		err = &failure;
	}
	inquiry->done(vm, answer->n_held, err, inquiry->userdata);
	inquiry_free(inquiry);
}

static int ask(struct lease_inquiry *inquiry, struct error *err)
{
	struct vm *vm = inquiry->vm;

	inquiry->n = vm->leases->items.n;
	return lease_request_start(vm->registry->loop, vm->leases, LEASE_INQUIRE, vm_get_pid(vm), NULL,
		inquired, inquiry, &inquiry->request, err);
}

int vm_inquire_leases(struct vm *vm, vm_held_fn done, void *userdata, struct error *err)
{
	struct lease_inquiry *inquiry;

	if (!vm->leases)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the leases of domain '%s' are not this lock manager's: it was started with \"%s\"",
			vm->name, lease_kind_name(vm->lease_kind));
	inquiry = NEW(struct lease_inquiry);
	*inquiry = (struct lease_inquiry){
		.vm = vm_ref(vm), .pid = vm_get_pid(vm), .done = done, .userdata = userdata};
	if (ask(inquiry, err) < 0) {
		inquiry_free(inquiry);
		return -1;
	}
	VEC_ADD(&vm->registry->lease_inquiries, inquiry);
	return 0;
}

void registry_forget_inquiries(struct registry *r)
{
	VEC_FOREACH (inquiry, &r->lease_inquiries)
		inquiry_free(inquiry);
	VEC_FREE(&r->lease_inquiries);
}

const struct lease_set *vm_get_leases(const struct vm *vm)
{
	return vm->leases;
}

enum lease_kind vm_get_lease_kind(const struct vm *vm)
{
	return vm->lease_kind;
}

enum lease_state vm_get_lease_state(const struct vm *vm)
{
	return vm->lease_state;
}
