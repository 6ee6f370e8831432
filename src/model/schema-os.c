/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <os> and <features>: what the machine boots, and what its board and hypervisor offer. */
#include "schema.h"
#include "strv.h"

/* ---- <os> ---- */

static const struct field type_fields[] = {
	ATTR(struct domain_os, arch, "arch", VALUE_STRING, .valid = text_is_word),
	ATTR(struct domain_os, machine, "machine", VALUE_STRING, .valid = text_is_word),
	{.kind = FIELD_TEXT,
		.value = VALUE_CONSTANT,
		.constant = "hvm",
		.flags = FIELD_ALWAYS | FIELD_REQUIRED},
};
static const struct table type_table = TABLE(type_fields, struct domain_os);

static const struct field loader_fields[] = {
	ATTR(struct domain_os, loader_readonly, "readonly", VALUE_YES_NO, .flags = FIELD_HOST),
	ATTR(struct domain_os, loader_secure, "secure", VALUE_YES_NO),
	ATTR_ENUM(struct domain_os, loader_type, "type", loader_type_names),
	ATTR(struct domain_os, loader_format, "format", VALUE_STRING, .names = &image_format_words,
		.flags = FIELD_HOST),
	TEXT(struct domain_os, loader, VALUE_STRING, .valid = text_is_path, .flags = FIELD_HOST),
};
static const struct table loader_table = TABLE(loader_fields, struct domain_os);

static const struct field nvram_fields[] = {
	ATTR(struct domain_os, nvram_template, "template", VALUE_STRING, .valid = text_is_path),
	ATTR(struct domain_os, nvram_template_format, "templateFormat", VALUE_STRING, .names = &raw_words),
	ATTR(struct domain_os, nvram_format, "format", VALUE_STRING, .names = &image_format_words),
	TEXT(struct domain_os, nvram, VALUE_STRING, .valid = text_is_path),
};
static const struct table nvram_table = TABLE(nvram_fields, struct domain_os);

static const struct field bootmenu_fields[] = {
	ATTR(struct domain_os, boot_menu, "enable", VALUE_YES_NO, .flags = FIELD_REQUIRED),
	ATTR(struct domain_os, boot_menu_timeout_ms, "timeout", VALUE_U32, .max = 65535,
		HAS(struct domain_os, has_boot_menu_timeout)),
};
static const struct table bootmenu_table = TABLE(bootmenu_fields, struct domain_os);

static const struct field bios_fields[] = {
	ATTR(struct domain_os, bios_useserial, "useserial", VALUE_YES_NO),
	ATTR(struct domain_os, reboot_timeout_ms, "rebootTimeout", VALUE_I64, .min = (uint64_t)-1,
		.max = 65535, HAS(struct domain_os, has_reboot_timeout)),
};
static const struct table bios_table = TABLE(bios_fields, struct domain_os);

/* <boot dev='...'/>, at most once for each kind of device. */
static int boot_parse(struct parse_context *c, const xmlNode *first, void *object)
{
	struct domain_os *os = object;

	XML_FOREACH (child, first->parent) {
		_cleanup_free_ char *word = NULL;
		unsigned device;

		if (!xml_is(child, "boot"))
			continue;
		field_take_child(child);
		word = xml_attr(child, "dev");
		if (!word)
			return field_invalid(c, child, "element <boot> has no attribute 'dev'");
		if (!enum_parse(&boot_device_names, word, &device))
			return field_unsupported(c, child,
				"value '%.80s' of attribute 'dev' of <boot> is not supported, only: hd, "
				"cdrom, "
				"network, fd",
				word);
		for (unsigned i = 0; i < os->n_boot; i++)
			if (os->boot[i] == device)
				return field_invalid(c, child, "boot device '%s' is named twice", word);
		os->boot[os->n_boot++] = device;
		field_take_attr(child, "dev");
		if (field_check_rest(c, child, false) < 0)
			return -1;
	}
	return 0;
}

static void boot_format(const struct format_context *c, const void *object)
{
	const struct domain_os *os = object;

	for (unsigned i = 0; i < os->n_boot; i++) {
		xml_begin(c->w, "boot");
		xml_put_attr(c->w, "dev", enum_name(&boot_device_names, os->boot[i]));
		xml_end(c->w, "boot");
	}
}

