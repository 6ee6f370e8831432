/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots inside qcow2 images, under their name: of a running VM by QEMU's own jobs, with the guest's state in the first disk's image; of one
 * that is off by qemu-img. UEFI variables in a qcow2 image go with the disks.
 */
#pragma once

#include "snapshot.h"
#include "strv.h"
#include "vm-internal.h"

struct internal_work;

enum internal_action {
	INTERNAL_LOOK,	/* before taking: ERROR_OPERATION_INVALID names an image that has one of this name */
	INTERNAL_TAKE,	/* QEMU stops the guest for as long as it takes */
	INTERNAL_DROP,	/* what is not there is no error */
	INTERNAL_LOAD,	/* QEMU: disks and state become what they were; the guest stays stopped */
	INTERNAL_APPLY, /* a VM that is off: the disks become what they were */
};

/*
 * ERROR_OPERATION_INVALID, ERROR_UNSUPPORTED_CONFIG: the VM as it is cannot, and why. For what is about to be taken `s` needs no domain yet: its
 * disks are those the VM has now.
 */
int internal_check(
	const struct vm *vm, enum internal_action action, const struct snapshot *s, struct error *err);

/*
 * done once, from the loop. All of them can be repeated after a crash: what an earlier daemon's QEMU may still be at is awaited first. `s` is
 * needed only during the call.
 */
int internal_start(struct vm *vm, enum internal_action action, const struct snapshot *s, vm_done_fn done,
	void *userdata, struct internal_work **ret, struct error *err);

/* The same in files that no QEMU has open, whatever the VM has. There must be one. */
int internal_start_files(struct vm *vm, enum internal_action action, const char *name,
	const struct strv *paths, vm_done_fn done, void *userdata, struct internal_work **ret,
	struct error *err);

/* Nobody is told any more; QEMU's job goes on, qemu-img ends. Accepts NULL. Not needed once done was called. */
void internal_forget(struct internal_work *w);
