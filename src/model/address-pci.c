/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which device gets which PCI address.
 *
 * Two passes. The first hands out places only to learn how many buses are needed; the controllers for them are then
 * added to the domain, and the second pass starts afresh with the buses known, so that bridges and root ports
 * come before the devices in them. Inside a pass:
 *
 *	given addresses -> what the machine has built in -> PCI controllers -> devices by class, in a fixed order
 *
 * The order decides what the guest sees; each_device has it.
 */
#include "address-pci.h"
#include "defaults.h"
#include "device-address.h"
#include "strv.h"

struct pass {
	struct domain *d;
	struct pci_set set;
	bool counting;			    /* the first pass: addresses are forgotten after it */
	VEC(struct device_info *) assigned; /* by this pass */
};

typedef int (*visit_fn)(
	struct pass *p, struct device_info *info, unsigned connect, const char *what, struct error *err);

static unsigned nic_connect(const struct domain *d, const struct nic *nic)
{
	bool express = startswith(nic->model, "virtio") && !streq(nic->model, "virtio-transitional");

	if (streq(nic->model, "e1000e") || streq(nic->model, "igb"))
		express = true;
	return (express && domain_is_q35(d) ? PCI_CONNECT_EXPRESS : PCI_CONNECT_CONVENTIONAL) |
	       PCI_CONNECT_HOTPLUG;
}

static unsigned virtio_connect(const struct domain *d)
{
	return (domain_is_q35(d) ? PCI_CONNECT_EXPRESS : PCI_CONNECT_CONVENTIONAL) | PCI_CONNECT_HOTPLUG;
}

static unsigned controller_connect(const struct domain *d, const struct controller *c)
{
	const unsigned conventional = PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG;

	if (c->type == CONTROLLER_SATA || c->type == CONTROLLER_IDE)
		return conventional;
	if (c->type == CONTROLLER_USB) {
		if (c->model == CONTROLLER_USB_NONE)
			return 0;
		return c->model == CONTROLLER_QEMU_XHCI || c->model == CONTROLLER_NEC_XHCI ? virtio_connect(d)
											   : conventional;
	}
	if (c->type != CONTROLLER_SCSI && c->type != CONTROLLER_VIRTIO_SERIAL)
		return 0;
	if (c->model == CONTROLLER_LSILOGIC || c->model == CONTROLLER_VIRTIO_TRANSITIONAL)
		return conventional;
	return virtio_connect(d);
}

static unsigned video_connect(const struct domain *d, const struct video *video)
{
	if (video->type == VIDEO_NONE || video->type == VIDEO_RAMFB)
		return 0;
	if (video->type == VIDEO_VIRTIO)
		return virtio_connect(d);
	if (video->type == VIDEO_BOCHS)
		return virtio_connect(d) & ~(unsigned)PCI_CONNECT_HOTPLUG;
	return PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG;
}

static int visit_controllers(struct pass *p, visit_fn visit, struct error *err)
{
	VEC_FOREACH (c, &p->d->controllers) {
		unsigned connect = c->type == CONTROLLER_PCI ? 0 : controller_connect(p->d, c);

		if (connect && visit(p, &c->info, connect, controller_type_name(c->type), err) < 0)
			return -1;
	}
	return 0;
}

static int visit_late_devices(struct pass *p, visit_fn visit, struct error *err)
{
	struct domain *d = p->d;

	VEC_FOREACH (input, &d->inputs)
		if (input->bus == INPUT_BUS_VIRTIO &&
			visit(p, &input->info, virtio_connect(d), "input device", err) < 0)
			return -1;
	VEC_FOREACH (serial, &d->serials)
		if (serial->target == CHARDEV_TARGET_PCI_SERIAL &&
			visit(p, &serial->info, PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG, "serial port",
				err) < 0)
			return -1;
	if (d->vsock && visit(p, &d->vsock->info, virtio_connect(d), "vsock device", err) < 0)
		return -1;
	if (d->iommu && d->iommu->model == IOMMU_VIRTIO &&
		visit(p, &d->iommu->info, virtio_connect(d) & ~(unsigned)PCI_CONNECT_HOTPLUG, "iommu", err) <
			0)
		return -1;
	VEC_FOREACH (panic, &d->panics)
		if (panic->model == PANIC_PVPANIC &&
			visit(p, &panic->info, PCI_CONNECT_CONVENTIONAL, "panic device", err) < 0)
			return -1;
	return 0;
}

