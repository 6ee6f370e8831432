/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A memory area whose every byte is known.
 *
 * Pages are rewritten in order, round after round, so the number of writes made alone tells the generation of
 * every page; what a page holds follows from seed, page number and generation. A page lost, swapped, stale or
 * damaged by a save and restore therefore shows, and so does memory of another instant than the counter.
 */
#include "guest.h"

#include <stdio.h>
#include <sys/mman.h>

enum { WORDS = GUEST_PAGE / 8, BATCH = 64 };

static uint64_t page_start(const struct memory *m, uint64_t page, uint64_t generation)
{
	return mix64(m->seed ^ mix64(page * 0x10001 + 1) ^ mix64(generation + 0x5bd1e995)) | 1;
}

/* The word after `x` in a page. xorshift64: fast enough for gigabytes under emulation. */
static inline uint64_t next_word(const struct memory *m, uint64_t x)
{
	if (!m->incompressible)
		return x + 1;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void page_write(struct memory *m, uint64_t page, uint64_t generation)
{
	uint64_t *w = m->words + page * WORDS, x = page_start(m, page, generation);

	for (size_t i = 0; i < WORDS; i++, x = next_word(m, x))
		w[i] = x;
}

static bool page_is(const struct memory *m, uint64_t page, uint64_t generation)
{
	const uint64_t *w = m->words + page * WORDS;
	uint64_t x = page_start(m, page, generation);

	for (size_t i = 0; i < WORDS; i++, x = next_word(m, x))
		if (w[i] != x)
			return false;
	return true;
}

static uint64_t generation_of(const struct memory *m, uint64_t page)
{
	return (m->writes + m->pages - 1 - page) / m->pages;
}

static void write_next(struct memory *m)
{
	uint64_t page = m->writes % m->pages;

	m->writes++;
	page_write(m, page, generation_of(m, page));
}

bool memory_init(struct memory *m, const struct settings *s, uint64_t seed)
{
	pthread_mutex_init(&m->lock, NULL);
	m->pages = (s->memory_mib << 20) / GUEST_PAGE;
	m->rate_pages = (s->rate_mib << 20) / GUEST_PAGE;
	m->incompressible = s->incompressible;
	m->seed = seed;
	if (m->pages == 0)
		return true;
	m->words =
		mmap(NULL, m->pages * GUEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->words == MAP_FAILED)
		return false;
	for (uint64_t i = 0; i < m->pages; i++)
		write_next(m);
	return true;
}

void *memory_run(void *argument)
{
	struct memory *m = &((struct guest *)argument)->memory;
	uint64_t done = 0, start = monotonic_us();

	while (m->rate_pages && m->pages) {
		uint64_t due = (monotonic_us() - start) * m->rate_pages / 1000000;

		if (done >= due) {
			sleep_ms(2);
			continue;
		}
		pthread_mutex_lock(&m->lock);
		for (unsigned i = 0; i < BATCH && done < due; i++, done++)
			write_next(m);
		pthread_mutex_unlock(&m->lock);
		/* Behind by more than a second: the machine is too slow for the rate; do not try to make it up. */
		if (due > done + m->rate_pages) {
			start = monotonic_us();
			done = 0;
		}
	}
	return NULL;
}

void memory_check(struct memory *m, struct verdict *ret)
{
	uint64_t bad = 0, first_bad = 0;

	pthread_mutex_lock(&m->lock);
	for (uint64_t p = 0; p < m->pages; p++)
		if (!page_is(m, p, generation_of(m, p)) && bad++ == 0)
			first_bad = p;
	ret->good = bad == 0;
	snprintf(ret->text, sizeof ret->text, "pages=%llu writes=%llu bad=%llu first_bad=%llu",
		(unsigned long long)m->pages, (unsigned long long)m->writes, (unsigned long long)bad,
		(unsigned long long)first_bad);
	pthread_mutex_unlock(&m->lock);
}
