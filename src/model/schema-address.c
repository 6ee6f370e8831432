/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What devices share: <address>, <alias>, <boot>, <rom>, <acpi>. */
#include "schema.h"
#include "strv.h"

/* ---- <address> ---- */

#define ADDRESS(member, word, ...)                                                                           \
	ATTR(struct device_address, member, word, VALUE_U32, .flags = FIELD_ALWAYS, __VA_ARGS__)

static const struct field pci_fields[] = {
	ADDRESS(pci.domain, "domain", .max = 0xffff, .hex = 4),
	ADDRESS(pci.bus, "bus", .max = 0xff, .hex = 2),
	ADDRESS(pci.slot, "slot", .max = 0x1f, .hex = 2),
	ADDRESS(pci.function, "function", .max = 7, .hex = 1),
	ATTR(struct device_address, pci.multifunction, "multifunction", VALUE_ON_OFF),
};

static const struct field drive_fields[] = {
	ADDRESS(drive.controller, "controller"),
	ADDRESS(drive.bus, "bus"),
	ADDRESS(drive.target, "target"),
	ADDRESS(drive.unit, "unit"),
};

static const struct field virtio_serial_fields[] = {
	ADDRESS(virtio_serial.controller, "controller"),
	ADDRESS(virtio_serial.bus, "bus"),
	ADDRESS(virtio_serial.port, "port"),
};

/* "1.2.3": the ports on the way through hubs. */
static int usb_port_set(struct parse_context *c, const xmlNode *node, void *object, const char *text)
{
	struct device_address *a = object;
	uint32_t port[USB_PORT_DEPTH] = {0};
	const char *p = text;

	for (unsigned i = 0; i < USB_PORT_DEPTH; i++) {
		uint32_t number = 0;

		for (; *p >= '0' && *p <= '9' && number <= 255; p++)
			number = number * 10 + (uint32_t)(*p - '0');
		if (number == 0 || number > 255)
			break;
		port[i] = number;
		if (*p == '\0') {
			memcpy(a->usb.port, port, sizeof(port));
			return 0;
		}
		if (*p++ != '.')
			break;
	}
	return field_invalid(c, node, "attribute 'port' of <address>: '%.80s' is not a USB port", text);
}

static char *usb_port_get(const struct format_context *c, const void *object)
{
	const struct device_address *a = object;
	_cleanup_(buf_fini) struct buf text = {0};

	if (!a->usb.port[0])
		return NULL;
	for (unsigned i = 0; i < USB_PORT_DEPTH && a->usb.port[i]; i++)
		buf_addf(&text, "%s%u", i ? "." : "", a->usb.port[i]);
	return buf_take(&text);
}

static const struct field usb_fields[] = {
	ADDRESS(usb.bus, "bus"),
	ATTR_CALL("port", usb_port_set, usb_port_get),
};

static const struct field isa_fields[] = {
	ATTR(struct device_address, isa.iobase, "iobase", VALUE_U32, .max = 0xffff, .hex = 1),
	ATTR(struct device_address, isa.irq, "irq", VALUE_U32, .max = 0xff, .hex = 1),
};

static const struct table address_tables[ADDRESS_TYPE_MAX_] = {
	[ADDRESS_PCI] = TABLE(pci_fields, struct device_address),
	[ADDRESS_DRIVE] = TABLE(drive_fields, struct device_address),
	[ADDRESS_VIRTIO_SERIAL] = TABLE(virtio_serial_fields, struct device_address),
	[ADDRESS_USB] = TABLE(usb_fields, struct device_address),
	[ADDRESS_ISA] = TABLE(isa_fields, struct device_address),
};

static int address_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct device_address *a = &((struct device_info *)object)->address;
	_cleanup_free_ char *word = xml_attr(node, "type");
	unsigned type;

	if (!word)
		return field_invalid(c, node, "element <address> has no attribute 'type'");
	if (!enum_parse(&address_type_names, word, &type))
		return field_unsupported(c, node,
			"value '%.80s' of attribute 'type' of <address> is not supported, only: pci, drive, "
			"virtio-serial, usb, isa",
			word);
	field_take_attr(node, "type");
	/* <address type='pci'/> asks for some PCI address, which is what a device gets anyway. */
	if (type == ADDRESS_PCI && !node->properties->next)
		return field_check_rest(c, node, false);
	a->type = type;
	if (table_parse(c, &address_tables[type], node, a) < 0)
		return -1;
	if (type == ADDRESS_PCI && !a->pci.domain && !a->pci.bus && !a->pci.slot)
		return field_invalid(c, node, "PCI slot 0 of bus 0 belongs to the host bridge");
	return 0;
}

static void address_format(const struct format_context *c, const void *object)
{
	const struct device_address *a = &((const struct device_info *)object)->address;

	if (a->type == ADDRESS_NONE)
		return;
	xml_begin(c->w, "address");
	xml_put_attr(c->w, "type", enum_name(&address_type_names, a->type));
	table_format(c, &address_tables[a->type], a);
	xml_end(c->w, "address");
}

/* ---- <alias> ---- */

/* Names that users chose begin so; others are made at every start. */
static bool is_user_alias(const char *name)
{
	return startswith(name, "ua-");
}

