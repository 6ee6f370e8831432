/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The step "load", lazily: QEMU becomes the destination of a post-copy migration whose source is godwit-io (paging.h). It is over
 * when QEMU has all devices and could run; memory follows behind.
 *
 *	spawn:	helper started, opens and checks the image		while QEMU starts
 *	load:	capabilities, a place to listen				QEMU agrees, or says why not
 *		migrate-incoming, connect, helper sends			QEMU is "postcopy-active", then no longer "inmigrate"
 *
 * Whatever is in the way before the first byte was sent leads to an eager load (load.c), and to a reason that people can read.
 * After it QEMU itself gives up, and the start fails; the image is as it was.
 */
#include <errno.h>
#include <fcntl.h>

#include "log.h"
#include "paging.h"
#include "start.h"

/* ---- which way ---- */

/* NULL: lazily. */
static const char *why_eagerly(const struct start_operation *start)
{
	if (start->clone)
		return "it is a clone: its memory is the image's, and there from the beginning";
	if (start->eager)
		return "it was asked for";
	if (start->op.vm->registry->settings.restore_eagerly)
		return "restore_mode is \"eager\"";
	if (start->bypass_cache)
		return "reading past the page cache was asked for";
	if (start->channels > 1)
		return "parallel channels were asked for";
	if (!capabilities_has_migration(start->caps, "postcopy-ram"))
		return "this QEMU cannot take memory after the guest runs (postcopy-ram)";
	return NULL;
}

static void choose(struct start_operation *start, const char *why_not)
{
	struct vm *vm = start->op.vm;

	vm->restored_lazily = !why_not;
	replace_string(&vm->restored_why, why_not);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "vm %s is restored %s%s", vm->name,
		why_not ? "eagerly: " : "lazily", why_not ? why_not : "");
}

void lazy_load_prepare(struct start_operation *start)
{
	const char *why_not = why_eagerly(start);
	struct error err = ERROR_INIT;

	if (!why_not) {
		start->paging = paging_new(
			start->op.vm, start->image_path, fcntl(start->image_fd, F_DUPFD_CLOEXEC, 3));
		start->paging->preempt = capabilities_has_migration(start->caps, "postcopy-preempt");
		if (paging_start_helper(start->paging, &err) < 0) {
			why_not = err.message;
			paging_free(start->paging, &err);
			start->paging = NULL;
		}
	}
	choose(start, why_not);
}

/* ---- back to the eager way ---- */

static void stop_listening(struct start_operation *start)
{
	start->op.on_migration = NULL;
	start->op.on_gone = NULL;
	if (start->op.vm->qmp)
		qmp_forget(start->op.vm->qmp, start);
}

static void load_instead(struct start_operation *start, const struct error *why)
{
	struct error err = *why;
	bool in_step = start->lazy_step;

	choose(start, err.message);
	paging_free(start->paging, &err);
	start->paging = NULL;
	start->lazy_step = false;
	if (!in_step)
		return; /* the step has not come yet */
	stop_listening(start);
	error_clear(&err);
	if (load_eagerly(start, &err) < 0)
		operation_step_done(&start->op, &err);
}

void lazy_load_failed(struct paging *p, const struct error *err)
{
	struct start_operation *start = (struct start_operation *)p->vm->operation;

	if (start->lazy_step)
		load_failed(start, err);
	else
		load_instead(start, err);
}

/* ---- the way itself ---- */

static void loaded(struct start_operation *start)
{
	struct vm *vm = start->op.vm;
	struct error err = ERROR_INIT;

	start->lazy_step = false;
	stop_listening(start);
	vm->paging = TAKE_PTR(start->paging);
	/* What happens to its helper from now on happens to a VM that can be mended. */
	paging_move(vm->paging, PAGING_FILLING);
	operation_step_done(&start->op, status_write(vm, &err) < 0 ? &err : NULL);
}

static void ask_whether_loaded(struct start_operation *start);

/* Its devices are loaded in one go; only the end of it may be a turn of its main loop away. */
static void status_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	if (err)
		return; /* it is ending, and on_gone says why */
	if (streq(json_get_string(ret, "status"), "inmigrate"))
		ask_whether_loaded(start);
	else
		loaded(start);
}

static void ask_whether_loaded(struct start_operation *start)
{
	qmp_command(start->op.vm->qmp, "query-status", NULL, -1, 0, status_replied, start);
}

static void migration_changed(struct operation *op, const char *status)
{
	struct start_operation *start = (struct start_operation *)op;

	if (start->lazy_step && streq(status, "postcopy-active"))
		ask_whether_loaded(start);
}

static void listening(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;

	if (err || paging_connect(start->paging, false, &failure) < 0)
		load_instead(start, err ? err : &failure);
}

static void proceed(struct start_operation *start)
{
	struct paging *p = start->paging;

	if (!start->lazy_step || !start->lazy_agreed || !p->incoming_uri || !p->servable)
		return;
	qmp_command(start->op.vm->qmp, "migrate-incoming", json_pack("s:uri", p->incoming_uri, NULL), -1, 0,
		listening, start);
}

void lazy_load_servable(struct paging *p, const struct error *err)
{
	struct start_operation *start = (struct start_operation *)p->vm->operation;

	if (err && start->lazy_step && !p->servable && p->memory > 0)
		lazy_load_failed(p, err); /* it had begun */
	else if (err)
		load_instead(start, err);
	else
		proceed(start);
}

static void agreed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	start->lazy_agreed = !err;
	if (!err)
		proceed(start);
	else if (err->code == ERROR_QEMU)
		load_instead(start, err);
}

static void directory_given(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	if (err) {
		if (err->code == ERROR_QEMU)
			load_instead(start, err);
		return;
	}
	paging_set_directory(start->paging, ret);
	proceed(start);
}

enum step_result lazy_load(struct start_operation *start)
{
	struct qmp *q = start->op.vm->qmp;
	json *list = json_object_new_array();

	start->lazy_step = true;
	start->op.on_gone = load_qemu_gone;
	start->op.on_migration = migration_changed;
	json_object_array_add(list, json_pack("s:capability", "events", "b:state", true, NULL));
	json_object_array_add(list, json_pack("s:capability", "postcopy-ram", "b:state", true, NULL));
	if (start->paging->preempt)
		json_object_array_add(
			list, json_pack("s:capability", "postcopy-preempt", "b:state", true, NULL));
	paging_give_directory(start->paging, directory_given, start);
	qmp_command(
		q, "migrate-set-capabilities", json_pack("o:capabilities", list, NULL), -1, 0, agreed, start);
	return STEP_WAIT;
}
