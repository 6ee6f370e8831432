/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's processors and NUMA nodes, as sysfs has them (Documentation/admin-guide/cputopology). */
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "host-internal.h"

#define CPU_DIRECTORY  "sys/devices/system/cpu"
#define NODE_DIRECTORY "sys/devices/system/node"

void host_topology_fini(struct host_topology *t)
{
	for (size_t i = 0; i < t->cpus.n; i++)
		free(t->cpus.items[i].siblings);
	for (size_t i = 0; i < t->cells.n; i++)
		free(t->cells.items[i].distances);
	VEC_FREE(&t->cpus);
	VEC_FREE(&t->cells);
}

struct reading {
	struct host *h;
	struct host_topology *t;
	uint32_t cell; /* the one whose CPUs are read */
};

static uint32_t read_or(struct host *h, uint32_t cpu, const char *what, uint32_t otherwise)
{
	_cleanup_free_ char *text = host_read_text(h, CPU_DIRECTORY "/cpu%u/topology/%s", cpu, what);
	uint32_t value;

	/* "-1": the platform does not know. */
	return text && parse_u32(text, &value) ? value : otherwise;
}

static void add_cpu(uint32_t id, void *userdata)
{
	struct reading *r = userdata;
	struct host_cpu cpu = {
		.id = id,
		.socket = read_or(r->h, id, "physical_package_id", 0),
		.die = read_or(r->h, id, "die_id", 0),
		.core = read_or(r->h, id, "core_id", id),
		.siblings = host_read_text(r->h, CPU_DIRECTORY "/cpu%u/topology/thread_siblings_list", id),
	};

	VEC_ADD(&r->t->cpus, cpu);
}

static void place_cpu(uint32_t id, void *userdata)
{
	struct reading *r = userdata;

	for (size_t i = 0; i < r->t->cpus.n; i++)
		if (r->t->cpus.items[i].id == id)
			r->t->cpus.items[i].node = r->cell;
}

static void add_cell(uint32_t id, void *userdata)
{
	struct reading *r = userdata;
	_cleanup_free_ char *cpus = host_read_text(r->h, NODE_DIRECTORY "/node%u/cpulist", id);
	_cleanup_free_ char *meminfo = host_read_text(r->h, NODE_DIRECTORY "/node%u/meminfo", id);
	_cleanup_free_ char *key = xasprintf("Node %u MemTotal", id);
	struct host_cell cell = {
		.id = id, .distances = host_read_text(r->h, NODE_DIRECTORY "/node%u/distance", id)};

	if (!cpus || !meminfo) {
		free(cell.distances);
		return;
	}
	host_find_number(meminfo, key, &cell.memory_kib);
	r->cell = id;
	host_each_in_list(cpus, place_cpu, r);
	VEC_ADD(&r->t->cells, cell);
}

/* ---- counting ---- */

