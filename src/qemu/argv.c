/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line as a whole: its order, what every guest gets, and helpers for its parts. */
#include "argv-internal.h"

#include <stdarg.h>

void argv_add(struct argv *a, const char *option, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	strv_add(a->out, option);
	strv_take(a->out, buf_take(&text));
}

void argv_add_json(struct argv *a, const char *option, json *o)
{
	strv_add(a->out, option);
	strv_take(a->out, json_format(o));
	json_object_put(o);
}

int argv_add_device(struct argv *a, json *o)
{
	const char *driver = json_get_string(o, "driver");

	if (!capabilities_has_device(a->caps, driver)) {
		error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "%s has no device '%s'", a->caps->binary, driver);
		json_object_put(o);
		return -1;
	}
	argv_add_json(a, "-device", o);
	return 0;
}

int argv_add_object(struct argv *a, json *o)
{
	const char *type = json_get_string(o, "qom-type");

	if (!strv_contains(&a->caps->objects, type)) {
		error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "%s has no object '%s'", a->caps->binary, type);
		json_object_put(o);
		return -1;
	}
	argv_add_json(a, "-object", o);
	return 0;
}

int argv_need_feature(struct argv *a, const char *feature, const char *what)
{
	if (capabilities_has_feature(a->caps, feature))
		return 0;
	return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "%s: %s does not have it", what, a->caps->binary);
}

void argv_put_string(json *o, const char *key, const char *value)
{
	if (value)
		json_object_object_add(o, key, json_object_new_string(value));
}

