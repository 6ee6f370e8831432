/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a chain, made exact; all that cannot be is refused here, before anything changes. */
#include "block-job-internal.h"

#include <sys/stat.h>

#include "chain.h"
#include "snapshot-store.h"
#include "vm-lease-internal.h"
#include "vm-snapshot.h"

static struct disk *find_disk(const struct domain *d, const char *name)
{
	struct disk *disk = domain_find_disk(d, name);

	if (disk)
		return disk;
	VEC_FOREACH (other, &d->disks)
		if (other->source && streq(other->source, name))
			return other;
	return NULL;
}

struct disk *block_job_check_disk(struct vm *vm, const char *name, struct error *err)
{
	struct disk *disk;

	if (!vm->live || (vm->state != VM_RUNNING && vm->state != VM_PAUSED)) {
		error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
		return NULL;
	}
	if (!vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "monitor of domain '%s' is not connected", vm->name);
		return NULL;
	}
	disk = find_disk(vm->live, name);
	if (!disk)
		error_set(err, ERROR_INVALID_ARGUMENT, "disk '%.255s' not found in domain '%s'", name,
			vm->name);
	else if (!disk->source)
		error_set(err, ERROR_OPERATION_INVALID, "disk '%s' has no image: the drive is empty",
			disk->target);
	else
		return disk;
	return NULL;
}

int block_job_check_leases(const struct vm *vm, struct error *err)
{
	if (vm->state != VM_PAUSED || !vm_lease_is_needed(vm) || vm->lease_state == LEASE_HELD)
		return 0;
	return error_set(err, ERROR_OPERATION_INVALID, "the leases of domain '%s' are %s", vm->name,
		lease_state_name(vm->lease_state));
}

static struct disk *check_mergeable(struct vm *vm, const char *name, struct error *err)
{
	struct disk *disk = block_job_check_disk(vm, name, err);

	if (!disk)
		return NULL;
	if (disk->readonly || disk->device != DISK_DISK) {
		error_set(err, ERROR_OPERATION_INVALID, "disk '%s' is read-only: its images cannot be merged",
			disk->target);
		return NULL;
	}
	if (block_jobs_check_none(vm, disk->target, err) < 0)
		return NULL;
	return block_job_check_leases(vm, err) < 0 ? NULL : disk;
}

/* ---- snapshots ---- */

static bool stands_on(const struct domain *d, const char *path)
{
	if (!d)
		return false;
	VEC_FOREACH (disk, &d->disks)
		if (disk->source && streq(disk->source, path))
			return true;
	return false;
}

static int check_ground(const struct vm *vm, const char *path, struct error *err)
{
	const struct snapshot_tree *tree = vm_get_snapshots(vm);

	for (size_t i = 0; tree && i < tree->all.n; i++) {
		const struct snapshot *s = tree->all.items[i];

		if (stands_on(s->domain, path) || stands_on(s->inactive, path))
			return error_set(err, ERROR_OPERATION_INVALID,
				"image '%s' is needed by snapshot '%s' of domain '%s'; use snapshot-delete",
				path, s->name, vm->name);
	}
	return 0;
}

/* ---- the job ---- */

static struct disk_layer own_layer(const struct disk *disk, size_t position)
{
	struct disk_layer layer = chain_get(disk, position);

	layer.source = xstrdup(layer.source);
	return layer;
}

static struct block_job *make_job(struct vm *vm, const struct disk *disk, enum block_job_type type,
	size_t first, size_t last, size_t receiver)
{
	struct block_job *job = block_job_new(vm, disk->target, type);

	job->first = first;
	job->last = last;
	job->receiver = receiver;
	for (size_t i = first; i <= last; i++)
		VEC_ADD(&job->merged, own_layer(disk, i));
	job->written = own_layer(disk, receiver);
	job->id = xasprintf("%s-%s-libvirt-%u-format", type == BLOCK_JOB_PULL ? "pull" : "commit",
		disk->target, type == BLOCK_JOB_PULL ? job->written.node : job->merged.items[0].node);
	return job;
}

