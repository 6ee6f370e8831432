/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything the guest did not ask for, in the order of memory, in small sections; between two of them the guest comes first. Where it
 * asks for one page after another, what it will ask for next comes before the rest.
 *
 * QEMU needs 6 to 12 us to place a page, so that is the floor of the whole; the image can mostly be read faster. Giving way costs
 * nothing where the guest asks for nothing.
 */
#include <stdatomic.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "fault.h"
#include "page-section.h"

#define HOT_TIME     (2 * USEC_PER_SEC) /* how long what the guest asks for counts as hot, from when it may run */
#define GIVE_WAY     300		/* us without a request, before the next section */
#define GIVE_WAY_MAX 2000		/* us; a guest that asks all the time is helped by filling, too */
#define SHORT_WHILE  50			/* us */
#define HELD_WHILE   5000		/* us */

/* Pages that cannot be read, before the fill waits to be told to retry: a whole disk may be gone. */
#define UNREAD_MAX 4096u

struct filling {
	struct page_server *server;
	struct page_reader **reader;
	struct section *section;
	struct page_ref at; /* before it is nothing that was not sent, but what is in `unread` */
	VEC(struct page_ref) unread;
	unsigned retries;   /* seen */
	uint64_t hot_until; /* 0: the guest does not run yet */
	bool hot_stored;
};

static void sleep_us(uint64_t us)
{
	struct timespec t = {.tv_nsec = (long)us * 1000};

	nanosleep(&t, NULL);
}

/* Once, when it is time; a fill that is faster stores at its end. */
static void store_hot_list(struct filling *f, bool now)
{
	struct page_server *s = f->server;
	struct hot_list asked;

	if (f->hot_stored || f->hot_until == 0 || (!now && clock_now() < f->hot_until))
		return;
	f->hot_stored = true;
	pthread_mutex_lock(&s->lock);
	asked = s->asked;
	s->asked = (struct hot_list){0};
	s->recording = false;
	pthread_mutex_unlock(&s->lock);
	hot_list_write(s->image_fd, s->blocks, &asked, &s->hot);
	hot_list_fini(&asked);
}

static void give_way(struct page_server *s)
{
	uint64_t start = clock_now(), now = start;

	while (!s->hurry && !s->next_asked && now - start < GIVE_WAY_MAX &&
		(s->answering || now - s->last_answer < GIVE_WAY)) {
		sleep_us(SHORT_WHILE);
		now = clock_now();
	}
}

static void add_page(struct filling *f, struct page_ref ref)
{
	unsigned retries = serving_count_retries(f->server);
	struct error trouble = ERROR_INIT;

	if (section_add(f->section, f->server, f->reader, ref, &trouble) == 0)
		return;
	VEC_ADD(&f->unread, ref);
	serving_report_trouble(f->server, retries, &trouble);
}

/* The next page nobody sent. */
static bool find_next(struct filling *f)
{
	struct page_server *s = f->server;

	for (; f->at.block < s->n_blocks; f->at.block++, f->at.page = 0) {
		f->at.page = page_claims_next(&s->claims, f->at.block, f->at.page);
		if (f->at.page != UINT64_MAX)
			return true;
	}
	return false;
}

/* What a guest that goes through its memory will ask for next. */
static void add_ahead(struct filling *f, struct page_ref ref)
{
	struct page_server *s = f->server;
	uint64_t end = ref.page + SECTION_PAGES;

	for (; !section_is_full(f->section) && f->unread.n < UNREAD_MAX; ref.page++) {
		ref.page = page_claims_next(&s->claims, ref.block, ref.page);
		if (ref.page >= end)
			return;
		add_page(f, ref);
	}
}

static int send_next_section(struct filling *f, struct error *err)
{
	uint64_t ahead;

	give_way(f->server);
	ahead = atomic_exchange(&f->server->next_asked, 0);
	if (ahead)
		add_ahead(f, serving_page(ahead));
	if (f->section->n > 0)
		return section_send(f->section, f->server, err);
	for (; !section_is_full(f->section) && f->unread.n < UNREAD_MAX && find_next(f); f->at.page++)
		add_page(f, f->at);
	return section_send(f->section, f->server, err);
}

/* Those that could not be read, when it is time. */
static int retry(struct filling *f, struct error *err)
{
	VEC(struct page_ref) refs = {.items = f->unread.items, .n = f->unread.n};
	struct page_server *s = f->server;
	unsigned retries = serving_count_retries(s);
	int r = 0;

	if (f->retries == retries)
		return 0;
	f->unread.items = NULL;
	f->unread.n = 0;
	VEC_FOREACH (ref, &refs) {
		add_page(f, ref);
		if (section_is_full(f->section) && section_send(f->section, s, err) < 0)
			r = -1;
	}
	VEC_FREE(&refs);
	if (r < 0 || section_send(f->section, s, err) < 0)
		return -1;
	f->retries = retries;
	serving_note_retried(s, &s->filler_retried, retries);
	return 0;
}

/* Until there may be something to do. */
static void wait_for_more(struct filling *f)
{
	struct page_server *s = f->server;
	uint64_t until = f->hot_stored ? 0 : f->hot_until;
	struct timespec t = {
		.tv_sec = (time_t)(until / USEC_PER_SEC), .tv_nsec = (long)(until % USEC_PER_SEC) * 1000};

	pthread_mutex_lock(&s->lock);
	if (serving_is_connected(s) && s->retries == f->retries && s->going == (f->hot_until > 0) &&
		!(s->going && serving_has_all(s))) {
		if (until)
			pthread_cond_timedwait(&s->changed, &s->lock, &t);
		else
			pthread_cond_wait(&s->changed, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

/* What there is to do now. 0: all was sent; 1: go on; -1: the connection is over. */
static int step(struct filling *f, struct error *err)
{
	struct page_server *s = f->server;
	bool going;

	if (!serving_look(s, &going) || retry(f, err) < 0)
		return -1;
	if (going && f->hot_until == 0)
		f->hot_until = clock_now() + HOT_TIME;
	store_hot_list(f, false);
	if (going && serving_has_all(s))
		return 0;
	if (going && fault_held("io-filling"))
		sleep_us(HELD_WHILE);
	else if (going && f->unread.n < UNREAD_MAX && find_next(f))
		return send_next_section(f, err) < 0 ? -1 : 1;
	else
		wait_for_more(f);
	return 1;
}

int serving_fill(struct page_server *s, struct page_reader **reader, struct error *err)
{
	_cleanup_free_ struct section *section = NEW(struct section);
	struct filling f = {.server = s,
		.reader = reader,
		.section = section,
		.retries = serving_count_retries(s),
		/* What a guest asks for in the middle is not what it needs at once. */
		.hot_stored = s->connection.resume};
	int r;

	serving_note_retried(s, &s->filler_retried, f.retries);
	do
		r = step(&f, err);
	while (r > 0);
	if (r == 0)
		store_hot_list(&f, true);
	VEC_FREE(&f.unread);
	return r;
}
