/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps that keep a saved state and its disks together: the note taken when it is saved, and the comparison before it is loaded.
 *
 * Saving looks when QEMU has said that its migration is complete: it has given its disks up by then, every cache and every piece of metadata
 * written, and writes nothing more, not even when it ends. Starting looks when the new QEMU has its leases and has not been told
 * to load: nobody else can write any more, and QEMU has only opened the disks, which changes nothing. It goes on starting
 * meanwhile, so that looking takes no time.
 *
 * Both look in a child: storage may not answer.
 */
#include "disk-check.h"

#include "disk-look.h"
#include "disk.h"
#include "log.h"
#include "start.h"
#include "state-stream.h"

void disk_check_end(struct process **looker)
{
	if (!*looker)
		return;
	process_kill(*looker, SIGKILL);
	process_free(*looker);
	*looker = NULL;
}

/* ---- saving: note-disks ---- */

static int take_note(struct buf *result, void *userdata, struct error *err)
{
	const struct state_stream *s = userdata;
	struct disk_notes notes = {0};
	_cleanup_free_ char *text = NULL;

	if (disk_look(s->noted, true, &notes, err) < 0)
		return -1;
	text = disk_notes_format(&notes);
	disk_notes_fini(&notes);
	buf_adds(result, text);
	return 0;
}

static void note_taken(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct state_stream *s = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	else
		s->disks = xstrndup(result, len);
	process_free(TAKE_PTR(s->looker));
	operation_step_done(s->op, failure.code != ERROR_NONE ? &failure : NULL);
}

enum step_result state_stream_note_disks(struct state_stream *s, const struct domain *d, struct error *err)
{
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = take_note,
		.work_userdata = s,
		.worked = note_taken};

	s->noted = d;
	if (process_start(s->op->vm->registry->loop, &options, NULL, s, &s->looker, err) < 0)
		return STEP_FAILED;
	return STEP_WAIT;
}

/* ---- start: check-disks ---- */

static const struct domain *get_noted(const struct start_operation *start)
{
	if (start->noted)
		return start->noted;
	return start->clone ? start->clone->saved : start->op.vm->live;
}

/* Of a snapshot's disks some may be what they are now. */
static void drop_unwanted(struct disk_notes *saved, const struct domain *d)
{
	for (size_t i = saved->disks.n; i-- > 0;)
		if (!domain_find_disk(d, saved->disks.items[i].target))
			disk_notes_drop(saved, i);
}

static int compare(struct buf *result, void *userdata, struct error *err)
{
	const struct start_operation *start = userdata;
	struct disk_notes saved = {0}, now = {0};
	int r = -1;

	if (disk_notes_parse(start->disks, &saved, err) == 0 &&
		disk_look(get_noted(start), false, &now, err) == 0) {
		if (start->noted)
			drop_unwanted(&saved, start->noted);
		r = disk_notes_compare(&saved, &now, result, err);
	}
	disk_notes_fini(&saved);
	disk_notes_fini(&now);
	return r;
}

/* What `why` means for this start, and the ways out of it. */
static void explain(const struct start_operation *start, const struct error *why, struct error *ret)
{
	const char *name = start->op.vm->name, *path = start->image_path;
	bool differ = why->code == ERROR_OPERATION_INVALID;
	const char *judgement = differ ? "do not fit together" : "cannot be compared";
	const char *danger = differ ? "; going on would destroy what is on them" : "";

	if (start->from_snapshot)
		error_set(ret, why->code,
			"the snapshot's memory and its disks %s: %s%s (--force goes on nevertheless)",
			judgement, why->message, danger);
	else if (start->clone)
		error_set(ret, why->code, "%s and the disks %s: %s", path, judgement, why->message);
	else if (start->managed)
		error_set(ret, why->code,
			"the managed save and the disks %s: %s%s ('start %s --force-boot' discards the "
			"managed save and boots from the disks, 'godwit start %s --force' goes on "
			"nevertheless)",
			judgement, why->message, danger, name, name);
	else
		error_set(ret, why->code,
			"%s and the disks %s: %s%s ('godwit start %s' boots from the disks, 'godwit restore "
			"%s --force' goes on nevertheless)",
			path, judgement, why->message, danger, name, path);
}

static void compared(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		explain(start, err, &failure);
	else if (len > 0)
		log_write(LOG_LEVEL_INFO, start->op.vm->name, start->op.type->job.name, "%.*s", (int)len,
			result);
	process_free(TAKE_PTR(start->looker));
	operation_step_done(&start->op, err ? &failure : NULL);
}

static void qemu_gone(struct operation *op)
{
	struct start_operation *start = (struct start_operation *)op;

	disk_check_end(&start->looker);
	launch_gone(op);
}

enum step_result start_check_disks(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = compare,
		.work_userdata = start,
		.worked = compared};

	if (start->force) {
		log_write(LOG_LEVEL_NOTICE, vm->name, start->op.type->job.name,
			"its disks are not compared: forced");
		return STEP_DONE;
	}
	if (!start->disks && image_read_disks(start->image_fd, start->image_path, &start->disks, err) < 0)
		return STEP_FAILED;
	if (!start->disks) {
		log_write(LOG_LEVEL_INFO, vm->name, start->op.type->job.name,
			"its disks are not compared: %s has no note of them", start->image_path);
		return STEP_DONE;
	}
	if (process_start(vm->registry->loop, &options, NULL, start, &start->looker, err) < 0)
		return STEP_FAILED;
	start->op.on_gone = qemu_gone;
	return STEP_WAIT;
}
