/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unit tests that print TAP: `int main(void) { ok(1 + 1 == 2, "sums"); return done_testing(); }` */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One test program is one translation unit, so its counters may stand here. */
static unsigned tap_count_, tap_failed_;

static inline bool tap_ok_(bool good, const char *name, const char *file, int line)
{
	tap_count_++;
	if (!good)
		tap_failed_++;
	printf("%sok %u - %s\n", good ? "" : "not ", tap_count_, name);
	if (!good)
		printf("# failed at %s:%d\n", file, line);
	fflush(stdout); /* a crash must not swallow what was said before it */
	return good;
}

static inline bool tap_is_str_(
	const char *got, const char *want, const char *name, const char *file, int line)
{
	bool good = got && want ? strcmp(got, want) == 0 : got == want;

	tap_ok_(good, name, file, line);
	if (!good)
		printf("#  got: %s\n# want: %s\n", got ? got : "(null)", want ? want : "(null)");
	return good;
}

static inline bool tap_is_int_(int64_t got, int64_t want, const char *name, const char *file, int line)
{
	tap_ok_(got == want, name, file, line);
	if (got != want)
		printf("#  got: %lld\n# want: %lld\n", (long long)got, (long long)want);
	return got == want;
}

/* All return whether it held. */
#define ok(condition, name)	tap_ok_((condition), (name), __FILE__, __LINE__)
#define is_str(got, want, name) tap_is_str_((got), (want), (name), __FILE__, __LINE__)
#define is_int(got, want, name) tap_is_int_((int64_t)(got), (int64_t)(want), (name), __FILE__, __LINE__)

/* Prints the plan. The exit status: 0 only when at least one test ran and all held. */
static inline int done_testing(void)
{
	printf("1..%u\n", tap_count_);
	return tap_count_ > 0 && tap_failed_ == 0 ? 0 : 1;
}
