/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Going back to a snapshot, without losing the present: everything that may fail comes before the commit point, and up to it the guest
 * of now only stands still, in a QEMU that is parked (park.h). Two tables, for a VM that runs afterwards and for one that is off.
 *
 *	now:       base <-- a   (the VM writes a; the snapshot froze base)
 *	overlays:  base <-- b   made by a child
 *	commit:    the snapshot's metadata say that the VM writes b since it was taken back to it
 *	tidy:      a goes, when no snapshot froze it
 *
 * The persistent definition is changed before the commit point, and put back when it is not reached: a definition that cannot be written must
 * not be found out behind it.
 */
#include "snapshot-revert.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "disk-check.h"
#include "file.h"
#include "log.h"
#include "monitor.h"
#include "overlay.h"
#include "paging.h"
#include "park.h"
#include "snapshot-hook.h"
#include "snapshot-images.h"
#include "snapshot-note.h"
#include "snapshot-store.h"
#include "tpm-emulator.h"
#include "vm-lease-internal.h"

/* ---- children that make and remove files ---- */

static void worked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct revert_operation *revert = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	process_free(TAKE_PTR(revert->worker));
	operation_step_done(&revert->start.op, err ? &failure : NULL);
}

static enum step_result start_work(struct revert_operation *revert,
	int (*work)(struct buf *result, void *userdata, struct error *err), struct error *err)
{
	const struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = work,
		.work_userdata = revert,
		.worked = worked};

	return process_start(
		       revert->start.op.vm->registry->loop, &options, NULL, revert, &revert->worker, err) < 0
		       ? STEP_FAILED
		       : STEP_WAIT;
}

/* ---- make-overlays ---- */

static int make_overlay(const struct revert_disk *disk, struct error *err)
{
	const char *name = NULL;
	_cleanup_close_ int dir = dir_open_parent(disk->overlay, &name, err);

	if (dir < 0 || overlay_create(dir, name, disk->base, disk->base_format, err) < 0)
		return error_prefix(err, "disk '%s'", disk->target);
	if (fsync(dir) < 0)
		return error_errno(
			err, errno, "disk '%s': sync the directory of %s", disk->target, disk->overlay);
	return 0;
}

static int make_all(struct buf *result, void *userdata, struct error *err)
{
	const struct revert_operation *revert = userdata;

	for (size_t i = 0; i < revert->disks.n; i++)
		if (make_overlay(&revert->disks.items[i], err) < 0)
			return -1;
	return 0;
}

static enum step_result make_overlays(struct job *job, void *context, struct error *err)
{
	return start_work(context, make_all, err);
}

/* A child that still made them has been ended, or died with its daemon. */
static enum step_result remove_overlays(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	enum step_result result = STEP_DONE;

	for (size_t i = 0; i < revert->disks.n; i++) {
		const char *path = revert->disks.items[i].overlay;

		if (unlink(path) < 0 && errno != ENOENT) {
			error_errno(err, errno, "remove %s", path);
			result = STEP_FAILED;
		}
	}
	return result;
}

/* ---- pause ---- */

static enum step_result pause_now(struct revert_operation *revert, struct error *err)
{
	struct vm *vm = revert->start.op.vm;

	if (vm->state != VM_RUNNING)
		return STEP_DONE;
	vm->pause_reason = PAUSED_FROM_SNAPSHOT;
	return operation_command(&revert->start.op, "stop", NULL, err);
}

static void memory_is_in(void *userdata, const struct error *err)
{
	struct revert_operation *revert = userdata;
	struct error failure = ERROR_INIT;

	revert->awaits_memory = false;
	if (err)
		operation_step_done(&revert->start.op, err);
	else if (pause_now(revert, &failure) != STEP_WAIT)
		operation_step_done(&revert->start.op, failure.code != ERROR_NONE ? &failure : NULL);
}

