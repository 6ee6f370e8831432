/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Machine, memory, firmware, clock and boot order on the command line. */
#include "argv-internal.h"

#include <time.h>

#include "clock.h"

static const char *ram_id(struct argv *a)
{
	const struct qemu_machine *m = capabilities_find_machine(a->caps, a->d->os.machine);

	return m && m->default_ram_id ? m->default_ram_id : "pc.ram";
}

static void add_on_off(struct buf *b, const char *name, enum tristate value)
{
	if (value != TRISTATE_ABSENT)
		buf_addf(b, ",%s=%s", name, value == TRISTATE_ON ? "on" : "off");
}

static enum tristate hpet(const struct domain *d)
{
	for (size_t i = 0; i < d->clock.timers.n; i++)
		if (d->clock.timers.items[i].name == TIMER_HPET)
			return d->clock.timers.items[i].present;
	return TRISTATE_ABSENT;
}

int argv_machine(struct argv *a)
{
	const struct domain *d = a->d;
	struct buf b = {0};

	if (!capabilities_find_machine(a->caps, d->os.machine))
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "%s does not have machine type '%s'",
			a->caps->binary, d->os.machine);
	buf_addf(&b, "%s,usb=off", d->os.machine);
	add_on_off(&b, "vmport", d->features.vmport);
	add_on_off(&b, "smm", d->features.smm);
	if (d->features.ioapic_driver)
		buf_addf(&b, ",kernel_irqchip=%s", streq(d->features.ioapic_driver, "qemu") ? "split" : "on");
	buf_addf(&b, ",dump-guest-core=off,memory-backend=%s", ram_id(a));
	if (d->os.loader_type == LOADER_PFLASH)
		buf_adds(&b, ",pflash0=libvirt-pflash0-format");
	if (d->os.loader_type == LOADER_PFLASH && d->os.nvram)
		buf_adds(&b, ",pflash1=libvirt-pflash1-format");
	add_on_off(&b, "hpet", hpet(d));
	/* SeaBIOS writes to the serial port when it believes that there is no screen. */
	if (d->os.bios_useserial == TRISTATE_ON)
		buf_adds(&b, ",graphics=off");
	buf_addf(&b, ",acpi=%s", d->features.acpi == TRISTATE_ON ? "on" : "off");
	argv_add(a, "-machine", "%s", b.data);
	buf_fini(&b);
	argv_add(a, "-accel", "%s", d->type == DOMAIN_TYPE_KVM ? "kvm" : "tcg");
	return 0;
}

static int add_smp(struct argv *a)
{
	const struct domain *d = a->d;
	const struct qemu_machine *m = capabilities_find_machine(a->caps, d->os.machine);
	struct buf b = {0};

	if (m->max_cpus && d->vcpus > m->max_cpus)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG,
			"Maximum CPUs greater than specified machine type limit %u", m->max_cpus);
	if (d->cpu.has_topology && d->cpu.clusters > 1)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "CPU clusters do not exist on x86");
	buf_addf(&b, "%u", d->vcpus_current);
	if (d->vcpus_current != d->vcpus)
		buf_addf(&b, ",maxcpus=%u", d->vcpus);
	if (!d->cpu.has_topology)
		buf_addf(&b, ",sockets=%u,cores=1,threads=1", d->vcpus);
	else if (d->cpu.dies > 1)
		buf_addf(&b, ",sockets=%u,dies=%u,cores=%u,threads=%u", d->cpu.sockets, d->cpu.dies,
			d->cpu.cores, d->cpu.threads);
	else
		buf_addf(&b, ",sockets=%u,cores=%u,threads=%u", d->cpu.sockets, d->cpu.cores, d->cpu.threads);
	argv_add(a, "-smp", "%s", b.data);
	buf_fini(&b);
	return 0;
}

/* Written in a private mapping only: "readonly" is the file, "rom" would be the guest's memory. */
static json *mapped_memory(struct argv *a, uint64_t size)
{
	return json_pack("s:qom-type", "memory-backend-file", "s:id", ram_id(a), "u:size", size, "s:mem-path",
		a->ctx->memory_path, "u:offset", a->ctx->memory_offset, "b:share", false, "b:readonly", true,
		"s:rom", "off", NULL);
}

int argv_memory(struct argv *a)
{
	/* In whole MiB, upwards, as libvirt does: an image of the one fits the other. */
	uint64_t kib = (a->d->memory_kib + 1023) / 1024 * 1024;

	argv_add(a, "-m", "size=%lluk", (unsigned long long)kib);
	if (a->ctx->memory_path &&
		argv_need_feature(a, "memory-file-copy-on-write", "memory mapped from a file") < 0)
		return -1;
	if (argv_add_object(a, a->ctx->memory_path ? mapped_memory(a, kib * 1024)
						   : json_pack("s:qom-type", "memory-backend-ram", "s:id",
							     ram_id(a), "u:size", kib * 1024, NULL)) < 0)
		return -1;
	argv_add(a, "-overcommit", "mem-lock=off");
	return add_smp(a);
}

/* ---- firmware ---- */

static void add_flash(struct argv *a, const char *name, const char *path, const char *format, bool readonly)
{
	_cleanup_free_ char *storage = xasprintf("libvirt-%s-storage", name),
			    *node = xasprintf("libvirt-%s-format", name);

	argv_add_json(a, "-blockdev",
		json_pack("s:driver", "file", "s:filename", path, "s:node-name", storage, "b:auto-read-only",
			true, "s:discard", "unmap", NULL));
	argv_add_json(a, "-blockdev",
		json_pack("s:node-name", node, "b:read-only", readonly, "s:driver", format ? format : "raw",
			"s:file", storage, NULL));
}

