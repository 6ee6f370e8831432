/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshots of a VM, as other rooms use them.
 *
 *	snapshot-store.c   their metadata on disk: lib/snapshot/NAME/SNAPSHOT.xml, as libvirt keeps them
 *	snapshot-redefine.c, snapshot-metadata.c  metadata alone comes and goes
 *	snapshot-verb.c    what is asked of a new one, made exact       snapshot-create.c  the job
 *	snapshot-revert.c  back to one of them                          snapshot-delete.c  one or more of them away
 *	snapshot-graph.c, snapshot-plan.c  whose images stand on whose, and what becomes of them when snapshots go
 *	snapshot-images.c, snapshot-merge.c  looking at images, and making one of several
 *
 * A file that holds a snapshot's disk is ground for others: nobody writes to it, and it goes when the last who stands on it is gone.
 */
#pragma once

#include "snapshot-tree.h"
#include "vm.h"

/* `name` is the snapshot's; NULL with err. */
typedef void (*vm_snapshot_done_fn)(struct vm *vm, const char *name, const struct error *err, void *userdata);

struct vm_snapshot_create_options {
	const char *xml;
	/*
	 * The program that takes storage snapshots of the disks (snapshot_hook_resolve), in place of the configured one, and of its deletion and of
	 * going back to it: disks that the document says nothing of are manual. NULL: the configured one, of disks that are manual.
	 */
	const char *hook;
	bool no_metadata, halt, disk_only, reuse_external, quiesce, live;
};
int vm_snapshot_create(struct vm *vm, const struct vm_snapshot_create_options *options,
	vm_snapshot_done_fn done, void *userdata, struct error *err);

struct vm_snapshot_revert_options {
	const char *name;
	bool running, paused, force, reset_nvram;
};
int vm_snapshot_revert(struct vm *vm, const struct vm_snapshot_revert_options *options, vm_done_fn done,
	void *userdata, struct error *err);

struct vm_snapshot_delete_options {
	const char *name;
	bool children, children_only; /* all below it too, or those only */
};
/*
 * With what they hold: images are merged or go, and the VM and all other snapshots read what they read (snapshot-plan.h). Refused, before
 * anything changes, when an image cannot be had or a block job is at work. What goes cannot be gone back to once the merging has begun, even when it
 * fails then: it can be deleted again.
 */
int vm_snapshot_delete(struct vm *vm, const struct vm_snapshot_delete_options *options, vm_done_fn done,
	void *userdata, struct error *err);

/*
 * Redefinition: the metadata alone, of a snapshot that exists elsewhere or is there already; `current` makes it that. ret_name is
 * borrowed from the tree. Immediate, and refused while the VM has a job, as the next one.
 */
int vm_snapshot_redefine(
	struct vm *vm, const char *xml, bool current, const char **ret_name, struct error *err);
/* Takes metadata away and leaves what it describes: of this one, of all below it too, or of those only. */
int vm_snapshot_forget(struct vm *vm, const char *name, bool children, bool children_only, struct error *err);

/* Bytes that its files take on the host; -1: a file cannot be seen. What is inside images is not counted. */
struct vm_snapshot_size {
	char *name;
	int64_t memory;
	int64_t disks; /* those it froze, and others may stand on */
};
/* All of the VM's, by name; `sizes` is borrowed. done is called exactly once, from the loop. */
typedef void (*vm_snapshot_sizes_fn)(struct vm *vm, const struct vm_snapshot_size *sizes, size_t n,
	const struct error *err, void *userdata);
int vm_snapshot_measure(struct vm *vm, vm_snapshot_sizes_fn done, void *userdata, struct error *err);

/* All of them; borrowed, valid until the loop's next turn. */
const struct snapshot_tree *vm_get_snapshots(const struct vm *vm);
/* Its metadata are there and cannot be read: it is in no tree, and what it needs is not known. vm_snapshot_forget, and redefinition, know of it. */
bool vm_snapshot_is_unreadable(const struct vm *vm, const char *name);