/* A guest whose memory still comes in could not stand still for long: QEMU may need its main loop for it. Nor can it be parked. */
static enum step_result pause_guest(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;

	if (!vm->paging || revert->start.op.type == &revert_off_operation_type)
		return pause_now(revert, err);
	revert->awaits_memory = true;
	paging_wait(vm->paging, memory_is_in, revert);
	return STEP_WAIT;
}

static enum step_result let_go_on(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;

	if (!revert->was_running || !vm->qmp || vm->process_ended || vm->stopping ||
		vm->state == VM_RUNNING || (vm->paging && vm->paging->trouble.code != ERROR_NONE))
		return STEP_DONE;
	vm->resume_reason = RUNNING_UNPAUSED;
	return vm_run_cpus(vm, operation_vm_done, &revert->start.op, err) < 0 ? STEP_FAILED : STEP_WAIT;
}

/* ---- keep-nvram ---- */

/* The parked QEMU has the file open, whatever its name is; the one in its place makes another from the template. */
static enum step_result keep_nvram(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	if (!revert->nvram || access(revert->nvram, F_OK) < 0)
		return STEP_DONE;
	return file_rename(revert->nvram, revert->nvram_aside, false, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum step_result bring_nvram_back(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	if (!revert->nvram || access(revert->nvram_aside, F_OK) < 0)
		return STEP_DONE;
	return file_rename(revert->nvram_aside, revert->nvram, true, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static void forget_nvram(const struct revert_operation *revert)
{
	if (revert->nvram && unlink(revert->nvram_aside) < 0 && errno != ENOENT)
		log_write(LOG_LEVEL_WARNING, revert->start.op.vm->name, NULL, "remove %s: %s",
			revert->nvram_aside, strerror(errno));
}

/* ---- part-tpm ---- */

static int set_tpm_aside(struct buf *result, void *userdata, struct error *err)
{
	const struct revert_operation *revert = userdata;

	return tpm_state_set_aside(revert->start.op.vm, revert->tpm_aside, revert->keep_tpm, err);
}

static enum step_result part_tpm(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	return revert->tpm_aside ? start_work(revert, set_tpm_aside, err) : STEP_DONE;
}

static int bring_tpm_back(struct buf *result, void *userdata, struct error *err)
{
	const struct revert_operation *revert = userdata;

	return tpm_state_bring_back(revert->start.op.vm, revert->tpm_aside, err);
}

static enum step_result unpart_tpm(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	return revert->tpm_aside ? start_work(revert, bring_tpm_back, err) : STEP_DONE;
}

/* ---- the machine that takes its place ---- */

/* Once the parked QEMU is the VM's again there is no other one to undo. */
static bool has_other(const struct revert_operation *revert)
{
	return !revert->was_active || revert->start.op.vm->parked;
}

static enum step_result prepare(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	vm_end_stand_in(revert->start.op.vm);
	return launch_prepare(job, context, err);
}

static enum step_result unprepare(struct job *job, void *context, struct error *err)
{
	return has_other(context) ? launch_unprepare(job, context, err) : STEP_DONE;
}

static enum step_result unspawn(struct job *job, void *context, struct error *err)
{
	return has_other(context) ? launch_kill(job, context, err) : STEP_DONE;
}

static enum step_result check_disks(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct start_operation *start = &revert->start;

	if (!start->image_path)
		return STEP_DONE;
	/* Merging has given them other files since, perhaps. */
	if (snapshot_note_read(start->op.vm, revert->name, &start->disks, err) < 0)
		return STEP_FAILED;
	return start_check_disks(job, context, err);
}

static enum step_result load(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	const struct snapshot *s = snapshot_tree_find(&revert->start.op.vm->snapshots, revert->name);

	if (s && s->memory == SNAPSHOT_INTERNAL)
		return revert_load_inside(revert, s, err);
	return revert->start.image_path ? load_image(job, context, err) : STEP_DONE;
}

/* ---- define ---- */

static int take_definition(struct vm *vm, const char *xml, struct error *err)
{
	struct domain *d, *before = vm->persistent;

	if (domain_parse(xml, strlen(xml), 0, &d, err) < 0)
		return -1;
	vm->persistent = d;
	if (definition_write(vm, err) < 0) {
		vm->persistent = before;
		domain_free(d);
		return -1;
	}
	domain_free(before);
	return 0;
}

static enum step_result define(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	if (!revert->definition)
		return STEP_DONE;
	return take_definition(revert->start.op.vm, revert->definition, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static enum step_result undefine(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;

	if (!revert->old_definition)
		return STEP_DONE;
	return take_definition(revert->start.op.vm, revert->old_definition, err) < 0 ? STEP_FAILED
										     : STEP_DONE;
}

/* ---- record: the commit point ---- */

static void add_overlay(struct snapshot *s, const struct revert_disk *disk)
{
	VEC_ADD(&s->revert_disks, ((struct snapshot_disk){.target = xstrdup(disk->target),
					  .location = SNAPSHOT_EXTERNAL,
					  .source_type = DISK_SOURCE_FILE,
					  .source = xstrdup(disk->overlay),
					  .format = DISK_FORMAT_QCOW2}));
}

static enum step_result record(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;
	struct snapshot *s = snapshot_tree_find(&vm->snapshots, revert->name);

	if (!s) {
		error_set(err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", revert->name);
		return STEP_FAILED;
	}
	snapshot_clear_revert_disks(s);
	for (size_t i = 0; i < revert->disks.n; i++)
		add_overlay(s, &revert->disks.items[i]);
	if (snapshot_store_write(vm, s, err) < 0 || snapshot_store_set_current(vm, s->name, err) < 0 ||
		status_write(vm, err) < 0)
		return STEP_FAILED;
	return STEP_DONE;
}

static enum step_result unrecord(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;
	_cleanup_(snapshot_free_p) struct snapshot *s = NULL;

	if (snapshot_parse(revert->old_metadata, strlen(revert->old_metadata),
		    SNAPSHOT_PARSE_REDEFINE | SNAPSHOT_PARSE_INTERNAL, &s, NULL, err) < 0 ||
		snapshot_store_set_current(vm, revert->old_current, err) < 0 ||
		snapshot_store_add(vm, s, true, err) < 0)
		return STEP_FAILED;
	s = NULL; /* it is the tree's */
	return STEP_DONE;
}

/* ---- run, end ---- */

static void tell_stopped(const struct revert_operation *revert)
{
	if (revert->was_active)
		vm_emit_lifecycle(revert->start.op.vm, EVENT_STOPPED, STOPPED_FROM_SNAPSHOT);
}

static void tell_defined(const struct revert_operation *revert)
{
	if (revert->definition)
		vm_emit_lifecycle(revert->start.op.vm, EVENT_DEFINED, DEFINED_FROM_SNAPSHOT);
}

static enum step_result run(struct job *job, void *context, struct error *err)
{
	tell_stopped(context);
	tell_defined(context);
	return start_run_guest(job, context, err);
}

static void ended(struct operation *op)
{
	operation_step_done(op, NULL);
}

static enum step_result end_qemu(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;

	tell_defined(revert);
	if (!vm->process || vm->process_ended) {
		vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_FROM_SNAPSHOT};
		vm->stop_detail = STOPPED_FROM_SNAPSHOT;
		return STEP_DONE;
	}
	revert->start.op.on_gone = ended;
	vm_stop_process(vm, SIGTERM, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT);
	return STEP_WAIT;
}

/* One that an earlier daemon parked is the VM's again; its disks are others now. */
static enum step_result end_old(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;

	tell_defined(revert);
	vm_end_stand_in(vm);
	vm->stop_as = vm->status = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_FROM_SNAPSHOT};
	vm->stop_detail = STOPPED_FROM_SNAPSHOT;
	if (vm->process && !vm->process_ended) {
		revert->start.op.on_gone = ended;
		vm_stop_process(vm, SIGKILL, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT);
		return STEP_WAIT;
	}
	tell_stopped(revert);
	return vm_end_parked(job, context, err);
}

/* ---- tidy ---- */

static int remove_obsolete(struct buf *result, void *userdata, struct error *err)
{
	const struct revert_operation *revert = userdata;

	if (revert->tpm_aside && tpm_state_forget(revert->start.op.vm, revert->tpm_aside, err) < 0)
		return -1;
	for (size_t i = 0; i < revert->obsolete.n && i < revert->obsolete_on.n; i++) {
		const char *path = revert->obsolete.items[i];

		if (!image_stands_on(path, revert->obsolete_on.items[i]) ||
			image_is_foreign(revert->start.op.vm, path))
			continue;
		if (unlink(path) < 0 && errno != ENOENT)
			return error_errno(err, errno, "remove %s", path);
	}
	return 0;
}

/* Whoever else wrote to them since it was gone back to does so no more. */
static void forget_overlays(struct vm *vm, const struct strv *obsolete)
{
	VEC_FOREACH (s, &vm->snapshots.all) {
		struct error err = ERROR_INIT;
		bool is_his = false;

		for (size_t i = 0; i < s->revert_disks.n; i++)
			is_his |= strv_contains(obsolete, s->revert_disks.items[i].source);
		if (!is_his)
			continue;
		snapshot_clear_revert_disks(s);
		if (snapshot_store_write(vm, s, &err) < 0)
			log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
	}
}

/* It belongs to the disks that were left. */
static void remove_managed_save(struct vm *vm)
{
	_cleanup_free_ char *name = vm_file_name(vm, ".save");
	struct error err = ERROR_INIT;

	if (file_remove(vm->registry->save_fd, name, true, &err) < 0)
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "managed save of %s: %s", vm->name, err.message);
}

static enum step_result tidy(struct job *job, void *context, struct error *err)
{
	struct revert_operation *revert = context;
	struct vm *vm = revert->start.op.vm;

	remove_managed_save(vm);
	forget_nvram(revert);
	if (revert->obsolete.n == 0 && !revert->tpm_aside)
		return STEP_DONE;
	forget_overlays(vm, &revert->obsolete);
	return start_work(revert, remove_obsolete, err);
}

/* ---- the tables ---- */

static const struct job_step revert_steps[] = {
	{"make-overlays", make_overlays, remove_overlays},
	{"pause", pause_guest, let_go_on},
	{"park", vm_park, vm_unpark},
	{"keep-present", revert_keep_present, revert_drop_present},
	{"apply-stored", revert_apply_stored, revert_bring_back},
	{"keep-nvram", keep_nvram, bring_nvram_back},
	{"part-tpm", part_tpm, unpart_tpm},
	{"prepare", prepare, unprepare},
	{"spawn", launch_spawn, unspawn},
	{"check-disks", check_disks, NULL},
	{"monitor", launch_monitor, NULL},
	{"load", load, NULL},
	{"configure", launch_configure, NULL},
	{"take-disks", launch_take_disks, NULL},
	{"define", define, undefine},
	{"record", record, unrecord},
	{"run", run, NULL},
	{"end-parked", vm_end_parked, NULL},
	{"forget-present", revert_forget_present, NULL},
	{"tidy", tidy, NULL},
};

static const struct job_step revert_off_steps[] = {
	{"make-overlays", make_overlays, remove_overlays},
	{"pause", pause_guest, let_go_on},
	{"define", define, undefine},
	{"record", record, unrecord},
	{"end-qemu", end_qemu, NULL},
	{"tidy", tidy, NULL},
};

/* What lies inside the files that QEMU has open can only be brought back when it has let go of them. */
static const struct job_step revert_stored_off_steps[] = {
	{"make-overlays", make_overlays, remove_overlays},
	{"pause", pause_guest, let_go_on},
	{"park", vm_park, vm_unpark},
	{"keep-present", revert_keep_present, revert_drop_present},
	{"apply-stored", revert_apply_stored, revert_bring_back},
	{"define", define, undefine},
	{"record", record, unrecord},
	{"end-old", end_old, NULL},
	{"forget-present", revert_forget_present, NULL},
	{"tidy", tidy, NULL},
};

enum { REVERT_COMMIT = 15, REVERT_OFF_COMMIT = 3, REVERT_STORED_OFF_COMMIT = 6 };

static void cancel(struct job *job, void *context)
{
	struct revert_operation *revert = context;
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	if (revert_is_working_stored(revert))
		return; /* half a change of an image is worse than a moment; the engine turns back behind it */
	if (revert->worker) {
		disk_check_end(&revert->worker);
		operation_step_done(&revert->start.op, &err);
	} else if (revert->awaits_memory) {
		paging_forget_waiter(revert->start.op.vm->paging, revert);
		memory_is_in(revert, &err);
	} else {
		start_cancel_long(&revert->start);
	}
}

/* ---- what a new daemon must know ---- */

static json *encode_paths(const struct strv *paths)
{
	json *array = json_object_new_array();

	for (size_t i = 0; i < paths->n; i++)
		json_object_array_add(array, json_object_new_string(paths->items[i]));
	return array;
}

static void decode_paths(json *array, struct strv *ret)
{
	JSON_FOREACH (item, array)
		strv_add(ret, json_object_get_string(item));
}

static json *encode(const struct operation *op)
{
	const struct revert_operation *revert = (const struct revert_operation *)op;
	json *disks = json_object_new_array();

	for (size_t i = 0; i < revert->disks.n; i++)
		json_object_array_add(disks, json_pack("s:target", revert->disks.items[i].target, "s:overlay",
						     revert->disks.items[i].overlay, NULL));
	return json_pack("s:snapshot", revert->name, "s:image", revert->start.image_path, "b:paused",
		revert->start.paused, "b:was_active", revert->was_active, "b:was_running",
		revert->was_running, "o:disks", disks, "o:obsolete", encode_paths(&revert->obsolete),
		"o:obsolete_on", encode_paths(&revert->obsolete_on), "s:definition", revert->definition,
		"s:old_definition", revert->old_definition, "s:old_metadata", revert->old_metadata,
		"s:old_current", revert->old_current, "s:program", revert->program, "s:nvram", revert->nvram,
		"s:nvram_aside", revert->nvram_aside, "s:tpm_aside", revert->tpm_aside, NULL);
}

static int decode(struct operation *op, json *params, struct error *err)
{
	struct revert_operation *revert = (struct revert_operation *)op;

	revert->start.image_fd = revert->start.monitor_fd = -1;
	revert->start.from_snapshot = true;
	revert->is_recovered = true;
	revert->name = xstrdup(json_get_string(params, "snapshot"));
	revert->start.image_path = xstrdup(json_get_string(params, "image"));
	revert->start.paused = json_get_bool(params, "paused", false);
	revert->was_active = json_get_bool(params, "was_active", false);
	revert->was_running = json_get_bool(params, "was_running", false);
	revert->definition = xstrdup(json_get_string(params, "definition"));
	revert->old_definition = xstrdup(json_get_string(params, "old_definition"));
	revert->old_metadata = xstrdup(json_get_string(params, "old_metadata"));
	revert->old_current = xstrdup(json_get_string(params, "old_current"));
	revert->program = xstrdup(json_get_string(params, "program"));
	revert->nvram_aside = xstrdup(json_get_string(params, "nvram_aside"));
	revert->tpm_aside = xstrdup(json_get_string(params, "tpm_aside"));
	if (revert->nvram_aside)
		revert->nvram = xstrdup(json_get_string(params, "nvram"));
	JSON_FOREACH (item, json_get(params, "disks"))
		VEC_ADD(&revert->disks,
			((struct revert_disk){.target = xstrdup(json_get_string(item, "target")),
				.overlay = xstrdup(json_get_string(item, "overlay"))}));
	decode_paths(json_get(params, "obsolete"), &revert->obsolete);
	decode_paths(json_get(params, "obsolete_on"), &revert->obsolete_on);
	for (size_t i = 0; i < revert->disks.n; i++)
		if (!revert->disks.items[i].overlay || !revert->disks.items[i].target)
			revert->name = NULL;
	if (!revert->name || !revert->old_metadata)
		return error_set(err, ERROR_DAMAGED, "journal of a revert names no snapshot or overlay");
	return 0;
}

/* What failed first may be long; this is heard in any case. */
static void add_outcome(struct operation *op, const char *text)
{
	size_t size = sizeof(op->outcome.message), most = size - 1 - strlen(text),
	       len = strlen(op->outcome.message);

	if (len > most)
		len = most;
	snprintf(op->outcome.message + len, size - len, "%s", text);
}

static void finished(struct operation *op, const struct error *err)
{
	struct revert_operation *revert = (struct revert_operation *)op;
	struct vm *vm = op->vm;

	if (!err) {
		status_write(vm, NULL);
		return;
	}
	if (!revert->was_active && vm->state == VM_STARTING)
		vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_FAILED};
	/* The caller is told with the error. */
	if (revert->lost_present)
		add_outcome(op, "; its disks could not be brought back: it is off, and they are kept as "
				"'" SNAPSHOT_HOOK_PRESENT "'");
	else if (revert->was_active && vm->process_ended)
		add_outcome(op, "; its QEMU ended meanwhile, so that it is off now");
}

static void release(struct operation *op)
{
	struct revert_operation *revert = (struct revert_operation *)op;

	if (revert->awaits_memory)
		paging_forget_waiter(op->vm->paging, revert);
	disk_check_end(&revert->worker);
	revert_release_stored(revert);
	for (size_t i = 0; i < revert->disks.n; i++) {
		free(revert->disks.items[i].target);
		free(revert->disks.items[i].base);
		free(revert->disks.items[i].overlay);
	}
	VEC_FREE(&revert->disks);
	strv_fini(&revert->obsolete);
	strv_fini(&revert->obsolete_on);
	free(revert->name);
	free(revert->definition);
	free(revert->old_definition);
	free(revert->old_metadata);
	free(revert->old_current);
	free(revert->nvram);
	free(revert->nvram_aside);
	free(revert->tpm_aside);
	domain_free(revert->noted);
	start_operation_release(op);
}

struct revert_operation *revert_operation_new(const struct operation_type *type, struct vm *vm)
{
	struct revert_operation *revert = operation_new(type, vm);

	revert->start.image_fd = revert->start.monitor_fd = -1;
	revert->start.from_snapshot = true;
	return revert;
}

/* clang-format off */
#define OPERATION(name_, verb_, kind_, steps_, commit_) \
	{ \
		.job = {.name = name_, .steps = steps_, .n_steps = ARRAY_SIZE(steps_), .commit = commit_, \
			.durable = true, .cancel = cancel}, \
		.verb = verb_, .kind = kind_, .size = sizeof(struct revert_operation), \
		.encode = encode, .decode = decode, .finished = finished, .fill_info = load_fill_info, \
		.release = release, \
	}
/* clang-format on */

const struct operation_type revert_operation_type =
	OPERATION("snapshot-revert", "revert", VM_JOB_REVERT, revert_steps, REVERT_COMMIT);
const struct operation_type revert_stored_off_operation_type = OPERATION("snapshot-revert-stored-off",
	"revert", VM_JOB_REVERT, revert_stored_off_steps, REVERT_STORED_OFF_COMMIT);
const struct operation_type revert_off_operation_type =
	OPERATION("snapshot-revert-off", "revert", VM_JOB_REVERT, revert_off_steps, REVERT_OFF_COMMIT);