int argv_firmware(struct argv *a)
{
	const struct domain_os *os = &a->d->os;

	if (!os->loader)
		return 0;
	if (os->loader_type == LOADER_ROM) {
		argv_add(a, "-bios", "%s", os->loader);
		return 0;
	}
	add_flash(a, "pflash0", os->loader, os->loader_format, os->loader_readonly == TRISTATE_ON);
	if (os->nvram)
		add_flash(a, "pflash1", os->nvram, os->nvram_format, false);
	if (os->loader_secure == TRISTATE_ON)
		argv_add(a, "-global", "driver=cfi.pflash01,property=secure,value=on");
	return 0;
}

/* ---- clock ---- */

/* What the wall clock in `zone` says now, as seconds. One thread, so borrowing TZ for a moment is safe. */
static time_t zone_seconds(const char *zone, time_t now)
{
	_cleanup_free_ char *before = xstrdup(getenv("TZ"));
	struct tm tm;

	setenv("TZ", zone, 1);
	tzset();
	localtime_r(&now, &tm);
	if (before)
		setenv("TZ", before, 1);
	else
		unsetenv("TZ");
	tzset();
	return timegm(&tm);
}

static void add_rtc_base(struct argv *a, struct buf *b)
{
	const struct domain_clock *c = &a->d->clock;
	time_t now = (time_t)(a->ctx->now ? a->ctx->now : (int64_t)(clock_wall() / USEC_PER_SEC));
	struct tm tm;
	char text[32];

	if (c->offset == CLOCK_UTC || c->offset == CLOCK_LOCALTIME) {
		buf_addf(b, "base=%s", c->offset == CLOCK_UTC ? "utc" : "localtime");
		return;
	}
	if (c->offset == CLOCK_VARIABLE) {
		if (c->basis_localtime) {
			localtime_r(&now, &tm);
			now = timegm(&tm);
		}
		now += (time_t)c->adjustment_s;
	} else if (c->offset == CLOCK_ABSOLUTE) {
		now = (time_t)c->start_s;
	} else {
		now = zone_seconds(c->timezone, now);
	}
	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(b, "base=%s", text);
}

static int add_rtc_timer(struct argv *a, struct buf *b, const struct domain_timer *t)
{
	if (t->track == TRACK_GUEST)
		buf_adds(b, ",clock=vm");
	else if (t->track == TRACK_WALL)
		buf_adds(b, ",clock=host");
	else if (t->track == TRACK_BOOT)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "unsupported rtc timer track 'boot'");
	if (t->tickpolicy == TICKPOLICY_CATCHUP)
		buf_adds(b, ",driftfix=slew");
	else if (t->tickpolicy == TICKPOLICY_MERGE || t->tickpolicy == TICKPOLICY_DISCARD)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "unsupported rtc timer tickpolicy");
	return 0;
}

static int add_pit_timer(struct argv *a, const struct domain_timer *t)
{
	if (t->tickpolicy == TICKPOLICY_ABSENT)
		return 0;
	if (t->tickpolicy != TICKPOLICY_DELAY && t->tickpolicy != TICKPOLICY_DISCARD)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "unsupported pit tickpolicy");
	argv_add(a, "-global", "kvm-pit.lost_tick_policy=%s",
		t->tickpolicy == TICKPOLICY_DELAY ? "delay" : "discard");
	return 0;
}

static int check_timer(struct argv *a, const struct domain_timer *t)
{
	if (t->name == TIMER_PLATFORM)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "unsupported timer type (name) '%s'",
			timer_name_name(t->name));
	if (t->name == TIMER_HPET && t->tickpolicy != TICKPOLICY_ABSENT)
		return error_set(a->err, ERROR_UNSUPPORTED_CONFIG, "unsupported hpet timer tickpolicy");
	return 0;
}

int argv_rtc(struct argv *a)
{
	struct buf b = {0};
	int r = 0;

	add_rtc_base(a, &b);
	for (size_t i = 0; i < a->d->clock.timers.n && r == 0; i++) {
		const struct domain_timer *t = &a->d->clock.timers.items[i];

		r = check_timer(a, t);
		if (r == 0 && t->name == TIMER_RTC)
			r = add_rtc_timer(a, &b, t);
	}
	if (r == 0)
		argv_add(a, "-rtc", "%s", b.data);
	for (size_t i = 0; i < a->d->clock.timers.n && r == 0; i++)
		if (a->d->clock.timers.items[i].name == TIMER_PIT)
			r = add_pit_timer(a, &a->d->clock.timers.items[i]);
	buf_fini(&b);
	return r;
}

/* ---- boot ---- */

int argv_boot(struct argv *a)
{
	const struct domain_os *os = &a->d->os;
	struct buf b = {0};

	if (os->boot_menu != TRISTATE_ABSENT)
		buf_addf(&b, "menu=%s,", os->boot_menu == TRISTATE_ON ? "on" : "off");
	if (os->has_reboot_timeout)
		buf_addf(&b, "reboot-timeout=%lld,", (long long)os->reboot_timeout_ms);
	if (os->has_boot_menu_timeout)
		buf_addf(&b, "splash-time=%u,", os->boot_menu_timeout_ms);
	argv_add(a, "-boot", "%sstrict=on", b.data ? b.data : "");
	buf_fini(&b);
	if (os->kernel)
		argv_add(a, "-kernel", "%s", os->kernel);
	if (os->initrd)
		argv_add(a, "-initrd", "%s", os->initrd);
	if (os->cmdline)
		argv_add(a, "-append", "%s", os->cmdline);
	return 0;
}
