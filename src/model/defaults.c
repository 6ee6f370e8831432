/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a description leaves out about the machine itself: type, emulator, firmware, CPU, boot order. */
#include "defaults.h"

#include "defaults-devices.h"
#include "strv.h"

/* What QEMU gives a PC when no CPU is asked for; said in the definition so that it stays. */
#define DEFAULT_CPU_MODEL "qemu64"

bool domain_is_q35(const struct domain *d)
{
	return startswith(d->os.machine, "pc-q35-") || streq(d->os.machine, "q35");
}

static bool is_i440fx(const char *machine)
{
	return startswith(machine, "pc-i440fx-");
}

static int fill_machine(struct domain *d, const struct domain_host *host, struct error *err)
{
	const char *machine, *wanted = d->os.machine ? d->os.machine : "pc";

	if (!d->os.arch)
		d->os.arch = xstrdup(host->arch);
	if (!streq(d->os.arch, host->arch))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"guest architecture '%s': this host's emulator is for '%s'", d->os.arch, host->arch);
	if (!d->emulator)
		d->emulator = xstrdup(host->default_emulator);
	if (!d->emulator)
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "no emulator found for architecture '%s'", d->os.arch);
	machine = host->canonical_machine(host->userdata, wanted);
	if (!machine)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"Emulator '%s' does not support machine type '%s'", d->emulator, wanted);
	if (!startswith(machine, "pc-q35-") && !is_i440fx(machine))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"machine type '%s': only 'pc' and 'q35' are supported", machine);
	replace_string(&d->os.machine, machine);
	return 0;
}

static bool any_boot_order(const struct domain *d)
{
	VEC_FOREACH (disk, &d->disks)
		if (disk->info.boot_order)
			return true;
	VEC_FOREACH (nic, &d->nics)
		if (nic->info.boot_order)
			return true;
	return false;
}

static void fill_boot(struct domain *d)
{
	if (d->os.n_boot == 0 && !any_boot_order(d))
		d->os.boot[d->os.n_boot++] = BOOT_HD;
}

/* A chosen image must come with its variables; the pair for Secure Boot needs System Management Mode. */
static int choose_efi(struct domain *d, const struct domain_host *host, struct error *err)
{
	const enum tristate asked[] = {
		d->os.loader_secure, d->os.firmware_secure_boot, d->os.firmware_enrolled_keys};
	bool secure = domain_is_q35(d) && d->features.smm != TRISTATE_OFF && host->efi_code_secure &&
		      host->efi_vars_secure;
	bool must_be_secure = false;

	/* The pair for Secure Boot comes with keys; the other one has neither. */
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		secure = secure && asked[i] != TRISTATE_OFF;
		must_be_secure = must_be_secure || asked[i] == TRISTATE_ON;
	}
	if (must_be_secure && !secure)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"no UEFI firmware with Secure Boot%s for machine type '%s'",
			d->os.firmware_enrolled_keys == TRISTATE_OFF ? " and without enrolled keys" : "",
			d->os.machine);
	if (!secure && (!host->efi_code || !host->efi_vars))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"no UEFI firmware found: install one (ovmf) or name it with <loader> and <nvram>");
	d->os.loader = xstrdup(secure ? host->efi_code_secure : host->efi_code);
	d->os.loader_type = LOADER_PFLASH;
	d->os.loader_readonly = TRISTATE_ON;
	d->os.firmware_secure_boot = d->os.firmware_enrolled_keys = secure ? TRISTATE_ON : TRISTATE_OFF;
	if (secure) {
		d->os.loader_secure = TRISTATE_ON;
		d->features.smm = TRISTATE_ON;
	}
	if (!d->os.nvram_template)
		d->os.nvram_template = xstrdup(secure ? host->efi_vars_secure : host->efi_vars);
	return 0;
}

