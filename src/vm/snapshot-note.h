/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the images a snapshot froze are still what they were: memory that goes on over others destroys what is on them.
 *
 * Its memory image has the note of its disks from the moment it was taken. When images are merged, the disks hold what they held but are other
 * files, so those snapshots whose disks were as noted before get a new note, beside their metadata (lib/snapshot/NAME/SNAPSHOT.disks). It counts
 * more than the image's.
 */
#pragma once

#include "process.h"
#include "snapshot-tree.h"
#include "strv.h"
#include "vm-internal.h"

/*
 * The machine as the snapshot has it, with those disks alone that nobody writes to since: the external ones. NULL when the snapshot describes no
 * machine. Caller frees.
 */
struct domain *snapshot_frozen_domain(const struct snapshot *s);

/* Its newer note; NULL when there is none. Caller frees. */
int snapshot_note_read(struct vm *vm, const char *name, char **ret, struct error *err);
/* NULL: none any more. Durable on return. */
int snapshot_note_write(struct vm *vm, const char *name, const char *text, struct error *err);

struct snapshot_notes;

/* Borrowed. */
typedef void (*snapshot_notes_fn)(
	struct vm *vm, const struct strv *names, const struct error *err, void *userdata);

/*
 * Which of the VM's snapshots with a memory image have their disks as noted. A child looks; done once, from the loop. Those of no
 * note, and those whose disks cannot be looked at, are not among them.
 */
int snapshot_notes_check(struct vm *vm, snapshot_notes_fn done, void *userdata, struct snapshot_notes **ret,
	struct error *err);
/* Note the disks of those in `names` that are still there as they are now. */
int snapshot_notes_renew(struct vm *vm, const struct strv *names, snapshot_notes_fn done, void *userdata,
	struct snapshot_notes **ret, struct error *err);
/* Nobody is told any more. Accepts NULL. Not needed once done was called. */
void snapshot_notes_free(struct snapshot_notes *n);
