/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <disk> and <controller>: storage, and the buses that everything else sits on. */
#include "schema.h"
#include "strv.h"

/* ---- <disk> ---- */

static bool is_file(const void *disk)
{
	return ((const struct disk *)disk)->source_type == DISK_SOURCE_FILE;
}

static bool is_block(const void *disk)
{
	return ((const struct disk *)disk)->source_type == DISK_SOURCE_BLOCK;
}

static bool has_source(const void *disk)
{
	return ((const struct disk *)disk)->source != NULL;
}

static bool is_empty(const void *disk)
{
	return !has_source(disk);
}

#define DRIVER_ENUM(member, word, e) ATTR_ENUM(struct disk, member, word, e, .flags = FIELD_HOST)

static const struct field driver_fields[] = {
	ATTR_CONST("name", "qemu", .flags = FIELD_ALWAYS),
	DRIVER_ENUM(format, "type", disk_format_names),
	DRIVER_ENUM(cache, "cache", disk_cache_names),
	DRIVER_ENUM(error_policy, "error_policy", disk_error_policy_names),
	DRIVER_ENUM(rerror_policy, "rerror_policy", disk_rerror_policy_names),
	DRIVER_ENUM(io, "io", disk_io_names),
	ATTR(struct disk, copy_on_read, "copy_on_read", VALUE_ON_OFF, .flags = FIELD_HOST),
	DRIVER_ENUM(discard, "discard", disk_discard_names),
	DRIVER_ENUM(detect_zeroes, "detect_zeroes", disk_detect_zeroes_names),
	ATTR(struct disk, queues, "queues", VALUE_U32, .min = 1, .max = 1024),
};
static const struct table driver_table = TABLE(driver_fields, struct disk);

/* An empty attribute is an empty drive. */
static bool is_source(const char *path)
{
	return !*path || text_is_path(path);
}

/* `index` numbers the images of a VM's disks in live XML. */
static const struct field file_source_fields[] = {
	ATTR(struct disk, source, "file", VALUE_STRING, .valid = is_source, .words = "an absolute path"),
	ATTR(struct disk, node, "index", VALUE_U32, .flags = FIELD_LIVE, .when = has_source),
	ATTR_DROPPED("index", .when = is_empty),
};
static const struct table file_source_table = TABLE(file_source_fields, struct disk);

static const struct field block_source_fields[] = {
	ATTR(struct disk, source, "dev", VALUE_STRING, .valid = is_source, .words = "an absolute path"),
	ATTR(struct disk, node, "index", VALUE_U32, .flags = FIELD_LIVE, .when = has_source),
	ATTR_DROPPED("index", .when = is_empty),
};
static const struct table block_source_table = TABLE(block_source_fields, struct disk);

/* ---- <backingStore> ---- */

static bool is_layer_file(const void *layer)
{
	return ((const struct disk_layer *)layer)->source_type == DISK_SOURCE_FILE;
}

static bool is_layer_block(const void *layer)
{
	return ((const struct disk_layer *)layer)->source_type == DISK_SOURCE_BLOCK;
}

static const struct field layer_format_fields[] = {
	ATTR_ENUM(struct disk_layer, format, "type", disk_format_names, .flags = FIELD_REQUIRED),
};
static const struct table layer_format_table = TABLE(layer_format_fields, struct disk_layer);

static const struct field layer_file_fields[] = {
	ATTR(struct disk_layer, source, "file", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_path),
	ATTR_DROPPED("index"),
};
static const struct table layer_file_table = TABLE(layer_file_fields, struct disk_layer);

static const struct field layer_block_fields[] = {
	ATTR(struct disk_layer, source, "dev", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = text_is_path),
	ATTR_DROPPED("index"),
};
static const struct table layer_block_table = TABLE(layer_block_fields, struct disk_layer);

