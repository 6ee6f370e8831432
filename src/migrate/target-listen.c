/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The step "listen" of a VM that comes (target.c): where QEMU takes the state, and with which capabilities. */
#include "migrate-place.h"
#include "migrations.h"
#include "ports.h"
#include "qemu-setup.h"
#include "target.h"

/* ---- where ---- */

int target_choose_uri(struct target_operation *t, struct error *err)
{
	struct registry *r = t->start.op.vm->registry;
	const struct migrations_settings *settings = migrations_get_settings(r->settings.migrations);
	_cleanup_free_ char *host = migrate_bracket(settings->migration_host ?: r->settings.hostname);
	const char *address = t->options.listen_address ?: settings->migration_address;
	_cleanup_free_ char *listen = address ? migrate_bracket(address) : xstrdup("");
	struct migrate_place place = {0};
	int result = -1;

	if (t->options.uri && migrate_place_parse(t->options.uri, &place, err) < 0)
		goto out;
	if (place.path) {
		t->listen_uri = xasprintf("unix:%s", place.path);
		result = 0;
		goto out;
	}
	if (!place.port) {
		if (ports_take(r->settings.migrations, &t->port, err) < 0)
			goto out;
		place.port = t->port;
		t->source_uri = xasprintf("tcp:%s:%u", place.host ? place.host : host, place.port);
	}
	t->listen_uri = xasprintf("tcp:%s:%u", listen, place.port);
	result = 0;
out:
	migrate_place_fini(&place);
	return result;
}

/* ---- the step ---- */

static void listen_over(struct target_operation *t, const struct error *err)
{
	_cleanup_free_ char *cookie = NULL;

	if (t->start.op.vm->qmp)
		qmp_forget(t->start.op.vm->qmp, t);
	if (!err) {
		cookie = target_make_answer(t);
		phase_answer(&t->prepare, t->start.op.vm,
			&(struct migrate_reply){.cookie = cookie, .uri = t->source_uri}, NULL);
	}
	operation_step_done(&t->start.op, err);
}

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	/* A QEMU that is gone reports itself, with the end of its log. */
	if (err && err->code == ERROR_QEMU)
		listen_over(userdata, err);
}

static void listening(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (!err)
		listen_over(userdata, NULL);
	else
		command_replied(q, ret, err, userdata);
}

enum step_result target_listen(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;
	struct vm *vm = t->start.op.vm;
	struct migration_setup setup = {.options = &t->options,
		.caps = t->start.caps,
		.theirs = t->theirs.n > 0 ? &t->theirs : NULL,
		.is_target = true};

	if (!vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (migration_check_setup(&setup, err) < 0)
		return STEP_FAILED;
	if (t->token && verdict_offer(vm->registry->settings.migrations, t->token, vm->uuid, target_asked, t,
				&t->verdict_port, err) < 0)
		return STEP_FAILED;
	if (target_export_disks(t, command_replied, err) < 0)
		return STEP_FAILED;
	t->start.op.on_gone = launch_gone;
	t->start.op.on_migration = target_hear;
	qmp_command(
		vm->qmp, "migrate-set-parameters", migration_parameters(&setup), -1, 0, command_replied, t);
	qmp_command(vm->qmp, "migrate-set-capabilities", migration_capabilities(&setup), -1, 0,
		command_replied, t);
	if (t->stream_fd >= 0)
		qmp_command(vm->qmp, "getfd", json_pack("s:fdname", "migrate", NULL), t->stream_fd, 0,
			command_replied, t);
	qmp_command(vm->qmp, "migrate-incoming",
		json_pack("s:uri", t->stream_fd >= 0 ? "fd:migrate" : t->listen_uri, NULL), -1, 0, listening,
		t);
	return STEP_WAIT;
}

enum step_result target_unlisten(struct job *job, void *context, struct error *err)
{
	struct target_operation *t = context;

	t->start.op.on_migration = NULL;
	return STEP_DONE;
}
