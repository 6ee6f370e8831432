/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Controllers that the devices need, devices that every machine has, and models nobody chose. */
#include "defaults-devices.h"

#include <sys/random.h>

#include "device-address.h"
#include "strv.h"

static bool has_device(const struct domain_host *host, const char *device)
{
	return host->has_device(host->userdata, device);
}

/* ---- disks ---- */

static enum disk_bus bus_of_target(const char *target)
{
	if (startswith(target, "fd"))
		return DISK_BUS_FDC;
	if (startswith(target, "hd"))
		return DISK_BUS_IDE;
	if (startswith(target, "sd"))
		return DISK_BUS_SCSI;
	if (startswith(target, "vd"))
		return DISK_BUS_VIRTIO;
	return DISK_BUS_NONE;
}

/* Disks of one bus are kept in the order of their targets, whatever order they are written in. */
void domain_sort_disks(struct domain *d)
{
	struct disk **v = d->disks.items;

	for (size_t i = 1; i < d->disks.n; i++) {
		struct disk *disk = v[i];
		size_t at = i;
		uint32_t own, other;

		if (!disk_target_index(disk->target, &own))
			continue;
		for (size_t j = i; j-- > 0;) {
			if (v[j]->bus != disk->bus || !disk_target_index(v[j]->target, &other))
				continue;
			if (other <= own)
				break;
			at = j;
		}
		memmove(v + at + 1, v + at, (i - at) * sizeof(*v));
		v[at] = disk;
	}
}

static int fill_disks(struct domain *d, struct error *err)
{
	domain_sort_disks(d);
	VEC_FOREACH (disk, &d->disks) {
		if (disk->bus == DISK_BUS_NONE)
			disk->bus = disk->device == DISK_FLOPPY ? DISK_BUS_FDC : bus_of_target(disk->target);
		if (disk->bus == DISK_BUS_NONE)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"disk '%s': no bus is named and none follows from it", disk->target);
		if (disk->bus == DISK_BUS_IDE && domain_is_q35(d))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"disk '%s': IDE controllers are unsupported for machine type '%s' (use "
				"bus='sata')",
				disk->target, d->os.machine);
		if (disk->device == DISK_CDROM)
			disk->readonly = true;
		if (disk->format == DISK_FORMAT_NONE)
			disk->format = DISK_FORMAT_RAW;
	}
	return 0;
}

/* ---- controllers ---- */

static void add_default_controllers(struct domain *d, const struct domain_host *host)
{
	bool q35 = domain_is_q35(d);
	bool usb = false;

	VEC_FOREACH (c, &d->controllers)
		usb |= c->type == CONTROLLER_USB && (c->index == 0 || c->model == CONTROLLER_USB_NONE);
	if (!usb) {
		bool xhci = q35 && has_device(host, "qemu-xhci");

		domain_add_controller(d, controller_new(CONTROLLER_USB,
						 xhci ? CONTROLLER_QEMU_XHCI : CONTROLLER_PIIX3_UHCI, 0));
	}
	if (q35 && !domain_find_controller(d, CONTROLLER_SATA, 0))
		domain_add_controller(d, controller_new(CONTROLLER_SATA, CONTROLLER_MODEL_DEFAULT, 0));
	if (!domain_find_controller(d, CONTROLLER_PCI, 0))
		domain_add_controller(d,
			controller_new(CONTROLLER_PCI, q35 ? CONTROLLER_PCIE_ROOT : CONTROLLER_PCI_ROOT, 0));
}

static enum controller_model default_scsi_model(const struct domain_host *host)
{
	return has_device(host, "lsi53c895a") ? CONTROLLER_LSILOGIC : CONTROLLER_VIRTIO_SCSI;
}

