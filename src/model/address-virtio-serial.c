/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of virtio-serial controllers, for channels. Virtio consoles take what QEMU gives them, as in libvirt. */
#include "device-address.h"

#define MAX_PORTS 31 /* QEMU's default of max_ports; port 0 is kept for a console */

static uint32_t controller_ports(const struct controller *c)
{
	return c->has_ports && c->ports ? c->ports : MAX_PORTS;
}

static bool is_taken(const struct domain *d, uint32_t controller, uint32_t port)
{
	VEC_FOREACH (channel, &d->channels) {
		const struct device_address *a = &channel->info.address;

		if (a->type == ADDRESS_VIRTIO_SERIAL && a->virtio_serial.controller == controller &&
			a->virtio_serial.port == port)
			return true;
	}
	return false;
}

static bool find_port(const struct domain *d, const struct controller *c, struct device_address *ret)
{
	for (uint32_t port = 1; port < controller_ports(c); port++)
		if (!is_taken(d, c->index, port)) {
			ret->type = ADDRESS_VIRTIO_SERIAL;
			ret->virtio_serial.controller = c->index;
			ret->virtio_serial.bus = 0;
			ret->virtio_serial.port = port;
			return true;
		}
	return false;
}

static bool find_any_port(const struct domain *d, struct device_address *ret)
{
	VEC_FOREACH (c, &d->controllers)
		if (c->type == CONTROLLER_VIRTIO_SERIAL && find_port(d, c, ret))
			return true;
	return false;
}

static int check_port(const struct domain *d, const struct chardev *channel, struct error *err)
{
	const struct device_address *a = &channel->info.address;
	const struct controller *c =
		domain_find_controller(d, CONTROLLER_VIRTIO_SERIAL, a->virtio_serial.controller);

	if (!c || a->virtio_serial.port >= controller_ports(c))
		return error_set(err, ERROR_XML, "virtio serial controller %u does not have port %u",
			a->virtio_serial.controller, a->virtio_serial.port);
	VEC_FOREACH (other, &d->channels)
		if (other != channel && device_address_equal(&other->info.address, a))
			return error_set(err, ERROR_XML,
				"virtio serial port %u on controller %u is already occupied",
				a->virtio_serial.port, a->virtio_serial.controller);
	return 0;
}

int address_assign_virtio_serial(struct domain *d, struct error *err)
{
	VEC_FOREACH (channel, &d->channels) {
		struct device_address *a = &channel->info.address;

		if (channel->target != CHARDEV_TARGET_VIRTIO)
			continue;
		if (a->type == ADDRESS_NONE) {
			if (!find_any_port(d, a))
				return error_set(err, ERROR_XML,
					"no free virtio serial port for channel '%s'",
					channel->name ? channel->name : "");
			continue;
		}
		if (a->type != ADDRESS_VIRTIO_SERIAL)
			return error_set(err, ERROR_XML, "channel '%s': invalid address type",
				channel->name ? channel->name : "");
		/* "port='0'" is how a description says "any". */
		if (a->virtio_serial.port == 0) {
			const struct controller *c = domain_find_controller(
				d, CONTROLLER_VIRTIO_SERIAL, a->virtio_serial.controller);

			if (!c || !find_port(d, c, a))
				return error_set(err, ERROR_XML,
					"no free port on virtio serial controller %u",
					a->virtio_serial.controller);
		}
		if (check_port(d, channel, err) < 0)
			return -1;
	}
	return 0;
}
