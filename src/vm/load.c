/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The step "load": state from an image into a QEMU that waits for it with -incoming defer, all of it before the guest runs. Where
 * its memory can follow later, load-lazy.c has the step.
 *
 * A sparse image is read by QEMU itself, with several channels, while godwit-io checks the file beside it;
 * everything else (and everything, where QEMU knows no mapped-ram) goes through godwit-io as one stream, checked on the way. A clone has
 * mapped its memory already, and gets the rest as such a stream. Either way two must
 * agree before the step is over: QEMU that it has loaded, godwit-io that what it loaded is what was saved.
 */
#include <errno.h>
#include <fcntl.h>

#include "log.h"
#include "paging.h"
#include "start.h"

enum { LOAD_CHANNELS = 2, FDSET_ID = 1, FDSET_NAME_MAX = 64 };

void load_failed(struct start_operation *start, const struct error *err)
{
	struct error failure = *err;

	if (start->loading_failed)
		return;
	start->loading_failed = true;
	if (start->op.vm->qmp)
		qmp_forget(start->op.vm->qmp, &start->op);
	transfer_free(start->transfer);
	start->transfer = NULL;
	start->lazy_step = false;
	paging_free(TAKE_PTR(start->paging), &failure);
	error_prefix(&failure, "%s", start->image_path);
	start_explain_managed(start, &failure);
	start->op.on_migration = NULL;
	operation_step_done(&start->op, &failure);
}

static void check_loaded(struct start_operation *start)
{
	if (!start->qemu_loaded || !start->transfer_done || start->loading_failed)
		return;
	transfer_free(start->transfer);
	start->transfer = NULL;
	start->op.on_migration = NULL;
	operation_step_done(&start->op, NULL);
}

static void transfer_ended(struct transfer *t, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	if (err) {
		/* That QEMU closed its end is no more than a consequence. */
		load_failed(start, start->qemu_failure.code != ERROR_NONE && err->code != ERROR_DAMAGED
					   ? &start->qemu_failure
					   : err);
		return;
	}
	start->transfer_done = true;
	if (start->qemu_failure.code != ERROR_NONE)
		load_failed(start, &start->qemu_failure);
	else
		check_loaded(start);
}

static const struct transfer_ops transfer_callbacks = {.done = transfer_ended};

/*
 * QEMU's word for a bad image is obscure, and comes first when godwit-io ends the stream because of it: while that still reads the file it
 * may know better. It ends soon, with the file or because nobody reads what it writes.
 */
static void qemu_failed(struct start_operation *start, const struct error *err)
{
	if (start->transfer && !start->transfer_done)
		start->qemu_failure = *err;
	else
		load_failed(start, err);
}

static void reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;
	const char *why = json_get_string(ret, "error-desc");

	error_set(&failure, ERROR_QEMU, "QEMU could not load the state%s%s", why ? ": " : "", why ? why : "");
	qemu_failed(start, &failure);
}

static void migration_changed(struct operation *op, const char *status)
{
	struct start_operation *start = (struct start_operation *)op;

	if (streq(status, "completed")) {
		start->qemu_loaded = true;
		check_loaded(start);
	} else if (streq(status, "failed")) {
		qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, reason_replied, op);
	}
}

void load_qemu_gone(struct operation *op)
{
	struct start_operation *start = (struct start_operation *)op;
	_cleanup_free_ char *tail = launch_log_tail(start);
	struct error err = ERROR_INIT;
	char how[64];

	process_status_format(op->vm->exit_status, how);
	error_set(&err, ERROR_QEMU, "QEMU %s while loading%s%s", how, *tail ? ": " : "", tail);
	qemu_failed(start, &err);
}

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	/* A QEMU that is gone reports itself, with the end of its log. */
	if (err && err->code == ERROR_QEMU)
		qemu_failed(userdata, err);
}

