/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's counting aloud, and its watch over its own clocks. */
#include "guest.h"

#include <stdio.h>
#include <time.h>

uint64_t monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void sleep_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

uint64_t mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

void *clock_run(void *argument)
{
	struct guest *g = argument;
	struct clock_watch *c = &g->clock;

	for (;;) {
		uint64_t mono = monotonic_us(), wall = wall_us(), n;

		pthread_mutex_lock(&c->lock);
		if (mono < c->monotonic_us || wall < c->wall_us)
			c->backwards++;
		if (c->ticks && mono > c->monotonic_us + c->max_gap_us)
			c->max_gap_us = mono - c->monotonic_us;
		c->monotonic_us = mono;
		c->wall_us = wall;
		n = ++c->ticks;
		pthread_mutex_unlock(&c->lock);
		say(g->console, "T %llu %llu %llu", (unsigned long long)n, (unsigned long long)mono,
			(unsigned long long)wall);
		sleep_ms(g->settings.tick_ms);
	}
}

void clock_report(struct clock_watch *c, struct verdict *ret)
{
	pthread_mutex_lock(&c->lock);
	ret->good = c->backwards == 0;
	snprintf(ret->text, sizeof ret->text, "ticks=%llu backwards=%llu max_gap_us=%llu monotonic_us=%llu",
		(unsigned long long)c->ticks, (unsigned long long)c->backwards,
		(unsigned long long)c->max_gap_us, (unsigned long long)c->monotonic_us);
	pthread_mutex_unlock(&c->lock);
}