static int compare(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* Neighbours in the machine become neighbours in the list. Returns how far up they differ. */
enum { SAME_CORE, OTHER_CORE, OTHER_DIE, OTHER_SOCKET, OTHER_NODE };

static int compare_places(const struct host_cpu *a, const struct host_cpu *b, int *ret_level)
{
	*ret_level = OTHER_NODE;
	if (a->node != b->node)
		return compare(a->node, b->node);
	*ret_level = OTHER_SOCKET;
	if (a->socket != b->socket)
		return compare(a->socket, b->socket);
	*ret_level = OTHER_DIE;
	if (a->die != b->die)
		return compare(a->die, b->die);
	*ret_level = a->core != b->core ? OTHER_CORE : SAME_CORE;
	return compare(a->core, b->core);
}

static int compare_cpus(const void *a, const void *b)
{
	int level;

	return compare_places(*(const struct host_cpu *const *)a, *(const struct host_cpu *const *)b, &level);
}

static void raise_to(uint32_t *most, uint32_t n)
{
	*most = n > *most ? n : *most;
}

/* The most sockets that any node has, the most dies that any socket has, and so on. */
static void count(struct host_topology *t)
{
	_cleanup_free_ const struct host_cpu **sorted = xcalloc(t->cpus.n, sizeof(sorted[0]));
	uint32_t sockets = 1, dies = 1, cores = 1, threads = 1;

	for (size_t i = 0; i < t->cpus.n; i++)
		sorted[i] = &t->cpus.items[i];
	qsort(sorted, t->cpus.n, sizeof(sorted[0]), compare_cpus);
	t->sockets = t->dies = t->cores = t->threads = 1;
	for (size_t i = 1; i < t->cpus.n; i++) {
		int level;

		compare_places(sorted[i - 1], sorted[i], &level);
		sockets = level == OTHER_NODE ? 1 : level == OTHER_SOCKET ? sockets + 1 : sockets;
		dies = level >= OTHER_SOCKET ? 1 : level == OTHER_DIE ? dies + 1 : dies;
		cores = level >= OTHER_DIE ? 1 : level == OTHER_CORE ? cores + 1 : cores;
		threads = level >= OTHER_CORE ? 1 : threads + 1;
		raise_to(&t->sockets, sockets);
		raise_to(&t->dies, dies);
		raise_to(&t->cores, cores);
		raise_to(&t->threads, threads);
	}
	/* Uneven machines (CPUs off, nodes without CPUs) do not multiply out; then it is one flat row. */
	if (t->cells.n * t->sockets * t->dies * t->cores * t->threads != t->cpus.n) {
		t->sockets = t->dies = t->threads = 1;
		t->cores = (uint32_t)t->cpus.n;
	}
}

int host_read_topology(struct host *h, struct host_topology *ret, struct error *err)
{
	_cleanup_free_ char *online = host_read_text(h, CPU_DIRECTORY "/online");
	_cleanup_free_ char *nodes = host_read_text(h, NODE_DIRECTORY "/online");
	struct host_topology t = {0};
	struct reading r = {.h = h, .t = &t};

	host_each_in_list(online, add_cpu, &r);
	if (t.cpus.n == 0) {
		host_topology_fini(&t);
		return error_set(err, ERROR_SYSTEM, "/" CPU_DIRECTORY "/online lists no CPU");
	}
	host_each_in_list(nodes, add_cell, &r);
	if (t.cells.n == 0)
		VEC_ADD(&t.cells, ((struct host_cell){0}));
	count(&t);
	*ret = t;
	return 0;
}

/* ---- virNodeInfo, CPU map ---- */

int host_get_node_info(struct host *h, struct host_node_info *ret, struct error *err)
{
	_cleanup_(host_topology_fini) struct host_topology t = {0};
	_cleanup_free_ char *cpuinfo = host_read_text(h, "proc/cpuinfo");
	struct host_stat memory[HOST_STATS_MAX];
	uint64_t mhz = 0;
	struct utsname name;
	size_t n;

	if (host_read_topology(h, &t, err) < 0)
		return -1;
	if (uname(&name) < 0)
		return error_errno(err, errno, "uname");
	*ret = (struct host_node_info){.cpus = (uint32_t)t.cpus.n,
		.nodes = (uint32_t)t.cells.n,
		.sockets = t.sockets,
		.cores = t.cores * t.dies,
		.threads = t.threads};
	if (t.cells.n * t.sockets * t.dies * t.cores * t.threads != t.cpus.n)
		ret->nodes = 1;
	snprintf(ret->model, sizeof(ret->model), "%.31s", name.machine);
	if (cpuinfo && host_find_number(cpuinfo, "cpu MHz", &mhz))
		ret->mhz = (uint32_t)mhz;
	for (size_t i = 0; i < t.cells.n; i++)
		ret->memory_kib += t.cells.items[i].memory_kib;
	if (ret->memory_kib == 0) {
		if (host_get_memory_stats(h, -1, memory, &n, err) < 0)
			return -1;
		ret->memory_kib = memory[0].value;
	}
	return 0;
}

static void mark_online(uint32_t id, void *userdata)
{
	struct host_cpu_map *map = userdata;

	map->online[id / 8] |= (uint8_t)(1 << id % 8);
	map->n_online++;
}

static void mark_present(uint32_t id, void *userdata)
{
	struct host_cpu_map *map = userdata;

	map->n_present = id + 1 > map->n_present ? id + 1 : map->n_present;
}

int host_get_cpu_map(struct host *h, struct host_cpu_map *ret, struct error *err)
{
	_cleanup_free_ char *online = host_read_text(h, CPU_DIRECTORY "/online");
	_cleanup_free_ char *present = host_read_text(h, CPU_DIRECTORY "/present");

	*ret = (struct host_cpu_map){0};
	host_each_in_list(present ? present : online, mark_present, ret);
	host_each_in_list(online, mark_online, ret);
	if (ret->n_online == 0)
		return error_set(err, ERROR_SYSTEM, "/" CPU_DIRECTORY "/online lists no CPU");
	return 0;
}
