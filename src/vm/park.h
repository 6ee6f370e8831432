/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's QEMU put aside while another one is made ready in its place (snapshot-revert.c): it stands still, has let go of its disks and leases,
 * and keeps the guest's present in its memory until the other one runs (docs/decisions/parking.md).
 *
 *	run/vm/UUID		the VM's QEMU, as always
 *	run/vm/UUID.parked	the one put aside; without the other beside it, it is the VM's QEMU again
 *
 * Both have their status file in it, so that a new daemon finds both.
 */
#pragma once

#include "operation.h"

#define PARKED_SUFFIX ".parked"

struct parked;

/*
 * Steps; context is a struct operation. Idempotent, also in a new daemon. A VM that is off is passed over.
 *
 * park: the guest stands still already, and all of its memory is in. Afterwards the VM has no QEMU. To whoever asks it is starting, as a
 * paused guest with the definition and the number it had, until vm_end_stand_in(), behind which launch_prepare or its end follows.
 */
enum step_result vm_park(struct job *job, void *context, struct error *err);
/*
 * The VM has its QEMU back, with its disks and leases, and its guest still stands still; or its QEMU ended meanwhile, and the VM is off as soon
 * as the operation is over. The one in its place, if there was one, has ended.
 */
enum step_result vm_unpark(struct job *job, void *context, struct error *err);
/* Afterwards the VM has no live definition, as one that is off. No effect where nothing stands in for a parked QEMU. */
void vm_end_stand_in(struct vm *vm);
/* Would vm_unpark find it alive? */
bool vm_can_unpark(const struct vm *vm);
/* Its guest must not go on. vm_unpark comes next, also in a new daemon, and finds it ended. The step that calls it is over when it has. */
enum step_result vm_kill_parked(struct operation *op);
/* It is not needed any more: SIGKILL, since nothing of it is to last. */
enum step_result vm_end_parked(struct job *job, void *context, struct error *err);

/* The QEMU in its place holds the VM's leases. */
void parked_pass_leases(struct parked *p);

/* The daemon ends, and it stays as it is. Accepts NULL. */
void parked_free(struct parked *p);

/* ---- for adopt.c ---- */
/* In a new daemon, before it looks at the others: those parked are found again, and those that stand alone are put back. */
void registry_adopt_parked(struct registry *r);