static int check_images(struct block_job *job, bool by_user, struct error *err)
{
	struct stat st;

	if (block_job_check_lease(job, err) < 0 ||
		(by_user && snapshot_store_check_readable(job->vm, err) < 0))
		return -1;
	if (by_user && check_ground(job->vm, job->written.source, err) < 0)
		return -1;
	VEC_FOREACH (layer, &job->merged) {
		if (by_user && check_ground(job->vm, layer.source, err) < 0)
			return -1;
		if (job->delete_merged && stat(layer.source, &st) == 0 && !S_ISREG(st.st_mode))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"'%s' is no regular file and cannot be deleted", layer.source);
	}
	return 0;
}

static int find_image(const struct disk *disk, const char *image, size_t *ret, struct error *err)
{
	int position = chain_find(disk, image);

	if (position < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"could not find image '%.255s' in chain for '%s'", image, disk->target);
	*ret = (size_t)position;
	return 0;
}

static int find_base(const struct disk *disk, const struct vm_block_commit_options *o, size_t top,
	size_t *ret, struct error *err)
{
	if (top == disk->backing.n)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"top '%s' in chain for '%s' has no backing file", chain_get(disk, top).source,
			disk->target);
	if (!o->base) {
		*ret = o->shallow ? top + 1 : disk->backing.n;
		return 0;
	}
	if (find_image(disk, o->base, ret, err) < 0)
		return -1;
	if (*ret <= top)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"base '%.255s' is not below top '%s' in chain for '%s'", o->base,
			chain_get(disk, top).source, disk->target);
	if (o->shallow && *ret != top + 1)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"base '%.255s' is not immediately below '%s' in chain for '%s'", o->base,
			chain_get(disk, top).source, disk->target);
	return 0;
}

static int check_active(
	const struct vm_block_commit_options *o, const struct disk *disk, size_t top, struct error *err)
{
	if (top == 0 && !o->active)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"commit of '%s' active layer requires active flag", disk->target);
	if (top > 0 && o->active)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"active commit requested but '%s' is not active", chain_get(disk, top).source);
	return 0;
}

struct block_job *block_job_plan_commit(
	struct vm *vm, const struct vm_block_commit_options *o, bool by_user, struct error *err)
{
	struct disk *disk = check_mergeable(vm, o->disk, err);
	struct block_job *job;
	size_t top = 0, base = 0;

	if (!disk || find_image(disk, o->top, &top, err) < 0 || check_active(o, disk, top, err) < 0 ||
		find_base(disk, o, top, &base, err) < 0)
		return NULL;
	job = make_job(vm, disk, top == 0 ? BLOCK_JOB_ACTIVE_COMMIT : BLOCK_JOB_COMMIT, top, base - 1, base);
	job->bandwidth = o->bandwidth;
	job->delete_merged = o->delete_merged;
	job->relative = o->relative && top > 0;
	if (top > 0)
		job->backing_file = xstrdup(job->written.source);
	if (check_images(job, by_user, err) == 0)
		return job;
	block_job_free(job);
	return NULL;
}

struct block_job *block_job_plan_pull(
	struct vm *vm, const struct vm_block_pull_options *o, bool by_user, struct error *err)
{
	struct disk *disk = check_mergeable(vm, o->disk, err);
	struct block_job *job;
	size_t base;

	if (!disk)
		return NULL;
	base = disk->backing.n + 1;
	if (o->base && find_image(disk, o->base, &base, err) < 0)
		return NULL;
	if (base == 0) {
		error_set(err, ERROR_INVALID_ARGUMENT, "base '%.255s' is the active image of disk '%s'",
			o->base, disk->target);
		return NULL;
	}
	if (base == 1) {
		error_set(err, ERROR_OPERATION_INVALID, "disk '%s' has no images to pull%s%.255s",
			disk->target, o->base ? " above " : "", o->base ? o->base : "");
		return NULL;
	}
	if (o->relative && !o->base) {
		error_set(err, ERROR_INVALID_ARGUMENT, "a relative name needs a base to be of");
		return NULL;
	}
	job = make_job(vm, disk, BLOCK_JOB_PULL, 1, base - 1, 0);
	job->bandwidth = o->bandwidth;
	job->relative = o->relative;
	if (base <= disk->backing.n)
		job->backing_file = xstrdup(chain_get(disk, base).source);
	if (check_images(job, by_user, err) == 0)
		return job;
	block_job_free(job);
	return NULL;
}
