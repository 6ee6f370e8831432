/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a block job: what it did becomes what is written down.
 *
 * The definition comes before the chain. While QEMU waits to finalize, both views of the disk hold the same data: the one from above
 * what is merged and the one from below it. (An active commit even holds the guest's requests back until then.) That is the moment to write
 * the persistent definition: whoever dies before or after it, the guest boots from what it wrote last. Files go at the very end,
 * when nothing names them any more.
 */
#include "block-job-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <unistd.h>

#include "chain.h"
#include "clock.h"
#include "fault.h"
#include "file.h"
#include "hotplug.h"
#include "log.h"
#include "process.h"

/* How long until the status file is tried again. */
#define WRITE_AGAIN_USEC USEC_PER_SEC

/* ---- definitions ---- */

/* The disk as it is when the job has succeeded. */
static struct disk *disk_afterwards(const struct block_job *job)
{
	struct disk *disk = disk_copy(block_job_get_disk(job));

	chain_drop(disk, job->first, job->last);
	return disk;
}

static void take_images(struct disk *disk, const struct disk *from)
{
	disk->source_type = from->source_type;
	replace_string(&disk->source, from->source);
	disk->format = from->format;
	if (!disk->backing_given)
		return;
	disk_clear_backing(disk);
	disk->backing_given = true;
	disk->backing_known = from->backing_known;
	VEC_FOREACH (layer, &from->backing) {
		layer.source = xstrdup(layer.source);
		layer.node = 0;
		VEC_ADD(&disk->backing, layer);
	}
}

/* The persistent definition, where it names the images of `before`, is made to name those of `after`; on disk on return. */
static int redefine(struct vm *vm, const struct disk *before, const struct disk *after, struct error *err)
{
	_cleanup_domain_ struct domain *d = vm->persistent ? domain_copy(vm->persistent) : NULL;
	struct disk *disk = d ? domain_find_disk(d, before->target) : NULL;

	if (!disk || !streq(disk->source, before->source) ||
		(streq(before->source, after->source) && !disk->backing_given))
		return 0;
	take_images(disk, after);
	if (definition_replace(vm, d, err) < 0)
		return -1;
	TAKE_PTR(d);
	return 0;
}

/* ---- settling ---- */

static void define(struct block_job *job)
{
	_cleanup_(disk_free_p) struct disk *after = NULL;
	const struct disk *before = block_job_get_disk(job);
	struct vm *vm = job->vm;

	if (!before) {
		error_set(&job->failure, ERROR_OPERATION_FAILED, "disk %s is gone", job->target);
		block_job_tell(job, BLOCK_JOB_FAILED);
		return;
	}
	after = disk_afterwards(job);
	job->defined = true;
	/* So that a definition that is ahead is known to be. */
	if (status_write(vm, &job->failure) < 0) {
		job->defined = false;
		block_job_tell(job, BLOCK_JOB_FAILED);
		return;
	}
	fault_point("block-job/defining");
	if (redefine(vm, before, after, &job->failure) < 0) {
		block_job_tell(job, BLOCK_JOB_FAILED);
		return;
	}
	fault_point("block-job/defined");
	block_job_tell(job, BLOCK_JOB_DONE);
}

static void flushed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;
	const char *said = json_object_is_type(ret, json_type_string) ? json_object_get_string(ret) : "";

	if (err && err->code != ERROR_QEMU)
		return;
	if (err || said[0] != '\0') {
		error_set(&job->failure, ERROR_OPERATION_FAILED, "flush %s: %s", job->written.source,
			err ? err->message : said);
		block_job_tell(job, BLOCK_JOB_FAILED);
	} else {
		define(job);
	}
}

/* What QEMU still has of it in memory, which is little: the tables of the image. */
static void synced(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct block_job *job = userdata;
	_cleanup_free_ char *node = block_job_format_node(job->written.node),
			    *command = xasprintf("qemu-io %s flush", node);

	if (err) {
		error_copy(&job->failure, err);
		block_job_tell(job, BLOCK_JOB_FAILED);
	} else if (job->vm->qmp) {
		qmp_command(job->vm->qmp, "human-monitor-command", json_pack("s:command-line", command, NULL),
			-1, 0, flushed, job);
	}
}

static int sync_file(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL && errno != EROFS))
		return error_errno(err, errno, "sync %s", path);
	return 0;
}

static int sync_written(struct buf *result, void *userdata, struct error *err)
{
	const struct block_job *job = userdata;

	return sync_file(job->written.source, err);
}

static int start_child(struct block_job *job, int (*work)(struct buf *, void *, struct error *),
	process_worked_fn worked, struct error *err)
{
	const struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = work,
		.work_userdata = job,
		.worked = worked};

	process_free(job->child);
	job->child = NULL;
	return process_start(job->vm->registry->loop, &options, NULL, job, &job->child, err);
}

/*
 * The bulk of the data is written out beside QEMU, whose own flush would have its main loop wait. An active commit was flushed by
 * QEMU, and the guest waits for us.
 */
