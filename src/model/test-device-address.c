/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The building blocks of addresses; what they come to for whole domains is held by tests/golden. */
#include "address-pci.h"
#include "defaults.h"
#include "device-address.h"
#include "strv.h"
#include "tap.h"

static void test_target_index(void)
{
	uint32_t i = 77;

	ok(disk_target_index("vda", &i) && i == 0, "vda is the first");
	ok(disk_target_index("sdz", &i) && i == 25, "sdz is the last of one letter");
	ok(disk_target_index("xvdaa", &i) && i == 26, "two letters go on from there");
	ok(!disk_target_index("vd", &i) && !disk_target_index("vda1", &i) && !disk_target_index("loop", &i),
		"other names have no index");
}

static void test_pci_set(void)
{
	struct pci_set set = {.q35 = true};
	struct device_address a;
	struct error err = ERROR_INIT;
	bool good = true;

	pci_set_put(&set, 0, CONTROLLER_PCIE_ROOT);
	for (uint32_t i = 0; i < 9; i++) {
		good &= pci_set_allocate(&set, PCI_CONNECT_ROOT_PORT, &a, "port", &err) == 0;
		good &= a.pci.slot == 1 + i / 8 && a.pci.function == i % 8;
	}
	ok(good, "root ports share slots, eight in each");
	ok(pci_set_allocate(&set, PCI_CONNECT_CONVENTIONAL, &a, "device", &err) == 0 && a.pci.slot == 3,
		"other devices do not join them");
	ok(!set.grown, "that needed no new bus");
	ok(pci_set_allocate(&set, PCI_CONNECT_EXPRESS | PCI_CONNECT_HOTPLUG, &a, "nic", &err) == 0 &&
			a.pci.bus == 1 && set.grown,
		"what wants to be unplugged gets a port");
	ok(pci_set_allocate(&set, PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG, &a, "old nic", &err) == 0 &&
			a.pci.bus == 3 && set.buses.items[3].model == CONTROLLER_PCIE_TO_PCI_BRIDGE,
		"a conventional device gets a bridge in a port of its own");
	a.pci.function = 0;
	ok(pci_set_reserve(&set, &a, PCI_CONNECT_CONVENTIONAL, "second", &err) < 0 &&
			strstr(err.message, "double use"),
		"one place is not given twice");
	pci_set_fini(&set);
}

static void test_aliases(void)
{
	_cleanup_domain_ struct domain *d = domain_new();
	struct nic *first = NEW(struct nic), *second = NEW(struct nic);

	d->os.machine = xstrdup("pc-q35-10.0");
	first->info.alias = xstrdup("ua-lan");
	VEC_ADD(&d->nics, first);
	VEC_ADD(&d->nics, second);
	domain_add_controller(d, controller_new(CONTROLLER_SATA, CONTROLLER_MODEL_DEFAULT, 1));
	domain_add_controller(d, controller_new(CONTROLLER_PCI, CONTROLLER_PCIE_ROOT, 0));
	domain_add_controller(d, controller_new(CONTROLLER_SATA, CONTROLLER_MODEL_DEFAULT, 0));
	domain_assign_aliases(d);
	domain_assign_aliases(d);
	is_str(first->info.alias, "ua-lan", "the user's alias stays");
	is_str(second->info.alias, "net1", "the others are counted by place");
	is_str(d->controllers.items[0]->info.alias, "ide",
		"the chipset's own SATA controller has QEMU's name");
	is_str(d->controllers.items[1]->info.alias, "sata1", "controllers of a type are kept in order");
	is_str(d->controllers.items[2]->info.alias, "pcie.0", "a new type goes to the end");
}

int main(void)
{
	test_target_index();
	test_pci_set();
	test_aliases();
	return done_testing();
}
