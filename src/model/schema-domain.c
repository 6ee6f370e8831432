/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <domain> itself: what it is called, how large it is, and the order of everything in it. */
#include "schema.h"
#include "strv.h"

/* ---- name, uuid ---- */

static int name_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct error why = ERROR_INIT;

	if (domain_check_name(text, &why) < 0)
		return field_invalid(c, node, "%s", why.message);
	replace_string(&((struct domain *)object)->name, text);
	return 0;
}

static char *name_get(const struct format_context *c, const void *object)
{
	return xstrdup(((const struct domain *)object)->name);
}

static int uuid_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct domain *d = object;

	if (!uuid_parse(text, d->uuid))
		return field_invalid(c, node, "'%.80s' is not a UUID", text);
	d->has_uuid = true;
	return 0;
}

static char *uuid_get(const struct format_context *c, const void *object)
{
	const struct domain *d = object;
	char text[UUID_TEXT_MAX];

	if (!d->has_uuid)
		return NULL;
	uuid_format(d->uuid, text);
	return xstrdup(text);
}

/* ---- <metadata> ---- */

static int metadata_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct domain *d = object;

	d->metadata = xml_serialise(node);
	return 0;
}

static void metadata_format(const struct format_context *c, const void *object)
{
	const struct domain *d = object;

	if (d->metadata)
		xml_raw(c->w, d->metadata);
}

/* ---- <memory>, <currentMemory> ---- */

/* Bytes in one of `unit`: K, KiB are 1024, KB is 1000; 0 when there is no such unit. */
static uint64_t unit_bytes(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *letter;
	uint64_t step, bytes = 1;

	if (strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 || strcasecmp(unit, "bytes") == 0)
		return 1;
	letter = *unit ? strchr(letters, *unit | 0x20) : NULL;
	if (!letter || !*letter)
		return 0;
	if (unit[1] == '\0' || strcasecmp(unit + 1, "iB") == 0)
		step = 1024;
	else if (strcasecmp(unit + 1, "B") == 0)
		step = 1000;
	else
		return 0;
	for (const char *p = letters; p <= letter; p++)
		bytes *= step;
	return bytes;
}

/* Rounded up to KiB. The limit leaves room to add machines up. */
#define MEMORY_MAX_KIB (1ull << 40)

static int memory_read(struct parse_context *c, const xmlNode *node, uint64_t *ret_kib)
{
	_cleanup_free_ char *unit = xml_attr(node, "unit"), *text = xml_text(node);
	const char *name = (const char *)node->name;
	uint64_t number, scale = unit ? unit_bytes(unit) : 1024, bytes;

	if (!scale)
		return field_invalid(
			c, node, "attribute 'unit' of <%s>: '%.80s' is not a unit of memory", name, unit);
	if (!text || !parse_u64(text, &number))
		return field_invalid(
			c, node, "element <%s>: '%.80s' is not a number", name, text ? text : "");
	if (__builtin_mul_overflow(number, scale, &bytes) || bytes > MEMORY_MAX_KIB * 1024)
		return field_invalid(
			c, node, "element <%s>: %s %s is too much", name, text, unit ? unit : "KiB");
	*ret_kib = bytes / 1024 + (bytes % 1024 != 0);
	field_take_attr(node, "unit");
	return field_check_rest(c, node, true);
}

static void memory_write(const struct format_context *c, const char *name, uint64_t kib)
{
	_cleanup_free_ char *text = xasprintf("%llu", (unsigned long long)kib);

	xml_begin(c->w, name);
	xml_put_attr(c->w, "unit", "KiB");
	xml_put_text(c->w, text);
	xml_end(c->w, name);
}

static int memory_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	return memory_read(c, node, &((struct domain *)object)->memory_kib);
}

static void memory_format(const struct format_context *c, const void *object)
{
	memory_write(c, "memory", ((const struct domain *)object)->memory_kib);
}

static int current_memory_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	return memory_read(c, node, &((struct domain *)object)->current_memory_kib);
}

static void current_memory_format(const struct format_context *c, const void *object)
{
	memory_write(c, "currentMemory", ((const struct domain *)object)->current_memory_kib);
}

/* ---- <vcpu>, <resource>, <pm> ---- */

#define VCPUS_MAX 4096

