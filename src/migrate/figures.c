/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's words for what a migration has done: MigrationInfo and what is in it (QEMU's qapi/migration.json). */
#include "figures.h"

#include <stddef.h>

#include "alloc.h"

/* bytes a second of what QEMU says in 10^6 bits a second */
#define MBIT (1000 * 1000 / 8)

struct figure {
	const char *path;
	size_t offset; /* of a uint64_t in struct vm_job_info */
};

#define AT(member) offsetof(struct vm_job_info, member)

static const struct figure figures[] = {
	{"setup-time", AT(migration.setup_ms)},
	{"ram.total", AT(memory_total)},
	{"ram.transferred", AT(memory_processed)},
	{"ram.remaining", AT(memory_remaining)},
	{"ram.duplicate", AT(migration.constant_pages)},
	{"ram.normal", AT(migration.normal_pages)},
	{"ram.normal-bytes", AT(migration.normal_bytes)},
	{"ram.page-size", AT(migration.page_size)},
	{"ram.dirty-sync-count", AT(migration.iteration)},
	{"ram.dirty-pages-rate", AT(migration.dirty_rate)},
	{"ram.postcopy-requests", AT(migration.postcopy_requests)},
	{"xbzrle-cache.cache-size", AT(migration.xbzrle_cache)},
	{"xbzrle-cache.bytes", AT(migration.xbzrle_bytes)},
	{"xbzrle-cache.pages", AT(migration.xbzrle_pages)},
	{"xbzrle-cache.cache-miss", AT(migration.xbzrle_misses)},
	{"xbzrle-cache.overflow", AT(migration.xbzrle_overflow)},
};

static void read_downtime(json *answer, struct vm_job_migration *m)
{
	/* the real one, once there is one */
	static const char *const names[] = {"downtime", "expected-downtime"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!json_get(answer, names[i]))
			continue;
		m->has_downtime = true;
		m->downtime_is_expected = i > 0;
		m->downtime_ms = json_get_uint(answer, names[i], 0);
		return;
	}
}

void migration_figures(json *answer, struct vm_job_info *info)
{
	json *rate = json_get_path(answer, "ram.mbps");

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		json *value = json_get_path(answer, figures[i].path);

		if (value)
			*(uint64_t *)((char *)info + figures[i].offset) = json_object_get_uint64(value);
	}
	if (rate && json_object_get_double(rate) > 0)
		info->memory_bps = (uint64_t)(json_object_get_double(rate) * MBIT);
	if (json_get(answer, "xbzrle-cache"))
		info->migration.has_xbzrle = true;
	info->migration.throttle =
		(unsigned)json_get_uint(answer, "cpu-throttle-percentage", info->migration.throttle);
	read_downtime(answer, &info->migration);
}

/* Of any clock: what is larger is no time, and sums of what is not do not overflow. */
#define MS_MAX ((int64_t)1 << 48)

static bool is_time(uint64_t ms)
{
	return ms < (uint64_t)MS_MAX;
}

void statistics_figures(const struct cookie_statistics *t, struct vm_job_info *info)
{
	struct vm_job_migration *m = &info->migration;

	if (is_time(t->time_elapsed) && t->time_elapsed > 0)
		info->elapsed_ms = t->time_elapsed;
	if (t->has_downtime && is_time(t->downtime)) {
		m->has_downtime = true;
		m->downtime_is_expected = false;
		m->downtime_ms = t->downtime;
	}
	m->has_delta = t->has_delta && t->delta_ms > -MS_MAX && t->delta_ms < MS_MAX;
	m->delta_ms = m->has_delta ? t->delta_ms : 0;
	if (t->memory_total == 0)
		return;
	m->setup_ms = t->setup_time;
	info->memory_total = t->memory_total;
	info->memory_processed = t->memory_processed;
	info->memory_remaining = t->memory_remaining;
	info->memory_bps = t->memory_bps;
	m->constant_pages = t->memory_constant;
	m->normal_pages = t->memory_normal;
	m->normal_bytes = t->memory_normal_bytes;
	m->page_size = t->memory_page_size;
	m->iteration = t->memory_iteration;
	m->dirty_rate = t->memory_dirty_rate;
	m->postcopy_requests = t->memory_postcopy_requests;
	info->disk_total = t->disk_total;
	info->disk_processed = t->disk_processed;
	info->disk_remaining = t->disk_remaining;
	info->disk_bps = t->disk_bps;
}
