/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images of a running VM's disk being merged: QEMU's block jobs, beside whatever else the VM does. They outlive the daemon with their QEMU; what
 * they did to the chain is taken over when they end, or when the next daemon finds them ended.
 */
#pragma once

#include "vm.h"

/* virDomainBlockJobType */
enum block_job_type {
	BLOCK_JOB_NONE,
	BLOCK_JOB_PULL,
	BLOCK_JOB_COPY,
	BLOCK_JOB_COMMIT,
	BLOCK_JOB_ACTIVE_COMMIT
};

struct vm_block_commit_options {
	const char *disk;	/* its target, or the path of its source */
	const char *base, *top; /* path or "vda[2]"; NULL: the lowest, the source */
	uint64_t bandwidth;	/* bytes a second; 0 no limit */
	bool shallow, delete_merged, active, relative;
};
/* done: the job runs. Its end is an event. */
int vm_block_commit(struct vm *vm, const struct vm_block_commit_options *options, vm_done_fn done,
	void *userdata, struct error *err);

struct vm_block_pull_options {
	const char *disk, *base; /* NULL: everything */
	uint64_t bandwidth;
	bool relative;
};
int vm_block_pull(struct vm *vm, const struct vm_block_pull_options *options, vm_done_fn done, void *userdata,
	struct error *err);

struct vm_block_job_info {
	enum block_job_type type;	 /* NONE: there is none */
	uint64_t bandwidth, done, total; /* bytes a second, bytes */
	bool ready;
};
typedef void (*vm_block_job_info_fn)(
	const struct vm_block_job_info *info, const struct error *err, void *userdata);
int vm_block_job_get_info(
	struct vm *vm, const char *disk, vm_block_job_info_fn reply, void *userdata, struct error *err);
/* `pivot`: a ready active commit is completed; else the job is cancelled. Not `async`: done when it has ended. */
int vm_block_job_abort(struct vm *vm, const char *disk, bool async, bool pivot, vm_done_fn done,
	void *userdata, struct error *err);
int vm_block_job_set_speed(struct vm *vm, const char *disk, uint64_t bandwidth, vm_done_fn done,
	void *userdata, struct error *err);

int vm_block_resize(
	struct vm *vm, const char *disk, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err);
/* Of a raw block device: to the size that the device has now. `bytes` must be that, or 0. */
int vm_block_resize_to_capacity(
	struct vm *vm, const char *disk, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err);

/*
 * For other jobs of this room: merge and hear of the end, both definitions and the status file saying so; an active commit pivots by itself, images that
 * snapshots need are merged as any other. `ended` is called exactly once unless forgotten, with an error also when QEMU goes; the job itself goes on
 * when forgotten. After a restart of the daemon the same call joins what runs on, or ends at once when it is done
 * (options->base must be given for that).
 */
int block_job_merge(struct vm *vm, const struct vm_block_commit_options *options, vm_done_fn ended,
	void *userdata, struct error *err);
int block_job_pull(struct vm *vm, const struct vm_block_pull_options *options, vm_done_fn ended,
	void *userdata, struct error *err);
void block_job_forget(struct vm *vm, void *userdata);
/* How far the one is whose end is told to `userdata`, of 10000, as QEMU said a moment ago; 0 when there is none. */
unsigned block_job_get_permyriad(const struct vm *vm, const void *userdata);
/* No disk has one; else ERROR_OPERATION_INVALID, naming it. `target` NULL: any disk. */
int block_jobs_check_none(const struct vm *vm, const char *target, struct error *err);
