/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU says of a migration, and what becomes of it. */
#include "downtime.h"
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

static bool raises(struct downtime *d, const char *status, int passes)
{
	_cleanup_free_ char *text =
		xasprintf("{\"status\":\"%s\",\"ram\":{\"dirty-sync-count\":%d}}", status, passes);
	_cleanup_json_ json *answer = NULL;
	struct error err = ERROR_INIT;

	return json_parse(text, strlen(text), &answer, &err) == 0 && downtime_raise(d, answer);
}

static void test_downtime(void)
{
	static const uint64_t expected[] = {40, 80, 160, 300};
	struct downtime d;

	downtime_begin(&d);
	is_int((int64_t)d.limit_ms, 20, "a short one first");
	ok(!raises(&d, "active", 1) && !raises(&d, "active", 2),
		"not before a pass has shown what is left over");
	ok(!raises(&d, "pre-switchover", 3) && !downtime_raise(&d, NULL), "only while it is under way");
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		ok(raises(&d, "active", 3 + 2 * (int)i) && d.limit_ms == expected[i], "then twice as long");
		ok(!raises(&d, "active", 4 + 2 * (int)i), "once for so many passes");
	}
	ok(!raises(&d, "active", 99) && d.limit_ms == 300, "and no longer than without us");
}

static void test_statistics(void)
{
	struct cookie_statistics t = {.time_elapsed = 470,
		.has_downtime = true,
		.downtime = 24,
		.has_delta = true,
		.delta_ms = -3,
		.memory_total = 1000,
		.memory_processed = 900,
		.memory_page_size = 4096,
		.disk_total = 7};
	struct vm_job_info info = {.elapsed_ms = 5};
	const struct vm_job_migration *m = &info.migration;

	statistics_figures(&(struct cookie_statistics){0}, &info);
	ok(info.elapsed_ms == 5 && !m->has_downtime && !m->has_delta, "who says nothing changes nothing");
	statistics_figures(&t, &info);
	ok(info.elapsed_ms == 470 && m->has_downtime && m->downtime_ms == 24, "the other side's times");
	ok(m->has_delta && m->delta_ms == -3, "its clock");
	ok(info.memory_total == 1000 && info.memory_processed == 900 && m->page_size == 4096 &&
			info.disk_total == 7,
		"its sums");
	info = (struct vm_job_info){.elapsed_ms = 5};
	t.time_elapsed = t.downtime = UINT64_MAX;
	t.delta_ms = INT64_MIN;
	statistics_figures(&t, &info);
	ok(info.elapsed_ms == 5 && !m->has_downtime && !m->has_delta, "what is no time");
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
	test_downtime();
	test_statistics();
	return done_testing();
}
