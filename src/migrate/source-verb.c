/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phases of a source, as they arrive: begin, perform, confirm. */
#include "allowed.h"
#include "buf.h"
#include "migrate-place.h"
#include "source.h"
#include "target.h"

void source_init(struct source_operation *s)
{
	migrate_options_init(&s->options);
	s->stream_fd = -1;
}

static int check_begin(struct vm *vm, const struct migrate_options *o, struct error *err)
{
	bool offline = o->flags & MIGRATE_OFFLINE;

	if (migrate_check_possible(o, err) < 0 || vm_check_verb(vm, VERB_MIGRATE, err) < 0)
		return -1;
	if (!vm->live && !offline)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	if (vm->live && offline)
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' is active: it cannot be migrated offline", vm->name);
	if (offline && !(o->flags & MIGRATE_PERSIST_DEST))
		return error_set(err, ERROR_OPERATION_INVALID,
			"offline migration of domain '%s' must be persistent at the destination, or nothing "
			"would be there",
			vm->name);
	if (o->flags & MIGRATE_UNDEFINE_SOURCE && !vm->persistent)
		return error_set(
			err, ERROR_OPERATION_INVALID, "cannot undefine transient domain '%s'", vm->name);
	return migrate_check_allowed(vm, o, err);
}

/* 32 hex digits, of which 122 bits are random. */
static char *make_token(void)
{
	uint8_t bytes[16];
	char text[UUID_TEXT_MAX];
	struct buf b = {0};

	uuid_generate(bytes);
	uuid_format(bytes, text);
	for (const char *c = text; *c; c++)
		if (*c != '-')
			buf_addf(&b, "%c", *c);
	return buf_take(&b);
}

/* Nothing moves but the definition, and there is nothing to undo: no job. */
static int begin_offline(struct vm *vm, const struct migrate_options *o, migrate_done_fn done, void *userdata,
	struct error *err)
{
	struct source_operation *s = operation_new(&source_operation_type, vm);
	_cleanup_free_ char *cookie = NULL, *xml = NULL;
	int r;

	source_init(s);
	migrate_options_copy(o, &s->options);
	r = source_make_offer(s, &cookie, &xml, err);
	operation_free(&s->op);
	if (r == 0)
		phase_answer_later(vm->registry, done, userdata, vm,
			&(struct migrate_reply){.cookie = cookie, .xml = xml});
	return r;
}

/* Everybody who waits is answered by `finished`; what is left is nobody's. */
static void source_done(struct vm *vm, const struct error *err, void *userdata)
{
}

int migrate_begin(struct vm *vm, const struct migrate_options *o, const void *client, migrate_done_fn done,
	void *userdata, struct error *err)
{
	struct source_operation *s;

	if (check_begin(vm, o, err) < 0)
		return error_prefix(err, "migrate %s", vm->name);
	if (o->flags & MIGRATE_OFFLINE)
		return begin_offline(vm, o, done, userdata, err);
	s = operation_new(&source_operation_type, vm);
	source_init(s);
	migrate_options_copy(o, &s->options);
	migrate_apply_limits(vm, &s->options);
	s->client = client;
	s->token = make_token();
	s->was_running = vm->state == VM_RUNNING;
	s->begin = (struct phase_waiter){done, userdata};
	return operation_begin(&s->op, source_done, NULL, err);
}

static int take_uri(struct source_operation *s, const char *uri, struct error *err)
{
	struct migrate_place place = {0};
	int r = migrate_place_parse(uri, &place, err);

	if (r == 0 && !place.path && !place.port)
		r = error_set(err, ERROR_INVALID_ARGUMENT, "migration URI '%s' has no port", uri);
	if (r == 0) {
		free(s->uri);
		s->uri = migrate_place_format(&place);
	}
	migrate_place_fini(&place);
	return r;
}

static int take_perform(
	struct source_operation *s, const struct migrate_options *o, const char *cookie, struct error *err)
{
	if (!s->awaits_perform)
		return error_set(
			err, ERROR_OPERATION_INVALID, "its migration is not waiting to be performed");
	if (!o->uri && s->stream_fd < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "no migration URI was given");
	if (o->uri && take_uri(s, o->uri, err) < 0)
		return -1;
	return source_take_cookie(s, cookie, err);
}

int migrate_perform(struct vm *vm, const struct migrate_options *o, const char *cookie, const void *client,
	migrate_done_fn done, void *userdata, struct error *err)
{
	struct source_operation *s = source_find(vm);

	if (!s)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not being migrated", vm->name);
	if (take_perform(s, o, cookie, err) < 0)
		return error_prefix(err, "migrate %s", vm->name);
	migrate_options_fini(&s->options);
	migrate_options_init(&s->options);
	migrate_options_copy(o, &s->options);
	migrate_apply_limits(vm, &s->options);
	s->client = client;
	s->awaits_perform = false;
	s->perform = (struct phase_waiter){done, userdata};
	operation_step_done(&s->op, NULL);
	return 0;
}

/* The definition is there: what is left is to take it away here, when that was asked for. */
static int confirm_offline(struct vm *vm, const struct migrate_options *o, bool cancelled,
	migrate_done_fn done, void *userdata, struct error *err)
{
	if (!cancelled && o->flags & MIGRATE_UNDEFINE_SOURCE) {
		if (vm_check_verb(vm, VERB_UNDEFINE, err) < 0 || vm_remove_definition(vm, err) < 0)
			return error_prefix(err, "migrate %s", vm->name);
	}
	phase_answer_later(vm->registry, done, userdata, vm, &(struct migrate_reply){0});
	vm_settle(vm);
	return 0;
}

int migrate_confirm(struct vm *vm, const struct migrate_options *o, const char *cookie, bool cancelled,
	migrate_done_fn done, void *userdata, struct error *err)
{
	struct source_operation *s = source_find(vm);

	if (o->flags & MIGRATE_OFFLINE)
		return confirm_offline(vm, o, cancelled, done, userdata, err);
	if (!s) {
		/* It has been decided without the client. */
		phase_answer_later(vm->registry, done, userdata, vm, &(struct migrate_reply){0});
		return 0;
	}
	if (phase_wait(&s->confirm, "confirm", done, userdata, err) < 0)
		return -1;
	source_take_outcome(s, cookie);
	source_confirmed(s, cancelled);
	return 0;
}

void migrate_client_gone(struct registry *r, const void *client)
{
	struct vm *const *vms;
	size_t n;

	target_offline_client_gone(r->settings.migrations, client);
	registry_list(r, &vms, &n);
	for (size_t i = 0; i < n; i++) {
		struct source_operation *s = source_find(vms[i]);
		struct target_operation *t = target_find(vms[i]);

		if (s && s->client == client)
			source_client_gone(s);
		if (t && t->client == client)
			target_client_gone(t);
	}
}