static int fill_controllers(struct domain *d, const struct domain_host *host, struct error *err)
{
	enum controller_model root = domain_is_q35(d) ? CONTROLLER_PCIE_ROOT : CONTROLLER_PCI_ROOT;

	VEC_FOREACH (c, &d->controllers) {
		if (c->type == CONTROLLER_SCSI && c->model == CONTROLLER_MODEL_DEFAULT)
			c->model = default_scsi_model(host);
		if (c->type == CONTROLLER_USB && c->model == CONTROLLER_MODEL_DEFAULT)
			c->model = CONTROLLER_PIIX3_UHCI;
		if (c->type == CONTROLLER_PCI && c->index == 0 && c->model == CONTROLLER_MODEL_DEFAULT)
			c->model = root;
		if (c->type == CONTROLLER_PCI && c->model == CONTROLLER_MODEL_DEFAULT)
			return error_set(err, ERROR_XML, "PCI controller %u needs a model", c->index);
		if (c->type == CONTROLLER_PCI && (c->index == 0) != (c->model == root))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"PCI controller %u of model '%s' does not fit machine type '%s'", c->index,
				controller_model_name(c->model), d->os.machine);
		if (c->type == CONTROLLER_IDE && domain_is_q35(d))
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"IDE controllers are unsupported for machine type '%s'", d->os.machine);
		if (c->type == CONTROLLER_IDE && c->index)
			return error_set(
				err, ERROR_UNSUPPORTED_CONFIG, "Only a single IDE controller is supported");
	}
	return 0;
}

/* Every controller up to the highest that a disk or port is on. */
static void add_up_to(
	struct domain *d, enum controller_type type, enum controller_model model, uint32_t index)
{
	for (uint32_t i = 0; i <= index && i < 256; i++)
		if (!domain_find_controller(d, type, i))
			domain_add_controller(d, controller_new(type, model, i));
}

