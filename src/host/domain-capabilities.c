/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The document that virsh domcapabilities shows: what a domain on one machine type may ask for. A value is listed when
 * godwit's domain XML has it and this QEMU has what it needs; elements that godwit does not know at all are said to be
 * unsupported, so that tools do not offer them.
 */
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "strv.h"
#include "xml.h"

enum need { NEED_NOTHING, NEED_DEVICE, NEED_OBJECT, NEED_FEATURE };

/* On which machines; the host bridge decides which buses are there. */
enum board { ANY_BOARD, ONLY_PC, ONLY_Q35 };

struct value {
	const char *name; /* NULL ends a list */
	enum need need;
	const char *what;
	enum board board;
};

struct document {
	struct xml_writer w;
	const struct qemu_capabilities *caps;
	const struct qemu_machine *machine;
	bool q35, kvm;
};

static bool has(const struct document *d, const struct value *v)
{
	if ((v->board == ONLY_PC && d->q35) || (v->board == ONLY_Q35 && !d->q35))
		return false;
	switch (v->need) {
	case NEED_DEVICE:
		return capabilities_has_device(d->caps, v->what);
	case NEED_OBJECT:
		return strv_contains(&d->caps->objects, v->what);
	case NEED_FEATURE:
		return capabilities_has_feature(d->caps, v->what);
	case NEED_NOTHING:
		break;
	}
	return true;
}

static void put_enum(struct document *d, const char *name, const struct value *values)
{
	xml_begin(&d->w, "enum");
	xml_put_attr(&d->w, "name", name);
	for (const struct value *v = values; v->name; v++)
		if (has(d, v))
			xml_element(&d->w, "value", v->name);
	xml_end(&d->w, "enum");
}

static bool any(const struct document *d, const struct value *values)
{
	for (const struct value *v = values; v->name; v++)
		if (has(d, v))
			return true;
	return false;
}

/* <name supported='yes|no'>, left open when supported. */
static bool begin_supported(struct document *d, const char *name, bool supported)
{
	xml_begin(&d->w, name);
	xml_put_attr(&d->w, "supported", supported ? "yes" : "no");
	if (!supported)
		xml_end(&d->w, name);
	return supported;
}

static void put_supported(struct document *d, const char *name, bool supported)
{
	if (begin_supported(d, name, supported))
		xml_end(&d->w, name);
}

/* ---- operating system ---- */

static void put_os(struct document *d)
{
	static const char *const loaders[] = {
		"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"};
	static const char *const secure_loaders[] = {
		"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_CODE.secboot.fd"};
	static const struct value types[] = {{.name = "rom"}, {.name = "pflash"}, {0}};
	static const struct value yes_no[] = {{.name = "yes"}, {.name = "no"}, {0}};
	bool efi = false, secure = false;

	for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
		efi = efi || access(loaders[i], R_OK) == 0;
		secure = secure || (d->q35 && access(secure_loaders[i], R_OK) == 0);
	}
	begin_supported(d, "os", true);
	put_enum(d, "firmware",
		efi ? (const struct value[]){{.name = "bios"}, {.name = "efi"}, {0}}
		    : (const struct value[]){{.name = "bios"}, {0}});
	begin_supported(d, "loader", true);
	for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
		if (d->q35 && access(secure_loaders[i], R_OK) == 0)
			xml_element(&d->w, "value", secure_loaders[i]);
		if (access(loaders[i], R_OK) == 0)
			xml_element(&d->w, "value", loaders[i]);
	}
	put_enum(d, "type", types);
	put_enum(d, "readonly", yes_no);
	put_enum(d, "secure", secure ? yes_no : yes_no + 1);
	xml_end(&d->w, "loader");
	xml_end(&d->w, "os");
}

/* ---- CPU ---- */

static void put_mode(struct document *d, const char *name, bool supported, const char *enum_name)
{
	static const struct value on_off[] = {{.name = "on"}, {.name = "off"}, {0}};

	xml_begin(&d->w, "mode");
	xml_put_attr(&d->w, "name", name);
	xml_put_attr(&d->w, "supported", supported ? "yes" : "no");
	if (supported && enum_name)
		put_enum(d, enum_name, on_off);
	xml_end(&d->w, "mode");
}

