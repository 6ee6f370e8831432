/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One merge of a plan carried out: the data, then the names, then the files that are of no use any more.
 *
 *	merge    by the running VM's QEMU, or by qemu-img; what stands above learns what it stands on
 *	sync     what was written is durable
 *	rename   the definitions, the snapshots, what is remembered
 *	unlink
 *
 * At each of these moments the VM and every snapshot have a chain that holds what it held, and all of it can be done again after a crash.
 */
#pragma once

#include "snapshot-plan.h"
#include "vm-internal.h"

struct snapshot_merge;

/* done once, from the loop. `step` must live as long as the merge. */
int snapshot_merge_start(struct vm *vm, const struct image_step *step, vm_done_fn done, void *userdata,
	struct snapshot_merge **ret, struct error *err);
/* Nobody is told any more: QEMU's job goes on, qemu-img ends. Accepts NULL. Not needed once done was called. */
void snapshot_merge_free(struct snapshot_merge *m);

/* How much of the data is where it belongs, of 10000. */
unsigned snapshot_merge_get_permyriad(const struct snapshot_merge *m);

/* Does nobody name any more what it takes away? Then all but the unlinking is done. */
bool snapshot_merge_is_recorded(const struct vm *vm, const struct image_step *step);
