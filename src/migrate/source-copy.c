/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disks of a VM that leaves, where the destination does not reach them (copy.h). */
#include "source.h"

static void job_changed(struct operation *op, const char *id, const char *status)
{
	struct source_operation *s = (struct source_operation *)op;

	if (s->copies)
		copies_hear(s->copies, id, status);
}

static void copied(const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	if (!s->awaits_copies)
		return;
	s->awaits_copies = false;
	operation_step_done(&s->op, err);
}

static bool has_any(const struct source_operation *s)
{
	VEC_FOREACH (disk, &s->op.vm->live->disks)
		if (copy_includes(&s->options, disk))
			return true;
	return false;
}

enum step_result source_copy(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (!copy_is_asked(&s->options) || !has_any(s))
		return STEP_DONE;
	if (!s->op.vm->qmp || !s->nbd_port) {
		error_set(err, ERROR_OPERATION_FAILED,
			"the destination does not say where its disks can be written to");
		return STEP_FAILED;
	}
	s->op.on_gone = source_qemu_gone;
	s->op.on_job = job_changed;
	s->awaits_copies = true;
	s->copies = copies_start(s->op.vm, &s->options, s->nbd_host, s->nbd_port, copied, s);
	return STEP_WAIT;
}

static void dropped(const struct error *err, void *userdata)
{
	struct source_operation *s = userdata;

	s->op.on_job = NULL;
	copies_free(TAKE_PTR(s->copies));
	operation_step_done(&s->op, err);
}

enum step_result source_uncopy(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	s->awaits_copies = false;
	if (!copy_is_asked(&s->options) || !s->op.vm->qmp || !s->op.vm->live) {
		copies_free(TAKE_PTR(s->copies));
		return STEP_DONE;
	}
	if (!s->copies)
		s->copies = copies_adopt(s->op.vm);
	if (copies_is_empty(s->copies)) {
		copies_free(TAKE_PTR(s->copies));
		return STEP_DONE;
	}
	s->op.on_job = job_changed;
	copies_drop(s->copies, dropped, s);
	return STEP_WAIT;
}

/* The guest stands still: what it has written last goes over, and then nothing is left here. */
enum step_result source_end_copies(struct job *job, void *context, struct error *err)
{
	struct source_operation *s = context;

	if (!s->copies)
		return STEP_DONE;
	s->op.on_gone = source_qemu_gone;
	s->awaits_copies = true;
	copies_finish(s->copies, copied, s);
	return STEP_WAIT;
}