static int each_device(struct pass *p, visit_fn visit, struct error *err)
{
	struct domain *d = p->d;

	VEC_FOREACH (nic, &d->nics)
		if (visit(p, &nic->info, nic_connect(d, nic), "interface", err) < 0)
			return -1;
	if (visit_controllers(p, visit, err) < 0)
		return -1;
	VEC_FOREACH (disk, &d->disks)
		if (disk->bus == DISK_BUS_VIRTIO &&
			visit(p, &disk->info, virtio_connect(d), disk->target, err) < 0)
			return -1;
	if (d->memballoon && d->memballoon->model != MEMBALLOON_NONE &&
		visit(p, &d->memballoon->info,
			d->memballoon->model == MEMBALLOON_VIRTIO_TRANSITIONAL
				? PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG
				: virtio_connect(d),
			"memory balloon", err) < 0)
		return -1;
	VEC_FOREACH (rng, &d->rngs)
		if (visit(p, &rng->info,
			    streq(rng->model, "virtio-transitional")
				    ? PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG
				    : virtio_connect(d),
			    "rng device", err) < 0)
			return -1;
	VEC_FOREACH (watchdog, &d->watchdogs)
		if (watchdog->model == WATCHDOG_I6300ESB &&
			visit(p, &watchdog->info, PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG, "watchdog",
				err) < 0)
			return -1;
	VEC_FOREACH (video, &d->videos)
		if (video_connect(d, video) &&
			visit(p, &video->info, video_connect(d, video), "video device", err) < 0)
			return -1;
	return visit_late_devices(p, visit, err);
}

/* ---- given addresses ---- */

/* 0000:00:00.0 in a description means the same as no address. */
static bool is_wanted(const struct device_info *info)
{
	const struct device_address *a = &info->address;

	return a->type == ADDRESS_NONE ||
	       (a->type == ADDRESS_PCI && !a->pci.domain && !a->pci.bus && !a->pci.slot && !a->pci.function);
}

static int reserve_given(
	struct pass *p, struct device_info *info, unsigned connect, const char *what, struct error *err)
{
	if (is_wanted(info))
		return 0;
	if (info->address.type != ADDRESS_PCI)
		return error_set(err, ERROR_XML, "the %s needs an address of type 'pci'", what);
	return pci_set_reserve(&p->set, &info->address, connect, what, err);
}

static int reserve_all_given(struct pass *p, struct error *err)
{
	VEC_FOREACH (c, &p->d->controllers)
		if (c->type == CONTROLLER_PCI && c->index &&
			reserve_given(p, &c->info, pci_model_connect(c->model),
				controller_model_name(c->model), err) < 0)
			return -1;
	return each_device(p, reserve_given, err);
}

/* ---- built-in places ---- */

static void set_pci(struct pass *p, struct device_info *info, uint32_t slot, uint32_t function)
{
	struct device_address *a = &info->address;

	a->type = ADDRESS_PCI;
	a->pci.domain = a->pci.bus = 0;
	a->pci.slot = slot;
	a->pci.function = function;
	a->pci.multifunction = 0;
	VEC_ADD(&p->assigned, info);
}

/* The place of a controller that is soldered to the machine. */
static int place_builtin(
	struct pass *p, struct controller *c, uint32_t slot, uint32_t function, struct error *err)
{
	const struct device_address *a;

	if (!c)
		return 0;
	a = &c->info.address;
	if (is_wanted(&c->info)) {
		set_pci(p, &c->info, slot, function);
		return pci_set_reserve(
			&p->set, a, PCI_CONNECT_CONVENTIONAL, controller_type_name(c->type), err);
	}
	if (a->pci.domain || a->pci.bus || a->pci.slot != slot || a->pci.function != function)
		return error_set(err, ERROR_INTERNAL, "Primary %s controller must have PCI address 0:0:%x.%x",
			controller_type_name(c->type), slot, function);
	return 0;
}

