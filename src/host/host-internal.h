/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How this room reads /proc and /sys. */
#pragma once

#include "buf.h"
#include "host.h"

struct host {
	int root; /* directory */
};

struct host_cpu {
	uint32_t id, node, socket, die, core;
	char *siblings; /* "0-1" */
};

struct host_cell {
	uint32_t id;
	uint64_t memory_kib; /* 0 where the kernel has no NUMA */
	char *distances;     /* "10 21" */
};

/* What is online, sorted by id. */
struct host_topology {
	VEC(struct host_cpu) cpus;
	VEC(struct host_cell) cells;
	uint32_t sockets, dies, cores, threads; /* sockets of one node, and so on downwards */
};

void host_topology_fini(struct host_topology *t);
int host_read_topology(struct host *h, struct host_topology *ret, struct error *err);

/*
 * A file under the root, white space at its end removed; at most HOST_TEXT_MAX bytes, the rest is not read. NULL when it
 * is not there.
 */
#define HOST_TEXT_MAX (64u << 10)
char *host_read_text(struct host *h, const char *fmt, ...) _printf_(2, 3);
/* One number; false when there is none. */
bool host_read_number(struct host *h, uint64_t *ret, const char *fmt, ...) _printf_(3, 4);

/* The value of "key : value" in text like /proc/cpuinfo or meminfo, up to the end of its line. */
char *host_find_value(const char *text, const char *key);
bool host_find_number(const char *text, const char *key, uint64_t *ret);

/* Calls fn for each number of "0-3,7". */
void host_each_in_list(const char *list, void (*fn)(uint32_t n, void *userdata), void *userdata);