static const struct field layer_fields[] = {
	ATTR_ENUM(struct disk_layer, source_type, "type", disk_source_names, .flags = FIELD_ALWAYS),
	ATTR(struct disk_layer, node, "index", VALUE_U32, .flags = FIELD_LIVE),
	GROUP("format", layer_format_table, .flags = FIELD_REQUIRED),
	GROUP("source", layer_file_table, .when = is_layer_file, .flags = FIELD_REQUIRED),
	GROUP("source", layer_block_table, .when = is_layer_block, .flags = FIELD_REQUIRED),
};
static const struct table layer_table = TABLE(layer_fields, struct disk_layer);

/* Each stands in the one it is the backing of; an empty one ends the chain. Without that end the last image's header goes on. */
static int backing_parse(struct parse_context *c, const xmlNode *node, void *object)
{
	struct disk *disk = object;

	disk->backing_given = !(c->flags & DOMAIN_PARSE_LIVE);
	for (const xmlNode *next; node; node = next) {
		struct disk_layer layer = {0};

		if (!xmlHasProp(node, BAD_CAST "type")) {
			disk->backing_known = true;
			return field_check_rest(c, node, false);
		}
		if (disk->backing.n >= DISK_CHAIN_MAX)
			return field_invalid(
				c, node, "more than %d images stand on each other", DISK_CHAIN_MAX);
		next = xml_child(node, "backingStore");
		if (next)
			field_take_child(next);
		table_init(&layer_table, &layer);
		VEC_ADD(&disk->backing, layer);
		if (table_parse(c, &layer_table, node, &disk->backing.items[disk->backing.n - 1]) < 0)
			return -1;
	}
	return 0;
}

static void backing_format(const struct format_context *c, const void *object)
{
	const struct disk *disk = object;

	if ((c->flags & DOMAIN_FORMAT_INACTIVE) && !disk->backing_given)
		return;
	for (size_t i = 0; i < disk->backing.n; i++) {
		xml_begin(c->w, "backingStore");
		table_format(c, &layer_table, &disk->backing.items[i]);
	}
	if (disk->backing_known)
		xml_element(c->w, "backingStore", "");
	for (size_t i = 0; i < disk->backing.n; i++)
		xml_end(c->w, "backingStore");
}

/* Only qcow2 images say what they stand on. */
static int check_backing(struct parse_context *c, const xmlNode *node, const struct disk *disk)
{
	enum disk_format format = disk->format;
	const char *source = disk->source;

	VEC_FOREACH (layer, &disk->backing) {
		if (format != DISK_FORMAT_QCOW2)
			return field_unsupported(c, node,
				"disk '%s': %.200s is a raw image and cannot stand on %.200s", disk->target,
				source ? source : "an empty drive", layer.source);
		format = layer.format;
		source = layer.source;
	}
	return 0;
}

static const struct field blockio_fields[] = {
	ATTR(struct disk, logical_block_size, "logical_block_size", VALUE_U32, .min = 512, .max = 32768),
	ATTR(struct disk, physical_block_size, "physical_block_size", VALUE_U32, .min = 512, .max = 32768),
};
static const struct table blockio_table = TABLE(blockio_fields, struct disk);

/* hda, sdb, vdaa: where the prefix tells the bus when nothing else does. */
static bool is_target(const char *name)
{
	static const char *const prefixes[] = {"fd", "hd", "vd", "sd", "xvd", "ubd"};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		const char *rest = name + strlen(prefixes[i]);
		size_t len;

		if (!startswith(name, prefixes[i]))
			continue;
		len = strspn(rest, "abcdefghijklmnopqrstuvwxyz");
		return len > 0 && len <= 4 && rest[len] == '\0';
	}
	return false;
}

static const struct field target_fields[] = {
	ATTR(struct disk, target, "dev", VALUE_STRING, .flags = FIELD_REQUIRED, .valid = is_target,
		.words = "a name such as 'vda' or 'sdb'"),
	ATTR_ENUM(struct disk, bus, "bus", disk_bus_names),
	ATTR_ENUM(struct disk, tray, "tray", disk_tray_names, .flags = FIELD_HOST),
	ATTR(struct disk, removable, "removable", VALUE_ON_OFF),
	ATTR(struct disk, rotation_rate, "rotation_rate", VALUE_U32, .min = 1, .max = 65534),
};
static const struct table target_table = TABLE(target_fields, struct disk);

