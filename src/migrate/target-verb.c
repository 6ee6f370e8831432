/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The phases of a destination, as they arrive: prepare and finish. */
#include "allowed.h"
#include "disk.h"
#include "source.h"
#include "target.h"

static int check_can_come(struct vm *vm, struct error *err)
{
	if (!vm_has_managed_save(vm))
		return 0;
	return error_set(err, ERROR_OPERATION_INVALID,
		"domain '%s' has a managed save here, which would be older than what comes: "
		"'managedsave-remove' "
		"discards it",
		vm->name);
}

static int parse_incoming(const struct migrate_options *o, struct domain **ret, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;

	if (!o->xml)
		return error_set(err, ERROR_INVALID_ARGUMENT, "no domain XML was given");
	if (domain_parse(
		    o->xml, strlen(o->xml), o->flags & MIGRATE_OFFLINE ? 0 : DOMAIN_PARSE_LIVE, &d, err) < 0)
		return -1;
	if (!d->has_uuid)
		return error_set(err, ERROR_XML, "domain '%s' comes without a uuid", d->name);
	if (o->name) {
		if (domain_check_name(o->name, err) < 0)
			return -1;
		replace_string(&d->name, o->name);
	}
	domain_give_chains(d);
	*ret = TAKE_PTR(d);
	return 0;
}

/* ---- prepare ---- */

/* Everybody who waits is answered when the job ends. */
static void target_done(struct vm *vm, const struct error *err, void *userdata)
{
}

/* `fd` is taken when it succeeds. */
static int fill(struct target_operation *t, struct registry *r, const struct migrate_options *o,
	const char *cookie, int *fd, struct error *err)
{
	struct vm *vm = t->start.op.vm;

	target_init(t);
	migrate_options_copy(o, &t->options);
	t->start.paused = o->flags & MIGRATE_PAUSED;
	if (check_can_come(vm, err) < 0 || target_take_cookie(r, t, cookie, err) < 0 ||
		target_plan_disks(t, err) < 0 || (*fd < 0 && target_choose_uri(t, err) < 0))
		return -1;
	t->stream_fd = take_fd(fd);
	return 0;
}

int migrate_prepare(struct registry *r, const struct migrate_options *o, const char *cookie, int stream_fd,
	const void *client, migrate_done_fn done, void *userdata, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_close_ int fd = stream_fd;
	struct target_operation *t;
	struct vm *vm;

	if (migrate_check_possible(o, err) < 0 || parse_incoming(o, &d, err) < 0)
		return error_prefix(err, "migrate to this host");
	if (o->flags & MIGRATE_OFFLINE) {
		if (target_prepare_offline(r, d, cookie, client, done, userdata, err) < 0)
			return error_prefix(err, "migrate %s to this host", d->name);
		return 0;
	}
	if (target_check_source(r, d, cookie, err) < 0 || start_find_or_make(r, d, &vm, err) < 0)
		return error_prefix(err, "migrate %s to this host", d->name);
	t = operation_new(&target_operation_type, vm);
	t->start.domain = TAKE_PTR(d);
	if (fill(t, r, o, cookie, &fd, err) < 0) {
		error_prefix(err, "migrate %s to this host", vm->name);
		vm_ref(vm);
		operation_free(&t->start.op);
		vm_settle(vm);
		vm_unref(vm);
		return -1;
	}
	t->client = client;
	t->prepare = (struct phase_waiter){done, userdata};
	return start_begin(&t->start, target_done, NULL, err);
}

/* ---- finish ---- */

/* Its job has ended already: what there is to say is what there is. */
static int finish_late(struct registry *r, struct vm *vm, const char *name, bool cancelled,
	migrate_done_fn done, void *userdata, struct error *err)
{
	_cleanup_free_ char *report = NULL;

	if (!vm || !vm_is_active(vm))
		return cancelled ? error_set(err, ERROR_MIGRATE_FINISH_OK,
					   "migration of domain '%s' was canceled", name)
				 : error_set(err, ERROR_NO_DOMAIN, "no domain with matching name '%s'", name);
	report = target_make_report(vm, NULL);
	phase_answer_later(r, done, userdata, vm, &(struct migrate_reply){.cookie = report});
	return 0;
}

int migrate_finish(struct registry *r, const char *name, const struct migrate_options *o, const char *cookie,
	bool cancelled, migrate_done_fn done, void *userdata, struct error *err)
{
	struct vm *vm = registry_find_by_name(r, name);
	struct target_operation *t = vm ? target_find(vm) : NULL;

	if (o->flags & MIGRATE_OFFLINE)
		return cancelled ? error_set(err, ERROR_MIGRATE_FINISH_OK,
					   "migration of domain '%s' was canceled", name)
				 : target_finish_offline(r, name, done, userdata, err);
	if (!t)
		return finish_late(r, vm, name, cancelled, done, userdata, err);
	/* In this order: whoever is told of a damaged one does not wait any more. */
	if (target_take_report(t, cookie, err) < 0 ||
		phase_wait(&t->finish, "finish", done, userdata, err) < 0)
		return -1;
	t->is_canceled = cancelled;
	target_finished(t, cancelled);
	return 0;
}