void argv_put_uint(json *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

void argv_put_bool(json *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void argv_put_on_off(json *o, const char *key, enum tristate value)
{
	if (value != TRISTATE_ABSENT)
		argv_put_string(o, key, value == TRISTATE_ON ? "on" : "off");
}

void argv_put_pci(struct argv *a, json *o, const struct device_info *info)
{
	const struct device_address *at = &info->address;
	char text[32];

	if (at->type != ADDRESS_PCI)
		return;
	if (at->pci.bus == 0)
		argv_put_string(o, "bus", domain_is_q35(a->d) ? "pcie.0" : "pci.0");
	else
		argv_put_string(
			o, "bus", domain_find_controller(a->d, CONTROLLER_PCI, at->pci.bus)->info.alias);
	if (at->pci.multifunction == 1)
		argv_put_bool(o, "multifunction", true);
	if (at->pci.function)
		snprintf(text, sizeof(text), "0x%x.0x%x", at->pci.slot, at->pci.function);
	else
		snprintf(text, sizeof(text), "0x%x", at->pci.slot);
	argv_put_string(o, "addr", text);
	if (info->acpi_index)
		argv_put_uint(o, "acpi-index", info->acpi_index);
	if (info->rom_bar)
		argv_put_uint(o, "rombar", info->rom_bar == 1 ? 1 : 0);
	if (info->rom_enabled == 2)
		argv_put_string(o, "romfile", "");
	else
		argv_put_string(o, "romfile", info->rom_file);
}

void argv_put_usb(struct argv *a, json *o, const struct device_info *info)
{
	const struct device_address *at = &info->address;
	struct buf port = {0};
	char bus[16];

	(void)a;
	if (at->usb.bus)
		snprintf(bus, sizeof(bus), "usb%u.0", at->usb.bus);
	else
		snprintf(bus, sizeof(bus), "usb.0");
	argv_put_string(o, "bus", bus);
	for (size_t i = 0; i < USB_PORT_DEPTH && at->usb.port[i]; i++)
		buf_addf(&port, "%s%u", i ? "." : "", at->usb.port[i]);
	argv_put_string(o, "port", port.data);
	buf_fini(&port);
}

char *argv_escape(const char *text)
{
	struct buf b = {0};

	for (; text && *text; text++) {
		if (*text == ',')
			buf_adds(&b, ",");
		buf_add(&b, text, 1);
	}
	return buf_take(&b);
}

char *argv_virtio_name(const char *base, enum controller_model flavour)
{
	if (flavour == CONTROLLER_VIRTIO_TRANSITIONAL)
		return xasprintf("%s-pci-transitional", base);
	if (flavour == CONTROLLER_VIRTIO_NON_TRANSITIONAL)
		return xasprintf("%s-pci-non-transitional", base);
	return xasprintf("%s-pci", base);
}

/* The first device of a kind stands for it in <os><boot>. */
static const struct device_info *first_of(const struct domain *d, enum boot_device kind)
{
	static const enum disk_device devices[BOOT_DEVICE_MAX_] = {
		[BOOT_HD] = DISK_DISK,
		[BOOT_CDROM] = DISK_CDROM,
		[BOOT_FD] = DISK_FLOPPY,
	};

	if (kind == BOOT_NETWORK)
		return d->nics.n ? &d->nics.items[0]->info : NULL;
	VEC_FOREACH (disk, &d->disks)
		if (disk->device == devices[kind] || (kind == BOOT_HD && disk->device == DISK_LUN))
			return &disk->info;
	return NULL;
}

uint32_t argv_boot_index(const struct domain *d, const struct device_info *info)
{
	if (info->boot_order)
		return info->boot_order;
	for (unsigned i = 0; i < d->os.n_boot; i++)
		if (first_of(d, d->os.boot[i]) == info)
			return i + 1;
	return 0;
}

static void add_identity(struct argv *a)
{
	_cleanup_free_ char *name = argv_escape(a->d->name);

	strv_add(a->out, a->d->emulator);
	argv_add(a, "-name", "guest=%s,debug-threads=on", name);
	strv_add(a->out, "-S");
}

static void add_environment(struct argv *a)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(a->d->uuid, uuid);
	argv_add(a, "-uuid", "%s", uuid);
	if (a->d->graphics.n == 0)
		argv_add(a, "-display", "none");
	strv_add(a->out, "-no-user-config");
	strv_add(a->out, "-nodefaults");
	argv_add(a, "-chardev", "socket,id=charmonitor,fd=%d,server=on,wait=off", a->ctx->monitor_fd);
	argv_add(a, "-mon", "chardev=charmonitor,id=monitor,mode=control");
}

/* The guest powering off leaves QEMU stopped, for us to decide; a reset is the guest's own unless it must end. */
static void add_lifecycle(struct argv *a)
{
	const char *power = domain_is_q35(a->d) ? "ICH9-LPC" : "PIIX4_PM";

	strv_add(a->out, "-no-shutdown");
	if (a->d->on_reboot == LIFECYCLE_DESTROY)
		strv_add(a->out, "-no-reboot");
	if (a->d->pm_suspend_to_mem)
		argv_add(a, "-global", "%s.disable_s3=%d", power, a->d->pm_suspend_to_mem == TRISTATE_OFF);
	if (a->d->pm_suspend_to_disk)
		argv_add(a, "-global", "%s.disable_s4=%d", power, a->d->pm_suspend_to_disk == TRISTATE_OFF);
}

static void add_tail(struct argv *a)
{
	if (a->ctx->incoming)
		argv_add(a, "-incoming", "defer");
	if (a->ctx->sandbox && capabilities_has_feature(a->caps, "sandbox"))
		argv_add(a, "-sandbox",
			"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	argv_add(a, "-msg", "timestamp=on");
}

static int check_basics(struct argv *a)
{
	if (argv_need_feature(a, "device-json", "-device with JSON") < 0 ||
		argv_need_feature(a, "object-json", "-object with JSON") < 0)
		return -1;
	if (a->d->type == DOMAIN_TYPE_KVM && !a->caps->kvm_usable)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"domain type 'kvm': this host cannot run guests under KVM (type 'qemu' can run)");
	return 0;
}

static int build(struct argv *a)
{
	static int (*const devices[])(struct argv *) = {argv_iommu, argv_controllers, argv_hubs, argv_disks,
		argv_nics, argv_chardevs, argv_tpm, argv_inputs, argv_graphics, argv_videos, argv_watchdogs,
		argv_memballoon, argv_rngs, argv_panics, argv_vsock};

	add_identity(a);
	if (check_basics(a) < 0 || argv_firmware(a) < 0 || argv_machine(a) < 0 || argv_cpu(a) < 0 ||
		argv_memory(a) < 0)
		return -1;
	add_environment(a);
	if (argv_rtc(a) < 0)
		return -1;
	add_lifecycle(a);
	if (argv_boot(a) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (devices[i](a) < 0)
			return -1;
	add_tail(a);
	return 0;
}

int argv_build(const struct domain *d, const struct qemu_capabilities *caps, const struct argv_context *ctx,
	struct strv *ret_argv, struct error *err)
{
	struct strv out = {0};
	struct argv a = {.d = d, .caps = caps, .ctx = ctx, .out = &out, .err = err};

	if (build(&a) < 0) {
		strv_fini(&out);
		return -1;
	}
	*ret_argv = out;
	return 0;
}