static bool is_wwn(const char *text)
{
	return strlen(text) == 16 && strspn(text, "0123456789abcdefABCDEF") == 16;
}

static bool is_vendor(const char *text)
{
	return *text && strlen(text) <= 8 && text_is_line(text);
}

static bool is_product(const char *text)
{
	return *text && strlen(text) <= 16 && text_is_line(text);
}

static enum disk_bus default_bus(const struct disk *disk)
{
	if (disk->device == DISK_FLOPPY || startswith(disk->target, "fd"))
		return DISK_BUS_FDC;
	if (startswith(disk->target, "vd"))
		return DISK_BUS_VIRTIO;
	if (startswith(disk->target, "hd"))
		return DISK_BUS_IDE;
	return startswith(disk->target, "sd") ? DISK_BUS_SCSI : DISK_BUS_NONE;
}

/* A device and a bus that do not go together. */
static int check_bus(struct parse_context *c, const xmlNode *node, const struct disk *disk)
{
	const char *bus = enum_name(&disk_bus_names, disk->bus);
	bool is_floppy = disk->device == DISK_FLOPPY;

	if (disk->bus == DISK_BUS_NONE)
		return field_unsupported(c, node, "the bus of disk '%s' is not supported", disk->target);
	if (is_floppy != (disk->bus == DISK_BUS_FDC))
		return field_invalid(c, node, "disk '%s': a %s cannot be on bus '%s'", disk->target,
			enum_name(&disk_device_names, disk->device), bus);
	if (disk->device == DISK_CDROM && disk->bus == DISK_BUS_VIRTIO)
		return field_invalid(c, node, "disk '%s': a cdrom cannot be on bus 'virtio'", disk->target);
	if (disk->device == DISK_LUN &&
		(disk->bus != DISK_BUS_SCSI || disk->source_type != DISK_SOURCE_BLOCK))
		return field_unsupported(
			c, node, "disk '%s': a lun must be a block device on bus 'scsi'", disk->target);
	if ((disk->vendor || disk->product) && disk->bus != DISK_BUS_SCSI)
		return field_invalid(
			c, node, "disk '%s': <vendor> and <product> belong to bus 'scsi' only", disk->target);
	if (disk->wwn && disk->bus != DISK_BUS_SCSI && disk->bus != DISK_BUS_SATA &&
		disk->bus != DISK_BUS_IDE)
		return field_invalid(c, node,
			"disk '%s': <wwn> belongs to buses 'ide', 'sata' and 'scsi' only", disk->target);
	if (disk->removable != TRISTATE_ABSENT && disk->bus != DISK_BUS_USB && disk->bus != DISK_BUS_SCSI)
		return field_invalid(c, node, "disk '%s': 'removable' belongs to buses 'usb' and 'scsi' only",
			disk->target);
	if (disk->queues && disk->bus != DISK_BUS_VIRTIO)
		return field_invalid(
			c, node, "disk '%s': 'queues' belongs to bus 'virtio' only", disk->target);
	return 0;
}

static bool is_power_of_two(uint32_t n)
{
	return (n & (n - 1)) == 0;
}

