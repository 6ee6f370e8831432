/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Controllers, bridges and ports on the command line; those built into the machine need nothing. */
#include "argv-internal.h"

static int add_pci(struct argv *a, const struct controller *c)
{
	json *o = json_pack("s:driver", c->pci_model_name, NULL);

	if (c->port >= 0)
		argv_put_uint(o, "port", (uint64_t)c->port);
	if (c->chassis >= 0)
		argv_put_uint(o, "chassis", (uint64_t)c->chassis);
	if (c->chassis_nr >= 0)
		argv_put_uint(o, "chassis_nr", (uint64_t)c->chassis_nr);
	if (c->model == CONTROLLER_PCIE_ROOT_PORT && c->hotplug != TRISTATE_ABSENT)
		argv_put_bool(o, "hotplug", c->hotplug == TRISTATE_ON);
	argv_put_string(o, "id", c->info.alias);
	argv_put_pci(a, o, &c->info);
	return argv_add_device(a, o);
}

static int add_usb(struct argv *a, const struct controller *c)
{
	static const char *const drivers[CONTROLLER_MODEL_MAX_] = {
		[CONTROLLER_PIIX3_UHCI] = "piix3-usb-uhci",
		[CONTROLLER_ICH9_EHCI1] = "ich9-usb-ehci1",
		[CONTROLLER_ICH9_UHCI1] = "ich9-usb-uhci1",
		[CONTROLLER_ICH9_UHCI2] = "ich9-usb-uhci2",
		[CONTROLLER_ICH9_UHCI3] = "ich9-usb-uhci3",
		[CONTROLLER_QEMU_XHCI] = "qemu-xhci",
		[CONTROLLER_NEC_XHCI] = "nec-usb-xhci",
	};
	json *o;

	if (c->model == CONTROLLER_USB_NONE)
		return 0;
	o = json_pack("s:driver", drivers[c->model], NULL);
	if (c->has_ports) {
		argv_put_uint(o, "p2", c->ports);
		argv_put_uint(o, "p3", c->ports);
	}
	if (c->usb_master_startport >= 0) {
		_cleanup_free_ char *master = c->index ? xasprintf("usb%u.0", c->index) : xstrdup("usb.0");

		argv_put_string(o, "masterbus", master);
		argv_put_uint(o, "firstport", (uint64_t)c->usb_master_startport);
	} else {
		argv_put_string(o, "id", c->info.alias);
	}
	argv_put_pci(a, o, &c->info);
	return argv_add_device(a, o);
}

static int add_scsi(struct argv *a, const struct controller *c)
{
	_cleanup_free_ char *driver = c->model == CONTROLLER_LSILOGIC
					      ? xstrdup("lsi53c895a")
					      : argv_virtio_name("virtio-scsi", c->model);
	json *o = json_pack("s:driver", driver, "s:id", c->info.alias, NULL);

	if (c->queues)
		argv_put_uint(o, "num_queues", c->queues);
	argv_put_pci(a, o, &c->info);
	return argv_add_device(a, o);
}

static int add_sata(struct argv *a, const struct controller *c)
{
	json *o = json_pack("s:driver", "ich9-ahci", "s:id", c->info.alias, NULL);

	argv_put_pci(a, o, &c->info);
	return argv_add_device(a, o);
}

/* The drives' boot indices belong to their controller, by letter. */
static void put_floppy_boot(struct argv *a, json *o, struct buf *globals)
{
	VEC_FOREACH (disk, &a->d->disks) {
		uint32_t boot = argv_boot_index(a->d, &disk->info);
		_cleanup_free_ char *key = xasprintf("bootindex%c", 'A' + (int)disk->info.address.drive.unit);

		if (disk->bus != DISK_BUS_FDC || !boot)
			continue;
		if (o)
			argv_put_uint(o, key, boot);
		else
			buf_addf(globals, "isa-fdc.%s=%u", key, boot);
	}
}

static int add_fdc(struct argv *a, const struct controller *c)
{
	json *o;

	if (controller_is_builtin(a->d, c)) {
		struct buf b = {0};

		put_floppy_boot(a, NULL, &b);
		if (b.len)
			argv_add(a, "-global", "%s", b.data);
		buf_fini(&b);
		return 0;
	}
	o = json_pack("s:driver", "isa-fdc", NULL);
	put_floppy_boot(a, o, NULL);
	return argv_add_device(a, o);
}

static int add_virtio_serial(struct argv *a, const struct controller *c)
{
	_cleanup_free_ char *driver = argv_virtio_name("virtio-serial", c->model);
	json *o = json_pack("s:driver", driver, "s:id", c->info.alias, NULL);

	if (c->has_ports)
		argv_put_uint(o, "max_ports", c->ports);
	if (c->has_vectors)
		argv_put_uint(o, "vectors", c->vectors);
	argv_put_pci(a, o, &c->info);
	return argv_add_device(a, o);
}

int argv_controllers(struct argv *a)
{
	static const struct {
		enum controller_type type;
		int (*add)(struct argv *a, const struct controller *c);
	} order[] = {
		{CONTROLLER_PCI, add_pci},
		{CONTROLLER_USB, add_usb},
		{CONTROLLER_SCSI, add_scsi},
		{CONTROLLER_SATA, add_sata},
		{CONTROLLER_VIRTIO_SERIAL, add_virtio_serial},
		{CONTROLLER_FDC, add_fdc},
	};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		VEC_FOREACH (c, &a->d->controllers)
			if (c->type == order[i].type &&
				(!controller_is_builtin(a->d, c) || c->type == CONTROLLER_FDC) &&
				order[i].add(a, c) < 0)
				return -1;
	return 0;
}
