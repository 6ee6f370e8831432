/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The source's part of a check, which drives it (check.h). */
#include <string.h>

#include "alloc.h"
#include "allowed.h"
#include "check.h"
#include "clock.h"
#include "migrate-place.h"
#include "own.h"
#include "peer.h"
#include "vm-internal.h"

#define QEMU_USEC (10 * USEC_PER_SEC)

struct check {
	struct vm *vm;
	struct domain *domain; /* as it is described */
	struct migrate_options options;
	char *uri;
	json *rows, *description, *answer;
	struct process *process;
	struct peer *peer;
	migrate_check_fn done;
	void *userdata;
};

static void finish(struct check *c, const struct error *err)
{
	_cleanup_free_ char *text = json_format(c->rows);

	c->done(err ? NULL : text, err, c->userdata);
	process_free(c->process);
	peer_close(c->peer);
	migrate_options_fini(&c->options);
	json_object_put(c->rows);
	json_object_put(c->description);
	json_object_put(c->answer);
	domain_free(c->domain);
	vm_unref(c->vm);
	free(c->uri);
	free(c);
}

static void start_child(
	struct check *c, int (*work)(struct buf *, void *, struct error *), process_worked_fn worked)
{
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = work,
		.work_userdata = c,
		.worked = worked};
	struct error err = ERROR_INIT;

	process_free(TAKE_PTR(c->process));
	if (process_start(c->vm->registry->loop, &options, NULL, c, &c->process, &err) < 0)
		finish(c, &err);
}

/* ---- last: names and ports ---- */

static bool needs_port(const struct check *c)
{
	return !(c->options.flags & (MIGRATE_TUNNELLED | MIGRATE_OFFLINE));
}

static int reach(struct buf *result, void *userdata, struct error *err)
{
	struct check *c = userdata;
	_cleanup_(migrate_place_fini) struct migrate_place place = {0};
	uint16_t port = (uint16_t)json_get_uint(c->answer, "port", 0);
	const char *host = json_get_string(c->answer, "host");
	_cleanup_json_ json *rows = json_object_new_array();
	_cleanup_free_ char *text = NULL;

	if (c->options.uri && migrate_place_parse(c->options.uri, &place, err) < 0)
		return -1;
	if (place.host)
		host = place.host;
	if (host)
		check_name(rows, "destination's name", host, json_get_bool(c->answer, "same_host", false),
			CHECK_FAILURE);
	if (!needs_port(c) || place.path)
		check_add(rows, CHECK_OK, 0, "ports", NULL, "none is needed");
	else if (host && port)
		check_port(rows, host, port);
	text = json_format(rows);
	buf_adds(result, text);
	return 0;
}

static void reached(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct check *c = userdata;
	_cleanup_json_ json *rows = NULL;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	else if (json_parse(result, len, &rows, &failure) == 0)
		check_add_all(c->rows, rows);
	finish(c, failure.code == ERROR_NONE ? NULL : &failure);
}

/* ---- the other daemon ---- */

/* A libvirt, or a godwit before there was this check: what it does not say is not known, which is no reason against it. */
static void say_unknown(struct check *c)
{
	static const struct {
		const char *what;
		unsigned flags;
	} unknown[] = {{"QEMU", 0}, {"machine type", 0}, {"CPU", 0}, {"memory", 0}, {"disks", CHECK_STORAGE},
		{"bridges", 0}, {"host names", 0}, {"clocks", 0}, {"lock manager", 0}, {"ports", 0}};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		check_add(c->rows, CHECK_WARNING, unknown[i].flags, unknown[i].what, "look for yourself",
			"not checked: the other daemon is no godwit that knows this check");
}

static void on_compared(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	struct check *c = userdata;
	const rpc_string_ret *text = ret;
	struct error failure = ERROR_INIT;

	if (err && (err->code == ERROR_RPC || err->code == ERROR_UNKNOWN_PROCEDURE) && !peer_is_broken(p)) {
		say_unknown(c);
		finish(c, NULL);
		return;
	}
	if (err)
		error_copy(&failure, err);
	else
		json_parse(text->value, strlen(text->value), &c->answer, &failure);
	if (failure.code != ERROR_NONE) {
		error_prefix(&failure, "%s", c->uri);
		finish(c, &failure);
		return;
	}
	check_add_all(c->rows, json_get(c->answer, "rows"));
	start_child(c, reach, reached);
}

/* Told before anything is asked, so that the clock is the one of this moment. */
static void on_opened(struct peer *p, void *userdata)
{
	struct check *c = userdata;
	_cleanup_free_ char *text = NULL;

	json_object_object_add(c->description, "clock_us", json_object_new_int64((int64_t)clock_wall()));
	text = json_format(c->description);
	peer_call(p, &(struct peer_call){.program = RPC_PROGRAM_GODWIT,
			     .procedure = RPC_GODWIT_MIGRATE_COMPARE,
			     .encode = (xdrproc_t)xdr_rpc_json_args,
			     .args = &(rpc_json_args){text},
			     .decode = (xdrproc_t)xdr_rpc_string_ret,
			     .ret_size = sizeof(rpc_string_ret),
			     .reply = on_compared,
			     .userdata = c});
}