/* Functions of the chipset that no device may have, but for those of the controllers that are these functions. */
static void hold_chipset(struct pass *p)
{
	const struct controller *c;
	unsigned own = 0;

	if (p->set.q35) {
		/* LPC bridge, SATA, SMBus */
		p->set.buses.items[0].slots[0x1f].functions = 1 << 0 | 1 << 3;
		return;
	}
	/* PIIX3: ISA bridge, IDE, USB, power management */
	if (domain_find_controller(p->d, CONTROLLER_IDE, 0))
		own |= 1 << 1;
	c = domain_find_controller(p->d, CONTROLLER_USB, 0);
	if (c && c->model == CONTROLLER_PIIX3_UHCI)
		own |= 1 << 2;
	p->set.buses.items[0].slots[1].functions = (uint8_t)(0xff & ~own);
}

/*
 * The first video card has a slot of its own; when that is taken it chooses before all others. Then libvirt's
 * counting sees it twice, which shows as one root port more, so ours does too.
 */
static int place_primary_video(struct pass *p, uint32_t slot, struct error *err)
{
	struct video *video = p->d->videos.n ? p->d->videos.items[0] : NULL;
	struct device_address counted, *at;
	unsigned connect = video ? video_connect(p->d, video) : 0;

	if (!connect || !is_wanted(&video->info))
		return 0;
	if (pci_set_is_free(&p->set, 0, slot)) {
		set_pci(p, &video->info, slot, 0);
		return pci_set_reserve(
			&p->set, &video->info.address, PCI_CONNECT_CONVENTIONAL, "video device", err);
	}
	at = p->counting ? &counted : &video->info.address;
	if (!p->counting)
		VEC_ADD(&p->assigned, &video->info);
	return pci_set_allocate(&p->set, connect, at, "video device", err);
}

static bool is_ich9_usb(const struct controller *c)
{
	return c->type == CONTROLLER_USB && c->model >= CONTROLLER_ICH9_EHCI1 &&
	       c->model <= CONTROLLER_ICH9_UHCI3;
}

static uint32_t ich9_function(const struct controller *c)
{
	return c->model == CONTROLLER_ICH9_EHCI1 ? 7 : c->model - CONTROLLER_ICH9_UHCI1;
}

/* The ICH9's own places for its two USB groups. */
static int place_ich9_usb(struct pass *p, struct error *err)
{
	static const uint32_t own[] = {0x1d, 0x1a};

	VEC_FOREACH (c, &p->d->controllers) {
		if (!is_ich9_usb(c) || c->model != CONTROLLER_ICH9_EHCI1 || !is_wanted(&c->info))
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
			if (!pci_set_is_free(&p->set, 0, own[i]))
				continue;
			set_pci(p, &c->info, own[i], ich9_function(c));
			if (pci_set_reserve(&p->set, &c->info.address, PCI_CONNECT_CONVENTIONAL, "usb", err) <
				0)
				return -1;
			break;
		}
	}
	return 0;
}

static int place_builtins(struct pass *p, struct error *err)
{
	struct controller *usb;

	if (p->set.q35) {
		if (place_builtin(p, domain_find_controller(p->d, CONTROLLER_SATA, 0), 0x1f, 2, err) < 0)
			return -1;
		if (place_ich9_usb(p, err) < 0)
			return -1;
		VEC_FOREACH (c, &p->d->controllers)
			if (c->type == CONTROLLER_PCI && c->model == CONTROLLER_DMI_TO_PCI_BRIDGE &&
				is_wanted(&c->info) && pci_set_is_free(&p->set, 0, 0x1e)) {
				set_pci(p, &c->info, 0x1e, 0);
				if (pci_set_reserve(&p->set, &c->info.address, PCI_CONNECT_DMI_BRIDGE,
					    "bridge", err) < 0)
					return -1;
			}
		return place_primary_video(p, 1, err);
	}
	usb = domain_find_controller(p->d, CONTROLLER_USB, 0);
	if (usb && usb->model != CONTROLLER_PIIX3_UHCI)
		usb = NULL;
	if (place_builtin(p, domain_find_controller(p->d, CONTROLLER_IDE, 0), 1, 1, err) < 0 ||
		place_builtin(p, usb, 1, 2, err) < 0)
		return -1;
	return place_primary_video(p, 2, err);
}