static int alias_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct device_info *info = object;
	_cleanup_free_ char *name = xml_attr(node, "name");

	/* In a name that users choose libvirt takes no dot. */
	if (!name || !text_is_word(name) || (is_user_alias(name) && strchr(name, '.')))
		return field_invalid(c, node, "element <alias> has no usable attribute 'name'");
	field_take_attr(node, "name");
	if (is_user_alias(name) || (c->flags & DOMAIN_PARSE_LIVE))
		replace_string(&info->alias, name);
	return field_check_rest(c, node, false);
}

static void alias_format(const struct format_context *c, const void *object)
{
	const struct device_info *info = object;

	if (!info->alias || ((c->flags & DOMAIN_FORMAT_INACTIVE) && !is_user_alias(info->alias)))
		return;
	xml_begin(c->w, "alias");
	xml_put_attr(c->w, "name", info->alias);
	xml_end(c->w, "alias");
}

/* ---- the tables ---- */

static const struct field boot_fields[] = {
	ATTR(struct device_info, boot_order, "order", VALUE_U32, .min = 1, .max = UINT32_MAX,
		.flags = FIELD_REQUIRED),
};
static const struct table boot_table = TABLE(boot_fields, struct device_info);

static const struct field rom_fields[] = {
	ATTR(struct device_info, rom_enabled, "enabled", VALUE_YES_NO),
	ATTR(struct device_info, rom_bar, "bar", VALUE_ON_OFF),
	ATTR(struct device_info, rom_file, "file", VALUE_STRING, .valid = text_is_path, .flags = FIELD_HOST),
};
static const struct table rom_table = TABLE(rom_fields, struct device_info);

static const struct field acpi_fields[] = {
	ATTR(struct device_info, acpi_index, "index", VALUE_U32, .min = 1, .max = 16383,
		.flags = FIELD_REQUIRED),
};
static const struct table acpi_table = TABLE(acpi_fields, struct device_info);

static const struct field alias_fields[] = {
	CUSTOM_OWNED(struct device_info, alias, "alias", alias_parse, alias_format),
};
const struct table alias_table = TABLE(alias_fields, struct device_info);

static const struct field address_fields[] = {
	CUSTOM("address", address_parse, address_format),
};
const struct table address_table = TABLE(address_fields, struct device_info);

static const struct field info_fields[] = {
	CUSTOM_OWNED(struct device_info, alias, "alias", alias_parse, alias_format),
	CUSTOM("address", address_parse, address_format),
};
const struct table info_table = TABLE(info_fields, struct device_info);

static const struct field info_boot_fields[] = {
	GROUP("boot", boot_table, .flags = FIELD_HOST),
	CUSTOM_OWNED(struct device_info, alias, "alias", alias_parse, alias_format),
	CUSTOM("address", address_parse, address_format),
};
const struct table info_boot_table = TABLE(info_boot_fields, struct device_info);

static const struct field info_nic_fields[] = {
	GROUP("boot", boot_table, .flags = FIELD_HOST),
	CUSTOM_OWNED(struct device_info, alias, "alias", alias_parse, alias_format),
	GROUP("rom", rom_table),
	GROUP("acpi", acpi_table),
	CUSTOM("address", address_parse, address_format),
};
const struct table info_nic_table = TABLE(info_nic_fields, struct device_info);

/* ---- for everybody ---- */

void device_info_fini(struct device_info *info)
{
	table_fini(&info_nic_table, info);
}

void device_address_format(const struct device_address *a, char text[32])
{
	struct format_context c = {0};
	_cleanup_free_ char *port = NULL;

	switch (a->type) {
	case ADDRESS_PCI:
		snprintf(text, 32, "%04x:%02x:%02x.%x", a->pci.domain, a->pci.bus, a->pci.slot,
			a->pci.function);
		return;
	case ADDRESS_DRIVE:
		snprintf(text, 32, "%u:%u:%u:%u", a->drive.controller, a->drive.bus, a->drive.target,
			a->drive.unit);
		return;
	case ADDRESS_VIRTIO_SERIAL:
		snprintf(text, 32, "%u:%u:%u", a->virtio_serial.controller, a->virtio_serial.bus,
			a->virtio_serial.port);
		return;
	case ADDRESS_USB:
		port = usb_port_get(&c, a);
		snprintf(text, 32, "%u:%s", a->usb.bus, port ? port : "?");
		return;
	case ADDRESS_ISA:
		snprintf(text, 32, "0x%x", a->isa.iobase);
		return;
	case ADDRESS_NONE:
	case ADDRESS_TYPE_MAX_:
		break;
	}
	snprintf(text, 32, "none");
}

bool device_address_equal(const struct device_address *a, const struct device_address *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case ADDRESS_PCI:
		return a->pci.domain == b->pci.domain && a->pci.bus == b->pci.bus &&
		       a->pci.slot == b->pci.slot && a->pci.function == b->pci.function;
	case ADDRESS_DRIVE:
		return memcmp(&a->drive, &b->drive, sizeof(a->drive)) == 0;
	case ADDRESS_VIRTIO_SERIAL:
		return memcmp(&a->virtio_serial, &b->virtio_serial, sizeof(a->virtio_serial)) == 0;
	case ADDRESS_USB:
		return memcmp(&a->usb, &b->usb, sizeof(a->usb)) == 0;
	case ADDRESS_ISA:
		return memcmp(&a->isa, &b->isa, sizeof(a->isa)) == 0;
	case ADDRESS_NONE:
	case ADDRESS_TYPE_MAX_:
		break;
	}
	return true;
}