/* <firmware><feature enabled='yes' name='secure-boot'/>...</firmware> */
static int firmware_feature_parse(struct parse_context *c, const xmlNode *node, struct domain_os *os)
{
	_cleanup_free_ char *enabled = xml_attr(node, "enabled"), *name = xml_attr(node, "name");
	enum tristate *value;

	if (!enabled || !name)
		return field_invalid(c, node, "element <feature> needs attributes 'enabled' and 'name'");
	if (!streq(enabled, "yes") && !streq(enabled, "no"))
		return field_invalid(c, node,
			"attribute 'enabled' of <feature>: '%.80s' is neither 'yes' nor 'no'", enabled);
	if (streq(name, "secure-boot"))
		value = &os->firmware_secure_boot;
	else if (streq(name, "enrolled-keys"))
		value = &os->firmware_enrolled_keys;
	else
		return field_unsupported(c, node,
			"firmware feature '%.80s' is not supported, only: enrolled-keys, secure-boot", name);
	if (*value != TRISTATE_ABSENT)
		return field_invalid(c, node, "firmware feature '%s' is named twice", name);
	*value = streq(enabled, "yes") ? TRISTATE_ON : TRISTATE_OFF;
	field_take_attr(node, "enabled");
	field_take_attr(node, "name");
	return field_check_rest(c, node, false);
}

static int firmware_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	XML_FOREACH (child, node) {
		if (!xml_is(child, "feature"))
			continue;
		field_take_child(child);
		if (firmware_feature_parse(c, child, object) < 0)
			return -1;
	}
	return field_check_rest(c, node, false);
}

static void firmware_feature_format(const struct format_context *c, const char *name, enum tristate value)
{
	if (value == TRISTATE_ABSENT)
		return;
	xml_begin(c->w, "feature");
	xml_put_attr(c->w, "enabled", value == TRISTATE_ON ? "yes" : "no");
	xml_put_attr(c->w, "name", name);
	xml_end(c->w, "feature");
}

static void firmware_format(const struct format_context *c, const void *object)
{
	const struct domain_os *os = object;

	if (os->firmware_secure_boot == TRISTATE_ABSENT && os->firmware_enrolled_keys == TRISTATE_ABSENT)
		return;
	xml_begin(c->w, "firmware");
	firmware_feature_format(c, "enrolled-keys", os->firmware_enrolled_keys);
	firmware_feature_format(c, "secure-boot", os->firmware_secure_boot);
	xml_end(c->w, "firmware");
}

static int os_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	const struct domain_os *os = object;

	if (!os->kernel && (os->initrd || os->cmdline))
		return field_invalid(
			c, node, "<%s> is given without <kernel>", os->initrd ? "initrd" : "cmdline");
	if (os->firmware == FIRMWARE_NONE && (os->firmware_secure_boot != TRISTATE_ABSENT ||
						     os->firmware_enrolled_keys != TRISTATE_ABSENT))
		return field_invalid(c, node, "firmware features are given without firmware='efi' in <os>");
	if (os->nvram_template && os->loader_type == LOADER_ROM)
		return field_invalid(c, node, "<nvram> is given with a loader of type 'rom'");
	if (os->has_boot_menu_timeout && os->boot_menu != TRISTATE_ON)
		return field_invalid(c, node, "<bootmenu> has a timeout and is not enabled");
	return 0;
}

static const struct field os_fields[] = {
	ATTR_ENUM(struct domain_os, firmware, "firmware", firmware_names, .flags = FIELD_HOST),
	GROUP("type", type_table, .flags = FIELD_REQUIRED),
	CUSTOM("firmware", firmware_parse, firmware_format, .flags = FIELD_HOST),
	GROUP("loader", loader_table),
	GROUP("nvram", nvram_table, .flags = FIELD_HOST),
	CHILD(struct domain_os, kernel, "kernel", VALUE_STRING, .valid = text_is_path, .flags = FIELD_HOST),
	CHILD(struct domain_os, initrd, "initrd", VALUE_STRING, .valid = text_is_path, .flags = FIELD_HOST),
	CHILD(struct domain_os, cmdline, "cmdline", VALUE_STRING, .flags = FIELD_HOST),
	CUSTOM("boot", boot_parse, boot_format, .flags = FIELD_HOST),
	GROUP("bootmenu", bootmenu_table, .flags = FIELD_HOST),
	GROUP("bios", bios_table, .flags = FIELD_HOST),
};
const struct table os_table = TABLE(os_fields, struct domain_os, .finish = os_finish);

