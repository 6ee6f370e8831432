/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Serial ports, consoles and channels: models, numbers, and the console that is a serial port. */
#include "defaults-devices.h"

static struct chardev *copy_backend(const struct chardev *from, enum chardev_kind kind)
{
	struct chardev *c = NEW(struct chardev);

	c->kind = kind;
	c->backend = from->backend;
	c->path = xstrdup(from->path);
	c->host = xstrdup(from->host);
	c->service = xstrdup(from->service);
	c->listen = from->listen;
	c->append = from->append;
	c->log_file = xstrdup(from->log_file);
	c->log_append = from->log_append;
	return c;
}

static bool is_serial_console(const struct chardev *console)
{
	return console->target == CHARDEV_TARGET_DEFAULT || console->target == CHARDEV_TARGET_SERIAL;
}

static bool is_isa(const struct chardev *serial)
{
	return serial->target == CHARDEV_TARGET_DEFAULT || serial->target == CHARDEV_TARGET_SERIAL ||
	       serial->target == CHARDEV_TARGET_ISA_SERIAL;
}

static void insert_first_console(struct domain *d, struct chardev *console)
{
	VEC_ADD(&d->consoles, console);
	for (size_t i = d->consoles.n - 1; i > 0; i--)
		d->consoles.items[i] = d->consoles.items[i - 1];
	d->consoles.items[0] = console;
}

static int pair_console(struct domain *d, struct error *err)
{
	struct chardev *first = d->consoles.n ? d->consoles.items[0] : NULL;

	if (first && is_serial_console(first) && d->serials.n == 0)
		VEC_ADD(&d->serials, copy_backend(first, CHARDEV_SERIAL));
	/* Only an ISA port, the one firmware and kernels use, shows up as a console by itself. */
	if (d->serials.n && is_isa(d->serials.items[0]) && (!first || !is_serial_console(first)))
		insert_first_console(d, copy_backend(d->serials.items[0], CHARDEV_CONSOLE));
	VEC_FOREACH (console, &d->consoles) {
		if (is_serial_console(console)) {
			if (console_i)
				return error_set(err, ERROR_UNSUPPORTED_CONFIG,
					"Only the first console can be a serial port");
			console->target = CHARDEV_TARGET_SERIAL;
		}
		console->port = (uint32_t)console_i;
		console->has_port = true;
	}
	return 0;
}

/* Ports without a number go behind the highest that has one. */
static void number_serials(struct domain *d)
{
	uint32_t next = 0;

	VEC_FOREACH (serial, &d->serials)
		if (serial->has_port && serial->port >= next)
			next = serial->port + 1;
	VEC_FOREACH (serial, &d->serials)
		if (!serial->has_port) {
			serial->port = next++;
			serial->has_port = true;
		}
}

static void fill_serial_model(struct chardev *serial)
{
	if (is_isa(serial))
		serial->target = CHARDEV_TARGET_ISA_SERIAL;
	if (serial->target_model)
		return;
	if (serial->target == CHARDEV_TARGET_ISA_SERIAL)
		serial->target_model = xstrdup("isa-serial");
	else if (serial->target == CHARDEV_TARGET_PCI_SERIAL)
		serial->target_model = xstrdup("pci-serial");
	else if (serial->target == CHARDEV_TARGET_USB_SERIAL)
		serial->target_model = xstrdup("usb-serial");
}

int defaults_fill_chardevs(struct domain *d, struct error *err)
{
	if (pair_console(d, err) < 0)
		return -1;
	number_serials(d);
	VEC_FOREACH (serial, &d->serials)
		fill_serial_model(serial);
	VEC_FOREACH (channel, &d->channels)
		if (channel->target == CHARDEV_TARGET_DEFAULT)
			channel->target = CHARDEV_TARGET_VIRTIO;
	return 0;
}
