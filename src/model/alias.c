/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each device is called inside QEMU, and by tools: libvirt's names, since images, migration and management
 * address devices by them. A name that is there stays.
 */
#include "defaults.h"
#include "device-address.h"

static void set(struct device_info *info, char *alias)
{
	if (info->alias)
		free(alias);
	else
		info->alias = alias;
}

static char *controller_alias(const struct domain *d, const struct controller *c)
{
	if (c->type == CONTROLLER_PCI)
		return c->index == 0 && domain_is_q35(d) ? xstrdup("pcie.0") : xasprintf("pci.%u", c->index);
	if ((c->type == CONTROLLER_IDE || c->type == CONTROLLER_SATA) && controller_is_builtin(d, c))
		return xstrdup("ide");
	if (c->type == CONTROLLER_USB && c->index == 0)
		return xstrdup("usb");
	return xasprintf("%s%u", controller_type_name(c->type), c->index);
}

/* A bus with targets (virtio-scsi) shows them in the name; the narrow one of the LSI adapter does not. */
static bool has_targets(const struct domain *d, const struct disk *disk)
{
	const struct controller *c =
		domain_find_controller(d, CONTROLLER_SCSI, disk->info.address.drive.controller);

	return disk->bus == DISK_BUS_SCSI && c && c->model != CONTROLLER_LSILOGIC;
}

static char *disk_alias(const struct domain *d, const struct disk *disk)
{
	const struct device_address *a = &disk->info.address;
	uint32_t index = 0;

	if (has_targets(d, disk))
		return xasprintf("%s%u-%u-%u-%u", disk_bus_name(disk->bus), a->drive.controller, a->drive.bus,
			a->drive.target, a->drive.unit);
	if (a->type == ADDRESS_DRIVE)
		return xasprintf("%s%u-%u-%u", disk_bus_name(disk->bus), a->drive.controller, a->drive.bus,
			a->drive.unit);
	disk_target_index(disk->target, &index);
	return xasprintf("%s-disk%u", disk_bus_name(disk->bus), index);
}

/* The first console is the first serial port under another name. */
static void alias_consoles(struct domain *d)
{
	VEC_FOREACH (console, &d->consoles) {
		if (console_i == 0 && console->target == CHARDEV_TARGET_SERIAL && d->serials.n)
			set(&console->info, xstrdup(d->serials.items[0]->info.alias));
		else
			set(&console->info, xasprintf("console%zu", console_i));
	}
}

static void alias_rest(struct domain *d)
{
	VEC_FOREACH (input, &d->inputs)
		set(&input->info, xasprintf("input%zu", input_i));
	VEC_FOREACH (hub, &d->hubs)
		set(&hub->info, xasprintf("hub%zu", hub_i));
	VEC_FOREACH (video, &d->videos)
		if (video->type != VIDEO_NONE)
			set(&video->info, xasprintf("video%zu", video_i));
	VEC_FOREACH (rng, &d->rngs)
		set(&rng->info, xasprintf("rng%zu", rng_i));
	VEC_FOREACH (watchdog, &d->watchdogs)
		set(&watchdog->info, xasprintf("watchdog%zu", watchdog_i));
	VEC_FOREACH (panic, &d->panics)
		set(&panic->info, xasprintf("panic%zu", panic_i));
	if (d->memballoon && d->memballoon->model != MEMBALLOON_NONE)
		set(&d->memballoon->info, xstrdup("balloon0"));
	if (d->tpm)
		set(&d->tpm->info, xstrdup("tpm0"));
	if (d->vsock)
		set(&d->vsock->info, xstrdup("vsock0"));
	if (d->iommu)
		set(&d->iommu->info, xstrdup("iommu0"));
}

void domain_assign_aliases(struct domain *d)
{
	VEC_FOREACH (c, &d->controllers)
		set(&c->info, controller_alias(d, c));
	VEC_FOREACH (disk, &d->disks)
		set(&disk->info, disk_alias(d, disk));
	VEC_FOREACH (nic, &d->nics)
		set(&nic->info, xasprintf("net%zu", nic_i));
	VEC_FOREACH (serial, &d->serials)
		set(&serial->info, xasprintf("serial%zu", serial_i));
	VEC_FOREACH (channel, &d->channels)
		set(&channel->info, xasprintf("channel%zu", channel_i));
	alias_consoles(d);
	alias_rest(d);
}