/* ---- <features> ---- */

/* <x state='on|off'/>; without an attribute it is on. */
static int state_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	enum tristate *state = object;

	if (*state == TRISTATE_ABSENT)
		*state = TRISTATE_ON;
	return 0;
}

static const struct field state_fields[] = {
	{.kind = FIELD_ATTR, .name = "state", .value = VALUE_ON_OFF},
};
static const struct table state_table = TABLE(state_fields, enum tristate, .finish = state_finish);

/* clang-format off */
#define FEATURE(member, word) \
	{.kind = FIELD_FLAG, .name = (word), .offset = offsetof(struct domain_features, member), \
		.value = VALUE_ON_OFF}
/* clang-format on */
#define STATE(member, word) GROUP(word, state_table, .offset = offsetof(struct domain_features, member))

static int hyperv_mode_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	if (!streq(text, "custom"))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'mode' of <hyperv> is not supported, only: custom", text);
	return 0;
}

static char *hyperv_mode_get(const struct format_context *c, const void *object)
{
	return ((const struct domain_features *)object)->hyperv ? xstrdup("custom") : NULL;
}

static int spinlocks_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct domain_features *features = object;

	if (features->hyperv_spinlocks == TRISTATE_ABSENT)
		features->hyperv_spinlocks = TRISTATE_ON;
	if (features->hyperv_spinlocks == TRISTATE_ON && features->hyperv_spinlock_retries == 0)
		return field_invalid(c, node, "element <spinlocks> has no attribute 'retries'");
	return 0;
}

/* Fewer than 4095 retries are refused by the interface that the guest sees, too. */
static const struct field spinlocks_fields[] = {
	ATTR(struct domain_features, hyperv_spinlocks, "state", VALUE_ON_OFF),
	ATTR(struct domain_features, hyperv_spinlock_retries, "retries", VALUE_U32, .min = 4095,
		.max = UINT32_MAX),
};
static const struct table spinlocks_table =
	TABLE(spinlocks_fields, struct domain_features, .finish = spinlocks_finish);

static const struct field hyperv_fields[] = {
	ATTR_CALL("mode", hyperv_mode_set, hyperv_mode_get),
	STATE(hyperv_relaxed, "relaxed"),
	STATE(hyperv_vapic, "vapic"),
	GROUP("spinlocks", spinlocks_table),
	STATE(hyperv_vpindex, "vpindex"),
	STATE(hyperv_runtime, "runtime"),
	STATE(hyperv_synic, "synic"),
	STATE(hyperv_stimer, "stimer"),
	STATE(hyperv_reset, "reset"),
	STATE(hyperv_frequencies, "frequencies"),
};
static const struct table hyperv_table = TABLE(hyperv_fields, struct domain_features);

static const struct field kvm_fields[] = {
	STATE(kvm_hidden, "hidden"),
};
static const struct table kvm_table = TABLE(kvm_fields, struct domain_features);

static const struct field ioapic_fields[] = {
	ATTR(struct domain_features, ioapic_driver, "driver", VALUE_STRING, .names = &ioapic_words),
};
static const struct table ioapic_table = TABLE(ioapic_fields, struct domain_features);

static const struct field features_fields[] = {
	FEATURE(acpi, "acpi"),
	FEATURE(apic, "apic"),
	FEATURE(pae, "pae"),
	STATE(hap, "hap"),
	GROUP("hyperv", hyperv_table, HAS(struct domain_features, hyperv)),
	GROUP("kvm", kvm_table),
	STATE(pmu, "pmu"),
	STATE(vmport, "vmport"),
	STATE(smm, "smm"),
	GROUP("ioapic", ioapic_table),
};
const struct table features_table = TABLE(features_fields, struct domain_features);
