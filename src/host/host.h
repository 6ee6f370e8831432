/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This host: who it is, what it has, how busy it is, and which machines it can run. Small reads of /proc and /sys only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capabilities.h"
#include "domain.h"
#include "error.h"

struct host;

/* `root` is where proc/ and sys/ are looked for: "/", or a tree made by a test. */
int host_open(const char *root, struct host **ret, struct error *err);
void host_close(struct host *h); /* accepts NULL */

/* ---- who ---- */

/*
 * The host's UUID: `configured` (NULL or text), else the firmware's if it looks like one of its own, else one made up
 * now and kept as "host-uuid" under `dirfd`. The same at each call.
 */
int host_find_uuid(struct host *h, const char *configured, int dirfd, uint8_t ret[16], struct error *err);

/* ---- what ---- */

/* virNodeInfo. nodes * sockets * cores * threads is never less than cpus; sockets are those of one NUMA node. */
struct host_node_info {
	char model[32]; /* the architecture, "x86_64" */
	uint64_t memory_kib;
	uint32_t cpus; /* online */
	uint32_t mhz;  /* 0: not known */
	uint32_t nodes, sockets, cores, threads;
};
int host_get_node_info(struct host *h, struct host_node_info *ret, struct error *err);

/* A bit for each CPU that is online, the first CPU in the lowest bit of the first byte. */
#define HOST_CPUS_MAX 8192
struct host_cpu_map {
	uint8_t online[HOST_CPUS_MAX / 8];
	uint32_t n_present; /* so many bits count */
	uint32_t n_online;
};
int host_get_cpu_map(struct host *h, struct host_cpu_map *ret, struct error *err);

/* Bytes. */
int host_get_free_memory(struct host *h, uint64_t *ret, struct error *err);
/* Of NUMA nodes first .. first + n - 1; *ret_n is how many there were. ERROR_INVALID_ARGUMENT when none. */
int host_get_cells_free_memory(
	struct host *h, uint32_t first, uint32_t n, uint64_t *ret, uint32_t *ret_n, struct error *err);

/* ---- how busy; names are libvirt's ---- */
struct host_stat {
	const char *name;
	uint64_t value;
};
#define HOST_STATS_MAX 4

/* "kernel", "user", "idle", "iowait", nanoseconds since boot. `cpu` -1: all together. */
int host_get_cpu_stats(
	struct host *h, int cpu, struct host_stat ret[HOST_STATS_MAX], size_t *ret_n, struct error *err);
/* "total", "free" and for the whole host "buffers", "cached", KiB. `cell` -1: the whole host. */
int host_get_memory_stats(
	struct host *h, int cell, struct host_stat ret[HOST_STATS_MAX], size_t *ret_n, struct error *err);

/* ---- XML and what it says; texts are the caller's ---- */

/* virsh capabilities. `caps` (of the default emulator) may be NULL: then no guests are listed. */
int host_format_capabilities(struct host *h, const uint8_t uuid[16], const struct qemu_capabilities *caps,
	char **ret_xml, struct error *err);

/*
 * virsh domcapabilities: what an emulator can do on one machine, as far as godwit's domain XML can say it. Each of
 * arch, machine and virttype may be NULL for the default: the emulator's, its default machine, KVM if it is usable. ERROR_INVALID_ARGUMENT
 * or ERROR_UNSUPPORTED_CONFIG for what it has not.
 */
int host_format_domain_capabilities(const struct qemu_capabilities *caps, const char *arch,
	const char *machine, const char *virttype, char **ret_xml, struct error *err);

/* virsh maxvcpus: of the largest machine. */
uint32_t host_get_max_vcpus(const struct qemu_capabilities *caps);

/* virsh sysinfo: what the firmware says of itself and the machine, as far as we may read it. */
char *host_format_sysinfo(struct host *h);