static int fill_firmware(struct domain *d, const struct domain_host *host, struct error *err)
{
	if (d->os.firmware == FIRMWARE_EFI && !d->os.loader && choose_efi(d, host, err) < 0)
		return -1;
	if (d->os.loader && d->os.loader_type == LOADER_DEFAULT)
		d->os.loader_type = d->os.loader_readonly == TRISTATE_ON ? LOADER_PFLASH : LOADER_ROM;
	if (d->os.loader_type != LOADER_PFLASH)
		return 0;
	if (d->features.acpi != TRISTATE_ON)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "UEFI requires ACPI on this architecture");
	if (d->os.loader_secure == TRISTATE_ON && !domain_is_q35(d))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"Secure boot is supported with q35 machine types only");
	if (d->os.loader_secure == TRISTATE_ON && d->features.smm != TRISTATE_ON)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "Secure boot requires SMM feature enabled");
	if (!d->os.loader_format)
		d->os.loader_format = xstrdup("raw");
	if (!d->os.nvram && host->nvram_dir && d->os.loader_readonly == TRISTATE_ON)
		d->os.nvram = xasprintf("%s/%s_VARS.fd", host->nvram_dir, d->name);
	if (d->os.nvram && !d->os.nvram_format)
		d->os.nvram_format = xstrdup("raw");
	return 0;
}

static int fill_cpu(struct domain *d, struct error *err)
{
	struct domain_cpu *cpu = &d->cpu;

	if (cpu->mode == CPU_MODE_NONE)
		cpu->mode = CPU_MODE_CUSTOM;
	if (cpu->mode == CPU_MODE_CUSTOM && !cpu->model) {
		cpu->model = xstrdup(DEFAULT_CPU_MODEL);
		cpu->fallback = CPU_FALLBACK_FORBID;
		cpu->check = CPU_CHECK_NONE;
	}
	cpu->present = true;
	if (cpu->mode == CPU_MODE_CUSTOM && cpu->match == CPU_MATCH_DEFAULT)
		cpu->match = CPU_MATCH_EXACT;
	if (cpu->mode == CPU_MODE_CUSTOM && cpu->fallback == CPU_FALLBACK_DEFAULT)
		cpu->fallback = CPU_FALLBACK_ALLOW;
	if (cpu->check == CPU_CHECK_DEFAULT)
		cpu->check = cpu->mode == CPU_MODE_HOST_MODEL ||
					     (cpu->mode == CPU_MODE_CUSTOM && d->type == DOMAIN_TYPE_KVM)
				     ? CPU_CHECK_PARTIAL
				     : CPU_CHECK_NONE;
	if (cpu->mode == CPU_MODE_HOST_PASSTHROUGH && cpu->migratable == TRISTATE_ABSENT)
		cpu->migratable = TRISTATE_ON;
	if (cpu->mode == CPU_MODE_HOST_PASSTHROUGH && d->type != DOMAIN_TYPE_KVM)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"CPU mode 'host-passthrough' needs domain type 'kvm'; 'maximum' is what emulation "
			"can do");
	if (cpu->has_topology) {
		uint64_t n = 1;

		cpu->dies = cpu->dies ? cpu->dies : 1;
		cpu->clusters = cpu->clusters ? cpu->clusters : 1;
		n = (uint64_t)cpu->sockets * cpu->dies * cpu->clusters * cpu->cores * cpu->threads;
		if (n != d->vcpus)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"CPU topology doesn't match maximum vcpu count");
	}
	return 0;
}

int domain_fill_defaults(struct domain *d, const struct domain_host *host, struct error *err)
{
	if (fill_machine(d, host, err) < 0)
		return -1;
	if (d->current_memory_kib == 0)
		d->current_memory_kib = d->memory_kib;
	if (d->vcpus_current == 0)
		d->vcpus_current = d->vcpus;
	if (host->memory_kib && d->memory_kib > host->memory_kib)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the domain's memory of %llu KiB is more than the host has (%llu KiB)",
			(unsigned long long)d->memory_kib, (unsigned long long)host->memory_kib);
	fill_boot(d);
	if (fill_firmware(d, host, err) < 0 || fill_cpu(d, err) < 0)
		return -1;
	if (d->on_poweroff == LIFECYCLE_PRESERVE || d->on_reboot == LIFECYCLE_PRESERVE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"the 'preserve' action for 'on_reboot'/'on_poweroff' is not supported");
	return defaults_fill_devices(d, host, err);
}
