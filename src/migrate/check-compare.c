/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The destination's part of a check: what is described, held against what is here (check.h). */
#include <string.h>

#include "alloc.h"
#include "check.h"
#include "clock.h"
#include "migrations.h"
#include "vm-internal.h"

struct comparison {
	struct registry *registry;
	json *description, *rows;
	struct domain *domain;
	struct process *process;
	bool same_host;
	migrate_check_fn done;
	void *userdata;
};

static void free_comparison(struct comparison *c)
{
	process_free(c->process);
	domain_free(c->domain);
	json_object_put(c->description);
	json_object_put(c->rows);
	free(c);
}

/* ---- rows that need no looking ---- */

static void compare_clocks(json *rows, int64_t theirs)
{
	int64_t ours = (int64_t)clock_wall(), off = ours > theirs ? ours - theirs : theirs - ours;

	check_add(rows, (uint64_t)off > USEC_PER_SEC ? CHECK_WARNING : CHECK_OK, 0, "clocks",
		"let both hosts take the time from the same servers (NTP)",
		"the destination's is %lld.%03lld s %s the source's", (long long)(off / 1000000),
		(long long)(off / 1000 % 1000), ours < theirs ? "behind" : "ahead of");
}

static void compare_locks(json *rows, const char *theirs, const char *ours)
{
	check_add(rows, streq(theirs, ours) ? CHECK_OK : CHECK_FAILURE, 0, "lock manager",
		"set the same lock_manager on both", "\"%s\" at the source, \"%s\" at the destination",
		theirs ? theirs : "?", ours);
}

static void compare_names(struct comparison *c)
{
	const struct domain *d = c->domain;
	struct vm *same = registry_find_by_uuid(c->registry, d->uuid);
	struct vm *named = registry_find_by_name(c->registry, d->name);

	if (named && named != same)
		check_add(c->rows, CHECK_FAILURE, 0, "VM", "rename one of them, or use --dname",
			"another VM at the destination is called '%s'", d->name);
	else if (same && vm_is_active(same))
		check_add(c->rows, CHECK_FAILURE, 0, "VM", "find out which of the two is to go on",
			"'%s' runs at the destination already", d->name);
	else if (same && vm_has_managed_save(same))
		check_add(c->rows, CHECK_FAILURE, 0, "VM", "discard it: 'managedsave-remove' there",
			"'%s' has a managed save at the destination", d->name);
	else
		check_add(c->rows, CHECK_OK, 0, "VM", NULL, "'%s' has its place at the destination", d->name);
}

/* ---- QEMU ---- */

static void format_version(uint32_t v, char text[32])
{
	snprintf(text, 32, "%u.%u.%u", v / 1000000, v / 1000 % 1000, v % 1000);
}

/* A feature that the model has and the VM does without may be all that is lacking. */
static bool disables_features(const struct domain_cpu *cpu)
{
	VEC_FOREACH (f, &cpu->features)
		if (f.policy == CPU_POLICY_DISABLE || f.policy == CPU_POLICY_FORBID)
			return true;
	return false;
}

/* A model that is not usable as a whole at the source either is one that its guest has only in part: of which parts, nothing here knows. */
static void compare_cpu(struct comparison *c, const struct qemu_capabilities *caps)
{
	const struct domain *d = c->domain;
	const char *model = d->cpu.model;
	bool was_whole = json_get_bool(c->description, "cpu_usable", false) && !disables_features(&d->cpu);

	if (d->cpu.mode != CPU_MODE_CUSTOM || !model)
		return;
	if (!strv_contains(&caps->cpu_models, model))
		check_add(c->rows, CHECK_FAILURE, 0, "CPU",
			"use a model that both know ('godwit cpu-models')",
			"QEMU there does not know the model '%s'", model);
	else if (d->type == DOMAIN_TYPE_KVM && !strv_contains(&caps->usable_cpu_models, model))
		check_add(c->rows, was_whole ? CHECK_FAILURE : CHECK_WARNING, 0, "CPU",
			"use a model that both processors have ('godwit domcapabilities')",
			"the processor there lacks something that the model '%s' has%s", model,
			was_whole ? "" : ", and the VM may do without");
	else
		check_add(c->rows, CHECK_OK, 0, "CPU", NULL, "the model '%s' is there", model);
}

