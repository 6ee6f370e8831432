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
	struct strv obsolete;	 /* overlays that nobody needs afterwards */
	struct strv obsolete_on; /* what each of them was made over */
	/* As text, NULL: transient. */
	char *definition, *old_definition;
	char *old_metadata; /* of this snapshot */
	char *old_current;  /* NULL: there was none */
	/* --reset-nvram: the firmware variables, and the name they have until it is sure that nobody needs them. NULL: they stay. */
	char *nvram, *nvram_aside;
	/* The TPM's state has this name meanwhile; NULL: there is none. `keep_tpm`: no state of then is loaded into it. */
	char *tpm_aside;
	bool keep_tpm;
	struct domain *noted;
	struct process *worker; /* makes or removes files */
	bool awaits_memory;	/* of a lazy restore, before it begins */

	/* snapshot-revert-stored.c: what is being done, one after the other */
	const struct stored_work *works;
	size_t n_works, at;
	struct internal_work *inside;
	char *program; /* of the snapshot's manual disks; NULL: none */
	struct snapshot_hook *hook;
	bool is_recovered; /* by a new daemon */
	bool brought_back; /* the disks are the present's again */
	bool lost_present; /* they are not, and what was kept of it must stay */
};

/* ---- snapshot-revert-stored.c: what a snapshot keeps inside images, or the storage for it ---- */

/* Is there anything of that kind, which godwit can bring back? */
bool revert_is_stored(const struct snapshot *s, const char *program);
/* Steps; context is a revert_operation. No QEMU has the files open. */
enum step_result revert_keep_present(struct job *job, void *context, struct error *err);
enum step_result revert_drop_present(struct job *job, void *context, struct error *err);
/* The disks become what they were; not those inside of which is the guest's state as well. */
enum step_result revert_apply_stored(struct job *job, void *context, struct error *err);
/* Its undo, also when the new QEMU has loaded. When it fails the guest of now ends, and what was kept stays. */
enum step_result revert_bring_back(struct job *job, void *context, struct error *err);
/* The new QEMU loads disks and state. */
enum step_result revert_load_inside(
	struct revert_operation *revert, const struct snapshot *s, struct error *err);
/* Behind the commit point. */
enum step_result revert_forget_present(struct job *job, void *context, struct error *err);
bool revert_is_working_stored(const struct revert_operation *revert);
void revert_release_stored(struct revert_operation *revert);

struct revert_operation *revert_operation_new(const struct operation_type *type, struct vm *vm);
