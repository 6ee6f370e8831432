/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Going back to a snapshot: snapshot-revert-verb.c makes the request exact, snapshot-revert.c does it. */
#pragma once

#include "snapshot.h"
#include "start.h"

/* A disk of the snapshot that lies outside, and what the VM is to write to from now on. */
struct revert_disk {
	char *target;
	char *base; /* what the snapshot froze; absolute path */
	enum disk_format base_format;
	char *overlay; /* qcow2, above it; absolute path of a file that is not there yet */
};

struct revert_operation {
	struct start_operation
		start; /* first: its steps are used. image_path NULL: the snapshot has no memory */
	char *name;    /* of the snapshot */
	bool ends_off;
	bool was_active, was_running; /* the VM when asked: an undo lets it go on */
	VEC(struct revert_disk) disks;
	struct strv obsolete; /* files that nobody needs afterwards */
	/* As text, NULL: transient. */
	char *definition, *old_definition;
	char *old_metadata; /* of this snapshot */
	char *old_current;  /* NULL: there was none */
	struct domain *noted;
	struct process *worker; /* makes or removes files */
	bool awaits_memory;	/* of a lazy restore, before it begins */
};

struct revert_operation *revert_operation_new(const struct operation_type *type, struct vm *vm);
