/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks on the command line: a chain of block nodes and the device that shows it to the guest.
 *
 *	libvirt-N-storage (file or device) <- libvirt-N-format (raw, qcow2) [<- libvirt-CoR-TARGET] <- device
 *	                                       `- backing: libvirt-M-format, of the image it stands on
 *
 * Both nodes are there for raw images too, so that snapshots and moves always find the same shape. Once a chain is known QEMU opens
 * nothing by itself: what an image's header says is not asked again.
 */
#include "argv-internal.h"

struct cache_mode {
	bool direct, no_flush;
	const char *write_cache; /* what the device says to the guest */
};

/*
 * qemu(1), -drive cache=: the five modes as the three switches they stand for; NULL leaves them to QEMU. A disk
 * that other hosts write to must not be cached here.
 */
static const struct cache_mode *cache_mode(const struct disk *disk)
{
	static const struct cache_mode modes[DISK_CACHE_MAX_] = {
		[DISK_CACHE_NONE] = {true, false, "on"},
		[DISK_CACHE_WRITETHROUGH] = {false, false, "off"},
		[DISK_CACHE_WRITEBACK] = {false, false, "on"},
		[DISK_CACHE_DIRECTSYNC] = {true, false, "off"},
		[DISK_CACHE_UNSAFE] = {false, true, "on"},
	};

	if (disk->cache == DISK_CACHE_DEFAULT)
		return disk->shareable && !disk->readonly ? &modes[DISK_CACHE_NONE] : NULL;
	return &modes[disk->cache];
}

static void put_cache(json *o, const struct disk *disk)
{
	const struct cache_mode *mode = cache_mode(disk);

	if (mode)
		json_object_object_add(
			o, "cache", json_pack("b:direct", mode->direct, "b:no-flush", mode->no_flush, NULL));
}

/* As domain_number_disks will have it. */
static unsigned node_number(const struct domain *d, const struct disk *disk)
{
	unsigned n = 1;

	if (disk->node)
		return disk->node;
	for (size_t i = d->disks.n; d->disks.items[--i] != disk;)
		n++;
	return n;
}

static unsigned layer_number(const struct domain *d, const struct disk *disk, size_t layer)
{
	size_t n = d->disks.n + layer + 1;

	if (disk->backing.items[layer].node)
		return disk->backing.items[layer].node;
	for (size_t i = d->disks.n; d->disks.items[--i] != disk;)
		n += d->disks.items[i]->backing.n;
	return (unsigned)n;
}

/* One of a disk's images, 0 being the one the guest writes. Borrowed strings. */
static struct disk_layer get_image(const struct domain *d, const struct disk *disk, size_t position)
{
	struct disk_layer image = {disk->source_type, disk->source, disk->format, node_number(d, disk)};

	if (position == 0)
		return image;
	image = disk->backing.items[position - 1];
	image.node = layer_number(d, disk, position - 1);
	return image;
}

static int check_io(struct argv *a, const struct disk *disk)
{
	const struct cache_mode *mode = cache_mode(disk);

	if (disk->io == DISK_IO_NATIVE && !(mode && mode->direct))
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"native I/O needs either no disk cache or directsync cache mode (disk '%s')",
			disk->target);
	if (disk->io == DISK_IO_URING && argv_need_feature(a, "aio-io_uring", "disk I/O mode 'io_uring'") < 0)
		return -1;
	if (disk->transient)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"transient disks are not supported (disk '%s')", disk->target);
	return 0;
}

static void add_storage_node(struct argv *a, const struct disk *disk, const struct disk_layer *image)
{
	_cleanup_free_ char *name = xasprintf("libvirt-%u-storage", image->node);
	json *o = json_pack("s:driver", image->source_type == DISK_SOURCE_BLOCK ? "host_device" : "file",
		"s:filename", image->source, NULL);

	if (disk->io != DISK_IO_DEFAULT)
		argv_put_string(o, "aio", disk_io_name(disk->io));
	argv_put_string(o, "node-name", name);
	put_cache(o, disk);
	argv_put_bool(o, "auto-read-only", true);
	argv_put_string(o, "discard", "unmap");
	argv_add_json(a, "-blockdev", o);
}

static void put_detect_zeroes(json *o, const struct disk *disk)
{
	/* Zeroes can be unmapped only where unmapping is allowed. */
	if (disk->detect_zeroes == DISK_DETECT_ZEROES_UNMAP && disk->discard != DISK_DISCARD_UNMAP)
		argv_put_string(o, "detect-zeroes", "on");
	else if (disk->detect_zeroes != DISK_DETECT_ZEROES_DEFAULT)
		argv_put_string(o, "detect-zeroes", disk_detect_zeroes_name(disk->detect_zeroes));
}

enum link {
	LINK_HEADER, /* QEMU opens what the header names */
	LINK_NONE,
	LINK_NODE,
};

/* `below`: the image it stands on, of LINK_NODE. */
static void add_format_node(struct argv *a, const struct disk *disk, const struct disk_layer *image,
	bool is_top, enum link link, const struct disk_layer *below)
{
	_cleanup_free_ char *name = xasprintf("libvirt-%u-format", image->node),
			    *file = xasprintf("libvirt-%u-storage", image->node);
	json *o = json_pack("s:node-name", name, "b:read-only", !is_top || disk->readonly, NULL);

	if (disk->discard != DISK_DISCARD_DEFAULT)
		argv_put_string(o, "discard", disk_discard_name(disk->discard));
	if (is_top)
		put_detect_zeroes(o, disk);
	put_cache(o, disk);
	argv_put_string(o, "driver", image->format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw");
	argv_put_string(o, "file", file);
	if (image->format == DISK_FORMAT_QCOW2 && link == LINK_NONE) {
		json_object_object_add(o, "backing", NULL);
	} else if (link == LINK_NODE) {
		_cleanup_free_ char *backing = xasprintf("libvirt-%u-format", below->node);

		argv_put_string(o, "backing", backing);
	}
	argv_add_json(a, "-blockdev", o);
}

static void add_images(struct argv *a, const struct disk *disk)
{
	struct disk_layer below = {0};

	for (size_t i = disk->backing.n + 1; i-- > 0;) {
		struct disk_layer image = get_image(a->d, disk, i);
		enum link link = i < disk->backing.n   ? LINK_NODE
				 : disk->backing_known ? LINK_NONE
						       : LINK_HEADER;

		add_storage_node(a, disk, &image);
		add_format_node(a, disk, &image, i == 0, link, &below);
		below = image;
	}
}

/* The nodes; returns the name of the top one, NULL for an empty drive. */
static char *add_nodes(struct argv *a, const struct disk *disk)
{
	_cleanup_free_ char *format = xasprintf("libvirt-%u-format", node_number(a->d, disk));
	char *top;

	if (!disk->source)
		return NULL;
	add_images(a, disk);
	if (disk->copy_on_read != TRISTATE_ON)
		return TAKE_PTR(format);
	top = xasprintf("libvirt-CoR-%s", disk->target);
	argv_add_json(a, "-blockdev",
		json_pack("s:driver", "copy-on-read", "s:node-name", top, "s:file", format, "s:discard",
			"unmap", NULL));
	return top;
}

/* ---- the device ---- */

static int put_scsi_place(struct argv *a, json *o, const struct disk *disk)
{
	const struct device_address *at = &disk->info.address;
	const struct controller *c = domain_find_controller(a->d, CONTROLLER_SCSI, at->drive.controller);
	_cleanup_free_ char *bus = xasprintf("%s.%u", c->info.alias, 0u);
	_cleanup_free_ char *id = xasprintf("drive-%s", disk->info.alias);

	argv_put_string(o, "bus", bus);
	if (c->model == CONTROLLER_LSILOGIC) {
		if (at->drive.target || at->drive.bus)
			return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
				"disk '%s': target and bus must be 0 on an lsilogic controller",
				disk->target);
		argv_put_uint(o, "scsi-id", at->drive.unit);
	} else {
		argv_put_uint(o, "channel", at->drive.bus);
		argv_put_uint(o, "scsi-id", at->drive.target);
		argv_put_uint(o, "lun", at->drive.unit);
	}
	/* What VPD page 0x83 says when there is no WWN. */
	if (disk->device != DISK_LUN)
		argv_put_string(o, "device_id", disk->serial ? disk->serial : id);
	return 0;
}

static void put_ide_place(struct argv *a, json *o, const struct disk *disk)
{
	const struct device_address *at = &disk->info.address;
	const struct controller *c = domain_find_controller(
		a->d, disk->bus == DISK_BUS_IDE ? CONTROLLER_IDE : CONTROLLER_SATA, at->drive.controller);
	_cleanup_free_ char *bus = xasprintf("%s.%u", controller_is_builtin(a->d, c) ? "ide" : c->info.alias,
		disk->bus == DISK_BUS_IDE ? at->drive.bus : at->drive.unit);

	argv_put_string(o, "bus", bus);
	if (disk->bus == DISK_BUS_IDE)
		argv_put_uint(o, "unit", at->drive.unit);
}

static const char *scsi_driver(const struct disk *disk)
{
	return disk->device == DISK_LUN ? "scsi-block" : disk->device == DISK_CDROM ? "scsi-cd" : "scsi-hd";
}

static int put_driver(struct argv *a, json *o, const struct disk *disk)
{
	switch (disk->bus) {
	case DISK_BUS_VIRTIO:
		argv_put_string(o, "driver", "virtio-blk-pci");
		argv_put_pci(a, o, &disk->info);
		return 0;
	case DISK_BUS_IDE:
	case DISK_BUS_SATA:
		argv_put_string(o, "driver", disk->device == DISK_CDROM ? "ide-cd" : "ide-hd");
		put_ide_place(a, o, disk);
		return 0;
	case DISK_BUS_SCSI:
		argv_put_string(o, "driver", scsi_driver(disk));
		return put_scsi_place(a, o, disk);
	case DISK_BUS_USB:
		argv_put_string(o, "driver", "usb-storage");
		argv_put_usb(a, o, &disk->info);
		return 0;
	case DISK_BUS_FDC:
		argv_put_string(o, "driver", "floppy");
		argv_put_uint(o, "unit", disk->info.address.drive.unit);
		return 0;
	case DISK_BUS_NONE:
	case DISK_BUS_MAX_:
		break;
	}
	return error_set(a->err, ERROR_INTERNAL, "disk '%s' has no bus", disk->target);
}

/* What the guest reads about the medium. */
static int put_identity(struct argv *a, json *o, const struct disk *disk)
{
	uint64_t wwn;

	if (disk->wwn) {
		_cleanup_free_ char *hex = xasprintf("0x%s", disk->wwn);

		if (!parse_u64(hex, &wwn))
			return error_set(a->err, ERROR_XML, "malformed wwn '%s'", disk->wwn);
		argv_put_uint(o, "wwn", wwn);
	}
	argv_put_string(o, "vendor", disk->vendor);
	argv_put_string(o, "product", disk->product);
	if (disk->rotation_rate)
		argv_put_uint(o, "rotation_rate", disk->rotation_rate);
	argv_put_string(o, "serial", disk->serial);
	if (disk->logical_block_size)
		argv_put_uint(o, "logical_block_size", disk->logical_block_size);
	if (disk->physical_block_size)
		argv_put_uint(o, "physical_block_size", disk->physical_block_size);
	return 0;
}

static const char *error_action(enum disk_error_policy policy)
{
	return policy == DISK_ERROR_DEFAULT ? NULL : disk_error_policy_name(policy);
}

/* werror and rerror; "enospace" is said of writes only, and reads then report. */
static void put_policies(json *o, const struct disk *disk)
{
	enum disk_error_policy write = disk->error_policy, read = disk->rerror_policy;

	if (read == DISK_ERROR_DEFAULT && write != DISK_ERROR_ENOSPACE)
		read = write;
	argv_put_string(o, "werror", write == DISK_ERROR_ENOSPACE ? "enospc" : error_action(write));
	argv_put_string(o, "rerror", error_action(read));
}

static int add_device(struct argv *a, const struct disk *disk, const char *node, uint32_t boot)
{
	const struct cache_mode *mode = cache_mode(disk);
	json *o = json_pack("s:id", disk->info.alias, "s:drive", node, NULL);

	if (put_driver(a, o, disk) < 0 || put_identity(a, o, disk) < 0) {
		json_object_put(o);
		return -1;
	}
	if (boot && disk->bus != DISK_BUS_FDC)
		argv_put_uint(o, "bootindex", boot);
	if (disk->shareable)
		argv_put_bool(o, "share-rw", true);
	if (disk->bus == DISK_BUS_VIRTIO && disk->queues)
		argv_put_uint(o, "num-queues", disk->queues);
	if (disk->bus == DISK_BUS_USB)
		argv_put_bool(o, "removable", disk->removable == TRISTATE_ON);
	else if (disk->removable != TRISTATE_ABSENT)
		argv_put_on_off(o, "removable", disk->removable);
	if (mode && disk->device == DISK_DISK)
		argv_put_string(o, "write-cache", mode->write_cache);
	put_policies(o, disk);
	return argv_add_device(a, o);
}

static int add_disk(struct argv *a, const struct disk *disk, uint32_t boot)
{
	_cleanup_free_ char *node = NULL;

	if (check_io(a, disk) < 0)
		return -1;
	node = add_nodes(a, disk);
	return add_device(a, disk, node, boot);
}

int argv_disks(struct argv *a)
{
	VEC_FOREACH (disk, &a->d->disks) {
		if (add_disk(a, disk, argv_boot_index(a->d, &disk->info)) < 0)
			return -1;
	}
	return 0;
}

/* ---- for a QEMU that runs ---- */

int argv_build_disk(const struct domain *d, const struct disk *disk, const struct qemu_capabilities *caps,
	struct strv *ret_argv, struct error *err)
{
	struct strv out = {0};
	struct argv a = {.d = d, .caps = caps, .out = &out, .err = err};

	/* The firmware has its order: a disk that comes later is in it only where its user says so. */
	if (add_disk(&a, disk, disk->info.boot_order) < 0) {
		strv_fini(&out);
		return -1;
	}
	*ret_argv = out;
	return 0;
}

int argv_build_overlay(const struct domain *d, const struct disk *disk, const struct qemu_capabilities *caps,
	struct strv *ret_argv, struct error *err)
{
	struct strv out = {0};
	struct argv a = {.d = d, .caps = caps, .out = &out, .err = err};
	struct disk_layer image = get_image(d, disk, 0);

	if (check_io(&a, disk) < 0)
		return -1;
	add_storage_node(&a, disk, &image);
	add_format_node(&a, disk, &image, true, LINK_NONE, NULL);
	*ret_argv = out;
	return 0;
}

void argv_disk_nodes(const struct disk *disk, struct strv *ret)
{
	if (!disk->source)
		return;
	if (disk->copy_on_read == TRISTATE_ON)
		strv_addf(ret, "libvirt-CoR-%s", disk->target);
	strv_addf(ret, "libvirt-%u-format", disk->node);
	strv_addf(ret, "libvirt-%u-storage", disk->node);
	VEC_FOREACH (layer, &disk->backing) {
		strv_addf(ret, "libvirt-%u-format", layer.node);
		strv_addf(ret, "libvirt-%u-storage", layer.node);
	}
}
