/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PCI buses of one domain while addresses are handed out. */
#include "address-pci.h"

#define ENDPOINTS (PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_EXPRESS)

void pci_set_fini(struct pci_set *s)
{
	VEC_FREE(&s->buses);
}

/* How each model connects upwards, what it takes below, and its slots. */
static const struct {
	unsigned connect, takes, first_slot, last_slot;
} models[CONTROLLER_MODEL_MAX_] = {
	[CONTROLLER_PCI_ROOT] = {0, PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_BRIDGE | PCI_CONNECT_HOTPLUG, 1,
		31},
	[CONTROLLER_PCIE_ROOT] = {0, ENDPOINTS | PCI_CONNECT_ROOT_PORT | PCI_CONNECT_DMI_BRIDGE, 1, 31},
	[CONTROLLER_PCI_BRIDGE] = {PCI_CONNECT_BRIDGE,
		PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_BRIDGE | PCI_CONNECT_HOTPLUG, 1, 31},
	[CONTROLLER_PCIE_TO_PCI_BRIDGE] = {PCI_CONNECT_EXPRESS_BRIDGE,
		PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_BRIDGE | PCI_CONNECT_HOTPLUG, 1, 31},
	[CONTROLLER_DMI_TO_PCI_BRIDGE] = {PCI_CONNECT_DMI_BRIDGE,
		PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_BRIDGE, 0, 31},
	[CONTROLLER_PCIE_ROOT_PORT] = {PCI_CONNECT_ROOT_PORT,
		PCI_CONNECT_EXPRESS | PCI_CONNECT_UPSTREAM | PCI_CONNECT_EXPRESS_BRIDGE | PCI_CONNECT_HOTPLUG,
		0, 0},
	[CONTROLLER_PCIE_DOWNSTREAM] = {PCI_CONNECT_DOWNSTREAM,
		PCI_CONNECT_EXPRESS | PCI_CONNECT_UPSTREAM | PCI_CONNECT_EXPRESS_BRIDGE | PCI_CONNECT_HOTPLUG,
		0, 0},
	[CONTROLLER_PCIE_UPSTREAM] = {PCI_CONNECT_UPSTREAM, PCI_CONNECT_DOWNSTREAM, 0, 31},
};

unsigned pci_model_connect(enum controller_model model)
{
	return models[model].connect;
}

static void bus_init(struct pci_bus *bus, enum controller_model model)
{
	*bus = (struct pci_bus){
		.model = model,
		.takes = models[model].takes,
		.first_slot = models[model].first_slot,
		.last_slot = models[model].last_slot,
	};
}

void pci_set_put(struct pci_set *s, uint32_t index, enum controller_model model)
{
	const struct pci_bus gap = {.model = CONTROLLER_MODEL_DEFAULT};

	while (s->buses.n <= index)
		VEC_ADD(&s->buses, gap);
	bus_init(&s->buses.items[index], model);
}

int pci_set_reach(struct pci_set *s, uint32_t index, struct error *err)
{
	if (index >= PCI_BUSES_MAX)
		return error_set(err, ERROR_XML, "Invalid PCI address: bus must be < %d", PCI_BUSES_MAX);
	for (uint32_t i = 0; i <= index; i++)
		if (i >= s->buses.n || s->buses.items[i].model == CONTROLLER_MODEL_DEFAULT)
			pci_set_put(s, i, s->q35 ? CONTROLLER_PCIE_ROOT_PORT : CONTROLLER_PCI_BRIDGE);
	return 0;
}

bool pci_set_is_free(const struct pci_set *s, uint32_t bus, uint32_t slot)
{
	return bus < s->buses.n && s->buses.items[bus].slots[slot].functions == 0;
}

int pci_set_reserve(struct pci_set *s, const struct device_address *a, unsigned connect, const char *what,
	struct error *err)
{
	char text[32];
	struct pci_bus *bus;
	unsigned takes;

