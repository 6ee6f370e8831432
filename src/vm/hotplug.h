/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that come and go while QEMU runs: what attach.c and detach.c share.
 *
 *	plug.c      requests, both definitions, the persistent one by itself
 *	attach.c    the job "attach-disk"      detach.c  the job "detach-disk", disks that went by themselves
 *	disk-lease.c  their steps about the lease
 *
 * The lease comes first and goes last: QEMU has no block node of a disk whose lease it does not hold.
 */
#pragma once

#include "disk.h"
#include "operation.h"

struct lease_request;

/* A job's work on one disk. */
struct disk_operation {
	struct operation op;
	struct disk *disk; /* as in the live definition, with alias, address and node */
	char *xml;   /* attach: what the client gave; NULL unless the persistent definition changes too */
	bool config; /* the persistent definition changes too */

	struct strv argv; /* attach: argv_build_disk */
	unsigned pending; /* replies to come */
	struct error failed;
	struct lease_request *lease;
	sd_event_source *timer; /* detach: for so long the guest may take */
	bool asked, unplugged;	/* detach: QEMU has answered; it has said that the device is gone */
};

/* ---- plug.c ---- */

struct disk_operation *disk_operation_new(const struct operation_type *type, struct vm *vm);
json *disk_operation_encode(const struct operation *op);
int disk_operation_decode(struct operation *op, json *params, struct error *err);
void disk_operation_release(struct operation *op);

/* One of several replies: when all are in, the step is over, with the first failure. */
void disk_operation_replied(struct disk_operation *o, const struct error *err);

/* The persistent definition with this disk, or without the one of this target; on disk when they return. */
int definition_add_disk(struct vm *vm, const char *xml, struct error *err);
int definition_remove_disk(struct vm *vm, const char *target, struct error *err);
/* `changed` is the persistent definition from now on, and the VM's when it succeeds; on disk on return. */
int definition_replace(struct vm *vm, struct domain *changed, struct error *err);
/* As definition_add_disk, but nothing is changed. */
int definition_check_disk(struct vm *vm, const char *xml, struct error *err);

/* vm->live has changed: so have the leases and the status file. */
int vm_write_live(struct vm *vm, struct error *err);

/* Disks on this bus can come and go. */
bool disk_is_hotpluggable(const struct disk *disk);

/* ---- attach.c, detach.c: for plug.c, once `caps` of the live emulator are known; as vm_attach_device ---- */

/* The chain of `disk` is known. `xml`: for the persistent definition; NULL: it stays. */
int attach_begin(struct vm *vm, const struct disk *disk, const char *xml,
	const struct qemu_capabilities *caps, vm_done_fn done, void *userdata, struct error *err);
int detach_begin(
	struct vm *vm, const char *target, bool config, vm_done_fn done, void *userdata, struct error *err);

/* ---- disk-lease.c ---- */

/* Can the VM ask for the lease of this disk, which has its alias, besides what it holds? */
int vm_lease_check_disk(const struct vm *vm, struct disk *disk, struct error *err);

/* Steps; context is a struct disk_operation. Idempotent. */
enum step_result disk_take_lease(struct job *job, void *context, struct error *err);
/* Not while QEMU has a node of it. */
enum step_result disk_give_lease(struct job *job, void *context, struct error *err);

/* Delete its block nodes, those that are there. */
enum step_result disk_delete_nodes(struct job *job, void *context, struct error *err);

/* ---- detach.c: when a device has gone without a job of ours ---- */

/* QEMU says that this device is gone, or is found not to have it. */
void vm_disk_unplugged(struct vm *vm, const char *alias);
/* Finish with one of those disks, if there is one; the VM has no job. */
void vm_remove_unplugged(struct vm *vm);
