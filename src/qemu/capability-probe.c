/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking one QEMU binary what it can do: all questions are sent at once, the answers are taken as they come, and the last
 * one ends it. Nothing in an answer is trusted to be there or to be of the right kind.
 */
#include "capability-probe.h"

#include <string.h>

#include "alloc.h"
#include "probe-child.h"

struct capability_probe {
	struct probe_child *child;
	struct qemu_capabilities *caps;
	size_t answers;
	capability_probe_done_fn done;
	void *userdata;
};

/* ---- taking answers ---- */

static void take_version(struct qemu_capabilities *caps, json *ret)
{
	json *qemu = json_get(ret, "qemu");

	caps->version = (uint32_t)(json_get_uint(qemu, "major", 0) * 1000000 +
				   json_get_uint(qemu, "minor", 0) * 1000 + json_get_uint(qemu, "micro", 0));
	replace_string(&caps->package, json_get_string(ret, "package"));
}

static void take_target(struct qemu_capabilities *caps, json *ret)
{
	replace_string(&caps->arch, json_get_string(ret, "arch"));
}

/* "qemu64-x86_64-cpu" -> "qemu64" */
static char *cpu_from_typename(const char *typename)
{
	const char *end = typename;

	if (!typename)
		return NULL;
	for (const char *p = strstr(typename, "-"); p; p = strstr(p + 1, "-"))
		if (endswith(typename, "-cpu") && p != typename + strlen(typename) - strlen("-cpu"))
			end = p;
	return end > typename ? xstrndup(typename, (size_t)(end - typename)) : NULL;
}

static void take_machines(struct qemu_capabilities *caps, json *ret)
{
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "name");
		struct qemu_machine m = {0};

		if (!name || streq(name, "none"))
			continue;
		m.name = xstrdup(name);
		m.alias = xstrdup(json_get_string(item, "alias"));
		m.max_cpus = (uint32_t)json_get_uint(item, "cpu-max", 1);
		m.is_default = json_get_bool(item, "is-default", false);
		m.default_cpu = cpu_from_typename(json_get_string(item, "default-cpu-type"));
		m.default_ram_id = xstrdup(json_get_string(item, "default-ram-id"));
		m.hotpluggable_cpus = json_get_bool(item, "hotpluggable-cpus", false);
		VEC_ADD(&caps->machines, m);
	}
}

static void take_cpus(struct qemu_capabilities *caps, json *ret)
{
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "name");
		json *lacking = json_get(item, "unavailable-features");

		if (!name)
			continue;
		strv_add(&caps->cpu_models, name);
		if (json_object_is_type(lacking, json_type_array) && json_object_array_length(lacking) == 0)
			strv_add(&caps->usable_cpu_models, name);
	}
}

static void add_names(struct strv *to, json *ret, const char *key)
{
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, key);

		if (name)
			strv_add(to, name);
	}
}

static void take_devices(struct qemu_capabilities *caps, json *ret)
{
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "name");

		/* A third of them are CPUs, which nobody adds by that name. */
		if (name && !endswith(name, "-cpu"))
			strv_add(&caps->devices, name);
	}
}

static void take_objects(struct qemu_capabilities *caps, json *ret)
{
	add_names(&caps->objects, ret, "name");
}

static void take_commands(struct qemu_capabilities *caps, json *ret)
{
	add_names(&caps->commands, ret, "name");
}

static void take_migration_capabilities(struct qemu_capabilities *caps, json *ret)
{
	add_names(&caps->migration_capabilities, ret, "capability");
}

static void take_chardevs(struct qemu_capabilities *caps, json *ret)
{
	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "name");

		if (name)
			strv_addf(&caps->features, "chardev-%s", name);
		/* It comes from the same module as the server, which the schema promises without looking for it. */
		if (streq(name, "spicevmc"))
			strv_add(&caps->features, "spice");
	}
}

static void take_tpm_types(struct qemu_capabilities *caps, json *ret)
{
	JSON_FOREACH (item, ret)
		if (json_object_is_type(item, json_type_string))
			strv_addf(&caps->features, "tpm-%s", json_object_get_string(item));
}