/* ---- the rest ---- */

static int assign(
	struct pass *p, struct device_info *info, unsigned connect, const char *what, struct error *err)
{
	if (!is_wanted(info))
		return 0;
	if (pci_set_allocate(&p->set, connect, &info->address, what, err) < 0)
		return -1;
	VEC_ADD(&p->assigned, info);
	return 0;
}

/* The controllers of one EHCI and its companions are functions of one slot. */
static int assign_usb_companion(struct pass *p, struct controller *c, struct error *err)
{
	const struct controller *with = NULL;

	VEC_FOREACH (other, &p->d->controllers)
		if (other != c && is_ich9_usb(other) && other->index == c->index && !is_wanted(&other->info))
			with = other;
	if (!with) {
		if (assign(p, &c->info, controller_connect(p->d, c), "usb controller", err) < 0)
			return -1;
		p->set.buses.items[c->info.address.pci.bus].slots[c->info.address.pci.slot].functions =
			(uint8_t)(1u << ich9_function(c));
		c->info.address.pci.function = ich9_function(c);
		return 0;
	}
	c->info.address = with->info.address;
	c->info.address.pci.function = ich9_function(c);
	c->info.address.pci.multifunction = 0;
	VEC_ADD(&p->assigned, &c->info);
	return pci_set_reserve(&p->set, &c->info.address, PCI_CONNECT_CONVENTIONAL, "usb controller", err);
}

static int assign_pci_controllers(struct pass *p, struct error *err)
{
	VEC_FOREACH (c, &p->d->controllers)
		if (c->type == CONTROLLER_PCI && c->index && pci_model_connect(c->model) &&
			assign(p, &c->info, pci_model_connect(c->model), controller_model_name(c->model),
				err) < 0)
			return -1;
	return 0;
}

static int assign_device(
	struct pass *p, struct device_info *info, unsigned connect, const char *what, struct error *err)
{
	VEC_FOREACH (c, &p->d->controllers)
		if (info == &c->info && is_ich9_usb(c) && is_wanted(info))
			return assign_usb_companion(p, c, err);
	return assign(p, info, connect, what, err);
}

static void pass_fini(struct pass *p)
{
	pci_set_fini(&p->set);
	VEC_FREE(&p->assigned);
}

static int pass_run(struct pass *p, struct error *err)
{
	p->set.q35 = domain_is_q35(p->d);
	VEC_FOREACH (c, &p->d->controllers)
		if (c->type == CONTROLLER_PCI && c->index >= PCI_BUSES_MAX)
			return error_set(err, ERROR_XML, "PCI controller index %u is too high", c->index);
	VEC_FOREACH (c, &p->d->controllers)
		if (c->type == CONTROLLER_PCI)
			pci_set_put(&p->set, c->index, c->model);
	if (p->set.buses.n && pci_set_reach(&p->set, (uint32_t)p->set.buses.n - 1, err) < 0)
		return -1;
	hold_chipset(p);
	if (reserve_all_given(p, err) < 0 || place_builtins(p, err) < 0 || assign_pci_controllers(p, err) < 0)
		return -1;
	return each_device(p, assign_device, err);
}

/*
 * Room for later. A machine whose buses nobody described gets one root port more than it needs, so that something
 * can be plugged in; a bus that has room keeps one slot for the bridge that would make more.
 */
static int reserve_spare(struct pass *p, struct error *err)
{
	struct device_address a;

	if (p->assigned.n == 0)
		return 0;
	VEC_FOREACH (c, &p->d->controllers)
		if (c->type == CONTROLLER_PCI && c->index)
			return 0;
	if (p->set.q35 && p->set.grown)
		return pci_set_allocate(
			&p->set, PCI_CONNECT_EXPRESS | PCI_CONNECT_HOTPLUG, &a, "spare port", err);
	if (!p->set.q35 && !p->set.grown)
		return pci_set_allocate(
			&p->set, PCI_CONNECT_CONVENTIONAL | PCI_CONNECT_HOTPLUG, &a, "spare slot", err);
	return 0;
}