static char *vcpus_current_get(const struct format_context *c, const void *object)
{
	const struct domain *d = object;

	return d->vcpus_current == d->vcpus ? NULL : xasprintf("%u", d->vcpus_current);
}

static int vcpus_current_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct domain *d = object;

	if (!parse_u32(text, &d->vcpus_current) || d->vcpus_current < 1 || d->vcpus_current > VCPUS_MAX)
		return field_invalid(c, node,
			"attribute 'current' of <vcpu>: '%.80s' is not a number from 1 to %d", text,
			VCPUS_MAX);
	return 0;
}

static const struct field vcpu_fields[] = {
	ATTR_CONST("placement", "static", .flags = FIELD_ALWAYS),
	ATTR_CALL("current", vcpus_current_set, vcpus_current_get),
	TEXT(struct domain, vcpus, VALUE_U32, .min = 1, .max = VCPUS_MAX, .flags = FIELD_REQUIRED),
};
static const struct table vcpu_table = TABLE(vcpu_fields, struct domain);

/* Where libvirt puts a guest among the control groups when nobody asked for another place. */
static const struct field resource_fields[] = {
	{.kind = FIELD_CHILD, .name = "partition", .value = VALUE_CONSTANT, .constant = "/machine"},
};
static const struct table resource_table = TABLE(resource_fields, struct domain);

static const struct field suspend_to_mem_fields[] = {
	ATTR(struct domain, pm_suspend_to_mem, "enabled", VALUE_YES_NO),
};
static const struct table suspend_to_mem_table = TABLE(suspend_to_mem_fields, struct domain);

static const struct field suspend_to_disk_fields[] = {
	ATTR(struct domain, pm_suspend_to_disk, "enabled", VALUE_YES_NO),
};
static const struct table suspend_to_disk_table = TABLE(suspend_to_disk_fields, struct domain);

static const struct field pm_fields[] = {
	GROUP("suspend-to-mem", suspend_to_mem_table),
	GROUP("suspend-to-disk", suspend_to_disk_table),
};
static const struct table pm_table = TABLE(pm_fields, struct domain);

/* ---- <seclabel> ---- */

/*
 * 'dynamic' is what libvirt writes when its security drivers choose the labels: nothing that was asked for, and nothing
 * the guest sees. 'none' asks that no label be used.
 */
static int seclabel_parse_one(struct parse_context *c, const xmlNode *node, struct domain *d)
{
	_cleanup_free_ char *type = xml_attr(node, "type");
	static const char *const known[] = {"type", "model", "relabel"};

	if (!streq(type, "none") && !streq(type, "dynamic"))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'type' of <seclabel> is not supported, only: none, "
			"dynamic",
			type ? type : "");
	if (streq(type, "none"))
		d->seclabel_none = true;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		field_take_attr(node, known[i]);
	/* What the labels came to be, in live XML. */
	XML_FOREACH (child, node)
		if (xml_is(child, "label") || xml_is(child, "imagelabel"))
			field_take_child(child);
	return field_check_rest(c, node, false);
}

static int seclabel_parse(struct parse_context *c, const xmlNode *first, void *object)
{
	XML_FOREACH (child, first->parent) {
		if (!xml_is(child, "seclabel"))
			continue;
		field_take_child(child);
		if (seclabel_parse_one(c, child, object) < 0)
			return -1;
	}
	return 0;
}

static void seclabel_format(const struct format_context *c, const void *object)
{
	if (!((const struct domain *)object)->seclabel_none)
		return;
	xml_begin(c->w, "seclabel");
	xml_put_attr(c->w, "type", "none");
	xml_end(c->w, "seclabel");
}

/* ---- <devices> ---- */

static int audio_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	if (((const struct domain *)object)->audio == AUDIO_ABSENT)
		return field_invalid(c, node, "element <audio> has no attribute 'type'");
	return 0;
}

static int audio_id_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	if (!streq(text, "1"))
		return field_unsupported(c, node, "<audio id='%.80s'> is not supported, only: 1", text);
	return 0;
}

static char *audio_id_get(const struct format_context *c, const void *object)
{
	return ((const struct domain *)object)->audio == AUDIO_ABSENT ? NULL : xstrdup("1");
}

static const struct field audio_fields[] = {
	ATTR_CALL("id", audio_id_set, audio_id_get, .flags = FIELD_REQUIRED),
	ATTR_ENUM(struct domain, audio, "type", audio_type_names),
};
static const struct table audio_table = TABLE(audio_fields, struct domain, .finish = audio_finish);

