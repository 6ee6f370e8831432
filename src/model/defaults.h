/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling in what a description leaves out, the way libvirt does, so that the same XML gives the same hardware.
 *
 * The order is: domain_fill_defaults (machine type, emulator, implicit devices, controllers), then
 * domain_assign_addresses (PCI, drive, virtio-serial, USB), then, at start only, domain_assign_aliases. Each is
 * idempotent: what is there already stays.
 */
#pragma once

#include "domain.h"

/* What the host and the emulator answer; plain values so that golden tests need neither. */
struct domain_host {
	const char *default_emulator; /* path */
	const char *arch;	      /* "x86_64" */
	/* canonical name of a machine type or alias ("q35" -> "pc-q35-10.0"); NULL when QEMU does not have it */
	const char *(*canonical_machine)(void *userdata, const char *machine);
	/* does this QEMU have the device model? */
	bool (*has_device)(void *userdata, const char *device);
	void *userdata;
	uint64_t memory_kib;   /* of the host; 0: do not check */
	const char *nvram_dir; /* where NAME_VARS.fd goes */
	const char *efi_code, *efi_code_secure, *efi_vars,
		*efi_vars_secure; /* installed firmware, NULL none */
};

int domain_fill_defaults(struct domain *d, const struct domain_host *host, struct error *err);
int domain_assign_addresses(struct domain *d, struct error *err);
void domain_assign_aliases(struct domain *d);

/* A new one, by chance. */
int nic_make_mac(struct nic *nic, struct error *err);

/* Disks of one bus in the order of their targets; part of domain_fill_defaults. */
void domain_sort_disks(struct domain *d);

/* Does the machine (canonical name) have PCI Express ("pc-q35-*")? */
bool domain_is_q35(const struct domain *d);
