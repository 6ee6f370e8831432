/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU sends while it takes its memory from us, and answers to what it asks for.
 *
 * With postcopy-preempt an answer goes to the urgent socket, which has its own thread in QEMU and nothing else on it; without, and once
 * that socket is closed, as a section of its own to the main one.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "page-section.h"

#define READ_STEP	(64u << 10)
#define ASKED_MAX	HOT_LIST_PAGES_MAX
#define BITMAP_FRAME	16u /* a size before, a mark behind */
#define BITMAP_SIZE_MAX (RAM_LENGTH_MAX / RAM_PAGE / 8)

struct answerer {
	struct page_server *server;
	struct page_reader *reader;
	struct buf in;	/* from QEMU, not understood yet */
	int last_block; /* that QEMU named; -1: none */
	struct page_ref last_asked;
	uint8_t data[RAM_PAGE];
};

/* ---- requests ---- */

/* true: it went there; false: there is no such socket (any more). */
static bool send_urgent(struct page_server *s, struct iovec *iov, int n, int *ret_r, struct error *err)
{
	struct serving_connection *c = &s->connection;
	bool usable;

	pthread_mutex_lock(&c->urgent_lock);
	usable = c->urgent_fd >= 0 && !c->urgent_over;
	if (usable)
		*ret_r = stream_writev(c->urgent_fd, iov, n, err);
	pthread_mutex_unlock(&c->urgent_lock);
	return usable;
}

/* The record `iov` in a section. */
static int send_section(struct page_server *s, const struct iovec *iov, int n, struct error *err)
{
	uint32_t id = page_source_section(s->source);
	uint8_t head[POSTCOPY_SECTION_SIZE], end[POSTCOPY_SECTION_END_SIZE];
	struct iovec section[4] = {{.iov_base = head, .iov_len = sizeof(head)}};

	postcopy_section_encode(head, STREAM_PART, id);
	postcopy_section_end_encode(end, id);
	for (int i = 0; i < n; i++)
		section[1 + i] = iov[i];
	section[1 + n] = (struct iovec){.iov_base = end, .iov_len = sizeof(end)};
	return serving_send(s, section, n + 2, err);
}

static int send_answer(struct answerer *a, struct page_ref ref, bool zero, struct error *err)
{
	struct page_server *s = a->server;
	uint8_t record[POSTCOPY_RECORD_MAX];
	struct iovec iov[2] = {{.iov_base = record}, {.iov_base = a->data, .iov_len = RAM_PAGE}};
	int n = zero ? 1 : 2, r = 0;

	if (!page_claims_take(&s->claims, ref.block, ref.page))
		return 0;
	iov[0].iov_len = postcopy_record_encode(record, s->blocks[ref.block].name, ref.page * RAM_PAGE, zero);
	if (!send_urgent(s, iov, n, &r, err))
		r = send_section(s, iov, n, err);
	if (r == 0)
		serving_add_pages(s, 1);
	return r;
}

/* Unreadable, it is kept for a retry. */
static int answer(struct answerer *a, struct page_ref ref, struct error *err)
{
	struct page_server *s = a->server;
	unsigned retries = serving_count_retries(s);
	struct error trouble = ERROR_INIT;
	bool zero;

	if (page_claims_next(&s->claims, ref.block, ref.page) != ref.page)
		return 0; /* it crossed the request */
	if (serving_read(s, &a->reader, ref, a->data, &zero, &trouble) == 0)
		return send_answer(a, ref, zero, err);
	VEC_ADD(&s->unread, ref);
	serving_report_trouble(s, retries, &trouble);
	return 0;
}

static int retry(struct answerer *a, struct error *err)
{
	struct page_server *s = a->server;
	VEC(struct page_ref) refs = {.items = s->unread.items, .n = s->unread.n};
	unsigned retries = serving_count_retries(s);
	int r = 0;

	s->unread.items = NULL;
	s->unread.n = 0;
	VEC_FOREACH (ref, &refs)
		if (r == 0)
			r = answer(a, ref, err);
	VEC_FREE(&refs);
	serving_note_retried(s, &s->answerer_retried, retries);
	return r;
}

static void record(struct page_server *s, struct page_ref ref)
{
	pthread_mutex_lock(&s->lock);
	if (s->recording && s->asked.pages.n < ASKED_MAX)
		VEC_ADD(&s->asked.pages, ref);
	pthread_mutex_unlock(&s->lock);
}

/* A program that goes through its memory asks for one page after another: the fill should be there before it. */
static void look_ahead(struct answerer *a, struct page_ref ref)
{
	struct page_ref next = {.block = ref.block, .page = ref.page + 1};

	if (ref.block == a->last_asked.block && ref.page - a->last_asked.page <= SECTION_DATA)
		a->server->next_asked = serving_number(next);
	a->last_asked = ref;
}

