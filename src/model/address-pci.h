/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PCI buses of one domain while addresses are handed out: which slots are taken, which bus takes what. */
#pragma once

#include "domain.h"

/* What a device is to a bus, and what a bus takes. */
enum pci_connect {
	PCI_CONNECT_CONVENTIONAL = 1 << 0,
	PCI_CONNECT_EXPRESS = 1 << 1,
	PCI_CONNECT_ROOT_PORT = 1 << 2,
	PCI_CONNECT_UPSTREAM = 1 << 3,
	PCI_CONNECT_DOWNSTREAM = 1 << 4,
	PCI_CONNECT_BRIDGE = 1 << 5, /* pci-bridge */
	PCI_CONNECT_DMI_BRIDGE = 1 << 6,
	PCI_CONNECT_EXPRESS_BRIDGE = 1 << 7, /* pcie-to-pci-bridge */
	PCI_CONNECT_HOTPLUG = 1 << 8,	     /* wants, or is by its model, a place for unplugging */
};

#define PCI_SLOTS     32
#define PCI_BUSES_MAX 256

struct pci_bus {
	enum controller_model model; /* CONTROLLER_MODEL_DEFAULT: a gap, to be filled by growing */
	unsigned takes;		     /* enum pci_connect */
	unsigned first_slot, last_slot;
	struct {
		uint8_t functions; /* bit per function in use */
		bool shared;	   /* only root ports so far: they share a slot, one function each */
	} slots[PCI_SLOTS];
};

struct pci_set {
	bool q35;
	VEC(struct pci_bus) buses;
	bool grown; /* a device without an address found no place and got a new bus */
};

void pci_set_fini(struct pci_set *s);
/* Make a bus of this model at `index`; those between stay gaps. */
void pci_set_put(struct pci_set *s, uint32_t index, enum controller_model model);
/* Grow up to `index` with what this machine grows by. */
int pci_set_reach(struct pci_set *s, uint32_t index, struct error *err);
bool pci_set_is_free(const struct pci_set *s, uint32_t bus, uint32_t slot);
/* Take a given address. `what` names the device in messages. */
int pci_set_reserve(struct pci_set *s, const struct device_address *a, unsigned connect, const char *what,
	struct error *err);
/* Find the first place for such a device, growing if there is none; takes it. */
int pci_set_allocate(
	struct pci_set *s, unsigned connect, struct device_address *ret, const char *what, struct error *err);

/* How a controller of this model connects to the bus above it; 0 for a root. */
unsigned pci_model_connect(enum controller_model model);
