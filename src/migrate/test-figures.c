/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU says of a migration, and what becomes of it. */
#include "figures.h"
#include "tap.h"

static const char at_work[] =
	"{\"status\":\"active\",\"setup-time\":3,\"total-time\":900,\"expected-downtime\":250,"
	"\"ram\":{\"total\":1000,\"transferred\":1200,\"remaining\":40,\"duplicate\":5,\"normal\":6,\"normal-"
	"bytes\":24576,"
	"\"page-size\":4096,\"dirty-sync-count\":2,\"dirty-pages-rate\":7,\"postcopy-requests\":8,\"mbps\":"
	"80.5},"
	"\"xbzrle-cache\":{\"cache-size\":64,\"bytes\":9,\"pages\":10,\"cache-miss\":11,\"cache-miss-rate\":"
	"0.5,\"overflow\":12},"
	"\"cpu-throttle-percentage\":30}";

static void read_answer(const char *text, struct vm_job_info *info)
{
	_cleanup_json_ json *answer = NULL;
	struct error err = ERROR_INIT;

	ok(json_parse(text, strlen(text), &answer, &err) == 0, "an answer");
	migration_figures(answer, info);
}

int main(void)
{
	struct vm_job_info info = {.elapsed_ms = 900};
	const struct vm_job_migration *m = &info.migration;

	migration_figures(NULL, &info);
	ok(!m->has_downtime && !m->has_xbzrle && info.memory_total == 0, "no answer says nothing");
	read_answer(at_work, &info);
	ok(info.memory_total == 1000 && info.memory_processed == 1200 && info.memory_remaining == 40,
		"memory");
	is_int((int64_t)info.memory_bps, 10062500, "80.5 Mbit/s in bytes");
	ok(m->has_downtime && m->downtime_is_expected && m->downtime_ms == 250, "the downtime it expects");
	ok(m->setup_ms == 3 && m->iteration == 2 && m->dirty_rate == 7 && m->postcopy_requests == 8,
		"passes and rates");
	ok(m->constant_pages == 5 && m->normal_pages == 6 && m->normal_bytes == 24576 && m->page_size == 4096,
		"pages");
	ok(m->has_xbzrle && m->xbzrle_cache == 64 && m->xbzrle_bytes == 9 && m->xbzrle_pages == 10 &&
			m->xbzrle_misses == 11 && m->xbzrle_overflow == 12,
		"compression");
	is_int(m->throttle, 30, "what the guest loses");
	read_answer("{\"status\":\"completed\",\"downtime\":12,\"expected-downtime\":250}", &info);
	ok(!m->downtime_is_expected && m->downtime_ms == 12, "the downtime it was, once it is known");
	ok(info.memory_total == 1000 && m->throttle == 30, "what is not said stays");
	return done_testing();
}