static void take_sandbox(struct qemu_capabilities *caps, json *ret)
{
	if (json_object_array_length(ret) > 0)
		strv_add(&caps->features, "sandbox");
}

static void take_schema(struct qemu_capabilities *caps, json *ret)
{
	capability_features_from_schema(ret, caps);
}

/* ---- questions ---- */

/* One without an answer of this kind adds nothing: what is missed is checked at the end. */
static const struct {
	const char *command, *argument, *value;
	enum json_type kind;
	void (*take)(struct qemu_capabilities *caps, json *ret);
} questions[] = {
	{"query-version", NULL, NULL, json_type_object, take_version},
	{"query-target", NULL, NULL, json_type_object, take_target},
	{"query-machines", NULL, NULL, json_type_array, take_machines},
	{"query-cpu-definitions", NULL, NULL, json_type_array, take_cpus},
	{"qom-list-types", "implements", "device", json_type_array, take_devices},
	{"qom-list-types", "implements", "user-creatable", json_type_array, take_objects},
	{"query-commands", NULL, NULL, json_type_array, take_commands},
	{"query-migrate-capabilities", NULL, NULL, json_type_array, take_migration_capabilities},
	{"query-chardev-backends", NULL, NULL, json_type_array, take_chardevs},
	{"query-tpm-types", NULL, NULL, json_type_array, take_tpm_types},
	{"query-command-line-options", "option", "sandbox", json_type_array, take_sandbox},
	{"query-qmp-schema", NULL, NULL, json_type_array, take_schema},
};

static void finish(struct capability_probe *p)
{
	struct qemu_capabilities *caps = p->caps;
	struct error err = ERROR_INIT;

	if (!caps->arch || caps->machines.n == 0 || caps->devices.n == 0 || caps->commands.n == 0) {
		error_set(&err, ERROR_OPERATION_FAILED,
			"%s does not say what it can do: it is no QEMU godwit knows", caps->binary);
		p->done(NULL, &err, p->userdata);
		return;
	}
	capabilities_sort(caps);
	p->caps = NULL;
	p->done(caps, NULL, p->userdata);
}

static void on_answer(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct capability_probe *p = userdata;
	size_t i = p->answers; /* QEMU answers in order; a peer that does not only fools itself */

	if (err && err->code != ERROR_QEMU)
		return; /* on_ended will follow */
	p->answers++;
	if (ret && json_object_is_type(ret, questions[i].kind))
		questions[i].take(p->caps, ret);
	if (p->answers == ARRAY_SIZE(questions))
		finish(p);
}

static void on_ended(const struct error *why, void *userdata)
{
	struct capability_probe *p = userdata;

	if (p->answers < ARRAY_SIZE(questions))
		p->done(NULL, why, p->userdata);
}

int capability_probe_start(sd_event *loop, const char *binary, bool kvm, capability_probe_done_fn done,
	void *userdata, struct capability_probe **ret, struct error *err)
{
	static const struct probe_child_ops ops = {.ended = on_ended};
	struct capability_probe *p = NEW(struct capability_probe);
	_cleanup_(strv_fini) struct strv args = {0};

	p->caps = NEW(struct qemu_capabilities);
	p->caps->binary = xstrdup(binary);
	p->caps->kvm_usable = kvm;
	p->done = done;
	p->userdata = userdata;
	strv_add(&args, "-machine");
	strv_add(&args, kvm ? "none,accel=kvm" : "none,accel=tcg");
	if (probe_child_start(loop, binary, &args, NULL, 0, &ops, p, &p->child, err) < 0) {
		capability_probe_free(p);
		return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		json *arguments = NULL;

		if (questions[i].argument) {
			arguments = json_object_new_object();
			json_object_object_add(
				arguments, questions[i].argument, json_object_new_string(questions[i].value));
		}
		qmp_command(
			probe_child_get_qmp(p->child), questions[i].command, arguments, -1, 0, on_answer, p);
	}
	*ret = p;
	return 0;
}

void capability_probe_free(struct capability_probe *p)
{
	if (!p)
		return;
	probe_child_free(p->child);
	capabilities_free(p->caps);
	free(p);
}
