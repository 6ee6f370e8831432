/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs that are one command to QEMU: suspend, resume, power button, reset, NMI; and destroy. */
#include <signal.h>

#include "monitor.h"
#include "operation.h"
#include "paging.h"
#include "vm-lease-internal.h"

static int need_monitor(struct vm *vm, enum vm_verb verb, struct error *err)
{
	if (vm_check_verb(vm, verb, err) < 0)
		return -1;
	if (!vm->qmp)
		return error_set(
			err, ERROR_OPERATION_FAILED, "monitor of domain '%s' is not connected", vm->name);
	return 0;
}

/* Some verbs may find that there is nothing to do; their answer still comes from the loop. */
static int answer_later(struct vm *vm, vm_done_fn done, void *userdata)
{
	vm_command(vm, "query-status", NULL, done, userdata);
	return 0;
}

int vm_suspend(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	if (need_monitor(vm, VERB_SUSPEND, err) < 0)
		return -1;
	if (vm->state == VM_PAUSED)
		return answer_later(vm, done, userdata);
	vm->pause_reason = PAUSED_USER;
	vm_command(vm, "stop", NULL, done, userdata);
	return 0;
}

int vm_resume(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	/* Whatever job is at work, it can only go on when its memory does. */
	if (vm->qmp && vm->paging && vm->paging->trouble.code != ERROR_NONE)
		return paging_resume(vm->paging, done, userdata, err);
	if (need_monitor(vm, VERB_RESUME, err) < 0)
		return -1;
	if (vm->state == VM_RUNNING)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is already running", vm->name);
	vm->resume_reason = RUNNING_UNPAUSED;
	return vm_run_cpus(vm, done, userdata, err);
}

static int press_power_button(struct vm *vm, bool reboot, vm_done_fn done, void *userdata, struct error *err)
{
	if (need_monitor(vm, VERB_SHUTDOWN, err) < 0)
		return -1;
	vm->reboot_requested = reboot;
	status_write(vm, NULL);
	vm_command(vm, "system_powerdown", NULL, done, userdata);
	return 0;
}

int vm_shutdown(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	return press_power_button(vm, false, done, userdata, err);
}

/* The guest shuts down by its power button; when it has, it is reset instead of ended (monitor.c). */
int vm_reboot(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	return press_power_button(vm, true, done, userdata, err);
}

int vm_reset(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	if (need_monitor(vm, VERB_RESET, err) < 0)
		return -1;
	vm_command(vm, "system_reset", NULL, done, userdata);
	return 0;
}

int vm_inject_nmi(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	if (need_monitor(vm, VERB_RESET, err) < 0)
		return -1;
	vm_command(vm, "inject-nmi", NULL, done, userdata);
	return 0;
}

/* ---- destroy: beside any job, which then fails and undoes itself ---- */

int vm_destroy(struct vm *vm, bool graceful, vm_done_fn done, void *userdata, struct error *err)
{
	if (vm_lease_forget_restart(vm) && vm->state == VM_OFF)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is not running, and will not be started again by itself now", vm->name);
	if (vm_check_verb(vm, VERB_DESTROY, err) < 0)
		return -1;
	if (!vm->process) {
		/* Starting, and no QEMU yet: the start is called off, and what waits for the end hears of it. */
		if (!vm->operation || job_cancel(vm->operation->job, err) < 0)
			return error_set(
				err, ERROR_BUSY, "cannot destroy %s: it has no QEMU to end yet", vm->name);
	}
	VEC_ADD(&vm->stop_waiters, ((struct stop_waiter){.done = done, .userdata = userdata}));
	if (!vm->stopping)
		vm_stop_process(vm, SIGTERM, SHUTOFF_DESTROYED, STOPPED_DESTROYED);
	return 0;
}
