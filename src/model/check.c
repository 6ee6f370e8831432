/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What must hold between the parts of a domain, and what follows from the description alone. */
#include <libxml/xmlstring.h>

#include "schema.h"
#include "strv.h"

int domain_check_name(const char *name, struct error *err)
{
	if (!name || !*name)
		return error_set(err, ERROR_XML, "a domain's name must not be empty");
	if (strlen(name) > DOMAIN_NAME_MAX)
		return error_set(err, ERROR_XML, "a domain's name of %zu bytes is longer than %d",
			strlen(name), DOMAIN_NAME_MAX);
	if (!xmlCheckUTF8(BAD_CAST name))
		return error_set(err, ERROR_XML, "a domain's name must be UTF-8");
	if (!text_is_line(name))
		return error_set(err, ERROR_XML, "a domain's name must not hold control characters");
	if (strchr(name, '/'))
		return error_set(err, ERROR_XML, "name '%s' must not hold '/'", name);
	/* Files that begin so are hidden, also from who reads all of a directory. */
	if (*name == '.')
		return error_set(err, ERROR_XML, "name '%s' must not begin with '.'", name);
	return 0;
}

/* ---- memory, processors ---- */

static int check_memory(struct parse_context *c, struct domain *d)
{
	if (!d->memory_kib)
		return field_invalid(c, NULL, "<memory> is missing or 0");
	if (!d->current_memory_kib)
		d->current_memory_kib = d->memory_kib;
	if (d->current_memory_kib > d->memory_kib)
		return field_invalid(c, NULL, "current memory of %llu KiB exceeds the maximum of %llu KiB",
			(unsigned long long)d->current_memory_kib, (unsigned long long)d->memory_kib);
	return 0;
}

static int check_cpus(struct parse_context *c, struct domain *d)
{
	const struct domain_cpu *cpu = &d->cpu;
	uint64_t product = (uint64_t)cpu->sockets * cpu->dies * cpu->clusters;

	if (!d->vcpus_current)
		d->vcpus_current = d->vcpus;
	if (d->vcpus_current > d->vcpus)
		return field_invalid(
			c, NULL, "%u current CPUs exceed the maximum of %u", d->vcpus_current, d->vcpus);
	if (!cpu->has_topology)
		return 0;
	/* Each factor is below 2^16: look at the first three before multiplying on. */
	if (product > d->vcpus || product * cpu->cores * cpu->threads != d->vcpus)
		return field_invalid(
			c, NULL, "the CPU topology does not make %u CPUs, as <vcpu> says", d->vcpus);
	return 0;
}

static int check_lifecycle(struct parse_context *c, const struct domain *d)
{
	const struct {
		const char *element;
		enum lifecycle_action action;
	} events[] = {
		{"on_poweroff", d->on_poweroff},
		{"on_reboot", d->on_reboot},
		{"on_crash", d->on_crash},
	};

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		enum lifecycle_action action = events[i].action;

		/* No dump is ever taken. */
		if (action == LIFECYCLE_RENAME_RESTART || action == LIFECYCLE_COREDUMP_DESTROY ||
			action == LIFECYCLE_COREDUMP_RESTART || (action == LIFECYCLE_PRESERVE && i == 1))
			return field_unsupported(c, NULL, "action '%s' in <%s> is not supported",
				lifecycle_action_name(action), events[i].element);
	}
	return 0;
}

/* ---- devices, each against each ---- */

/* A device as far as it can collide with another one. */
struct seat {
	const struct device_info *info;
	int space;	  /* of addresses: PCI, or the kind of controller a drive hangs on, ... */
	const char *what; /* element, for messages */
};

struct seats {
	VEC(struct seat) all;
};

static void seats_fini(struct seats *s)
{
	VEC_FREE(&s->all);
}

static void sit(struct seats *s, const struct device_info *info, const char *what, int space)
{
	struct seat seat = {.info = info, .space = space, .what = what};

	VEC_ADD(&s->all, seat);
}

#define SIT_ALL(seats, list, what)                                                                           \
	VEC_FOREACH (sitting, list)                                                                          \
	sit((seats), &sitting->info, (what), 0)