static void put_cpu(struct document *d)
{
	/* Not models: two stand for other modes, one is a building block. */
	static const char *const not_models[] = {"host", "max", "base"};

	xml_begin(&d->w, "cpu");
	put_mode(d, "host-passthrough", d->kvm, "hostPassthroughMigratable");
	put_mode(d, "maximum", true, "maximumMigratable");
	put_mode(d, "host-model", d->kvm, NULL);
	xml_begin(&d->w, "mode");
	xml_put_attr(&d->w, "name", "custom");
	xml_put_attr(&d->w, "supported", "yes");
	for (size_t i = 0; i < d->caps->cpu_models.n; i++) {
		const char *name = d->caps->cpu_models.items[i];
		bool skip = false;

		for (size_t k = 0; k < ARRAY_SIZE(not_models); k++)
			skip = skip || streq(name, not_models[k]);
		if (skip)
			continue;
		xml_begin(&d->w, "model");
		xml_put_attr(
			&d->w, "usable", strv_contains(&d->caps->usable_cpu_models, name) ? "yes" : "no");
		xml_put_attr(&d->w, "vendor", "unknown");
		xml_put_text(&d->w, name);
		xml_end(&d->w, "model");
	}
	xml_end(&d->w, "mode");
	xml_end(&d->w, "cpu");
}

/* ---- devices ---- */

static const struct value disk_devices[] = {{.name = "disk"}, {.name = "cdrom"},
	{"floppy", NEED_DEVICE, "isa-fdc", ANY_BOARD}, {"lun", NEED_DEVICE, "scsi-block", ANY_BOARD}, {0}};
static const struct value disk_buses[] = {{"ide", NEED_DEVICE, "ide-hd", ONLY_PC},
	{"fdc", NEED_DEVICE, "isa-fdc", ANY_BOARD}, {"scsi", NEED_DEVICE, "virtio-scsi-pci", ANY_BOARD},
	{"virtio", NEED_DEVICE, "virtio-blk-pci", ANY_BOARD}, {"usb", NEED_DEVICE, "usb-storage", ANY_BOARD},
	{"sata", NEED_DEVICE, "ich9-ahci", ANY_BOARD}, {0}};
static const struct value disk_models[] = {{"virtio", NEED_DEVICE, "virtio-blk-pci", ANY_BOARD},
	{"virtio-transitional", NEED_DEVICE, "virtio-blk-pci-transitional", ANY_BOARD},
	{"virtio-non-transitional", NEED_DEVICE, "virtio-blk-pci-non-transitional", ANY_BOARD}, {0}};
static const struct value graphics_types[] = {
	{"vnc", NEED_FEATURE, "vnc", ANY_BOARD}, {"spice", NEED_FEATURE, "spice", ANY_BOARD}, {0}};
static const struct value video_types[] = {{"vga", NEED_DEVICE, "VGA", ANY_BOARD},
	{"cirrus", NEED_DEVICE, "cirrus-vga", ANY_BOARD}, {"qxl", NEED_DEVICE, "qxl-vga", ANY_BOARD},
	{"virtio", NEED_DEVICE, "virtio-gpu-pci", ANY_BOARD},
	{"bochs", NEED_DEVICE, "bochs-display", ANY_BOARD}, {"ramfb", NEED_DEVICE, "ramfb", ANY_BOARD},
	{"vmvga", NEED_DEVICE, "vmware-svga", ANY_BOARD}, {.name = "none"}, {0}};
static const struct value rng_models[] = {{"virtio", NEED_DEVICE, "virtio-rng-pci", ANY_BOARD},
	{"virtio-transitional", NEED_DEVICE, "virtio-rng-pci-transitional", ANY_BOARD},
	{"virtio-non-transitional", NEED_DEVICE, "virtio-rng-pci-non-transitional", ANY_BOARD}, {0}};
static const struct value rng_backends[] = {{"random", NEED_OBJECT, "rng-random", ANY_BOARD},
	{"builtin", NEED_OBJECT, "rng-builtin", ANY_BOARD}, {0}};
static const struct value tpm_models[] = {
	{"tpm-tis", NEED_DEVICE, "tpm-tis", ANY_BOARD}, {"tpm-crb", NEED_DEVICE, "tpm-crb", ANY_BOARD}, {0}};
static const struct value tpm_backends[] = {{"emulator", NEED_FEATURE, "tpm-emulator", ANY_BOARD}, {0}};
static const struct value tpm_versions[] = {{.name = "1.2"}, {.name = "2.0"}, {0}};
static const struct value channel_types[] = {
	{.name = "pty"}, {.name = "unix"}, {"spicevmc", NEED_FEATURE, "chardev-spicevmc", ANY_BOARD}, {0}};
static const struct value panic_models[] = {{"isa", NEED_DEVICE, "pvpanic", ANY_BOARD},
	{"pvpanic", NEED_DEVICE, "pvpanic-pci", ANY_BOARD}, {.name = "hyperv"}, {0}};
static const struct value no_values[] = {{0}};

struct enumeration {
	const char *name;
	const struct value *values;
};

