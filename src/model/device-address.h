/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of domain_assign_addresses: one function for each kind of address, in the order they run.
 *
 * Each leaves given addresses alone, refuses two devices at one place, and is idempotent. The rules (which
 * device takes which place) were observed on libvirt 11.3 and are held by the golden files under tests/.
 */
#pragma once

#include "domain.h"

/* Disks on IDE, SATA, SCSI and floppy controllers, from the target's name. */
int address_assign_drives(struct domain *d, struct error *err);
int address_assign_virtio_serial(struct domain *d, struct error *err);
/* May add PCI controllers; a new controller is put in the domain. */
int address_assign_pci(struct domain *d, struct error *err);
int address_assign_usb(struct domain *d, struct error *err);

/* 0 for "vda", 27 for "sdab"; false when it is not letters behind one of the known prefixes. */
bool disk_target_index(const char *target, uint32_t *ret);

/* Put a controller behind those of its type with a lower index; at the end when it is the first of its type. */
void domain_add_controller(struct domain *d, struct controller *c);
struct controller *controller_new(enum controller_type type, enum controller_model model, uint32_t index);
struct controller *domain_find_controller(const struct domain *d, enum controller_type type, uint32_t index);
/* Is this controller part of the machine, so that QEMU gets no -device for it? */
bool controller_is_builtin(const struct domain *d, const struct controller *c);
