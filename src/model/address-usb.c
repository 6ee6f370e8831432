/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * USB ports: the first free port of the first controller that has one, the controller's own before those of hubs. When
 * there are not enough, hubs are added, which come before the devices.
 */
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

#define HUB_PORTS 8 /* of QEMU's usb-hub */

struct usb_tree {
	struct domain *d;
	VEC(struct device_info *) devices; /* hubs among them */
};

static void collect(struct usb_tree *t)
{
	VEC_FREE(&t->devices);
	VEC_FOREACH (hub, &t->d->hubs)
		VEC_ADD(&t->devices, &hub->info);
	VEC_FOREACH (disk, &t->d->disks)
		if (disk->bus == DISK_BUS_USB)
			VEC_ADD(&t->devices, &disk->info);
	VEC_FOREACH (input, &t->d->inputs)
		if (input->bus == INPUT_BUS_USB)
			VEC_ADD(&t->devices, &input->info);
	VEC_FOREACH (serial, &t->d->serials)
		if (serial->target == CHARDEV_TARGET_USB_SERIAL)
			VEC_ADD(&t->devices, &serial->info);
}

static bool has_port(const struct device_info *info)
{
	return info->address.type == ADDRESS_USB && info->address.usb.port[0];
}

static bool same_port(const struct device_info *info, const struct device_address *a)
{
	return has_port(info) && info->address.usb.bus == a->usb.bus &&
	       memcmp(info->address.usb.port, a->usb.port, sizeof(a->usb.port)) == 0;
}

static bool is_taken(const struct usb_tree *t, const struct device_address *a)
{
	VEC_FOREACH (info, &t->devices)
		if (same_port(info, a))
			return true;
	return false;
}

static bool is_hub(const struct usb_tree *t, const struct device_address *a)
{
	VEC_FOREACH (hub, &t->d->hubs)
		if (same_port(&hub->info, a))
			return true;
	return false;
}

/*
 * Walk the ports below `at`, whose path is `depth` long, nearer ones first. Counts the free ones; the first goes to
 * *ret when that is not NULL.
 */
static uint32_t free_below(const struct usb_tree *t, struct device_address at, unsigned depth, uint32_t ports,
	struct device_address *ret)
{
	uint32_t n = 0;

	if (depth >= USB_PORT_DEPTH)
		return 0;
	for (at.usb.port[depth] = 1; at.usb.port[depth] <= ports; at.usb.port[depth]++)
		if (!is_taken(t, &at) && n++ == 0 && ret)
			*ret = at;
	for (at.usb.port[depth] = 1; at.usb.port[depth] <= ports; at.usb.port[depth]++)
		if (is_hub(t, &at))
			n += free_below(t, at, depth + 1, HUB_PORTS, n ? NULL : ret);
	return n;
}

/* Free ports of all controllers, or of one bus. */
static uint32_t free_ports(const struct usb_tree *t, const uint32_t *bus, struct device_address *ret)
{
	uint32_t n = 0;

	VEC_FOREACH (c, &t->d->controllers) {
		struct device_address at = {.type = ADDRESS_USB};

		if (c->type != CONTROLLER_USB || (bus && c->index != *bus))
			continue;
		at.usb.bus = c->index;
		n += free_below(t, at, 0, controller_ports(c), n ? NULL : ret);
	}
	return n;
}

/* A port that was asked for must exist: on a controller, or on a hub that is there. */
static int check_given(const struct usb_tree *t, const struct device_info *info, struct error *err)
{
	struct device_address a = info->address;
	unsigned depth = 0;
	bool exists = false;
	size_t same = 0;

	while (depth < USB_PORT_DEPTH && a.usb.port[depth])
		depth++;
	VEC_FOREACH (other, &t->devices)
		same += same_port(other, &a);
	if (same > 1)
		return error_set(
			err, ERROR_XML, "Duplicate USB address bus %u port %u", a.usb.bus, a.usb.port[0]);
	if (depth > 1) {
		exists = a.usb.port[depth - 1] <= HUB_PORTS;
		a.usb.port[depth - 1] = 0;
		exists &= is_hub(t, &a);
	}
	VEC_FOREACH (c, &t->d->controllers)
		if (depth == 1 && c->type == CONTROLLER_USB && c->index == a.usb.bus &&
			a.usb.port[0] <= controller_ports(c))
			exists = true;
	if (!exists)
		return error_set(err, ERROR_XML, "USB bus %u has no such port (%u...)", info->address.usb.bus,
			info->address.usb.port[0]);
	return 0;
}

static int assign(const struct usb_tree *t, struct device_info *info, struct error *err)
{
	bool any_bus = info->address.type == ADDRESS_NONE;
	uint32_t bus = info->address.usb.bus;

	if (!any_bus && info->address.type != ADDRESS_USB)
		return error_set(err, ERROR_XML, "USB devices need an address of type 'usb'");
	if (has_port(info))
		return check_given(t, info, err);
	if (free_ports(t, any_bus ? NULL : &bus, &info->address) == 0)
		return error_set(err, ERROR_XML, "No free USB ports");
	return 0;
}

static uint32_t count_waiting(const struct usb_tree *t)
{
	uint32_t n = 0;

	VEC_FOREACH (info, &t->devices)
		n += !has_port(info);
	return n;
}

/* Each hub takes a port and gives eight. */
static int add_hubs(struct usb_tree *t, struct error *err)
{
	while (count_waiting(t) > free_ports(t, NULL, NULL)) {
		struct hub *hub = NEW(struct hub);

		VEC_ADD(&t->d->hubs, hub);
		if (assign(t, &hub->info, err) < 0)
			return -1;
		collect(t);
	}
	return 0;
}

int address_assign_usb(struct domain *d, struct error *err)
{
	struct usb_tree t = {.d = d};
	int r;

	collect(&t);
	r = add_hubs(&t, err);
	/* Hubs first: others may be on them. */
	for (size_t i = 0; i < t.devices.n && r == 0; i++)
		r = assign(&t, t.devices.items[i], err);
	VEC_FREE(&t.devices);
	return r;
}
