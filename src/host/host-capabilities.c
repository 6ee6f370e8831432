/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The document that virsh capabilities shows: this host, and the kinds of guests it can run. */
#include <string.h>

#include "host-internal.h"
#include "xml.h"

/* ---- CPU ---- */

static const char *vendor_name(const char *cpuinfo_vendor)
{
	if (streq(cpuinfo_vendor, "GenuineIntel"))
		return "Intel";
	if (streq(cpuinfo_vendor, "AuthenticAMD"))
		return "AMD";
	if (streq(cpuinfo_vendor, "HygonGenuine"))
		return "Hygon";
	return NULL;
}

static void put_signature(struct xml_writer *w, const char *cpuinfo)
{
	uint64_t family, model, stepping;

	if (!host_find_number(cpuinfo, "cpu family", &family) ||
		!host_find_number(cpuinfo, "model", &model) ||
		!host_find_number(cpuinfo, "stepping", &stepping))
		return;
	xml_begin(w, "signature");
	xml_put_attrf(w, "family", "%u", (unsigned)family);
	xml_put_attrf(w, "model", "%u", (unsigned)model);
	xml_put_attrf(w, "stepping", "%u", (unsigned)stepping);
	xml_end(w, "signature");
}

static void put_page_size(struct xml_writer *w, unsigned kib)
{
	xml_begin(w, "pages");
	xml_put_attr(w, "unit", "KiB");
	xml_put_attrf(w, "size", "%u", kib);
	xml_end(w, "pages");
}

static void put_cpu(struct host *h, struct xml_writer *w, const struct host_topology *t)
{
	_cleanup_free_ char *cpuinfo = host_read_text(h, "proc/cpuinfo");
	_cleanup_free_ char *vendor = cpuinfo ? host_find_value(cpuinfo, "vendor_id") : NULL;
	_cleanup_free_ char *microcode = cpuinfo ? host_find_value(cpuinfo, "microcode") : NULL;
	uint64_t version;

	xml_begin(w, "cpu");
	xml_element(w, "arch", "x86_64");
	xml_element(w, "vendor", vendor_name(vendor));
	if (microcode && parse_u64(microcode, &version)) {
		xml_begin(w, "microcode");
		xml_put_attrf(w, "version", "%llu", (unsigned long long)version);
		xml_end(w, "microcode");
	}
	if (cpuinfo)
		put_signature(w, cpuinfo);
	xml_begin(w, "topology");
	xml_put_attrf(w, "sockets", "%u", t->sockets);
	xml_put_attrf(w, "dies", "%u", t->dies);
	xml_put_attr(w, "clusters", "1");
	xml_put_attrf(w, "cores", "%u", t->cores);
	xml_put_attrf(w, "threads", "%u", t->threads);
	xml_end(w, "topology");
	put_page_size(w, 4);
	put_page_size(w, 2048);
	xml_end(w, "cpu");
}

/* ---- NUMA ---- */

static void put_distances(struct xml_writer *w, const char *distances)
{
	uint32_t id = 0;

	if (!distances)
		return;
	xml_begin(w, "distances");
	for (const char *p = distances; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		xml_begin(w, "sibling");
		xml_put_attrf(w, "id", "%u", id++);
		xml_put_attrf(w, "value", "%.*s", (int)strcspn(p, " "), p);
		xml_end(w, "sibling");
	}
	xml_end(w, "distances");
}

static void put_cell(
	struct host *h, struct xml_writer *w, const struct host_topology *t, const struct host_cell *cell)
{
	_cleanup_free_ char *text = NULL;
	uint64_t memory = cell->memory_kib;
	struct host_stat stats[HOST_STATS_MAX];
	size_t n = 0, in_cell = 0;

	if (memory == 0 && host_get_memory_stats(h, -1, stats, &n, NULL) == 0)
		memory = stats[0].value;
	for (size_t i = 0; i < t->cpus.n; i++)
		in_cell += t->cpus.items[i].node == cell->id;