/* A call in flight has failed and finished the check before; while the last child is at work it matters no more. */
static void on_closed(struct peer *p, const struct error *err, void *userdata)
{
	struct check *c = userdata;
	struct error failure = *err;

	if (c->answer) {
		peer_close(TAKE_PTR(c->peer));
		return;
	}
	error_prefix(&failure, "%s", c->uri);
	finish(c, &failure);
}

/* ---- first: what there is here ---- */

static int look(struct buf *result, void *userdata, struct error *err)
{
	struct check *c = userdata;
	_cleanup_free_ char *text = NULL;

	check_look(c->description, c->domain, &c->options);
	text = json_format(c->description);
	buf_adds(result, text);
	return 0;
}

static void looked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	static const struct peer_ops ops = {on_opened, on_closed};
	struct check *c = userdata;
	struct error failure = ERROR_INIT;
	json *o;

	if (err) {
		finish(c, err);
		return;
	}
	if (json_parse(result, len, &o, &failure) == 0) {
		json_object_put(c->description);
		c->description = o;
		if (peer_open(c->vm->registry->loop, c->uri, &ops, c, &c->peer, &failure) == 0)
			return;
	}
	finish(c, &failure);
}

static void add_version(json *description, uint32_t version)
{
	json_object_object_add(description, "qemu", json_object_new_int64(version));
}

static void on_version(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct check *c = userdata;
	json *v = json_get(ret, "qemu");

	if (!err)
		add_version(c->description,
			(uint32_t)(json_get_uint(v, "major", 0) * 1000000 +
				   json_get_uint(v, "minor", 0) * 1000 + json_get_uint(v, "micro", 0)));
	start_child(c, look, looked);
}

static void on_migrate_info(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct check *c = userdata;
	json *reasons = json_get(ret, "blocked-reasons");

	if (err)
		check_add(c->rows, CHECK_WARNING, 0, "devices", "look at QEMU's monitor",
			"QEMU does not say whether one is in the way: %s", err->message);
	else if (json_count_(reasons) == 0)
		check_add(c->rows, CHECK_OK, 0, "devices", NULL, "none is in the way, says QEMU");
	JSON_FOREACH (reason, reasons)
		check_add(c->rows, CHECK_FAILURE, 0, "devices", "detach the device", "%s",
			json_object_get_string(reason));
	/* QEMU may have ended with this answer */
	if (c->vm->qmp)
		qmp_command(c->vm->qmp, "query-version", NULL, -1, QEMU_USEC, on_version, c);
	else
		start_child(c, look, looked);
}

/* What begin would refuse; disks are looked at one by one later. */
static void add_verdict(struct check *c)
{
	struct migrate_options o;
	struct error err = ERROR_INIT;

	migrate_options_init(&o);
	migrate_options_copy(&c->options, &o);
	o.flags |= MIGRATE_UNSAFE;
	if (!c->vm->live && !(o.flags & MIGRATE_OFFLINE))
		error_set(&err, ERROR_OPERATION_INVALID, "it is off: only its definition can go (--offline)");
	else if (c->vm->live && o.flags & MIGRATE_OFFLINE)
		error_set(&err, ERROR_OPERATION_INVALID, "it runs, and --offline is for those that do not");
	if (err.code != ERROR_NONE || (c->vm->live && vm_check_verb(c->vm, VERB_MIGRATE, &err) < 0) ||
		migrate_check_possible(&o, &err) < 0 || migrate_check_allowed(c->vm, &o, &err) < 0)
		check_add(c->rows, CHECK_FAILURE, 0, "VM at the source", "see to that first", "%s",
			err.message);
	else
		check_add(c->rows, CHECK_OK, 0, "VM at the source", NULL, "can go");
	migrate_options_fini(&o);
}

static json *describe(const struct check *c)
{
	const struct registry *r = c->vm->registry;
	_cleanup_free_ char *xml =
		c->options.xml ? xstrdup(c->options.xml) : domain_format(c->domain, DOMAIN_FORMAT_MIGRATABLE);

	return json_pack("i:version", (int64_t)1, "s:xml", xml, "s:name", c->options.name, "s:hostname",
		r->settings.hostname, "s:lock_manager", lease_kind_name(r->settings.leases.kind), "b:listen",
		needs_port(c), "b:offline", !c->vm->live, NULL);
}

int migrate_check(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_check_fn done,
	void *userdata, struct error *err)
{
	const struct domain *d = vm->live ? vm->live : vm->persistent;
	const struct qemu_capabilities *caps;
	struct check *c;

	if (!d)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' has no definition", vm->name);
	c = NEW(struct check);
	*c = (struct check){.vm = vm_ref(vm), .uri = xstrdup(uri), .done = done, .userdata = userdata};
	migrate_options_init(&c->options);
	migrate_options_copy(o, &c->options);
	c->domain = domain_copy(d);
	c->rows = json_object_new_array();
	c->description = describe(c);
	caps = d->emulator ? capability_cache_get(vm->registry->capabilities, d->emulator) : NULL;
	if (caps)
		add_version(c->description, caps->version);
	if (caps && d->cpu.model && strv_contains(&caps->usable_cpu_models, d->cpu.model))
		json_object_object_add(c->description, "cpu_usable", json_object_new_boolean(true));
	add_verdict(c);
	if (vm->qmp && vm_check_verb(vm, VERB_QUERY, NULL) == 0)
		qmp_command(vm->qmp, "query-migrate", NULL, -1, QEMU_USEC, on_migrate_info, c);
	else
		start_child(c, look, looked);
	return 0;
}