static void add_controllers(struct domain *d, const struct pci_set *set)
{
	for (uint32_t i = 0; i < set->buses.n; i++)
		if (!domain_find_controller(d, CONTROLLER_PCI, i))
			domain_add_controller(
				d, controller_new(CONTROLLER_PCI, set->buses.items[i].model, i));
}

static int count_buses(struct domain *d, struct error *err)
{
	struct pass p = {.d = d, .counting = true};
	int r = pass_run(&p, err);

	if (r == 0)
		r = reserve_spare(&p, err);
	VEC_FOREACH (info, &p.assigned)
		info->address = (struct device_address){.type = ADDRESS_NONE};
	if (r == 0)
		add_controllers(d, &p.set);
	pass_fini(&p);
	return r;
}

static int mark_multifunction(
	struct pass *p, struct device_info *info, unsigned connect, const char *what, struct error *err)
{
	struct device_address *a = &info->address;
	unsigned used;

	(void)connect;
	if (a->type != ADDRESS_PCI || a->pci.function)
		return 0;
	used = p->set.buses.items[a->pci.bus].slots[a->pci.slot].functions;
	if (used == 1)
		return 0;
	if (a->pci.multifunction == 2)
		return error_set(err, ERROR_XML,
			"the %s shares its PCI slot, which multifunction='off' forbids", what);
	a->pci.multifunction = 1;
	return 0;
}

/* Ports and bridges are told apart by chassis; a port's number is its place. */
static void number_ports(struct domain *d)
{
	VEC_FOREACH (c, &d->controllers) {
		const struct device_address *a = &c->info.address;
		bool root_port = c->model == CONTROLLER_PCIE_ROOT_PORT;

		if (c->type != CONTROLLER_PCI || c->index == 0)
			continue;
		if (root_port || c->model == CONTROLLER_PCIE_DOWNSTREAM) {
			if (c->chassis < 0)
				c->chassis = (int32_t)c->index;
			if (c->port < 0)
				c->port = (int32_t)(root_port ? a->pci.slot << 3 | a->pci.function
							      : a->pci.slot);
		} else if (c->model == CONTROLLER_PCI_BRIDGE && c->chassis_nr < 0) {
			c->chassis_nr = (int32_t)c->index;
		}
	}
}

static void name_models(struct domain *d)
{
	/* QEMU's device for each kind of bridge. */
	static const char *const names[CONTROLLER_MODEL_MAX_] = {
		[CONTROLLER_PCIE_ROOT_PORT] = "pcie-root-port",
		[CONTROLLER_PCI_BRIDGE] = "pci-bridge",
		[CONTROLLER_PCIE_TO_PCI_BRIDGE] = "pcie-pci-bridge",
		[CONTROLLER_DMI_TO_PCI_BRIDGE] = "i82801b11-bridge",
		[CONTROLLER_PCIE_UPSTREAM] = "x3130-upstream",
		[CONTROLLER_PCIE_DOWNSTREAM] = "xio3130-downstream",
	};

	VEC_FOREACH (c, &d->controllers)
		if (c->type == CONTROLLER_PCI && !c->pci_model_name)
			c->pci_model_name = xstrdup(names[c->model]);
}

int address_assign_pci(struct domain *d, struct error *err)
{
	struct pass p = {.d = d};
	int r = -1;

	if (count_buses(d, err) < 0)
		return -1;
	if (pass_run(&p, err) < 0)
		goto out;
	VEC_FOREACH (c, &d->controllers)
		if (c->type == CONTROLLER_PCI &&
			mark_multifunction(&p, &c->info, 0, controller_model_name(c->model), err) < 0)
			goto out;
	if (each_device(&p, mark_multifunction, err) < 0)
		goto out;
	number_ports(d);
	name_models(d);
	r = 0;
out:
	pass_fini(&p);
	return r;
}