	xml_begin(w, "cell");
	xml_put_attrf(w, "id", "%u", cell->id);
	xml_begin(w, "memory");
	xml_put_attr(w, "unit", "KiB");
	text = xasprintf("%llu", (unsigned long long)memory);
	xml_put_text(w, text);
	xml_end(w, "memory");
	put_distances(w, cell->distances);
	xml_begin(w, "cpus");
	xml_put_attrf(w, "num", "%zu", in_cell);
	for (size_t i = 0; i < t->cpus.n; i++) {
		const struct host_cpu *cpu = &t->cpus.items[i];

		if (cpu->node != cell->id)
			continue;
		xml_begin(w, "cpu");
		xml_put_attrf(w, "id", "%u", cpu->id);
		xml_put_attrf(w, "socket_id", "%u", cpu->socket);
		xml_put_attrf(w, "die_id", "%u", cpu->die);
		xml_put_attrf(w, "core_id", "%u", cpu->core);
		xml_put_attr(w, "siblings", cpu->siblings);
		xml_end(w, "cpu");
	}
	xml_end(w, "cpus");
	xml_end(w, "cell");
}

static void put_topology(struct host *h, struct xml_writer *w, const struct host_topology *t)
{
	xml_begin(w, "topology");
	xml_begin(w, "cells");
	xml_put_attrf(w, "num", "%zu", t->cells.n);
	for (size_t i = 0; i < t->cells.n; i++)
		put_cell(h, w, t, &t->cells.items[i]);
	xml_end(w, "cells");
	xml_end(w, "topology");
}

/* ---- guests ---- */

static void put_machine(
	struct xml_writer *w, const struct qemu_machine *m, const char *name, const char *canonical)
{
	xml_begin(w, "machine");
	xml_put_attr(w, "canonical", canonical);
	xml_put_attrf(w, "maxCpus", "%u", m->max_cpus);
	xml_put_text(w, name);
	xml_end(w, "machine");
}

static void put_feature(struct xml_writer *w, const char *name, const char *value, const char *toggle)
{
	xml_begin(w, name);
	xml_put_attr(w, "default", value);
	xml_put_attr(w, "toggle", toggle);
	xml_end(w, name);
}

static void put_domain_type(struct xml_writer *w, const char *type)
{
	xml_begin(w, "domain");
	xml_put_attr(w, "type", type);
	xml_end(w, "domain");
}

static void put_guest(struct xml_writer *w, const struct qemu_capabilities *caps)
{
	xml_begin(w, "guest");
	xml_element(w, "os_type", "hvm");
	xml_begin(w, "arch");
	xml_put_attr(w, "name", caps->arch);
	xml_element(w, "wordsize", "64");
	xml_element(w, "emulator", caps->binary);
	for (size_t i = 0; i < caps->machines.n; i++) {
		const struct qemu_machine *m = &caps->machines.items[i];

		put_machine(w, m, m->name, NULL);
		if (m->alias)
			put_machine(w, m, m->alias, m->name);
	}
	put_domain_type(w, "qemu");
	if (caps->kvm_usable)
		put_domain_type(w, "kvm");
	xml_end(w, "arch");
	xml_begin(w, "features");
	put_feature(w, "acpi", "on", "yes");
	put_feature(w, "apic", "on", "no");
	put_feature(w, "cpuselection", NULL, NULL);
	put_feature(w, "deviceboot", NULL, NULL);
	put_feature(w, "disksnapshot", "off", "no");
	xml_end(w, "features");
	xml_end(w, "guest");
}

int host_format_capabilities(struct host *h, const uint8_t uuid[16], const struct qemu_capabilities *caps,
	char **ret_xml, struct error *err)
{
	_cleanup_(host_topology_fini) struct host_topology t = {0};
	_cleanup_(buf_fini) struct buf out = {0};
	struct xml_writer w = {.out = &out};
	char uuid_text[UUID_TEXT_MAX];

	if (host_read_topology(h, &t, err) < 0)
		return -1;
	uuid_format(uuid, uuid_text);
	xml_begin(&w, "capabilities");
	xml_begin(&w, "host");
	xml_element(&w, "uuid", uuid_text);
	put_cpu(h, &w, &t);
	put_topology(h, &w, &t);
	xml_begin(&w, "secmodel");
	xml_element(&w, "model", "none");
	xml_element(&w, "doi", "0");
	xml_end(&w, "secmodel");
	xml_end(&w, "host");
	if (caps)
		put_guest(&w, caps);
	xml_end(&w, "capabilities");
	*ret_xml = buf_take(&out);
	return 0;
}
