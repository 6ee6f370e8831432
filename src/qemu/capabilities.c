/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a QEMU binary can do: looking it up, and its form as JSON. */
#include "capabilities.h"

#include <string.h>

#include "alloc.h"
#include "capability-probe.h"

/* ---- looking up ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool sorted_contains(const struct strv *v, const char *name)
{
	return name && v->n > 0 && bsearch(&name, v->items, v->n, sizeof(v->items[0]), compare_names);
}

static void strv_sort(struct strv *v)
{
	if (v->n > 1)
		qsort(v->items, v->n, sizeof(v->items[0]), compare_names);
}

void capabilities_sort(struct qemu_capabilities *caps)
{
	strv_sort(&caps->devices);
	strv_sort(&caps->objects);
	strv_sort(&caps->commands);
	strv_sort(&caps->features);
	strv_sort(&caps->cpu_models);
	strv_sort(&caps->usable_cpu_models);
	strv_sort(&caps->migration_capabilities);
	strv_sort(&caps->migration_parameters);
}

const struct qemu_machine *capabilities_find_machine(
	const struct qemu_capabilities *caps, const char *name_or_alias)
{
	for (size_t i = 0; i < caps->machines.n; i++) {
		const struct qemu_machine *m = &caps->machines.items[i];

		if (streq(m->name, name_or_alias) || (m->alias && streq(m->alias, name_or_alias)))
			return m;
	}
	return NULL;
}

bool capabilities_has_device(const struct qemu_capabilities *caps, const char *device)
{
	return sorted_contains(&caps->devices, device);
}

bool capabilities_has_command(const struct qemu_capabilities *caps, const char *command)
{
	return sorted_contains(&caps->commands, command);
}

bool capabilities_has_feature(const struct qemu_capabilities *caps, const char *feature)
{
	return sorted_contains(&caps->features, feature);
}

bool capabilities_has_migration(const struct qemu_capabilities *caps, const char *capability)
{
	return sorted_contains(&caps->migration_capabilities, capability);
}

void capabilities_free(struct qemu_capabilities *caps)
{
	if (!caps)
		return;
	for (size_t i = 0; i < caps->machines.n; i++) {
		struct qemu_machine *m = &caps->machines.items[i];

		free(m->name);
		free(m->alias);
		free(m->default_cpu);
		free(m->default_ram_id);
	}
	VEC_FREE(&caps->machines);
	free(caps->binary);
	free(caps->package);
	free(caps->arch);
	strv_fini(&caps->cpu_models);
	strv_fini(&caps->usable_cpu_models);
	strv_fini(&caps->devices);
	strv_fini(&caps->objects);
	strv_fini(&caps->commands);
	strv_fini(&caps->migration_capabilities);
	strv_fini(&caps->migration_parameters);
	strv_fini(&caps->features);
	free(caps);
}

/* ---- JSON ---- */

/* The lists, under the names they have in the file. */
static const struct {
	const char *key;
	size_t offset;
} lists[] = {
	{"cpu-models", offsetof(struct qemu_capabilities, cpu_models)},
	{"usable-cpu-models", offsetof(struct qemu_capabilities, usable_cpu_models)},
	{"devices", offsetof(struct qemu_capabilities, devices)},
	{"objects", offsetof(struct qemu_capabilities, objects)},
	{"commands", offsetof(struct qemu_capabilities, commands)},
	{"migration-capabilities", offsetof(struct qemu_capabilities, migration_capabilities)},
	{"migration-parameters", offsetof(struct qemu_capabilities, migration_parameters)},
	{"features", offsetof(struct qemu_capabilities, features)},
};

static struct strv *list_of(const struct qemu_capabilities *caps, size_t i)
{
	return (struct strv *)((char *)caps + lists[i].offset);
}

json *capabilities_encode(const struct qemu_capabilities *caps)
{
	json *machines = json_object_new_array(), *o;

	for (size_t i = 0; i < caps->machines.n; i++) {
		const struct qemu_machine *m = &caps->machines.items[i];

		json_object_array_add(
			machines, json_pack("s:name", m->name, "s:alias", m->alias, "u:max-cpus",
					  (uint64_t)m->max_cpus, "b:default", m->is_default, "s:default-cpu",
					  m->default_cpu, "s:default-ram-id", m->default_ram_id,
					  "b:hotpluggable-cpus", m->hotpluggable_cpus, NULL));
	}
	o = json_pack("s:binary", caps->binary, "u:version", (uint64_t)caps->version, "s:package",
		caps->package, "s:arch", caps->arch, "b:kvm", caps->kvm_usable, "o:machines", machines, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct strv *v = list_of(caps, i);
		json *array = json_object_new_array_ext((int)v->n);

		for (size_t k = 0; k < v->n; k++)
			json_object_array_add(array, json_object_new_string(v->items[k]));
		json_object_object_add(o, lists[i].key, array);
	}
	return o;
}

static int decode_list(json *o, const char *key, struct strv *ret, struct error *err)
{
	json *array = json_get(o, key);

	if (!json_object_is_type(array, json_type_array))
		return error_set(err, ERROR_DAMAGED, "capabilities: no list \"%s\"", key);
	JSON_FOREACH (item, array) {
		if (!json_object_is_type(item, json_type_string))
			return error_set(err, ERROR_DAMAGED,
				"capabilities: \"%s\" holds something else than names", key);
		strv_add(ret, json_object_get_string(item));
	}
	return 0;
}

static int decode_machine(json *o, struct qemu_capabilities *caps, struct error *err)
{
	const char *name = json_get_string(o, "name");
	struct qemu_machine m = {0};

	if (!name)
		return error_set(err, ERROR_DAMAGED, "capabilities: a machine without a name");
	m.name = xstrdup(name);
	m.alias = xstrdup(json_get_string(o, "alias"));
	m.max_cpus = (uint32_t)json_get_uint(o, "max-cpus", 1);
	m.is_default = json_get_bool(o, "default", false);
	m.default_cpu = xstrdup(json_get_string(o, "default-cpu"));
	m.default_ram_id = xstrdup(json_get_string(o, "default-ram-id"));
	m.hotpluggable_cpus = json_get_bool(o, "hotpluggable-cpus", false);
	VEC_ADD(&caps->machines, m);
	return 0;
}

int capabilities_decode(json *o, struct qemu_capabilities **ret, struct error *err)
{
	_cleanup_(capabilities_free_p) struct qemu_capabilities *caps = NEW(struct qemu_capabilities);
	json *machines = json_get(o, "machines");

	caps->binary = xstrdup(json_get_string(o, "binary"));
	caps->version = (uint32_t)json_get_uint(o, "version", 0);
	caps->package = xstrdup(json_get_string(o, "package"));
	caps->arch = xstrdup(json_get_string(o, "arch"));
	caps->kvm_usable = json_get_bool(o, "kvm", false);
	if (!caps->binary || !caps->arch || !json_object_is_type(machines, json_type_array))
		return error_set(err, ERROR_DAMAGED, "capabilities: no binary, architecture or machines");
	JSON_FOREACH (item, machines)
		if (decode_machine(item, caps, err) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (decode_list(o, lists[i].key, list_of(caps, i), err) < 0)
			return -1;
	capabilities_sort(caps); /* looking up relies on it, whoever wrote this */
	*ret = TAKE_PTR(caps);
	return 0;
}
