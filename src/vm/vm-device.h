/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that come to a VM and go from it; so far only disks. */
#pragma once

#include "vm.h"

/*
 * `xml` is one device. `affect`: the definition that changes, or both (VM_AFFECT_*). Of a running VM: done when it has the disk and QEMU
 * holds its lease. ERROR_IN_USE, naming who has the lease: nothing has changed.
 */
int vm_attach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err);

/*
 * The disk of the target in `xml`, or of the alias. Of a running VM: done when it is gone and its lease given back, or when the guest
 * has not let go in 5 s; then that happens as soon as it does.
 */
int vm_detach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err);
int vm_detach_alias(struct vm *vm, const char *alias, unsigned affect, vm_done_fn done, void *userdata,
	struct error *err);
