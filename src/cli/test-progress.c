/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a long job is, and the two promises of progress.h. */
#include "clock.h"
#include "progress.h"
#include "report.h"
#include "tap.h"

#define MIB  (1ull << 20)
#define TICK (100 * USEC_PER_MSEC)

/* Runs a job whose speed at tick `t` is speeds[t], and checks both promises at every tick. */
struct run {
	bool percent_fell, eta_rose, known, lost;
	uint64_t last_eta;
};

static struct run simulate(const unsigned *mib_per_tick, size_t ticks, uint64_t total_mib)
{
	struct run run = {.last_eta = PROGRESS_ETA_UNKNOWN};
	struct progress p;
	uint64_t now = 5 * USEC_PER_SEC, done = 0;
	unsigned percent = 0;

	progress_init(&p, now);
	for (size_t t = 0; t < ticks && done < total_mib; t++) {
		uint64_t eta;

		now += TICK;
		done += mib_per_tick[t];
		progress_update(&p, now, done * MIB, total_mib * MIB);
		run.percent_fell = run.percent_fell || progress_permyriad(&p) < percent;
		percent = progress_permyriad(&p);
		eta = progress_eta_us(&p);
		if (eta == PROGRESS_ETA_UNKNOWN) {
			run.lost = run.lost || run.known;
			continue;
		}
		run.eta_rose = run.eta_rose || (run.known && eta > run.last_eta);
		run.known = true;
		run.last_eta = eta;
	}
	return run;
}

static void test_promises(void)
{
	unsigned steady[200], slower[400], stalls[400], wild[400];
	struct run run;

	for (size_t i = 0; i < 400; i++) {
		if (i < 200)
			steady[i] = 10;
		slower[i] = i < 40 ? 40 : 3;
		stalls[i] = i < 30 || i > 90 ? 20 : 0;
		wild[i] = (unsigned)(i * 7919 % 61);
	}
	run = simulate(steady, 200, 1000);
	ok(run.known && !run.lost, "a steady job has a remaining time once it has one");
	ok(!run.eta_rose && !run.percent_fell, "which does not rise");
	run = simulate(slower, 400, 2500);
	ok(!run.eta_rose, "nor when the job becomes much slower");
	ok(run.lost, "then it is taken back");
	run = simulate(stalls, 400, 3000);
	ok(!run.eta_rose && run.lost, "a stalled job has none");
	run = simulate(wild, 400, 8000);
	ok(!run.eta_rose && !run.percent_fell, "a job of changing speed keeps both promises");
}

static void test_figures(void)
{
	struct progress p;
	uint64_t now = USEC_PER_SEC;

	progress_init(&p, now);
	is_int(progress_permyriad(&p), 0, "nothing is done");
	ok(progress_eta_us(&p) == PROGRESS_ETA_UNKNOWN, "and nothing promised");
	progress_update(&p, now + TICK, 0, 0);
	is_int(progress_permyriad(&p), 0, "without a total there is no percentage");
	for (int i = 1; i <= 30; i++)
		progress_update(&p, now + (uint64_t)i * TICK, (uint64_t)i * 10 * MIB, 600 * MIB);
	is_int(progress_permyriad(&p), 5000, "half is done");
	ok(progress_eta_us(&p) > 2500000 && progress_eta_us(&p) < 3500000, "in three seconds; three remain");
	progress_update(&p, now + 31 * TICK, 200 * MIB, 600 * MIB);
	is_int(progress_permyriad(&p), 5000, "a guest that dirties its memory does not turn it back");
	progress_update(&p, now + 32 * TICK, 600 * MIB, 600 * MIB);
	is_int(progress_permyriad(&p), 9999, "all bytes are written, but it is not finished");
	progress_finish(&p, now + 40 * TICK);
	is_int(progress_permyriad(&p), 10000, "now it is");
	ok(progress_eta_us(&p) == PROGRESS_ETA_UNKNOWN, "and nothing remains");
}

static void test_line(void)
{
	struct progress p;
	uint64_t now = USEC_PER_SEC;
	char *line;

	progress_init(&p, now);
	for (int i = 1; i <= 30; i++)
		progress_update(&p, now + (uint64_t)i * TICK, (uint64_t)i * 10 * MIB, 600 * MIB);
	line = progress_format(&p, "Save guest7", 100, now + 30 * TICK);
	ok(strstr(line, "Save guest7 [") == line, "the title comes first");
	ok(strstr(line, " 50 %  300 MiB of 600 MiB  100 MiB/s  0:03 left"), "then what is known");
	ok(strstr(line, "[###############...............]"), "a bar of 30, half full");
	free(line);
	line = progress_format(&p, "Save guest7", 76, now + 30 * TICK);
	ok(strchr(line, '#') && strlen(line) <= 76, "a narrower terminal has a shorter bar");
	free(line);
	line = progress_format(&p, "Save guest7", 30, now + 30 * TICK);
	ok(!strchr(line, '[') && strlen(line) <= 30, "the narrowest has none, and no line ever wraps");
	free(line);
	progress_finish(&p, now + 60 * TICK);
	line = progress_format(&p, "Save guest7", 100, now + 60 * TICK);
	ok(strstr(line, "100 %  600 MiB  100 MiB/s  in 6.0 s"), "at the end: how much, how fast, how long");
	free(line);
}

/* A guest that dirties its memory: what counts is what is gained. */
static void test_dirtying(void)
{
	struct progress p;
	uint64_t now = USEC_PER_SEC;
	char *line;

	progress_init(&p, now);
	progress_set_dirtying(&p, 100 * MIB, 80 * MIB);
	for (int i = 1; i <= 20; i++)
		progress_update(&p, now + (uint64_t)i * TICK, (uint64_t)i * 10 * MIB, 600 * MIB);
	ok(!progress_is_hopeless(&p), "it gains");
	is_int((int64_t)(progress_eta_us(&p) / USEC_PER_SEC), 20, "20 MiB/s of 400 MiB, not 100");
	progress_set_dirtying(&p, 100 * MIB, 100 * MIB);
	progress_update(&p, now + 21 * TICK, 210 * MIB, 600 * MIB);
	ok(progress_is_hopeless(&p) && progress_eta_us(&p) == PROGRESS_ETA_UNKNOWN,
		"no promise without a gain");
	line = progress_format(&p, "Migration", 100, now + 21 * TICK);
	ok(strstr(line, "100 MiB/s  does not converge"), "which is said");
	free(line);
	progress_set_dirtying(&p, 100 * MIB, 0);
	progress_update(&p, now + 22 * TICK, 220 * MIB, 600 * MIB);
	ok(progress_eta_us(&p) / USEC_PER_SEC == 3, "slowed down it is a guest like any other");
	progress_set_dirtying(&p, 100 * MIB, 200 * MIB);
	progress_finish(&p, now + 23 * TICK);
	ok(!progress_is_hopeless(&p), "it has, when it is over");
}

int main(void)
{
	test_promises();
	test_figures();
	test_line();
	test_dirtying();
	return done_testing();
}