static void set_capabilities(struct start_operation *start, bool mapped, unsigned channels)
{
	static const char *const lazy[] = {"postcopy-preempt", "postcopy-ram"};
	struct qmp *q = start->op.vm->qmp;
	json *list = json_object_new_array();

	json_object_array_add(list, json_pack("s:capability", "events", "b:state", true, NULL));
	/* A lazy load may have been tried before. */
	for (size_t i = 0; i < ARRAY_SIZE(lazy); i++)
		if (capabilities_has_migration(start->caps, lazy[i]))
			json_object_array_add(
				list, json_pack("s:capability", lazy[i], "b:state", false, NULL));
	if (mapped) {
		json_object_array_add(list, json_pack("s:capability", "mapped-ram", "b:state", true, NULL));
		json_object_array_add(
			list, json_pack("s:capability", "multifd", "b:state", channels > 1, NULL));
	}
	qmp_command(q, "migrate-set-capabilities", json_pack("o:capabilities", list, NULL), -1, 0,
		command_replied, start);
	if (mapped && channels > 1)
		qmp_command(q, "migrate-set-parameters",
			json_pack("u:multifd-channels", (uint64_t)channels, NULL), -1, 0, command_replied,
			start);
}

/*
 * QEMU reads the file, godwit-io only checks it. Each has a description of its own: QEMU reads at the file offset, and
 * seeking for data moves that.
 */
static int load_mapped(struct start_operation *start, struct transfer_options *options, struct error *err)
{
	struct qmp *q = start->op.vm->qmp;
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", start->image_fd);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char uri[FDSET_NAME_MAX];

	if (fd < 0)
		return error_errno(err, errno, "open it for QEMU");
	options->kind = TRANSFER_VERIFY;
	snprintf(uri, sizeof(uri), "file:/dev/fdset/%d,offset=%llu", FDSET_ID,
		(unsigned long long)start->header.stream_offset);
	qmp_command(
		q, "add-fd", json_pack("i:fdset-id", (int64_t)FDSET_ID, NULL), fd, 0, command_replied, start);
	qmp_command(q, "migrate-incoming", json_pack("s:uri", uri, NULL), -1, 0, command_replied, start);
	return 0;
}

static int load_stream(
	struct start_operation *start, struct transfer_options *options, int pair[2], struct error *err)
{
	struct qmp *q = start->op.vm->qmp;

	if (transfer_stream_pair(pair, err) < 0)
		return -1;
	options->kind = start->clone ? TRANSFER_CLONE : TRANSFER_LOAD;
	options->stream_fd = pair[0];
	qmp_command(q, "getfd", json_pack("s:fdname", "state", NULL), pair[1], 0, command_replied, start);
	qmp_command(
		q, "migrate-incoming", json_pack("s:uri", "fd:state", NULL), -1, 0, command_replied, start);
	return 0;
}

int load_eagerly(struct start_operation *start, struct error *err)
{
	struct vm *vm = start->op.vm;
	bool mapped = !start->clone && start->header.format == IMAGE_FORMAT_SPARSE &&
		      capabilities_has_migration(start->caps, "mapped-ram");
	unsigned channels = start->channels ? start->channels : LOAD_CHANNELS;
	struct transfer_options options = {
		.program = vm->registry->settings.io_program,
		.name = start->image_path,
		.file_fd = start->image_fd,
		.stream_fd = -1,
		.direct = start->bypass_cache,
		.channels = start->channels,
	};
	int pair[2] = {-1, -1}, r;

	start->op.on_gone = load_qemu_gone;
	start->op.on_migration = migration_changed;
	set_capabilities(start, mapped, channels);
	r = mapped ? load_mapped(start, &options, err) : load_stream(start, &options, pair, err);
	if (r == 0)
		r = transfer_start(
			vm->registry->loop, &options, &transfer_callbacks, start, &start->transfer, err);
	close_p(&pair[0]);
	close_p(&pair[1]);
	if (r < 0) {
		qmp_forget(vm->qmp, &start->op);
		start->op.on_gone = NULL;
		start->op.on_migration = NULL;
		error_prefix(err, "%s", start->image_path);
	}
	return r;
}

enum step_result load_image(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	if (!start->op.vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (start->paging)
		return lazy_load(start);
	return load_eagerly(start, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

void load_cancel(struct start_operation *start)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	load_failed(start, &err);
}

void load_fill_info(const struct operation *op, struct vm_job_info *info)
{
	const struct start_operation *start = (const struct start_operation *)op;
	struct transfer_progress progress = {0};

	if (!start->transfer)
		return;
	transfer_get_progress(start->transfer, &progress);
	info->memory_total = progress.total;
	info->memory_processed = progress.processed;
}
