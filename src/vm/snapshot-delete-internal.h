/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots going away, in two files:
 *
 *	snapshot-delete-verb.c  what is asked, made exact: a child looks at the images, a plan is made of what it found
 *	snapshot-delete.c       the job that carries the plan out
 */
#pragma once

#include "operation.h"
#include "snapshot-plan.h"

struct delete_operation {
	struct operation op;
	struct strv leaving; /* names, a child before its parent */
	struct strv begun;   /* those of them that an earlier deletion has marked: they stay so */
	struct image_plan plan;
	struct strv memory_files; /* of those that leave */
	struct strv renew;	  /* names of those that stay, whose disks are as noted (snapshot-note.h) */

	size_t at;     /* of the merges, or of those leaving */
	size_t merged; /* so many of the plan's are done */
	struct snapshot_merge *merge;
	struct internal_work *internal;
	struct snapshot_hook *hook;
	struct snapshot_notes *notes;
	struct process *child;
	bool awaits_memory;
};

/* Lists are taken. */
int snapshot_delete_begin(struct vm *vm, struct strv *leaving, struct image_plan *plan, struct strv *renew,
	vm_done_fn done, void *userdata, struct error *err);
