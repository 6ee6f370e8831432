/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where disks sit on IDE, SATA, SCSI and floppy controllers: the letter of the target decides. */
#include "device-address.h"
#include "strv.h"

#define IDE_UNITS_PER_BUS	 2
#define IDE_UNITS_PER_CONTROLLER 4
#define SATA_PORTS		 6
#define FDC_DRIVES		 2
/* A narrow SCSI bus has 8 ids and the host adapter takes one; used for every adapter. */
#define SCSI_UNITS	7
#define SCSI_TARGET_MAX 255 /* virtio-scsi's limits, virtio 1.2, 5.6 */
#define SCSI_LUN_MAX	16383
#define CONTROLLERS_MAX 256

static bool is_drive_bus(enum disk_bus bus)
{
	return bus == DISK_BUS_IDE || bus == DISK_BUS_FDC || bus == DISK_BUS_SCSI || bus == DISK_BUS_SATA;
}

static int address_from_target(struct disk *disk, struct error *err)
{
	struct device_address *a = &disk->info.address;
	uint32_t index;

	if (!disk_target_index(disk->target, &index))
		return error_set(
			err, ERROR_XML, "Unknown disk name '%s' and no address specified", disk->target);
	*a = (struct device_address){.type = ADDRESS_DRIVE};
	if (disk->bus == DISK_BUS_IDE) {
		a->drive.controller = index / IDE_UNITS_PER_CONTROLLER;
		a->drive.bus = index % IDE_UNITS_PER_CONTROLLER / IDE_UNITS_PER_BUS;
		a->drive.unit = index % IDE_UNITS_PER_BUS;
	} else {
		uint32_t units = disk->bus == DISK_BUS_SATA  ? SATA_PORTS
				 : disk->bus == DISK_BUS_FDC ? FDC_DRIVES
							     : SCSI_UNITS;

		a->drive.controller = index / units;
		a->drive.unit = index % units;
	}
	return 0;
}

/* What each bus can hold; SCSI is limited by what makes sense, so that no number makes us add controllers forever. */
static bool is_possible(const struct disk *disk)
{
	const struct device_address *a = &disk->info.address;

	if (disk->bus == DISK_BUS_IDE)
		return a->drive.controller == 0 &&
		       a->drive.bus < IDE_UNITS_PER_CONTROLLER / IDE_UNITS_PER_BUS && a->drive.target == 0 &&
		       a->drive.unit < IDE_UNITS_PER_BUS;
	if (disk->bus == DISK_BUS_FDC)
		return a->drive.controller == 0 && a->drive.bus == 0 && a->drive.target == 0 &&
		       a->drive.unit < FDC_DRIVES;
	if (disk->bus == DISK_BUS_SATA)
		return a->drive.controller < CONTROLLERS_MAX && a->drive.bus == 0 && a->drive.target == 0 &&
		       a->drive.unit < SATA_PORTS;
	return a->drive.controller < CONTROLLERS_MAX && a->drive.bus == 0 &&
	       a->drive.target <= SCSI_TARGET_MAX && a->drive.unit <= SCSI_LUN_MAX;
}

int address_assign_drives(struct domain *d, struct error *err)
{
	VEC_FOREACH (disk, &d->disks) {
		if (!is_drive_bus(disk->bus))
			continue;
		if (disk->info.address.type == ADDRESS_NONE && address_from_target(disk, err) < 0)
			return -1;
		if (disk->info.address.type != ADDRESS_DRIVE)
			return error_set(err, ERROR_XML,
				"Invalid address type for disk '%s': its bus needs 'drive'", disk->target);
		if (!is_possible(disk))
			return error_set(err, ERROR_XML,
				"disk '%s': there is no controller='%u' bus='%u' target='%u' unit='%u' on "
				"bus '%s'",
				disk->target, disk->info.address.drive.controller,
				disk->info.address.drive.bus, disk->info.address.drive.target,
				disk->info.address.drive.unit, disk_bus_name(disk->bus));
	}
	VEC_FOREACH (a, &d->disks)
		for (size_t i = 0; i < a_i; i++) {
			const struct disk *b = d->disks.items[i];

			if (is_drive_bus(a->bus) && a->bus == b->bus &&
				device_address_equal(&a->info.address, &b->info.address))
				return error_set(err, ERROR_XML,
					"Found duplicate drive address for disk with target name '%s' "
					"controller='%u' bus='%u' target='%u' unit='%u'",
					a->target, a->info.address.drive.controller,
					a->info.address.drive.bus, a->info.address.drive.target,
					a->info.address.drive.unit);
		}
	return 0;
}