static void compare_qemu(struct comparison *c, const struct qemu_capabilities *caps)
{
	uint32_t here = (uint32_t)json_get_uint(c->description, "qemu", 0);
	const struct domain *d = c->domain;
	bool has_machine = !d->os.machine || capabilities_find_machine(caps, d->os.machine);
	char theirs[32], ours[32];

	format_version(here, theirs);
	format_version(caps->version, ours);
	check_add(c->rows, caps->version < here ? CHECK_WARNING : CHECK_OK, 0, "QEMU",
		"update QEMU there: going to an older one is not what its machine types are tested for",
		"%s at the source, %s at the destination", here ? theirs : "not known", ours);
	check_add(c->rows, has_machine ? CHECK_OK : CHECK_FAILURE, 0, "machine type",
		"install a QEMU there that has it", "%s %s", d->os.machine ? d->os.machine : "the default",
		has_machine ? "is there" : "is not there");
	if (d->type == DOMAIN_TYPE_KVM)
		check_add(c->rows, caps->kvm_usable ? CHECK_OK : CHECK_FAILURE, 0, "KVM",
			"see to /dev/kvm there", "%s",
			caps->kvm_usable ? "works there" : "does not work there");
	compare_cpu(c, caps);
}

/* ---- the whole ---- */

static void add_port(struct comparison *c, json *answer)
{
	struct migrations *m = c->registry->settings.migrations;
	struct error err = ERROR_INIT;
	uint16_t port;

	if (!m || !json_get_bool(c->description, "listen", false))
		return;
	if (check_listen(m, &port, &err) == 0)
		json_object_object_add(answer, "port", json_object_new_int64(port));
	else
		check_add(c->rows, CHECK_FAILURE, 0, "ports",
			"set a larger range, or wait for other migrations", "%s", err.message);
}

static void finish(struct comparison *c, const struct error *err)
{
	const struct registry_settings *s = &c->registry->settings;
	const char *host = s->migrations ? migrations_get_settings(s->migrations)->migration_host : NULL;
	_cleanup_json_ json *answer =
		json_pack("s:host", host ? host : s->hostname, "b:same_host", c->same_host, NULL);
	_cleanup_free_ char *text = NULL;

	if (!err)
		add_port(c, answer);
	json_object_object_add(answer, "rows", json_object_get(c->rows));
	text = json_format(answer);
	c->done(err ? NULL : text, err, c->userdata);
	free_comparison(c);
}

static int look(struct buf *result, void *userdata, struct error *err)
{
	struct comparison *c = userdata;
	json *rows = json_object_new_array();
	bool same_host = check_look_here(c->description, c->domain, rows);
	_cleanup_json_ json *o = json_pack("o:rows", rows, "b:same_host", same_host, NULL);
	_cleanup_free_ char *text = json_format(o);

	buf_adds(result, text);
	return 0;
}

static void looked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct comparison *c = userdata;
	_cleanup_json_ json *seen = NULL;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	else if (json_parse(result, len, &seen, &failure) == 0)
		check_add_all(c->rows, json_get(seen, "rows"));
	c->same_host = json_get_bool(seen, "same_host", false);
	finish(c, failure.code == ERROR_NONE ? NULL : &failure);
}

static void on_capabilities(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct comparison *c = userdata;
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = look,
		.work_userdata = c,
		.worked = looked};
	struct error failure = ERROR_INIT;

	if (caps)
		compare_qemu(c, caps);
	else
		check_add(c->rows, CHECK_FAILURE, 0, "QEMU", "install it there, or name another one (--xml)",
			"%s", err->message);
	if (process_start(c->registry->loop, &options, NULL, c, &c->process, &failure) < 0)
		finish(c, &failure);
}

int migrate_compare(
	struct registry *r, const char *description, migrate_check_fn done, void *userdata, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_json_ json *o = NULL;
	struct comparison *c;
	const char *xml, *emulator;

	if (json_parse(description, strlen(description), &o, err) < 0)
		return error_prefix(err, "check before a migration");
	xml = json_get_string(o, "xml");
	if (!xml)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "check before a migration: no domain XML was given");
	if (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &d, err) < 0)
		return error_prefix(err, "check before a migration");
	if (json_get_string(o, "name"))
		replace_string(&d->name, json_get_string(o, "name"));
	c = NEW(struct comparison);
	*c = (struct comparison){.registry = r, .done = done, .userdata = userdata};
	c->rows = json_object_new_array();
	c->description = TAKE_PTR(o);
	c->domain = TAKE_PTR(d);
	compare_names(c);
	compare_locks(c->rows, json_get_string(c->description, "lock_manager"),
		lease_kind_name(r->settings.leases.kind));
	compare_clocks(c->rows, json_get_int(c->description, "clock_us", 0));
	emulator = c->domain->emulator ? c->domain->emulator : r->settings.default_emulator;
	capability_cache_find(r->capabilities, emulator, on_capabilities, c);
	return 0;
}