	device_address_format(a, text);
	if (a->pci.domain)
		return error_set(
			err, ERROR_XML, "Invalid PCI address %s. Only PCI domain 0 is available", text);
	if (pci_set_reach(s, a->pci.bus, err) < 0)
		return -1;
	bus = &s->buses.items[a->pci.bus];
	if (a->pci.slot < bus->first_slot)
		return error_set(
			err, ERROR_XML, "Invalid PCI address %s. slot must be >= %u", text, bus->first_slot);
	if (a->pci.slot > bus->last_slot)
		return error_set(
			err, ERROR_XML, "Invalid PCI address %s. slot must be <= %u", text, bus->last_slot);
	if (a->pci.function > 7)
		return error_set(err, ERROR_XML, "Invalid PCI address %s. function must be <= 7", text);
	/* Whoever writes an address may put any endpoint on any bus for endpoints. */
	takes = bus->takes | (bus->takes & ENDPOINTS ? ENDPOINTS : 0);
	if (connect && !(takes & connect & ~(unsigned)PCI_CONNECT_HOTPLUG))
		return error_set(err, ERROR_XML, "PCI address %s does not suit the %s", text, what);
	if (bus->slots[a->pci.slot].functions & 1u << a->pci.function)
		return error_set(err, ERROR_XML, "Attempted double use of PCI Address %s (%s)", text, what);
	if (bus->slots[a->pci.slot].functions == 0)
		bus->slots[a->pci.slot].shared = connect == PCI_CONNECT_ROOT_PORT;
	bus->slots[a->pci.slot].functions |= (uint8_t)(1u << a->pci.function);
	return 0;
}

static bool find_on_bus(const struct pci_bus *bus, unsigned connect, struct device_address *ret)
{
	if (!(bus->takes & connect & ~(unsigned)PCI_CONNECT_HOTPLUG))
		return false;
	if (connect & PCI_CONNECT_HOTPLUG && !(bus->takes & PCI_CONNECT_HOTPLUG))
		return false;
	for (uint32_t slot = bus->first_slot; slot <= bus->last_slot; slot++) {
		unsigned used = bus->slots[slot].functions;

		if (used && !(bus->slots[slot].shared && connect == PCI_CONNECT_ROOT_PORT && used != 0xff))
			continue;
		ret->pci.slot = slot;
		ret->pci.function = 0;
		while (used & 1u << ret->pci.function)
			ret->pci.function++;
		return true;
	}
	return false;
}

static bool find_place(const struct pci_set *s, unsigned connect, struct device_address *ret)
{
	for (uint32_t i = 0; i < s->buses.n; i++) {
		if (!find_on_bus(&s->buses.items[i], connect, ret))
			continue;
		ret->pci.domain = 0;
		ret->pci.bus = i;
		return true;
	}
	return false;
}

/* Add what gives such a device a place. A conventional device in an Express machine needs a port and a bridge in it. */
static bool grow(struct pci_set *s, unsigned connect)
{
	uint32_t n = (uint32_t)s->buses.n;

	if (n + 2 > PCI_BUSES_MAX)
		return false;
	if (!s->q35) {
		if (!(connect & PCI_CONNECT_CONVENTIONAL))
			return false;
		pci_set_put(s, n, CONTROLLER_PCI_BRIDGE);
	} else if (connect & (PCI_CONNECT_EXPRESS | PCI_CONNECT_UPSTREAM | PCI_CONNECT_EXPRESS_BRIDGE)) {
		pci_set_put(s, n, CONTROLLER_PCIE_ROOT_PORT);
	} else if (connect & (PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_BRIDGE)) {
		pci_set_put(s, n, CONTROLLER_PCIE_ROOT_PORT);
		pci_set_put(s, n + 1, CONTROLLER_PCIE_TO_PCI_BRIDGE);
		s->buses.items[n].slots[0].functions = 1;
	} else {
		return false;
	}
	s->grown = true;
	return true;
}

int pci_set_allocate(
	struct pci_set *s, unsigned connect, struct device_address *ret, const char *what, struct error *err)
{
	struct device_address a = {.type = ADDRESS_PCI};

	a.pci.multifunction = 0;
	if (!find_place(s, connect, &a) && (!grow(s, connect) || !find_place(s, connect, &a)))
		return error_set(err, ERROR_INTERNAL, "No more available PCI slots for the %s", what);
	if (pci_set_reserve(s, &a, connect, what, err) < 0)
		return -1;
	*ret = a;
	return 0;
}
