/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clones of a saved guest (docs/clones.md): a start whose memory is the image's, mapped copy-on-write, and whose disks are overlays. What is
 * added to the steps of launch.c and load.c.
 *
 * A clone's own files lie in lib/clones/UUID: the UUID stays when the VM is renamed. They go with its definition.
 */
#pragma once

#include "domain-clone.h"
#include "image-memory.h"
#include "operation.h"

struct start_operation;

struct clone_plan {
	struct domain *saved;	   /* the guest that was saved, with its disks */
	struct domain *definition; /* to become vm->persistent */
	struct clone_files files;
	struct image_memory memory;
	bool verify;
	struct process *maker; /* makes the files; NULL: none does */
};

/* Accepts NULL. */
void clone_plan_free(struct clone_plan *plan);

/* ---- clone.c ---- */
/* Can this QEMU do it, and is the image, when that was asked for, what was saved? Nothing is made before. */
enum step_result clone_check(struct job *job, void *context, struct error *err);
/* From here on it is a VM like others, and stays when its QEMU ends. */
enum step_result clone_define(struct job *job, void *context, struct error *err);
enum step_result clone_undefine(struct job *job, void *context, struct error *err);

/* QEMU's word for a disk that somebody has names no disk; what it must be, says this. */
void clone_explain_lock(struct error *err);

/* ---- clone-files.c ---- */
enum step_result clone_make_files(struct job *job, void *context, struct error *err);
enum step_result clone_remove_files(struct job *job, void *context, struct error *err);
/* Is its maker at work? Then it ends, and the step with it. */
bool clone_cancel_files(struct clone_plan *plan);

/* lib/clones/UUID; caller frees. */
char *clone_directory_path(const struct registry *r, const uint8_t uuid[16]);
bool vm_has_clone_files(const struct vm *vm);
/* Not there is success. */
int vm_remove_clone_files(struct vm *vm, struct error *err);
