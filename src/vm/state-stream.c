/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State on its way out (state-stream.h). */
#include "state-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "clock.h"
#include "disk-check.h"
#include "file.h"
#include "paging.h"

enum {
	ASK_EVERY = 2000,
	ASK_FOR = 1000000
}; /* us, between questions about a stream that ended, and for all of them */

void state_stream_init(struct state_stream *s, struct operation *op, const struct state_stream_ops *ops)
{
	s->op = op;
	s->ops = ops;
	s->file_fd = s->stream_fd = -1;
}

void state_stream_fini(struct state_stream *s)
{
	sd_event_source_unref(s->timer);
	transfer_free(s->transfer);
	close_p(&s->file_fd);
	close_p(&s->stream_fd);
	disk_check_end(&s->looker);
	free(s->path);
	free(s->partial);
	free(s->xml);
	free(s->disks);
}

/* ---- what is asked ---- */

static int look_at_target(struct state_stream *s, const char *path, char **ret_real, struct error *err)
{
	_cleanup_free_ char *real = NULL;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "look at '%s'", path);
	real = realpath(path, NULL);
	if (!real)
		return error_errno(err, errno, "follow '%s'", path);
	if (stat(real, &st) < 0)
		return error_errno(err, errno, "look at '%s'", real);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_OPERATION_FAILED, "cannot save to '%s': it is a directory", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, ERROR_OPERATION_FAILED,
			"cannot save to '%s': neither a file nor a block device", path);
	s->in_place = S_ISBLK(st.st_mode);
	*ret_real = TAKE_PTR(real);
	return 0;
}

int state_stream_set_target(struct state_stream *s, const char *path, struct error *err)
{
	_cleanup_free_ char *directory = NULL, *real = NULL;
	char uuid[UUID_TEXT_MAX];
	struct stat st;
	const char *slash;

	if (path[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, "path '%s' is not absolute", path);
	if (look_at_target(s, path, &real, err) < 0)
		return -1;
	s->path = real ? TAKE_PTR(real) : xstrdup(path);
	slash = strrchr(s->path, '/');
	if (!slash[1])
		return error_set(err, ERROR_INVALID_ARGUMENT, "path '%s' names no file", path);
	uuid_format(s->op->vm->uuid, uuid);
	if (strlen(slash + 1) > NAME_MAX - strlen("...partial") - strlen(uuid))
		return error_set(err, ERROR_INVALID_ARGUMENT, "file name of '%s' is too long", path);
	directory = xstrndup(s->path, (size_t)(slash - s->path));
	s->partial = xasprintf("%s/.%s.%s.partial", directory, slash + 1, uuid);
	if (stat(*directory ? directory : "/", &st) < 0)
		return error_errno(err, errno, "directory of '%s'", path);
	/* Only this VM's one job writes this name: a leftover is of a daemon whose journal is gone. */
	if (!s->in_place && unlink(s->partial) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove left-over %s", s->partial);
	return 0;
}

enum image_format state_stream_default_format(struct vm *vm)
{
	const struct registry_settings *settings = &vm->registry->settings;
	const struct qemu_capabilities *caps =
		capability_cache_get(vm->registry->capabilities, vm->live->emulator);

	if (settings->has_save_format)
		return settings->save_format;
	return caps && capabilities_has_migration(caps, "mapped-ram") ? IMAGE_FORMAT_SPARSE
								      : IMAGE_FORMAT_RAW;
}

int state_stream_check_format(enum image_format format, struct error *err)
{
	if (image_format_is_supported(format))
		return 0;
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"image format '%s' is not supported: use raw, zstd or sparse", image_format_name(format));
}

/* ---- out of QEMU ---- */

static int open_target(struct state_stream *s, struct error *err)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;

	s->file_fd = s->in_place ? open(s->path, flags) : open(s->partial, flags | O_CREAT | O_EXCL, 0600);
	if (s->file_fd < 0)
		return error_errno(err, errno, "create %s", s->in_place ? s->path : s->partial);
	return 0;
}

void state_stream_fail(struct state_stream *s, const struct error *err)
{
	s->op->on_migration = NULL;
	s->timer = sd_event_source_unref(s->timer);
	if (s->op->vm->qmp)
		qmp_forget(s->op->vm->qmp, s);
	disk_check_end(&s->looker);
	s->ops->done(s->op, err);
}

static void check_streamed(struct state_stream *s)
{
	if (!s->qemu_done || !s->transfer_streamed)
		return;
	s->op->on_migration = NULL;
	s->ops->done(s->op, NULL);
}

static void transfer_memory_begun(struct transfer *t, void *userdata)
{
	struct state_stream *s = userdata;

	if (s->ops->memory_begun)
		s->ops->memory_begun(s->op);
}

static void transfer_streamed(struct transfer *t, void *userdata)
{
	struct state_stream *s = userdata;

	s->transfer_streamed = true;
	check_streamed(s);
}

/* Has QEMU not yet let go of its state? By the reply to query-migrate. */
static bool is_migrating(json *ret)
{
	static const char *const busy[] = {"setup", "active", "cancelling", "device", "pre-switchover"};
	const char *status = json_get_string(ret, "status");

	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		if (streq(status, busy[i]))
			return true;
	return false;
}