static const struct field devices_fields[] = {
	CHILD(struct domain, emulator, "emulator", VALUE_STRING, .valid = text_is_path, .flags = FIELD_HOST),
	LIST(struct domain, disks, "disk", disk_table),
	LIST(struct domain, controllers, "controller", controller_table),
	LIST(struct domain, leases, "lease", lease_table, .flags = FIELD_HOST),
	LIST(struct domain, nics, "interface", nic_table),
	LIST(struct domain, serials, "serial", serial_table),
	LIST(struct domain, consoles, "console", console_table, .format = consoles_format),
	LIST(struct domain, channels, "channel", channel_table),
	LIST(struct domain, inputs, "input", input_table),
	OBJECT(struct domain, tpm, "tpm", tpm_table),
	LIST(struct domain, graphics, "graphics", graphics_table, .flags = FIELD_HOST),
	GROUP("audio", audio_table, .flags = FIELD_HOST),
	LIST(struct domain, videos, "video", video_table),
	LIST(struct domain, hubs, "hub", hub_table),
	LIST(struct domain, watchdogs, "watchdog", watchdog_table),
	OBJECT(struct domain, memballoon, "memballoon", memballoon_table),
	LIST(struct domain, rngs, "rng", rng_table),
	LIST(struct domain, panics, "panic", panic_table),
	OBJECT(struct domain, iommu, "iommu", iommu_table),
	OBJECT(struct domain, vsock, "vsock", vsock_table),
};
static const struct table devices_table = TABLE(devices_fields, struct domain);

/* ---- <domain> ---- */

static void domain_init(void *object)
{
	struct domain *d = object;

	d->on_reboot = LIFECYCLE_RESTART;
}

#define ACTION(member, word)                                                                                 \
	CHILD(struct domain, member, word, VALUE_ENUM, .names = &lifecycle_names,                            \
		.flags = FIELD_ALWAYS | FIELD_HOST)

static const struct field domain_fields[] = {
	ATTR_ENUM(struct domain, type, "type", domain_type_names, .flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR(struct domain, id, "id", VALUE_I32, .absent = -1, .min = (uint64_t)-1, .max = INT32_MAX,
		.flags = FIELD_LIVE | FIELD_HOST),
	{.kind = FIELD_CHILD,
		.name = "name",
		.offset = offsetof(struct domain, name),
		.value = VALUE_CALL,
		.flags = FIELD_REQUIRED | FIELD_OWNED,
		.set = name_set,
		.get = name_get},
	{.kind = FIELD_CHILD, .name = "uuid", .value = VALUE_CALL, .set = uuid_set, .get = uuid_get},
	CHILD(struct domain, title, "title", VALUE_STRING, .valid = text_is_line, .flags = FIELD_HOST),
	CHILD(struct domain, description, "description", VALUE_STRING, .flags = FIELD_HOST),
	CUSTOM_OWNED(struct domain, metadata, "metadata", metadata_parse, metadata_format),
	CUSTOM("memory", memory_parse, memory_format),
	CUSTOM("currentMemory", current_memory_parse, current_memory_format, .flags = FIELD_HOST),
	GROUP("vcpu", vcpu_table),
	GROUP("resource", resource_table, .flags = FIELD_HOST),
	GROUP("os", os_table, .offset = offsetof(struct domain, os), .flags = FIELD_REQUIRED),
	GROUP("features", features_table, .offset = offsetof(struct domain, features)),
	GROUP("cpu", cpu_table, .offset = offsetof(struct domain, cpu), HAS(struct domain, cpu.present)),
	GROUP("clock", clock_table, .offset = offsetof(struct domain, clock)),
	ACTION(on_poweroff, "on_poweroff"),
	ACTION(on_reboot, "on_reboot"),
	ACTION(on_crash, "on_crash"),
	CHILD(struct domain, on_lockfailure, "on_lockfailure", VALUE_ENUM, .names = &lockfailure_names,
		.flags = FIELD_HOST),
	GROUP("pm", pm_table),
	GROUP("devices", devices_table, .flags = FIELD_EMPTY),
	CUSTOM("seclabel", seclabel_parse, seclabel_format, .flags = FIELD_HOST),
};
const struct table domain_table =
	TABLE(domain_fields, struct domain, .init = domain_init, .finish = domain_check);
