/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The leases of a VM (lease.h), for whoever wants to know of them. */
#pragma once

#include "lease.h"
#include "vm.h"

/* What it must hold; NULL when it does not run, or runs under another lock manager than ours. Borrowed. */
const struct lease_set *vm_get_leases(const struct vm *vm);
enum lease_kind vm_get_lease_kind(const struct vm *vm);
enum lease_state vm_get_lease_state(const struct vm *vm);
/* How many of them it really holds, as the lock manager says. */
typedef void (*vm_held_fn)(struct vm *vm, size_t n_held, const struct error *err, void *userdata);
int vm_inquire_leases(struct vm *vm, vm_held_fn done, void *userdata, struct error *err);
/* They are lost: do as its <on_lockfailure> says. done when the guest cannot write any more. */
int vm_lose_leases(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
