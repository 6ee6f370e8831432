/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Back from a capture (snapshot-create.h), by this daemon or the next: the gate goes, the stream ends, the guest runs on, and what it has written to its
 * overlays since is merged into the images below. A guest whose QEMU is gone has written, too: then qemu-img merges.
 *
 * Whether the disks have been switched is asked of QEMU: all have been, or none (it was one transaction).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "file.h"
#include "hotplug.h"
#include "log.h"
#include "qemu-img.h"
#include "snapshot-create.h"
#include "vm-lease-internal.h"

#define ASK_AGAIN_USEC 2000

static void ask_devices(struct snapshot_operation *o);
static void ask_jobs(struct snapshot_operation *o);

static char *job_id(const struct snapshot_overlay *overlay)
{
	return xasprintf("snapshot-undo-%s", overlay->target);
}

static void end(struct snapshot_operation *o, const struct error *err)
{
	struct error failure = err ? *err : (struct error)ERROR_INIT;
	struct vm *vm = o->op.vm;

	if (!err && vm->live && !vm->process_ended) {
		snapshot_drop_overlays(o, vm->live);
		vm_write_live(vm, &failure);
	}
	/* What is in the overlays must not go with them. */
	if (failure.code != ERROR_NONE)
		o->made = false;
	operation_step_done(&o->op, failure.code != ERROR_NONE ? &failure : NULL);
}

/* ---- without a QEMU ---- */

/* May it hold what the guest wrote? An image of the user's holds what he put there as long as the guest does not write to it. */
static bool is_to_commit(const struct snapshot_operation *o, const struct snapshot_overlay *overlay)
{
	return !overlay->merged && (!overlay->reuse || o->capture.switched) &&
	       access(overlay->path, F_OK) == 0;
}

/* The guest's data stay in what could not be merged, and the next start must find them there. */
static void keep_unmerged(struct snapshot_operation *o)
{
	struct error err = ERROR_INIT;

	o->made = false;
	for (size_t i = 0; i < o->overlays.n; i++)
		if (!is_to_commit(o, &o->overlays.items[i]))
			o->overlays.items[i].merged = true;
	if (snapshot_define_overlays(o, &err) < 0)
		log_write(LOG_LEVEL_ERROR, o->op.vm->name, o->op.type->job.name, "%s", err.message);
}

static void committed(const char *output, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	size_t n = qemu_img_get_done(o->img);
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	qemu_img_free(TAKE_PTR(o->img));
	for (size_t i = 0; err && n > 0 && i < o->overlays.n; i++)
		if (is_to_commit(o, &o->overlays.items[i])) {
			o->overlays.items[i].merged = true;
			n--;
		}
	if (err)
		keep_unmerged(o);
	end(o, err ? &failure : NULL);
}

/* Into the one below, and no other, whatever the image says. */
static void add_commit(const struct snapshot_overlay *overlay, struct strv *ret)
{
	*ret = (struct strv){0};
	strv_add(ret, "commit");
	strv_add(ret, "-q");
	strv_add(ret, "-d");
	strv_add(ret, "-f");
	strv_add(ret, overlay->format == DISK_FORMAT_RAW ? "raw" : "qcow2");
	strv_add(ret, "-b");
	strv_add(ret, overlay->base);
	strv_add(ret, overlay->path);
}

/* STEP_DONE: there is nothing to merge. */
static enum step_result merge_files(struct snapshot_operation *o, struct error *err)
{
	struct strv *commands = xcalloc(o->overlays.n + 1, sizeof(*commands));
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < o->overlays.n; i++)
		if (is_to_commit(o, &o->overlays.items[i]))
			add_commit(&o->overlays.items[i], &commands[n++]);
	if (n > 0)
		r = qemu_img_start(o->op.vm->registry->loop, commands, n, committed, o, &o->img, err);
	for (size_t i = 0; i < n; i++)
		strv_fini(&commands[i]);
	free(commands);
	if (r < 0)
		keep_unmerged(o);
	return r < 0 ? STEP_FAILED : n > 0 ? STEP_WAIT : STEP_DONE;
}

static void qemu_gone(struct operation *op)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct error err = ERROR_INIT;

	if (merge_files(o, &err) != STEP_WAIT)
		end(o, err.code != ERROR_NONE ? &err : NULL);
}

/* It answers no more, but may have the images open still. */
static void lose_qemu(struct snapshot_operation *o)
{
	if (o->op.vm->process_ended)
		qemu_gone(&o->op);
	else
		o->op.on_gone = qemu_gone;
}

/* ---- in QEMU ---- */

/* A filter above the overlay has another name, and shows the same file. */
static bool is_switched(const struct snapshot_overlay *overlay, json *devices)
{
	_cleanup_free_ char *name = snapshot_node_name(overlay->node);

	JSON_FOREACH (device, devices) {
		json *inserted = json_get(device, "inserted");

		if (streq(json_get_string(inserted, "node-name"), name) ||
			streq(json_get_string(inserted, "file"), overlay->path))
			return true;
	}
	return false;
}

static void fail_with(
	struct snapshot_operation *o, const struct snapshot_overlay *overlay, const struct error *why)
{
	struct error failure = *why, ignored = ERROR_INIT;

	if (why->code != ERROR_QEMU) {
		lose_qemu(o);
		return;
	}
	error_prefix(&failure, "disk %s goes on in %s, which could not be merged into %s", overlay->target,
		overlay->path, overlay->base);
	/* So every definition must say, of this and those behind it. */
	snapshot_drop_overlays(o, o->op.vm->live);
	if (snapshot_define_overlays(o, &ignored) < 0)
		log_write(LOG_LEVEL_ERROR, o->op.vm->name, o->op.type->job.name, "%s", ignored.message);
	end(o, &failure);
}