static int ask_why(sd_event_source *source, uint64_t usec, void *userdata);

/* QEMU broke off: its own word says why, if it has one. It closes the stream before it says that it failed. */
static void broken_off_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct state_stream *s = userdata;
	const char *why = json_get_string(ret, "error-desc");

	if (!err && is_migrating(ret) && clock_now() < s->ask_until) {
		sd_event_add_time_relative(
			s->op->vm->registry->loop, &s->timer, CLOCK_MONOTONIC, ASK_EVERY, 0, ask_why, s);
		return;
	}
	if (why)
		error_set(&s->broken_off, ERROR_QEMU, "QEMU could not save the state: %s", why);
	state_stream_fail(s, &s->broken_off);
}

static int ask_why(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct state_stream *s = userdata;

	s->timer = sd_event_source_unref(s->timer);
	qmp_command(s->op->vm->qmp, "query-migrate", NULL, -1, 0, broken_off_replied, s);
	return 0;
}

static void transfer_done(struct transfer *t, const struct error *err, void *userdata)
{
	struct state_stream *s = userdata;

	/* Without an error this is the end of syncing; while QEMU streams it can only be a failure. */
	if (!err) {
		s->ops->done(s->op, NULL);
	} else if (err->code == ERROR_QEMU && s->op->vm->qmp) {
		s->op->on_migration = NULL;
		s->broken_off = *err;
		s->ask_until = clock_now() + ASK_FOR;
		qmp_command(s->op->vm->qmp, "query-migrate", NULL, -1, 0, broken_off_replied, s);
	} else {
		state_stream_fail(s, err);
	}
}

static const struct transfer_ops transfer_callbacks = {
	.memory_begun = transfer_memory_begun, .streamed = transfer_streamed, .done = transfer_done};

static void reason_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct error failure = ERROR_INIT;
	const char *why = json_get_string(ret, "error-desc");

	error_set(&failure, ERROR_QEMU, "QEMU could not save the state%s%s", why ? ": " : "", why ? why : "");
	state_stream_fail(userdata, &failure);
}

/* The stream that began last: an operation has one at a time. */
static void migration_changed(struct operation *op, const char *status)
{
	struct state_stream *s = op->stream;

	if (streq(status, "completed")) {
		s->qemu_done = true;
		check_streamed(s);
	} else if (streq(status, "failed") || streq(status, "cancelled")) {
		if (s->transfer)
			qmp_command(op->vm->qmp, "query-migrate", NULL, -1, 0, reason_replied, s);
	} else if (s->ops->migrating) {
		s->ops->migrating(op, status);
	}
}

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err && err->code == ERROR_QEMU)
		state_stream_fail(userdata, err);
}

/* Not before QEMU is set as it must be: a guest that runs would be migrated where it was to be photographed. */
static void capabilities_set(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct state_stream *s = userdata;
	_cleanup_close_ int fd = take_fd(&s->stream_fd);

	if (err) {
		command_replied(q, ret, err, s);
		return;
	}
	/* No limit on the rate: 0 is none. */
	qmp_command(q, "migrate-set-parameters", json_pack("i:max-bandwidth", (int64_t)0, NULL), -1, 0,
		command_replied, s);
	qmp_command(q, "getfd", json_pack("s:fdname", "state", NULL), fd, 0, command_replied, s);
	qmp_command(q, "migrate", json_pack("s:uri", "fd:state", NULL), -1, 0, command_replied, s);
}

/* Events on, everything else off: a load or an earlier job may have left capabilities behind, and a plain stream wants none. */
static void capabilities_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct state_stream *s = userdata;
	json *capabilities;

	if (err) {
		capabilities_set(q, NULL, err, s);
		return;
	}
	capabilities = json_object_new_array();
	json_object_array_add(capabilities, json_pack("s:capability", "events", "b:state", true, NULL));
	if (s->background)
		json_object_array_add(capabilities,
			json_pack("s:capability", "background-snapshot", "b:state", true, NULL));
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "capability");

		if (json_get_bool(item, "state", false) && !streq(name, "events") &&
			!(s->background && streq(name, "background-snapshot")))
			json_object_array_add(
				capabilities, json_pack("s:capability", name, "b:state", false, NULL));
	}
	qmp_command(q, "migrate-set-capabilities", json_pack("o:capabilities", capabilities, NULL), -1, 0,
		capabilities_set, s);
}

