/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's QEMU put aside while another one is made ready in its place (snapshot-revert.c): it stands still, has let go of its disks and leases,
 * and keeps the guest's present in its memory until the other one runs. Its directory is run/vm/UUID.parked meanwhile.
 */
#pragma once

#include "operation.h"

/* Steps; context is a struct operation. Idempotent, also in a new daemon. A VM that is off is passed over. */
enum step_result vm_park(struct job *job, void *context, struct error *err);
/* The VM has its QEMU back, and its guest runs if it did. */
enum step_result vm_unpark(struct job *job, void *context, struct error *err);
/* It is not needed any more. */
enum step_result vm_end_parked(struct job *job, void *context, struct error *err);