static int find_block(const struct page_server *s, const char *name)
{
	for (unsigned i = 0; i < s->n_blocks; i++)
		if (strcmp(s->blocks[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int on_request(struct answerer *a, const struct postcopy_message *m, struct error *err)
{
	struct page_server *s = a->server;
	uint64_t length;

	if (m->type == POSTCOPY_REQ_PAGES_ID)
		a->last_block = find_block(s, m->block);
	length = a->last_block >= 0 ? s->blocks[a->last_block].length : 0;
	if (m->start % RAM_PAGE != 0 || m->len % RAM_PAGE != 0 || m->start > length ||
		m->len > length - m->start)
		return error_set(err, ERROR_RPC,
			"QEMU asks for %" PRIu32 " bytes of memory at %" PRIu64
			" of block '%s', which image %s does not have",
			m->len, m->start, m->block, s->name);
	for (uint64_t at = m->start; at < m->start + m->len; at += RAM_PAGE) {
		struct page_ref ref = {.block = (unsigned)a->last_block, .page = at / RAM_PAGE};

		record(s, ref);
		if (answer(a, ref, err) < 0)
			return -1;
		look_ahead(a, ref);
	}
	s->last_answer = clock_now();
	return 0;
}

/* ---- the rest ---- */

/* What follows the message, in `data`: 1: it was all there, 0: more bytes are needed. */
static int on_bitmap(struct answerer *a, const struct postcopy_message *m, const uint8_t *data, size_t len,
	size_t *ret_len, struct error *err)
{
	struct page_server *s = a->server;
	int block = find_block(s, m->block);
	uint64_t size, n;

	if (len < 8)
		return 0;
	size = get_be64(data);
	if (block < 0 || size > BITMAP_SIZE_MAX || size * 8 < s->blocks[block].length / RAM_PAGE)
		return error_set(
			err, ERROR_RPC, "QEMU's map of block '%s' does not fit image %s", m->block, s->name);
	if (len - 8 < size + 8)
		return 0;
	if (get_be64(data + 8 + size) != POSTCOPY_BITMAP_END)
		return error_set(err, ERROR_RPC, "QEMU's map of block '%s' has no end", m->block);
	*ret_len = (size_t)size + BITMAP_FRAME;
	n = page_claims_set(&s->claims, (unsigned)block, data + 8);
	pthread_mutex_lock(&s->lock);
	s->n_received += n;
	s->n_bitmaps++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return 1;
}

static int on_shut(struct page_server *s, uint32_t status, struct error *err)
{
	bool ending;

	pthread_mutex_lock(&s->lock);
	ending = s->state == SERVING_ENDING;
	pthread_mutex_unlock(&s->lock);
	if (!ending || status != 0)
		return error_set(err, ERROR_QEMU,
			"QEMU ended the migration from image %s with status %" PRIu32, s->name, status);
	serving_move(s, SERVING_OVER);
	return 0;
}

static void set(struct page_server *s, bool *flag)
{
	pthread_mutex_lock(&s->lock);
	*flag = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static int on_message(struct answerer *a, const struct postcopy_message *m, struct error *err)
{
	struct page_server *s = a->server;

	switch (m->type) {
	case POSTCOPY_SHUT:
		return on_shut(s, m->number, err);
	case POSTCOPY_PONG:
		set(s, &s->devices_loaded); /* we send one PING */
		return 0;
	case POSTCOPY_REQ_PAGES_ID:
	case POSTCOPY_REQ_PAGES:
		return on_request(a, m, err);
	case POSTCOPY_RESUME_ACK:
		set(s, &s->resumed);
		return 0;
	case POSTCOPY_BITMAP:
	case POSTCOPY_SWITCHOVER_ACK:
		break;
	}
	return 0;
}

/* Bytes used of what came; 0: more are needed. */
static ssize_t handle(struct answerer *a, const uint8_t *data, size_t len, struct error *err)
{
	struct postcopy_message m;
	ssize_t n = postcopy_message_parse(data, len, &m, err);
	size_t more = 0;
	int r;

	if (n <= 0)
		return n;
	if (m.type != POSTCOPY_BITMAP)
		return on_message(a, &m, err) < 0 ? -1 : n;
	r = on_bitmap(a, &m, data + n, len - (size_t)n, &more, err);
	return r <= 0 ? r : n + (ssize_t)more;
}

/* 1: go on; 0: QEMU is gone; -1: what it said, or answering, went wrong. */
static int receive(struct answerer *a, struct error *err)
{
	struct page_server *s = a->server;
	void *to = buf_reserve(&a->in, READ_STEP);
	ssize_t n = read(s->connection.main_fd, to, READ_STEP);
	size_t at = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n <= 0)
		return 0;
	a->in.len += (size_t)n;
	s->answering = true;
	while ((n = handle(a, (const uint8_t *)a->in.data + at, a->in.len - at, err)) > 0)
		at += (size_t)n;
	s->answering = false;
	buf_drop_front(&a->in, at);
	return n < 0 ? -1 : 1;
}

static int work(struct answerer *a, struct error *err)
{
	struct page_server *s = a->server;
	struct pollfd polled[] = {
		{.fd = s->connection.main_fd, .events = POLLIN},
		{.fd = s->wake, .events = POLLIN},
	};
	int r = retry(a, err) < 0 ? -1 : 1;

	while (r > 0 && serving_look(s, NULL)) {
		uint64_t n;

		if (poll(polled, 2, -1) < 0)
			continue;
		if (polled[1].revents && read(s->wake, &n, sizeof(n)) > 0 && retry(a, err) < 0)
			r = -1;
		else if (polled[0].revents)
			r = receive(a, err);
	}
	return r;
}

void serving_answer(struct page_server *s)
{
	struct answerer a = {.server = s, .last_block = -1};
	struct error err = ERROR_INIT;
	int r = work(&a, &err);

	/* Sockets that break are what recovery is for. */
	if (r < 0 && (err.code == ERROR_RPC || err.code == ERROR_QEMU))
		serving_fail(s, &err);
	else
		serving_lose(s);
	page_reader_free(a.reader);
	buf_fini(&a.in);
}
