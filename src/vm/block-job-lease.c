/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block job writes to an image below the one the guest writes to: QEMU must hold the lease of that, too, from before the job until
 * nobody writes to it any more. After a pivot it is the guest's, and the one that was on top is given back.
 */
#include "block-job-internal.h"

#include "image-lease.h"
#include "log.h"

int block_job_check_lease(const struct block_job *job, struct error *err)
{
	return job->receiver == 0 ? 0
				  : image_lease_check(job->vm, block_job_get_disk(job), &job->written, err);
}

static void taken(const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	struct image_lease *lease = TAKE_PTR(job->lease);

	if (err)
		error_copy(&job->failure, err);
	block_job_tell(job, err ? BLOCK_JOB_FAILED : BLOCK_JOB_DONE);
	image_lease_free(lease);
}

void block_job_take_lease(struct block_job *job)
{
	const struct disk *disk = block_job_get_disk(job);
	int r = 1;

	if (disk && job->receiver > 0)
		r = image_lease_take(job->vm, disk, &job->written, taken, job, &job->lease, &job->failure);
	if (r != 0)
		block_job_tell_later(job, r < 0 ? BLOCK_JOB_FAILED : BLOCK_JOB_DONE);
}

static void given_back(const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	struct image_lease *lease = TAKE_PTR(job->lease);

	if (err)
		log_write(LOG_LEVEL_WARNING, job->vm->name, job->id, "%s", err->message);
	block_job_lease_given(job);
	image_lease_free(lease);
}

void block_job_give_lease(struct block_job *job)
{
	const struct disk *disk = block_job_get_disk(job);
	bool pivoted = job->type == BLOCK_JOB_ACTIVE_COMMIT && job->recorded;
	const struct disk_layer *image = pivoted ? &job->merged.items[0] : &job->written;
	struct error err = ERROR_INIT;
	int r = 1;

	/* Nothing was taken for a pull. */
	if (disk && job->type != BLOCK_JOB_PULL)
		r = image_lease_give(job->vm, disk, image, !pivoted, given_back, job, &job->lease, &err);
	if (r < 0)
		log_write(LOG_LEVEL_WARNING, job->vm->name, job->id, "%s", err.message);
	if (r != 0)
		block_job_lease_given(job);
}