void block_job_settle(struct block_job *job)
{
	struct disk *disk = block_job_get_disk(job);

	if (disk && job->type == BLOCK_JOB_ACTIVE_COMMIT)
		define(job);
	else if (start_child(job, sync_written, synced, &job->failure) < 0)
		block_job_tell_later(job, BLOCK_JOB_FAILED);
}

/* ---- recording ---- */

void block_job_record(struct block_job *job)
{
	struct disk *disk = block_job_get_disk(job);
	_cleanup_(disk_free_p) struct disk *after = disk ? disk_afterwards(job) : NULL;
	struct error err = ERROR_INIT;
	int r = 0;

	fault_point("block-job/concluded");
	if (disk && job->failure.code == ERROR_NONE) {
		/* Again if QEMU was told to finalize it by somebody else. */
		r = redefine(job->vm, disk, after, &err);
		chain_drop(disk, job->first, job->last);
		job->recorded = true;
		if (vm_write_live(job->vm, r < 0 ? NULL : &err) < 0)
			r = -1;
	} else if (disk && job->defined) {
		r = redefine(job->vm, after, disk, &err);
	}
	if (r < 0)
		log_write(LOG_LEVEL_ERROR, job->vm->name, job->id, "%s", err.message);
	block_job_tell(job, BLOCK_JOB_DONE);
}

/* ---- clearing ---- */

static void clear_replied(struct block_job *job)
{
	if (--job->pending == 0)
		block_job_give_lease(job);
}

static void node_deleted(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;

	if (err && err->code == ERROR_QEMU && !strstr(err->message, "Failed to find node"))
		log_write(LOG_LEVEL_WARNING, job->vm->name, job->id, "%s", err->message);
	clear_replied(job);
}

static void delete_node(struct block_job *job, uint32_t number, const char *kind)
{
	_cleanup_free_ char *node = xasprintf("libvirt-%u-%s", number, kind);

	job->pending++;
	qmp_command(
		job->vm->qmp, "blockdev-del", json_pack("s:node-name", node, NULL), -1, 0, node_deleted, job);
}

/* A job has its nodes until it is dismissed. */
static void dismissed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job *job = userdata;

	if (job->recorded && job->vm->qmp) {
		VEC_FOREACH (layer, &job->merged) {
			delete_node(job, layer.node, "format");
			delete_node(job, layer.node, "storage");
		}
	}
	clear_replied(job);
}

static int clear_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct block_job *job = userdata;

	job->deferred = sd_event_source_disable_unref(job->deferred);
	block_job_clear(job);
	return 0;
}

/* As long as QEMU keeps the job, the next daemon finds out how it ended, whatever is written down. */
static void clear_later(struct block_job *job, const struct error *err)
{
	if (!job->cannot_write)
		log_write(LOG_LEVEL_ERROR, job->vm->name, job->id,
			"block job on disk %s cannot be ended yet: %s", job->target, err->message);
	job->cannot_write = true;
	job->deferred = sd_event_source_disable_unref(job->deferred);
	sd_event_add_time_relative(job->vm->registry->loop, &job->deferred, CLOCK_MONOTONIC, WRITE_AGAIN_USEC,
		0, clear_again, job);
}

void block_job_clear(struct block_job *job)
{
	struct error err = ERROR_INIT;

	if (status_write(job->vm, &err) < 0 && job->begun) {
		clear_later(job, &err);
		return;
	}
	fault_point("block-job/recorded");
	job->pending = 1;
	if (job->vm->qmp)
		qmp_command(
			job->vm->qmp, "job-dismiss", json_pack("s:id", job->id, NULL), -1, 0, dismissed, job);
	else
		clear_replied(job);
}

/* ---- files that nothing names any more ---- */

static int remove_file(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);

	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove %s", path);
	return sync_file(dirname(copy), err);
}

/* Whoever stands on what was merged must be known to stand on something else first: its header. */
static int remove_merged(struct buf *result, void *userdata, struct error *err)
{
	const struct block_job *job = userdata;
	const struct disk *disk = block_job_get_disk(job);

	if (disk &&
		sync_file(job->first > 0 ? chain_get(disk, job->first - 1).source : disk->source, err) < 0)
		return -1;
	VEC_FOREACH (layer, &job->merged)
		if (remove_file(layer.source, err) < 0)
			return -1;
	return 0;
}

static void removed(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct block_job *job = userdata;

	/* What was asked for is done; a file too many does no harm. */
	if (err)
		log_write(LOG_LEVEL_ERROR, job->vm->name, job->id, "%s", err->message);
	block_job_tell(job, BLOCK_JOB_DONE);
}

void block_job_lease_given(struct block_job *job)
{
	struct error err = ERROR_INIT;

	if (!job->recorded || !job->delete_merged)
		block_job_tell(job, BLOCK_JOB_DONE);
	else if (start_child(job, remove_merged, removed, &err) < 0)
		removed(NULL, &err, NULL, 0, job);
}
