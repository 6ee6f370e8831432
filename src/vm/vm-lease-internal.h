/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM and its leases (lease.h): planned before QEMU is started, taken by the child that becomes it, in its hands until it ends. Who
 * wants the guest's CPUs to run asks vm_run_cpus, and nobody else.
 */
#pragma once

#include "vm-internal.h"
#include "vm-lease.h"

/* For vm->live: what is to be held. */
int vm_lease_plan(struct vm *vm, struct error *err);
/* Is there anything to take? */
bool vm_lease_is_needed(const struct vm *vm);
/* For process_options.work; userdata is the VM. */
int vm_lease_work(struct buf *result, void *userdata, struct error *err);
/* The same for a QEMU that is to have them later (vm_lease_take): another host's has them now. */
int vm_lease_work_later(struct buf *result, void *userdata, struct error *err);

/* The event must be possible in the VM's lease state. */
void vm_lease_event(struct vm *vm, enum lease_event event);
/* A QEMU of an earlier daemon, started with vm->lease_kind and vm->n_leases. */
void vm_lease_adopt(struct vm *vm);
/* QEMU is gone, or was never there. Whoever waits hears of it. */
void vm_lease_forget(struct vm *vm);
/* The daemon ends: whoever waits is forgotten, too. */
void vm_lease_cancel(struct vm *vm);

/*
 * QMP `cont`, once QEMU holds what it must; the reason of the RESUME event is vm->resume_reason. done may be NULL. ERROR_IN_USE: the guest stays
 * as it is. Until it is done the VM is busy (vm_check_verb).
 */
int vm_run_cpus(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);

/*
 * Handing over, for migration. The guest stands still and its disks are inactive. `done` gets the state for the other side; after
 * it, whatever it says, vm_run_cpus takes the leases again first.
 */
typedef void (*vm_lease_done_fn)(struct vm *vm, const char *state, const struct error *err, void *userdata);
int vm_lease_release(struct vm *vm, vm_lease_done_fn done, void *userdata, struct error *err);
/* `state`: of the side that released them; NULL: whoever had them. */
int vm_lease_take(struct vm *vm, const char *state, vm_lease_done_fn done, void *userdata, struct error *err);

/* Whoever has asked vm_inquire_leases gets no answer any more: the daemon ends. */
void registry_forget_inquiries(struct registry *r);

/* ---- lease-loss.c ---- */

/* It was ended because it had lost its leases, and is to run again once it can have them. */
void vm_lease_restart(struct vm *vm);
/* Somebody else says now what becomes of it. Was it to run again? */
bool vm_lease_forget_restart(struct vm *vm);
/* Ask the lock manager whether QEMU holds all it must; if not, sanlock's leases are lost, and lockd's are missed in the log. */
void vm_lease_verify(struct vm *vm);

/* sanlock: become a host of the lockspace, in the background. */
void registry_join_lockspace(struct registry *r);
/* sanlock: notice when its daemon ends, or has ended since one of the VMs took its leases. Anew for each that does. */
void registry_watch_leases(struct registry *r);
void registry_close_leases(struct registry *r);
