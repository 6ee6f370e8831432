/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lease of one image of a disk, beside those that the VM's definition asks for: of an overlay before the guest writes to it, of a base that a
 * block job writes to, and of whichever image nobody writes to any more. disk-lease.c is for whole disks.
 */
#pragma once

#include "disk.h"
#include "error.h"

struct vm;
struct image_lease;

/* Exactly once, from the loop, unless it was freed before; err NULL on success. The lease is then the receiver's to free. */
typedef void (*image_lease_done_fn)(const struct error *err, void *userdata);

/* Could QEMU get it, as far as can be said at once? `image` becomes one of those that `disk` consists of. */
int image_lease_check(
	const struct vm *vm, const struct disk *disk, const struct disk_layer *image, struct error *err);
/*
 * QEMU gets it. 0: begun; 1: there is nothing to do (no lock manager, a disk that needs none), and `done` is not called. ERROR_IN_USE:
 * somebody else has it. The live definition must not name the image.
 */
int image_lease_take(struct vm *vm, const struct disk *disk, const struct disk_layer *image,
	image_lease_done_fn done, void *userdata, struct image_lease **ret, struct error *err);
/*
 * QEMU has it no more; idempotent, also in a new daemon. Returns as image_lease_take does, and the live definition must not name the image either.
 * `only_taken`: what image_lease_take took, or perhaps did not, and no lease that QEMU was started with.
 */
int image_lease_give(struct vm *vm, const struct disk *disk, const struct disk_layer *image, bool only_taken,
	image_lease_done_fn done, void *userdata, struct image_lease **ret, struct error *err);
/* What is under way may have happened. Accepts NULL. */
void image_lease_free(struct image_lease *l);