static void commit_begun(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (err)
		fail_with(o, &o->overlays.items[o->at], err);
	else
		ask_jobs(o);
}

static void begin_commit(struct snapshot_operation *o)
{
	const struct snapshot_overlay *overlay = &o->overlays.items[o->at];
	_cleanup_free_ char *id = job_id(overlay), *top = snapshot_node_name(overlay->node),
			    *base = snapshot_node_name(overlay->base_node);

	qmp_command(o->op.vm->qmp, "block-commit",
		json_pack("s:job-id", id, "s:device", top, "s:base-node", base, NULL), -1, 0, commit_begun,
		o);
}

static int ask_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct snapshot_operation *o = userdata;

	o->timer = sd_event_source_disable_unref(o->timer);
	ask_jobs(o);
	return 0;
}

static void jobs_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	_cleanup_free_ char *id = job_id(&o->overlays.items[o->at]);

	if (err) {
		fail_with(o, &o->overlays.items[o->at], err);
		return;
	}
	JSON_FOREACH (job, ret) {
		if (!streq(json_get_string(job, "device"), id))
			continue;
		if (json_get_bool(job, "ready", false))
			qmp_command(
				q, "block-job-complete", json_pack("s:device", id, NULL), -1, 0, NULL, NULL);
		sd_event_add_time_relative(o->op.vm->registry->loop, &o->timer, CLOCK_MONOTONIC,
			ASK_AGAIN_USEC, 0, ask_again, o);
		return;
	}
	/* It is over, one way or the other. */
	ask_devices(o);
}

static void ask_jobs(struct snapshot_operation *o)
{
	if (o->op.vm->qmp)
		qmp_command(o->op.vm->qmp, "query-block-jobs", NULL, -1, 0, jobs_listed, o);
	else
		lose_qemu(o);
}

/* The guest writes to what is below: a merging that finds the file, after QEMU or this daemon have died, would bring old data back. */
static void set_merged(struct snapshot_operation *o, struct snapshot_overlay *overlay)
{
	overlay->merged = true;
	if (o->made && !overlay->reuse && unlink(overlay->path) < 0 && errno != ENOENT)
		log_write(LOG_LEVEL_ERROR, o->op.vm->name, o->op.type->job.name, "remove %s: %s",
			overlay->path, strerror(errno));
}

static void devices_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct error failure = ERROR_INIT;
	size_t before = o->at;

	if (err) {
		lose_qemu(o);
		return;
	}
	while (o->at < o->overlays.n && !is_switched(&o->overlays.items[o->at], ret))
		set_merged(o, &o->overlays.items[o->at++]);
	if (o->at == o->overlays.n) {
		end(o, NULL);
	} else if (o->begun && o->at == before) {
		error_set(&failure, ERROR_QEMU, "QEMU's job failed");
		fail_with(o, &o->overlays.items[o->at], &failure);
	} else {
		o->begun = true;
		begin_commit(o);
	}
}

static void ask_devices(struct snapshot_operation *o)
{
	if (o->op.vm->qmp)
		qmp_command(o->op.vm->qmp, "query-block", NULL, -1, 0, devices_listed, o);
	else
		lose_qemu(o);
}

/* An earlier daemon may have begun it. */
static void merge(struct snapshot_operation *o)
{
	o->at = 0;
	o->begun = false;
	if (o->overlays.n == 0)
		end(o, NULL);
	else
		ask_jobs(o);
}

/* ---- the way back ---- */

static void resumed(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (err)
		log_write(LOG_LEVEL_ERROR, vm->name, o->op.type->job.name, "%s stays paused: %s", vm->name,
			err->message);
	merge(o);
}

static void dropped(struct operation *op, const struct error *err)
{
	struct snapshot_operation *o = (struct snapshot_operation *)op;
	struct vm *vm = op->vm;
	struct error failure = ERROR_INIT;

	if (err)
		log_write(LOG_LEVEL_ERROR, vm->name, op->type->job.name, "%s", err->message);
	if (!vm->qmp || !o->was_running || vm->state != VM_PAUSED) {
		merge(o);
		return;
	}
	vm->resume_reason = RUNNING_UNPAUSED;
	if (vm_run_cpus(vm, resumed, o, &failure) < 0)
		resumed(vm, &failure, o);
}

static void drop_stream(struct snapshot_operation *o)
{
	struct error err = ERROR_INIT;

	if (!o->has_memory || state_stream_drop(&o->stream, dropped, &err) != STEP_WAIT)
		dropped(&o->op, err.code != ERROR_NONE ? &err : NULL);
}

static void gate_removed(struct vm *vm, const struct error *err, void *userdata)
{
	drop_stream(userdata);
}

static void settled(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	drop_stream(userdata);
}

enum step_result snapshot_release(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;
	struct error ignored = ERROR_INIT;

	if (o->was_off || (!o->has_memory && !o->pause && o->overlays.n == 0))
		return STEP_DONE;
	o->capture.active = false;
	transfer_free(o->stream.transfer);
	o->stream.transfer = NULL;
	if (!vm->qmp || vm->process_ended) {
		if (o->has_memory)
			(void)state_stream_drop(&o->stream, NULL, &ignored);
		if (!vm->live || vm->process_ended)
			return merge_files(o, err);
		o->op.on_gone = qemu_gone;
		return STEP_WAIT;
	}
	if (!gate_remove(&o->capture.gate, vm, gate_removed, o))
		qmp_command(vm->qmp, "query-status", NULL, -1, 0, settled, o);
	return STEP_WAIT;
}
