/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all devices of a domain share: where they sit, what they are called, in which order they boot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum address_type {
	ADDRESS_NONE,
	ADDRESS_PCI,
	ADDRESS_DRIVE,
	ADDRESS_VIRTIO_SERIAL,
	ADDRESS_USB,
	ADDRESS_ISA,
	ADDRESS_TYPE_MAX_,
};

#define USB_PORT_DEPTH 4

struct device_address {
	enum address_type type;
	union {
		struct {
			uint32_t domain, bus, slot, function;
			int multifunction; /* 0 not said, 1 on, 2 off */
		} pci;
		struct {
			uint32_t controller, bus, target, unit;
		} drive;
		struct {
			uint32_t controller, bus, port;
		} virtio_serial;
		struct {
			uint32_t bus;
			uint32_t port[USB_PORT_DEPTH]; /* "1.2": {1, 2, 0, 0}; port[0] 0: none given */
		} usb;
		struct {
			uint32_t iobase, irq;
		} isa;
	};
};

struct device_info {
	char *alias; /* "virtio-disk0"; "ua-..." when the user chose it; NULL until assigned */
	struct device_address address;
	uint32_t boot_order; /* 1 first; 0 none */
	uint32_t acpi_index; /* 0 none */
	int rom_bar;	     /* <rom>: 0 not said, 1 on, 2 off */
	int rom_enabled;     /* 0 not said, 1 yes, 2 no */
	char *rom_file;
};

void device_info_fini(struct device_info *info);

/* "0000:00:03.0" for messages. `text` must hold 32 bytes. */
void device_address_format(const struct device_address *a, char text[32]);
bool device_address_equal(const struct device_address *a, const struct device_address *b);