int state_stream_start(struct state_stream *s, struct error *err)
{
	struct vm *vm = s->op->vm;
	int pair[2] = {-1, -1}, r;
	struct transfer_options options = {
		.kind = TRANSFER_SAVE,
		.program = vm->registry->settings.io_program,
		.name = s->path,
		.direct = true,
		.channels = s->channels,
		.format = s->format,
		.xml = s->xml,
		.was_running = s->image_running,
	};

	if (!vm->qmp)
		return error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
	s->qemu_done = s->transfer_streamed = false;
	if (open_target(s, err) < 0 || transfer_stream_pair(pair, err) < 0)
		return -1;
	options.file_fd = s->file_fd;
	options.stream_fd = pair[0];
	r = transfer_start(vm->registry->loop, &options, &transfer_callbacks, s, &s->transfer, err);
	if (r == 0) {
		s->op->stream = s;
		s->op->on_migration = migration_changed;
		s->stream_fd = take_fd(&pair[1]);
		qmp_command(vm->qmp, "query-migrate-capabilities", NULL, -1, 0, capabilities_replied, s);
	}
	close_p(&pair[0]);
	close_p(&pair[1]);
	return r;
}

bool state_stream_cancel(struct state_stream *s)
{
	struct error err = ERROR_INIT;

	if (!s->transfer)
		return false;
	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	transfer_free(s->transfer);
	s->transfer = NULL;
	state_stream_fail(s, &err);
	return true;
}

/* ---- undoing ---- */

static enum step_result drop_file(struct state_stream *s, struct error *err)
{
	close_p(&s->file_fd);
	s->file_fd = -1;
	if (s->in_place || unlink(s->partial) == 0 || errno == ENOENT)
		return STEP_DONE;
	error_errno(err, errno, "remove %s", s->partial);
	return STEP_FAILED;
}

static void ask_cancelled(struct state_stream *s);

static int ask_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct state_stream *s = userdata;

	s->timer = sd_event_source_unref(s->timer);
	ask_cancelled(s);
	return 0;
}

static void cancelling_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct state_stream *s = userdata;
	struct error failure = ERROR_INIT;

	if (!err && is_migrating(ret)) {
		sd_event_add_time_relative(
			s->op->vm->registry->loop, &s->timer, CLOCK_MONOTONIC, ASK_EVERY, 0, ask_again, s);
		return;
	}
	s->dropped(s->op, drop_file(s, &failure) == STEP_FAILED ? &failure : NULL);
}

static void ask_cancelled(struct state_stream *s)
{
	struct error failure = ERROR_INIT;

	if (!s->op->vm->qmp)
		s->dropped(s->op, drop_file(s, &failure) == STEP_FAILED ? &failure : NULL);
	else
		qmp_command(s->op->vm->qmp, "query-migrate", NULL, -1, 0, cancelling_replied, s);
}

enum step_result state_stream_drop(struct state_stream *s,
	void (*done)(struct operation *op, const struct error *err), struct error *err)
{
	struct vm *vm = s->op->vm;

	transfer_free(s->transfer);
	s->transfer = NULL;
	if (!vm->qmp || vm->process_ended)
		return drop_file(s, err);
	s->dropped = done;
	qmp_command(vm->qmp, "migrate_cancel", NULL, -1, 0, NULL, NULL);
	ask_cancelled(s);
	return STEP_WAIT;
}

/* ---- on the disk ---- */

void state_stream_sync(struct state_stream *s)
{
	vm_give_hot_list(s->op->vm, s->file_fd);
	transfer_commit(s->transfer, s->disks);
}

static int sync_directory(const char *path, struct error *err)
{
	_cleanup_close_ int fd = dir_open_parent(path, NULL, err);

	if (fd < 0)
		return -1;
	if (fsync(fd) < 0)
		return error_errno(err, errno, "sync the directory of %s", path);
	return 0;
}

enum step_result state_stream_publish(struct state_stream *s, struct error *err)
{
	int r;

	if (s->in_place)
		return STEP_DONE;
	if (state_stream_is_published(s))
		r = sync_directory(s->path, err);
	else
		r = file_rename(s->partial, s->path, !s->exclusive, err);
	return r < 0 ? STEP_FAILED : STEP_DONE;
}

bool state_stream_is_published(const struct state_stream *s)
{
	return !s->in_place && access(s->partial, F_OK) < 0 && errno == ENOENT && access(s->path, F_OK) == 0;
}

/* ---- for operations ---- */

void state_stream_encode(const struct state_stream *s, json *params)
{
	json_object_object_add(params, "path", json_object_new_string(s->path));
	json_object_object_add(params, "partial", json_object_new_string(s->partial));
	json_object_object_add(params, "in_place", json_object_new_boolean(s->in_place));
}

int state_stream_decode(struct state_stream *s, json *params, struct error *err)
{
	s->path = xstrdup(json_get_string(params, "path"));
	s->partial = xstrdup(json_get_string(params, "partial"));
	s->in_place = json_get_bool(params, "in_place", false);
	if (!s->path || !s->partial)
		return error_set(err, ERROR_DAMAGED, "the journal names no file for the state");
	return 0;
}

void state_stream_fill_info(const struct state_stream *s, struct vm_job_info *info)
{
	struct transfer_progress progress = {0};

	info->memory_total = s->op->vm->live ? s->op->vm->live->memory_kib * 1024 : 0;
	if (s->transfer)
		transfer_get_progress(s->transfer, &progress);
	info->memory_processed =
		progress.processed < info->memory_total ? progress.processed : info->memory_total;
	info->file_written = progress.written;
}