static int disk_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct disk *disk = object;
	bool can_be_empty = disk->device == DISK_CDROM || disk->device == DISK_FLOPPY;

	if (disk->source && !*disk->source)
		replace_string(&disk->source, NULL);
	if (disk->bus == DISK_BUS_NONE)
		disk->bus = default_bus(disk);
	if (disk->format == DISK_FORMAT_NONE)
		disk->format = DISK_FORMAT_RAW;
	if (disk->device == DISK_CDROM)
		disk->readonly = true;
	if (check_bus(c, node, disk) < 0)
		return -1;
	if (!disk->source && !can_be_empty)
		return field_invalid(c, node, "disk '%s' has no source", disk->target);
	if (disk->tray == DISK_TRAY_OPEN && !can_be_empty)
		return field_invalid(c, node, "disk '%s' has no tray", disk->target);
	if (disk->copy_on_read == TRISTATE_ON && disk->readonly)
		return field_invalid(
			c, node, "disk '%s' is read-only and asks for copy_on_read", disk->target);
	if (!is_power_of_two(disk->logical_block_size) || !is_power_of_two(disk->physical_block_size))
		return field_invalid(c, node, "disk '%s': block sizes must be powers of two", disk->target);
	if (disk->io == DISK_IO_NATIVE && disk->cache != DISK_CACHE_NONE &&
		disk->cache != DISK_CACHE_DIRECTSYNC)
		return field_unsupported(c, node,
			"disk '%s': io='native' needs cache='none' or cache='directsync'", disk->target);
	return check_backing(c, node, disk);
}

static const struct field disk_fields[] = {
	ATTR_ENUM(struct disk, source_type, "type", disk_source_names, .flags = FIELD_ALWAYS | FIELD_HOST),
	ATTR_ENUM(struct disk, device, "device", disk_device_names, .flags = FIELD_ALWAYS),
	ATTR(struct disk, snapshot, "snapshot", VALUE_STRING, .names = &snapshot_words, .flags = FIELD_HOST),
	GROUP("driver", driver_table),
	GROUP("source", file_source_table, .when = is_file, .flags = FIELD_HOST),
	GROUP("source", block_source_table, .when = is_block, .flags = FIELD_HOST),
	LIST(struct disk, backing, "backingStore", layer_table, .parse = backing_parse,
		.format = backing_format, .flags = FIELD_BY_VALUE | FIELD_HOST),
	GROUP("blockio", blockio_table),
	GROUP("target", target_table, .flags = FIELD_REQUIRED),
	FLAG(struct disk, readonly, "readonly"),
	FLAG(struct disk, shareable, "shareable", .flags = FIELD_HOST),
	FLAG(struct disk, transient, "transient", .flags = FIELD_HOST),
	CHILD(struct disk, serial, "serial", VALUE_STRING, .valid = text_is_line),
	CHILD(struct disk, wwn, "wwn", VALUE_STRING, .valid = is_wwn, .words = "16 hexadecimal digits"),
	CHILD(struct disk, vendor, "vendor", VALUE_STRING, .valid = is_vendor, .words = "1 to 8 characters"),
	CHILD(struct disk, product, "product", VALUE_STRING, .valid = is_product,
		.words = "1 to 16 characters"),
	INLINE(struct disk, info, info_boot_table),
};
const struct table disk_table = TABLE(disk_fields, struct disk, .finish = disk_finish);

/* ---- <controller> ---- */

static bool is_pci(const void *controller)
{
	return ((const struct controller *)controller)->type == CONTROLLER_PCI;
}

static bool is_usb(const void *controller)
{
	return ((const struct controller *)controller)->type == CONTROLLER_USB;
}

static bool is_scsi(const void *controller)
{
	return ((const struct controller *)controller)->type == CONTROLLER_SCSI;
}

static bool is_virtio_serial(const void *controller)
{
	return ((const struct controller *)controller)->type == CONTROLLER_VIRTIO_SERIAL;
}

static bool has_ports(const void *controller)
{
	return is_usb(controller) || is_virtio_serial(controller);
}

static const struct field pci_model_fields[] = {
	ATTR(struct controller, pci_model_name, "name", VALUE_STRING, .flags = FIELD_REQUIRED,
		.valid = text_is_word),
};
static const struct table pci_model_table = TABLE(pci_model_fields, struct controller);

static const struct field pci_target_fields[] = {
	ATTR(struct controller, chassis_nr, "chassisNr", VALUE_I32, .absent = -1, .min = 1, .max = 255),
	ATTR(struct controller, chassis, "chassis", VALUE_I32, .absent = -1, .min = 0, .max = 255),
	ATTR(struct controller, port, "port", VALUE_I32, .absent = -1, .min = 0, .max = 255, .hex = 1),
	ATTR(struct controller, hotplug, "hotplug", VALUE_ON_OFF),
};
static const struct table pci_target_table = TABLE(pci_target_fields, struct controller);

