/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The size of a running VM's disk. That of a device is whoever has made it's; QEMU is told of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block-job-internal.h"
#include "monitor.h"
#include "process.h"
#include "registry.h"
#include "strv.h"

static bool is_whole_device(const struct disk *disk)
{
	return disk->source_type == DISK_SOURCE_BLOCK && disk->format != DISK_FORMAT_QCOW2;
}

static const struct disk *find_resizable(struct vm *vm, const char *name, struct error *err)
{
	const struct disk *disk = block_job_check_disk(vm, name, err);

	if (!disk || vm_check_verb(vm, VERB_BLOCK_JOB, err) < 0 ||
		block_jobs_check_none(vm, disk->target, err) < 0)
		return NULL;
	if (!disk->readonly)
		return block_job_check_leases(vm, err) < 0 ? NULL : disk;
	error_set(err, ERROR_OPERATION_INVALID, "disk '%s' is read-only", disk->target);
	return NULL;
}

static void resize(struct vm *vm, const struct disk *disk, uint64_t bytes, vm_done_fn done, void *userdata)
{
	_cleanup_free_ char *node = block_job_format_node(disk->node);

	block_activate(vm, disk);
	vm_command(vm, "block_resize", json_pack("s:node-name", node, "u:size", bytes, NULL), done, userdata);
}

int vm_block_resize(
	struct vm *vm, const char *name, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err)
{
	const struct disk *disk = find_resizable(vm, name, err);

	if (!disk)
		return -1;
	if (is_whole_device(disk))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"disk '%s' is the block device %s: whoever has made it can change its size, and then "
			"blockresize --capacity tells the guest",
			disk->target, disk->source);
	resize(vm, disk, bytes, done, userdata);
	return 0;
}

/* ---- as large as the device has become ---- */

struct enlargement {
	struct vm *vm;
	struct process *looker;
	char *target, *device;
	uint64_t bytes; /* 0: any */
	vm_done_fn done;
	void *userdata;
};

static void enlargement_free(struct enlargement *e)
{
	process_free(e->looker);
	vm_unref(e->vm);
	free(e->target);
	free(e->device);
	free(e);
}

/* In the child. */
static int measure(struct buf *result, void *userdata, struct error *err)
{
	const struct enlargement *e = userdata;
	_cleanup_close_ int fd = open(e->device, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	uint64_t bytes;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "open disk %s", e->device);
	if (!S_ISBLK(st.st_mode))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "disk %s is no block device", e->device);
	if (ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return error_errno(err, errno, "find the size of disk %s", e->device);
	buf_add(result, &bytes, sizeof(bytes));
	return 0;
}

/* Meanwhile the VM may have gone, or have another disk of that name. */
static int use_size(struct enlargement *e, uint64_t bytes, struct error *err)
{
	const struct disk *disk = find_resizable(e->vm, e->target, err);

	if (!disk)
		return -1;
	if (!is_whole_device(disk) || !streq(disk->source, e->device))
		return error_set(
			err, ERROR_OPERATION_FAILED, "disk '%s' is no longer %s", e->target, e->device);
	if (e->bytes && e->bytes != bytes)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%llu bytes were asked for, but %s has %llu",
			(unsigned long long)e->bytes, e->device, (unsigned long long)bytes);
	resize(e->vm, disk, bytes, e->done, e->userdata);
	return 0;
}

static void measured(
	struct process *p, const struct error *failure, const char *result, size_t len, void *userdata)
{
	struct enlargement *e = userdata;
	struct error err = ERROR_INIT;
	uint64_t bytes = 0;

	if (!failure && len == sizeof(bytes))
		memcpy(&bytes, result, sizeof(bytes));
	if (failure || use_size(e, bytes, &err) < 0)
		e->done(e->vm, failure ? failure : &err, e->userdata);
	enlargement_free(e);
}

int vm_block_resize_to_capacity(
	struct vm *vm, const char *name, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err)
{
	const struct disk *disk = find_resizable(vm, name, err);
	struct enlargement *e;

	if (!disk)
		return -1;
	if (!is_whole_device(disk))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"block resize to full capacity supported only with 'raw' local block-based disks");
	e = NEW(struct enlargement);
	*e = (struct enlargement){.vm = vm_ref(vm),
		.target = xstrdup(disk->target),
		.device = xstrdup(disk->source),
		.bytes = bytes,
		.done = done,
		.userdata = userdata};
	if (process_start(vm->registry->loop,
		    &(struct process_options){.stdin_fd = -1,
			    .stdout_fd = -1,
			    .stderr_fd = -1,
			    .dies_with_daemon = true,
			    .work = measure,
			    .work_userdata = e,
			    .worked = measured},
		    NULL, e, &e->looker, err) == 0)
		return 0;
	enlargement_free(e);
	return -1;
}