static void collect(const struct domain *d, struct seats *s)
{
	VEC_FOREACH (disk, &d->disks)
		sit(s, &disk->info, "disk", (int)disk->bus);
	SIT_ALL(s, &d->controllers, "controller");
	SIT_ALL(s, &d->nics, "interface");
	SIT_ALL(s, &d->serials, "serial");
	VEC_FOREACH (console, &d->consoles)
		if (console->target != CHARDEV_TARGET_SERIAL) /* that one is the serial port again */
			sit(s, &console->info, "console", 0);
	SIT_ALL(s, &d->channels, "channel");
	SIT_ALL(s, &d->inputs, "input");
	SIT_ALL(s, &d->hubs, "hub");
	SIT_ALL(s, &d->videos, "video");
	SIT_ALL(s, &d->rngs, "rng");
	SIT_ALL(s, &d->watchdogs, "watchdog");
	SIT_ALL(s, &d->panics, "panic");
	if (d->memballoon)
		sit(s, &d->memballoon->info, "memballoon", 0);
	if (d->tpm)
		sit(s, &d->tpm->info, "tpm", 0);
	if (d->vsock)
		sit(s, &d->vsock->info, "vsock", 0);
	if (d->iommu)
		sit(s, &d->iommu->info, "iommu", 0);
}

static bool has_own_place(const struct device_address *a)
{
	if (a->type == ADDRESS_USB)
		return a->usb.port[0] != 0;
	if (a->type == ADDRESS_VIRTIO_SERIAL)
		return a->virtio_serial.port != 0; /* 0 asks for the next free one */
	return a->type != ADDRESS_NONE && a->type != ADDRESS_ISA;
}

static int check_pair(struct parse_context *c, const struct seat *a, const struct seat *b)
{
	const struct device_address *address = &a->info->address;
	bool same_space = address->type != ADDRESS_DRIVE || a->space == b->space;
	char text[32];

	if (has_own_place(address) && same_space && device_address_equal(address, &b->info->address)) {
		device_address_format(address, text);
		return field_invalid(c, NULL, "<%s> and <%s> have the same %s address %s", a->what, b->what,
			enum_name(&address_type_names, address->type), text);
	}
	if (a->info->boot_order && a->info->boot_order == b->info->boot_order)
		return field_invalid(c, NULL, "<%s> and <%s> have the same boot order %u", a->what, b->what,
			a->info->boot_order);
	/* Only those that a user chose: the parts of one USB controller are all called the same. */
	if (a->info->alias && startswith(a->info->alias, "ua-") && streq(a->info->alias, b->info->alias))
		return field_invalid(
			c, NULL, "<%s> and <%s> have the same alias '%s'", a->what, b->what, a->info->alias);
	return 0;
}

static int check_seats(struct parse_context *c, const struct domain *d)
{
	_cleanup_(seats_fini) struct seats s = {0};

	collect(d, &s);
	for (size_t i = 0; i < s.all.n; i++) {
		if (d->os.n_boot > 0 && s.all.items[i].info->boot_order)
			return field_unsupported(
				c, NULL, "boot order of devices and <boot> in <os> cannot be used together");
		for (size_t k = i + 1; k < s.all.n; k++)
			if (check_pair(c, &s.all.items[i], &s.all.items[k]) < 0)
				return -1;
	}
	return 0;
}

static int check_disks(struct parse_context *c, const struct domain *d)
{
	for (size_t i = 0; i < d->disks.n; i++)
		for (size_t k = i + 1; k < d->disks.n; k++)
			if (streq(d->disks.items[i]->target, d->disks.items[k]->target))
				return field_invalid(
					c, NULL, "two disks have the target '%s'", d->disks.items[i]->target);
	return 0;
}

static int check_leases(struct parse_context *c, const struct domain *d)
{
	for (size_t i = 0; i < d->leases.n; i++)
		for (size_t k = i + 1; k < d->leases.n; k++) {
			const struct lease_element *a = d->leases.items[i], *b = d->leases.items[k];

			if (streq(a->lockspace, b->lockspace) && streq(a->key, b->key))
				return field_invalid(c, NULL,
					"two leases have the key '%s' in lockspace '%s'", a->key,
					a->lockspace);
		}
	return 0;
}

/* ---- controllers ---- */

static bool is_companion(const struct controller *controller)
{
	return controller->model >= CONTROLLER_ICH9_UHCI1 && controller->model <= CONTROLLER_ICH9_UHCI3;
}

static bool index_is_used(const struct domain *d, enum controller_type type, uint32_t index)
{
	VEC_FOREACH (other, &d->controllers)
		if (other->type == type && other->index == index)
			return true;
	return false;
}

