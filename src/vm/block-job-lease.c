/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block job writes to an image below the one the guest writes to: QEMU must hold the lease of that, too, from before the job until
 * nobody writes to it any more. After a pivot it is the guest's, and the one that was on top is given back.
 *
 * With lockd QEMU gets the descriptor under a name made of the alias and the image's node number, since the disk may have come with one of its
 * own (disk-lease.c).
 */
#include "block-job-internal.h"

#include "hotplug.h"
#include "lease.h"
#include "log.h"

/* As a disk beside the VM's own. */
static struct disk *as_disk(const struct block_job *job, const struct disk_layer *layer)
{
	struct disk *disk = disk_copy(block_job_get_disk(job));

	disk->source_type = layer->source_type;
	replace_string(&disk->source, layer->source);
	disk->format = layer->format;
	disk->node = layer->node;
	replace_string(&disk->info.alias, "");
	return disk;
}

/* What is needed for `layer` and for nothing else of the VM. */
static int plan(const struct block_job *job, const struct disk_layer *layer, struct lease_set **ret,
	struct error *err)
{
	const struct lease_settings *s = &job->vm->registry->settings.leases;
	_cleanup_(lease_set_free_p) struct lease_set *with_it = NULL, *without_it = NULL;
	_cleanup_(disk_free_p) struct disk *disk = as_disk(job, layer);
	struct domain view = *job->vm->live;
	int r = lease_plan(s, &view, &without_it, err);

	view.disks.items = NULL;
	view.disks.n = 0;
	VEC_FOREACH (other, &job->vm->live->disks)
		VEC_ADD(&view.disks, other);
	VEC_ADD(&view.disks, disk);
	if (r == 0)
		r = lease_plan(s, &view, &with_it, err);
	VEC_FREE(&view.disks);
	if (r == 0)
		*ret = lease_set_subtract(with_it, without_it);
	return r;
}

int block_job_check_lease(const struct block_job *job, struct error *err)
{
	_cleanup_(disk_free_p) struct disk *disk = as_disk(job, &job->written);

	return job->receiver == 0 ? 0 : vm_lease_check_disk(job->vm, disk, err);
}

static json *name_of_descriptor(const struct block_job *job, const struct disk_layer *layer)
{
	const struct disk *disk = block_job_get_disk(job);
	_cleanup_free_ char *name = xasprintf("lease-%s-%u", disk->info.alias, layer->node);

	return json_pack("s:fdname", name, NULL);
}

/* ---- take ---- */

static void taken(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	struct lease_request *lease = TAKE_PTR(job->lease);

	if (!err && answer->fd >= 0 && job->vm->qmp && block_job_get_disk(job)) {
		qmp_command(job->vm->qmp, "getfd", name_of_descriptor(job, &job->written), answer->fd, 0,
			block_job_replied, job);
	} else {
		if (err)
			error_copy(&job->failure, err);
		block_job_tell(job, err ? BLOCK_JOB_FAILED : BLOCK_JOB_DONE);
	}
	lease_request_free(lease);
}

void block_job_take_lease(struct block_job *job)
{
	struct vm *vm = job->vm;
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;

	if (!vm->leases || job->receiver == 0) {
		block_job_tell_later(job, BLOCK_JOB_DONE);
		return;
	}
	if (plan(job, &job->written, &set, &job->failure) < 0)
		block_job_tell_later(job, BLOCK_JOB_FAILED);
	else if (set->items.n == 0)
		block_job_tell_later(job, BLOCK_JOB_DONE);
	else if (lease_request_start(vm->registry->loop, set, LEASE_ADD, vm_get_pid(vm), NULL, taken, job,
			 &job->lease, &job->failure) < 0)
		block_job_tell_later(job, BLOCK_JOB_FAILED);
}

/* ---- give back ---- */

static const struct disk_layer *layer_to_give(const struct block_job *job)
{
	bool pivoted = job->type == BLOCK_JOB_ACTIVE_COMMIT && job->recorded;

	return pivoted ? &job->merged.items[0] : &job->written;
}

static void given_back(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	struct lease_request *lease = TAKE_PTR(job->lease);

	if (err)
		log_write(LOG_LEVEL_WARNING, job->vm->name, job->id, "%s", err->message);
	block_job_lease_given(job);
	lease_request_free(lease);
}

static void remove_lease(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	struct vm *vm = job->vm;
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;
	struct error failure = ERROR_INIT;
	int r;

	if (!vm->qmp || !block_job_get_disk(job)) {
		block_job_lease_given(job);
		return;
	}
	r = plan(job, layer_to_give(job), &set, &failure);
	if (r == 0 && set->items.n > 0)
		r = lease_request_start(vm->registry->loop, set, LEASE_REMOVE, vm_get_pid(vm), NULL,
			given_back, job, &job->lease, &failure);
	if (r < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, job->id, "%s", failure.message);
	if (r < 0 || set->items.n == 0)
		block_job_lease_given(job);
}

void block_job_give_lease(struct block_job *job)
{
	struct vm *vm = job->vm;

	/* Nothing was taken for a pull, and without QEMU nobody holds anything. */
	if (!vm->leases || !vm->qmp || job->type == BLOCK_JOB_PULL)
		block_job_lease_given(job);
	else if (vm->lease_kind == LEASE_KIND_LOCKD)
		qmp_command(vm->qmp, "closefd", name_of_descriptor(job, layer_to_give(job)), -1, 0,
			remove_lease, job);
	else
		remove_lease(NULL, NULL, NULL, job);
}