static void add_disk_controllers(struct domain *d, const struct domain_host *host)
{
	static const struct {
		enum disk_bus bus;
		enum controller_type type;
	} kinds[] = {
		{DISK_BUS_SCSI, CONTROLLER_SCSI},
		{DISK_BUS_FDC, CONTROLLER_FDC},
		{DISK_BUS_IDE, CONTROLLER_IDE},
		{DISK_BUS_SATA, CONTROLLER_SATA},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		VEC_FOREACH (disk, &d->disks)
			if (disk->bus == kinds[i].bus)
				add_up_to(d, kinds[i].type,
					kinds[i].bus == DISK_BUS_SCSI ? default_scsi_model(host)
								      : CONTROLLER_MODEL_DEFAULT,
					disk->info.address.drive.controller);
}

static void add_virtio_serial(struct domain *d)
{
	VEC_FOREACH (channel, &d->channels)
		if (channel->target == CHARDEV_TARGET_VIRTIO)
			add_up_to(d, CONTROLLER_VIRTIO_SERIAL, CONTROLLER_MODEL_DEFAULT,
				channel->info.address.type == ADDRESS_VIRTIO_SERIAL
					? channel->info.address.virtio_serial.controller
					: 0);
	VEC_FOREACH (console, &d->consoles)
		if (console->target == CHARDEV_TARGET_VIRTIO)
			add_up_to(d, CONTROLLER_VIRTIO_SERIAL, CONTROLLER_MODEL_DEFAULT, 0);
}

/* ---- single devices ---- */

int nic_make_mac(struct nic *nic, struct error *err)
{
	/* 52:54:00 is the range QEMU and KVM guests use; the rest is chance. */
	memcpy(nic->mac, "\x52\x54\x00", 3);
	if (getrandom(nic->mac + 3, 3, 0) != 3)
		return error_set(err, ERROR_INTERNAL, "cannot make a MAC address");
	nic->has_mac = true;
	return 0;
}

static int fill_nics(struct domain *d, const struct domain_host *host, struct error *err)
{
	const char *model = has_device(host, "rtl8139") ? "rtl8139"
			    : has_device(host, "e1000") ? "e1000"
							: "virtio";

	VEC_FOREACH (nic, &d->nics) {
		if (!nic->model)
			nic->model = xstrdup(model);
		if (!nic->has_mac && nic_make_mac(nic, err) < 0)
			return -1;
	}
	return 0;
}

static void add_input(struct domain *d, enum input_type type)
{
	struct input *input;

	VEC_FOREACH (other, &d->inputs)
		if (other->type == type && other->bus == INPUT_BUS_PS2)
			return;
	input = NEW(struct input);
	input->type = type;
	input->bus = INPUT_BUS_PS2;
	VEC_ADD(&d->inputs, input);
}

static void fill_inputs(struct domain *d)
{
	VEC_FOREACH (input, &d->inputs)
		if (input->bus == INPUT_BUS_DEFAULT)
			input->bus = input->type == INPUT_TABLET ? INPUT_BUS_USB : INPUT_BUS_PS2;
	add_input(d, INPUT_MOUSE);
	add_input(d, INPUT_KEYBOARD);
}

static void fill_video_memory(struct video *video)
{
	if (video->type == VIDEO_QXL) {
		video->ram_kib = video->ram_kib ? video->ram_kib : 64 * 1024;
		video->vram_kib = video->vram_kib ? video->vram_kib : 64 * 1024;
		video->vgamem_kib = video->vgamem_kib ? video->vgamem_kib : 16 * 1024;
	} else if (video->type == VIDEO_VGA || video->type == VIDEO_CIRRUS || video->type == VIDEO_BOCHS ||
		   video->type == VIDEO_VMVGA) {
		video->vram_kib = video->vram_kib ? video->vram_kib : 16 * 1024;
	}
	if (video->type != VIDEO_NONE && video->heads == 0)
		video->heads = 1;
}

static void fill_videos(struct domain *d, const struct domain_host *host)
{
	bool primary = false;

	if (d->videos.n == 0 && d->graphics.n)
		VEC_ADD(&d->videos, NEW(struct video));
	VEC_FOREACH (video, &d->videos) {
		if (video->type == VIDEO_DEFAULT)
			video->type = has_device(host, "cirrus-vga") ? VIDEO_CIRRUS : VIDEO_VGA;
		fill_video_memory(video);
		primary |= video->primary;
	}
	if (!primary && d->videos.n && d->videos.items[0]->type != VIDEO_NONE)
		d->videos.items[0]->primary = true;
	/* The primary one comes first. */
	for (size_t i = 1; i < d->videos.n; i++) {
		struct video *video = d->videos.items[i];

		if (!video->primary)
			continue;
		memmove(d->videos.items + 1, d->videos.items, i * sizeof(video));
		d->videos.items[0] = video;
		break;
	}
}

/* The watchdog of the ICH9 chipset is always there. */
static void add_itco(struct domain *d)
{
	struct watchdog *w;

	if (!domain_is_q35(d))
		return;
	VEC_FOREACH (other, &d->watchdogs)
		if (other->model == WATCHDOG_ITCO)
			return;
	w = NEW(struct watchdog);
	w->model = WATCHDOG_ITCO;
	w->action = d->watchdogs.n ? d->watchdogs.items[0]->action : WATCHDOG_RESET;
	VEC_ADD(&d->watchdogs, w);
}

static void fill_small_devices(struct domain *d)
{
	if (d->audio == AUDIO_ABSENT)
		d->audio = AUDIO_NONE;
	if (!d->memballoon)
		d->memballoon = NEW(struct memballoon);
	VEC_FOREACH (rng, &d->rngs) {
		if (!rng->model)
			rng->model = xstrdup("virtio");
		if (rng->backend == RNG_RANDOM && !rng->path)
			rng->path = xstrdup("/dev/urandom");
	}
	VEC_FOREACH (panic, &d->panics)
		if (panic->model == PANIC_DEFAULT)
			panic->model = PANIC_ISA;
	if (d->tpm && d->tpm->model == TPM_DEFAULT)
		d->tpm->model = TPM_TIS;
	if (d->tpm && !d->tpm->version)
		d->tpm->version = xstrdup(d->tpm->model == TPM_TIS ? "1.2" : "2.0");
}

int defaults_fill_devices(struct domain *d, const struct domain_host *host, struct error *err)
{
	add_default_controllers(d, host);
	fill_small_devices(d);
	if (fill_disks(d, err) < 0 || address_assign_drives(d, err) < 0 ||
		fill_controllers(d, host, err) < 0 || fill_nics(d, host, err) < 0 ||
		defaults_fill_chardevs(d, err) < 0)
		return -1;
	add_disk_controllers(d, host);
	add_virtio_serial(d);
	fill_inputs(d);
	fill_videos(d, host);
	add_itco(d);
	return 0;
}