/* The first enumeration decides whether there is such a device at all. */
static const struct {
	const char *name;
	struct enumeration enums[3];
} devices[] = {
	{"disk", {{"diskDevice", disk_devices}, {"bus", disk_buses}, {"model", disk_models}}},
	{"graphics", {{"type", graphics_types}}},
	{"video", {{"modelType", video_types}}},
	{"hostdev", {{NULL, no_values}}},
	{"rng", {{"model", rng_models}, {"backendModel", rng_backends}}},
	{"filesystem", {{NULL, no_values}}},
	{"tpm", {{"model", tpm_models}, {"backendModel", tpm_backends}, {"backendVersion", tpm_versions}}},
	{"redirdev", {{NULL, no_values}}},
	{"channel", {{"type", channel_types}}},
	{"crypto", {{NULL, no_values}}},
	{"panic", {{"model", panic_models}}},
};

static void put_devices(struct document *d)
{
	xml_begin(&d->w, "devices");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		if (!begin_supported(d, devices[i].name, any(d, devices[i].enums[0].values)))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(devices[i].enums) && devices[i].enums[k].name; k++)
			put_enum(d, devices[i].enums[k].name, devices[i].enums[k].values);
		xml_end(&d->w, devices[i].name);
	}
	xml_end(&d->w, "devices");
}

static void put_features(struct document *d)
{
	static const struct value hyperv[] = {{.name = "relaxed"}, {.name = "vapic"}, {.name = "spinlocks"},
		{.name = "vpindex"}, {.name = "runtime"}, {.name = "synic"}, {.name = "stimer"},
		{.name = "reset"}, {.name = "frequencies"}, {0}};

	xml_begin(&d->w, "features");
	put_supported(d, "gic", false);
	put_supported(d, "vmcoreinfo", false);
	put_supported(d, "genid", false);
	put_supported(d, "backingStoreInput", false);
	put_supported(d, "backup", false);
	put_supported(d, "async-teardown", false);
	put_supported(d, "sev", false);
	put_supported(d, "sgx", false);
	if (begin_supported(d, "hyperv", d->kvm)) {
		put_enum(d, "features", hyperv);
		xml_end(&d->w, "hyperv");
	}
	put_supported(d, "launchSecurity", false);
	xml_end(&d->w, "features");
}

/* ---- document ---- */

/* Without a name: the alias "pc" if there is one, as libvirt chooses, else what QEMU says. */
static const struct qemu_machine *choose_machine(const struct qemu_capabilities *caps, const char *name)
{
	const struct qemu_machine *pc;

	if (name)
		return capabilities_find_machine(caps, name);
	pc = capabilities_find_machine(caps, "pc");
	for (size_t i = 0; !pc && i < caps->machines.n; i++)
		if (caps->machines.items[i].is_default)
			pc = &caps->machines.items[i];
	return pc ? pc : &caps->machines.items[0];
}

int host_format_domain_capabilities(const struct qemu_capabilities *caps, const char *arch,
	const char *machine, const char *virttype, char **ret_xml, struct error *err)
{
	_cleanup_(buf_fini) struct buf out = {0};
	struct document d = {.w = {.out = &out}, .caps = caps};

	if (arch && !streq(arch, caps->arch))
		return error_set(err, ERROR_INVALID_ARGUMENT, "architecture '%s': %s is for '%s'", arch,
			caps->binary, caps->arch);
	if (virttype && !streq(virttype, "qemu") && !streq(virttype, "kvm"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "unknown virtualization type '%s'", virttype);
	d.kvm = virttype ? streq(virttype, "kvm") : caps->kvm_usable;
	if (d.kvm && !caps->kvm_usable)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "KVM cannot run a guest on this host");
	d.machine = choose_machine(caps, machine);
	if (!d.machine)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s does not have machine type '%s'",
			caps->binary, machine);
	d.q35 = strstr(d.machine->name, "q35");

	xml_begin(&d.w, "domainCapabilities");
	xml_element(&d.w, "path", caps->binary);
	xml_element(&d.w, "domain", d.kvm ? "kvm" : "qemu");
	xml_element(&d.w, "machine", d.machine->name);
	xml_element(&d.w, "arch", caps->arch);
	xml_begin(&d.w, "vcpu");
	xml_put_attrf(&d.w, "max", "%u", d.machine->max_cpus);
	xml_end(&d.w, "vcpu");
	put_supported(&d, "iothreads", false);
	put_os(&d);
	put_cpu(&d);
	put_supported(&d, "memoryBacking", false);
	put_devices(&d);
	put_features(&d);
	xml_end(&d.w, "domainCapabilities");
	*ret_xml = buf_take(&out);
	return 0;
}

uint32_t host_get_max_vcpus(const struct qemu_capabilities *caps)
{
	uint32_t most = 1;

	for (size_t i = 0; i < caps->machines.n; i++)
		if (caps->machines.items[i].max_cpus > most)
			most = caps->machines.items[i].max_cpus;
	return most;
}
