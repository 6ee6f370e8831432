/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* USB ports: the first free port of the first controller that has one. */
#include "device-address.h"

/* Ports of a root hub (QEMU's hw/usb): what each controller model has when nothing is said. */
static uint32_t controller_ports(const struct controller *c)
{
	if (c->model == CONTROLLER_PIIX3_UHCI)
		return 2;
	if (c->model == CONTROLLER_ICH9_EHCI1)
		return 6;
	if (c->model == CONTROLLER_QEMU_XHCI || c->model == CONTROLLER_NEC_XHCI)
		return c->has_ports && c->ports ? c->ports : 4;
	return 0; /* the companions' ports are the EHCI's; "none" has none */
}

typedef VEC(struct device_info *) info_list;

static void collect(const struct domain *d, info_list *ret)
{
	VEC_FOREACH (disk, &d->disks)
		if (disk->bus == DISK_BUS_USB)
			VEC_ADD(ret, &disk->info);
	VEC_FOREACH (input, &d->inputs)
		if (input->bus == INPUT_BUS_USB)
			VEC_ADD(ret, &input->info);
	VEC_FOREACH (serial, &d->serials)
		if (serial->target == CHARDEV_TARGET_USB_SERIAL)
			VEC_ADD(ret, &serial->info);
}

static bool is_taken(const info_list *devices, const struct device_info *but, uint32_t bus, uint32_t port)
{
	VEC_FOREACH (info, devices) {
		const struct device_address *a = &info->address;

		if (info != but && a->type == ADDRESS_USB && a->usb.bus == bus && a->usb.port[0] == port &&
			a->usb.port[1] == 0)
			return true;
	}
	return false;
}

static bool find_port(const info_list *devices, const struct controller *c, struct device_info *info)
{
	for (uint32_t port = 1; port <= controller_ports(c); port++) {
		if (is_taken(devices, info, c->index, port))
			continue;
		info->address = (struct device_address){.type = ADDRESS_USB};
		info->address.usb.bus = c->index;
		info->address.usb.port[0] = port;
		return true;
	}
	return false;
}

static int check_given(
	const struct domain *d, const info_list *devices, const struct device_info *info, struct error *err)
{
	const struct device_address *a = &info->address;
	bool exists = false;

	VEC_FOREACH (c, &d->controllers)
		if (c->type == CONTROLLER_USB && c->index == a->usb.bus &&
			a->usb.port[0] <= controller_ports(c))
			exists = true;
	if (!exists)
		return error_set(err, ERROR_XML, "USB bus %u has no port %u", a->usb.bus, a->usb.port[0]);
	VEC_FOREACH (other, devices)
		if (other != info && device_address_equal(&other->address, a))
			return error_set(err, ERROR_XML, "Duplicate USB address bus %u port %u", a->usb.bus,
				a->usb.port[0]);
	return 0;
}

static int assign(
	const struct domain *d, const info_list *devices, struct device_info *info, struct error *err)
{
	bool any_bus = info->address.type == ADDRESS_NONE;
	uint32_t bus = info->address.usb.bus;

	if (!any_bus && info->address.type != ADDRESS_USB)
		return error_set(err, ERROR_XML, "USB devices need an address of type 'usb'");
	if (!any_bus && info->address.usb.port[0])
		return check_given(d, devices, info, err);
	VEC_FOREACH (c, &d->controllers)
		if (c->type == CONTROLLER_USB && (any_bus || c->index == bus) && find_port(devices, c, info))
			return 0;
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"no free USB port: add a controller of model 'qemu-xhci' (USB hubs are not supported)");
}

int address_assign_usb(struct domain *d, struct error *err)
{
	info_list devices = {0};
	int r = 0;

	collect(d, &devices);
	for (size_t i = 0; i < devices.n && r == 0; i++)
		if (devices.items[i]->address.type == ADDRESS_USB && devices.items[i]->address.usb.port[0])
			r = assign(d, &devices, devices.items[i], err);
	for (size_t i = 0; i < devices.n && r == 0; i++)
		r = assign(d, &devices, devices.items[i], err);
	VEC_FREE(&devices);
	return r;
}
