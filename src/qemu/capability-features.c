/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Features that only QEMU's description of its own commands tells of (query-qmp-schema).
 *
 * The schema is a flat list of entities. Types have made-up names ("217") that differ between builds, so each fact is
 * found by walking from a command: its argument type, a member's type, the cases of a variant.
 */
#include "capability-probe.h"

#include "alloc.h"

static json *find_entity(json *schema, const char *name)
{
	if (name)
		JSON_FOREACH (entity, schema)
			if (streq(json_get_string(entity, "name"), name))
				return entity;
	return NULL;
}

static json *find_argument_type(json *schema, const char *command)
{
	return find_entity(schema, json_get_string(find_entity(schema, command), "arg-type"));
}

static json *get_array(json *o, const char *key)
{
	json *array = json_get(o, key);

	return json_object_is_type(array, json_type_array) ? array : NULL;
}

/* The item of array `key` whose `field` is `value`. */
static json *find_item(json *o, const char *key, const char *field, const char *value)
{
	JSON_FOREACH (item, get_array(o, key))
		if (streq(json_get_string(item, field), value))
			return item;
	return NULL;
}

static json *find_member_type(json *schema, json *type, const char *member)
{
	return find_entity(schema, json_get_string(find_item(type, "members", "name", member), "type"));
}

static json *find_variant_type(json *schema, json *type, const char *variant)
{
	return find_entity(schema, json_get_string(find_item(type, "variants", "case", variant), "type"));
}

static bool array_contains(json *array, const char *name)
{
	JSON_FOREACH (item, array)
		if (streq(json_object_get_string(item), name))
			return true;
	return false;
}

static void add_variants(struct strv *features, const char *prefix, json *type)
{
	JSON_FOREACH (variant, get_array(type, "variants")) {
		const char *name = json_get_string(variant, "case");

		if (name)
			strv_addf(features, "%s-%s", prefix, name);
	}
}

/* "channels" of migrate is an array of objects whose "addr" has a case for each kind of other end. */
static bool can_migrate_to_file(json *schema)
{
	json *channels = find_member_type(schema, find_argument_type(schema, "migrate"), "channels");
	json *channel = find_entity(schema, json_get_string(channels, "element-type"));

	return find_item(find_member_type(schema, channel, "addr"), "variants", "case", "file");
}

void capability_features_from_schema(json *schema, struct qemu_capabilities *caps)
{
	json *display = find_entity(
		schema, json_get_string(find_entity(schema, "query-display-options"), "ret-type"));
	json *file = find_variant_type(schema, find_argument_type(schema, "blockdev-add"), "file");
	json *parameters = find_argument_type(schema, "migrate-set-parameters");
	json *memory =
		find_variant_type(schema, find_argument_type(schema, "object-add"), "memory-backend-file");

	add_variants(&caps->features, "netdev", find_argument_type(schema, "netdev_add"));
	add_variants(&caps->features, "display", display);
	if (array_contains(get_array(find_member_type(schema, file, "aio"), "values"), "io_uring"))
		strv_add(&caps->features, "aio-io_uring");
	if (array_contains(get_array(find_entity(schema, "device_add"), "features"), "json-cli"))
		strv_add(&caps->features, "device-json");
	if (get_array(find_argument_type(schema, "object-add"), "variants"))
		strv_add(&caps->features, "object-json");
	if (find_entity(schema, "query-vnc"))
		strv_add(&caps->features, "vnc");
	if (find_entity(schema, "blockdev-set-active"))
		strv_add(&caps->features, "blockdev-set-active");
	if (find_item(memory, "members", "name", "rom") && find_item(memory, "members", "name", "offset"))
		strv_add(&caps->features, "memory-file-copy-on-write");
	if (can_migrate_to_file(schema))
		strv_add(&caps->features, "migrate-file");

	JSON_FOREACH (member, get_array(parameters, "members")) {
		const char *name = json_get_string(member, "name");

		if (name)
			strv_add(&caps->migration_parameters, name);
	}
	/* Both came together: the parameter, and looking for an O_DIRECT twin in the fdset. */
	if (strv_contains(&caps->migration_parameters, "direct-io"))
		strv_add(&caps->features, "fdset-direct-io");
}