static const struct field scsi_driver_fields[] = {
	ATTR(struct controller, queues, "queues", VALUE_U32, .min = 1, .max = 1024),
};
static const struct table scsi_driver_table = TABLE(scsi_driver_fields, struct controller);

static const struct field master_fields[] = {
	ATTR(struct controller, usb_master_startport, "startport", VALUE_I32, .absent = -1, .min = 0,
		.max = 15, .flags = FIELD_REQUIRED),
};
static const struct table master_table = TABLE(master_fields, struct controller);

static bool model_fits(enum controller_type type, enum controller_model model)
{
	bool is_virtio =
		model == CONTROLLER_VIRTIO_TRANSITIONAL || model == CONTROLLER_VIRTIO_NON_TRANSITIONAL;

	if (model == CONTROLLER_MODEL_DEFAULT)
		return true;
	switch (type) {
	case CONTROLLER_PCI:
		return model >= CONTROLLER_PCI_ROOT && model <= CONTROLLER_PCIE_DOWNSTREAM;
	case CONTROLLER_USB:
		return model >= CONTROLLER_PIIX3_UHCI && model <= CONTROLLER_USB_NONE;
	case CONTROLLER_SCSI:
		return model == CONTROLLER_VIRTIO_SCSI || model == CONTROLLER_LSILOGIC || is_virtio;
	case CONTROLLER_VIRTIO_SERIAL:
		return model == CONTROLLER_VIRTIO || is_virtio;
	case CONTROLLER_IDE:
	case CONTROLLER_FDC:
	case CONTROLLER_SATA:
	case CONTROLLER_TYPE_MAX_:
		break;
	}
	return false;
}

static int controller_finish(struct parse_context *c, const xmlNode *node, void *object)
{
	struct controller *controller = object;
	const char *type = enum_name(&controller_type_names, controller->type);
	const char *model = enum_name(&controller_model_names, controller->model);
	bool is_root = controller->model == CONTROLLER_PCI_ROOT || controller->model == CONTROLLER_PCIE_ROOT;

	if (is_root && controller->index == CONTROLLER_INDEX_NEXT)
		controller->index = 0;
	if (!model_fits(controller->type, controller->model))
		return field_unsupported(
			c, node, "model '%s' of <controller type='%s'> is not supported", model, type);
	if (is_root != (controller->type == CONTROLLER_PCI && controller->index == 0) &&
		(is_root || controller->model != CONTROLLER_MODEL_DEFAULT))
		return field_invalid(c, node,
			"PCI controller %u cannot be a %s: index 0 is the root, and no other",
			controller->index, model);
	return 0;
}

static const struct field controller_fields[] = {
	ATTR_ENUM(struct controller, type, "type", controller_type_names,
		.flags = FIELD_ALWAYS | FIELD_REQUIRED),
	ATTR(struct controller, index, "index", VALUE_U32, .absent = CONTROLLER_INDEX_NEXT, .max = 255,
		.flags = FIELD_ALWAYS),
	ATTR_ENUM(struct controller, model, "model", controller_model_names),
	ATTR(struct controller, ports, "ports", VALUE_U32, .max = 512, HAS(struct controller, has_ports),
		.when = has_ports),
	ATTR(struct controller, vectors, "vectors", VALUE_U32, .max = 2048,
		HAS(struct controller, has_vectors), .when = is_virtio_serial),
	GROUP("model", pci_model_table, .when = is_pci),
	GROUP("target", pci_target_table, .when = is_pci),
	GROUP("driver", scsi_driver_table, .when = is_scsi),
	INLINE(struct controller, info, alias_table),
	GROUP("master", master_table, .when = is_usb),
	INLINE(struct controller, info, address_table),
};
const struct table controller_table =
	TABLE(controller_fields, struct controller, .finish = controller_finish);