/* A companion joins the USB controller before it; index 0 of PCI is the root's. */
static void number_controller(const struct domain *d, struct controller *controller, uint32_t last_usb)
{
	uint32_t index = controller->type == CONTROLLER_PCI ? 1 : 0;

	if (is_companion(controller) && last_usb != CONTROLLER_INDEX_NEXT) {
		controller->index = last_usb;
		return;
	}
	while (index_is_used(d, controller->type, index))
		index++;
	controller->index = index;
}

static int check_controllers(struct parse_context *c, struct domain *d)
{
	uint32_t last_usb = CONTROLLER_INDEX_NEXT;

	VEC_FOREACH (controller, &d->controllers) {
		if (controller->index == CONTROLLER_INDEX_NEXT)
			number_controller(d, controller, last_usb);
		if (controller->type == CONTROLLER_USB)
			last_usb = controller->index;
	}
	for (size_t i = 0; i < d->controllers.n; i++)
		for (size_t k = i + 1; k < d->controllers.n; k++) {
			const struct controller *a = d->controllers.items[i], *b = d->controllers.items[k];

			if (a->type == b->type && a->index == b->index && !is_companion(a) &&
				!is_companion(b))
				return field_invalid(c, NULL,
					"two controllers of type '%s' have the index %u",
					controller_type_name(a->type), a->index);
		}
	return 0;
}

/* ---- character devices ---- */

static int number_ports(struct parse_context *c, struct chardev **items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t next = 0;

		if (items[i]->has_port)
			continue;
		for (size_t k = 0; k < n; k++)
			if (items[k]->has_port && items[k]->port >= next)
				next = items[k]->port + 1;
		items[i]->port = next;
		items[i]->has_port = true;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (items[i]->port == items[k]->port)
				return field_invalid(
					c, NULL, "two <serial> have the port %u", items[i]->port);
	return 0;
}

static int check_chardevs(struct parse_context *c, struct domain *d)
{
	if (number_ports(c, d->serials.items, d->serials.n) < 0)
		return -1;
	if (d->os.bios_useserial == TRISTATE_ON && d->serials.n == 0 && d->consoles.n == 0)
		return field_invalid(c, NULL, "<bios useserial='yes'> needs a serial port");
	VEC_FOREACH (console, &d->consoles) {
		console->port = (uint32_t)console_i;
		console->has_port = true;
	}
	for (size_t i = 0; i < d->channels.n; i++)
		for (size_t k = i + 1; k < d->channels.n; k++) {
			const char *name = d->channels.items[i]->name;

			if (name && streq(name, d->channels.items[k]->name))
				return field_invalid(c, NULL, "two channels have the name '%s'", name);
		}
	return 0;
}

/* ---- graphics and the rest ---- */

static int check_graphics(struct parse_context *c, const struct domain *d)
{
	unsigned n[GRAPHICS_TYPE_MAX_] = {0}, primaries = 0;

	VEC_FOREACH (graphics, &d->graphics)
		if (++n[graphics->type] > 1)
			return field_unsupported(c, NULL, "two <graphics type='%s'> are not supported",
				enum_name(&graphics_type_names, graphics->type));
	VEC_FOREACH (video, &d->videos) {
		if (video->type == VIDEO_NONE && d->videos.n > 1)
			return field_invalid(c, NULL, "video model 'none' stands beside another one");
		if (video->primary && ++primaries > 1)
			return field_invalid(c, NULL, "two video devices are primary");
	}
	return 0;
}

static int check_iommu(struct parse_context *c, const struct domain *d)
{
	if (d->iommu && d->iommu->intremap == TRISTATE_ON && !streq(d->features.ioapic_driver, "qemu"))
		return field_unsupported(
			c, NULL, "interrupt remapping of <iommu> needs <ioapic driver='qemu'/>");
	return 0;
}

/* `node` would only say that it begins in line 1. */
int domain_check(struct parse_context *c, const xmlNode *node, void *object)
{
	struct domain *d = object;

	if (check_memory(c, d) < 0 || check_cpus(c, d) < 0 || check_lifecycle(c, d) < 0)
		return -1;
	if (check_disks(c, d) < 0 || check_leases(c, d) < 0 || check_controllers(c, d) < 0 ||
		check_chardevs(c, d) < 0)
		return -1;
	if (check_graphics(c, d) < 0 || check_iommu(c, d) < 0)
		return -1;
	return check_seats(c, d);
}
