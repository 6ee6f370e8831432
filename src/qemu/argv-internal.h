/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files that make up the command line share. */
#pragma once

#include "argv.h"
#include "buf.h"
#include "defaults.h"
#include "device-address.h"

struct argv {
	const struct domain *d;
	const struct qemu_capabilities *caps;
	const struct argv_context *ctx;
	struct strv *out;
	struct error *err;
};

/* "-option value". */
void argv_add(struct argv *a, const char *option, const char *fmt, ...) _printf_(3, 4);
/* "-option JSON"; takes `o`. */
void argv_add_json(struct argv *a, const char *option, json *o);
/* -device; refuses by name when this QEMU does not have o.driver. Takes `o`. */
int argv_add_device(struct argv *a, json *o);
/* -object; refuses by name when this QEMU does not have o.qom-type. Takes `o`. */
int argv_add_object(struct argv *a, json *o);
/* ERROR_UNSUPPORTED_CONFIG unless caps->features has it; `what` is the thing that needs it. */
int argv_need_feature(struct argv *a, const char *feature, const char *what);

void argv_put_string(json *o, const char *key, const char *value); /* NULL: nothing */
void argv_put_uint(json *o, const char *key, uint64_t value);
void argv_put_bool(json *o, const char *key, bool value);
/* "on" or "off"; nothing when absent. */
void argv_put_on_off(json *o, const char *key, enum tristate value);

/* bus, addr, multifunction, acpi-index, rombar and romfile of a PCI device. */
void argv_put_pci(struct argv *a, json *o, const struct device_info *info);
/* bus and port. */
void argv_put_usb(struct argv *a, json *o, const struct device_info *info);

/* Commas doubled, as QEMU's key=value options want them; owned by the caller. */
char *argv_escape(const char *text);

/* The virtio device "BASE-pci", or its transitional or non-transitional form. */
char *argv_virtio_name(const char *base, enum controller_model flavour);

/* Boot index of a disk or interface: its own order, or its place in <os><boot>; 0 none. */
uint32_t argv_boot_index(const struct domain *d, const struct device_info *info);

/* One part of the command line each; in the order argv_build calls them. */
int argv_machine(struct argv *a);
int argv_cpu(struct argv *a);
int argv_memory(struct argv *a);
int argv_rtc(struct argv *a);
int argv_boot(struct argv *a);
int argv_firmware(struct argv *a);
int argv_iommu(struct argv *a);
int argv_controllers(struct argv *a);
int argv_disks(struct argv *a);
int argv_nics(struct argv *a);
int argv_chardevs(struct argv *a);
int argv_tpm(struct argv *a);
int argv_hubs(struct argv *a);
int argv_inputs(struct argv *a);
int argv_graphics(struct argv *a);
int argv_videos(struct argv *a);
int argv_watchdogs(struct argv *a);
int argv_memballoon(struct argv *a);
int argv_rngs(struct argv *a);
int argv_panics(struct argv *a);
int argv_vsock(struct argv *a);
