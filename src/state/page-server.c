/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page server's machine and its two threads (page-serving.h).
 *
 *	IDLE --connect--> BEGINNING --devices sent--> PAGES --all sent--> ENDING --SHUT--> OVER
 *	  \--resume--> RECOVERING --QEMU resumes-------^ |                   |
 *			   ^				 v		     v
 *			   '----------resume----------- LOST <--- a socket breaks, from any of them
 *
 * Whatever QEMU says that no QEMU would say, or that its load failed, leads to FAILED.
 */
#include "page-server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "page-serving.h"

/* What QEMU has not read yet is what a request has to wait behind. */
#define MAIN_BUFFER (64 << 10)

#define TO(state) (1u << SERVING_##state)
static const unsigned moves[] = {
	[SERVING_IDLE] = TO(BEGINNING) | TO(RECOVERING) | TO(FAILED),
	[SERVING_BEGINNING] = TO(PAGES) | TO(LOST) | TO(FAILED),
	[SERVING_RECOVERING] = TO(PAGES) | TO(LOST) | TO(FAILED),
	[SERVING_PAGES] = TO(ENDING) | TO(LOST) | TO(FAILED),
	[SERVING_ENDING] = TO(OVER) | TO(LOST) | TO(FAILED),
	[SERVING_OVER] = 0,
	[SERVING_LOST] = TO(RECOVERING) | TO(FAILED),
	[SERVING_FAILED] = 0,
};
static_assert(ARRAY_SIZE(moves) == SERVING_STATE_MAX_, "one row for each state");

static void ring(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

bool serving_is_connected(const struct page_server *s)
{
	return s->state >= SERVING_BEGINNING && s->state <= SERVING_ENDING;
}

/* The lock is held. */
static void move(struct page_server *s, enum serving_state state)
{
	assert(moves[s->state] & 1u << state);
	s->state = state;
	if (!serving_is_connected(s)) {
		shutdown(s->connection.main_fd, SHUT_RDWR);
		if (s->connection.urgent_fd >= 0)
			shutdown(s->connection.urgent_fd, SHUT_RDWR);
		ring(s->wake);
	}
	pthread_cond_broadcast(&s->changed);
}

void serving_move(struct page_server *s, enum serving_state state)
{
	pthread_mutex_lock(&s->lock);
	/* It may have been lost at the very moment. */
	if (serving_is_connected(s))
		move(s, state);
	pthread_mutex_unlock(&s->lock);
}

void serving_lose(struct page_server *s)
{
	serving_move(s, SERVING_LOST);
}

void serving_fail(struct page_server *s, const struct error *err)
{
	pthread_mutex_lock(&s->lock);
	if (serving_is_connected(s)) {
		s->error = *err;
		move(s, SERVING_FAILED);
	}
	pthread_mutex_unlock(&s->lock);
}

void serving_report_trouble(struct page_server *s, unsigned retries, const struct error *err)
{
	pthread_mutex_lock(&s->lock);
	if (s->trouble.code == ERROR_NONE && s->retries == retries) {
		s->trouble = *err;
		ring(s->bell);
	}
	pthread_mutex_unlock(&s->lock);
}

unsigned serving_count_retries(struct page_server *s)
{
	unsigned retries;

	pthread_mutex_lock(&s->lock);
	retries = s->retries;
	pthread_mutex_unlock(&s->lock);
	return retries;
}

void serving_note_retried(struct page_server *s, unsigned *which, unsigned retries)
{
	pthread_mutex_lock(&s->lock);
	*which = retries;
	if (s->filler_retried == s->retries && s->answerer_retried == s->retries &&
		s->trouble.code == ERROR_NONE && s->mended != s->retries) {
		s->mended = s->retries;
		ring(s->bell);
	}
	pthread_mutex_unlock(&s->lock);
}

bool serving_look(struct page_server *s, bool *ret_going)
{
	bool connected;

	pthread_mutex_lock(&s->lock);
	connected = serving_is_connected(s);
	if (ret_going)
		*ret_going = s->going;
	pthread_mutex_unlock(&s->lock);
	return connected;
}

void serving_add_pages(struct page_server *s, uint64_t n)
{
	s->pages_in += n;
	if (!serving_has_all(s))
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

bool serving_has_all(const struct page_server *s)
{
	return s->pages_in == s->n_pages;
}

int serving_send(struct page_server *s, struct iovec *iov, int n, struct error *err)
{
	int r;

	pthread_mutex_lock(&s->connection.main_lock);
	r = stream_writev(s->connection.main_fd, iov, n, err);
	pthread_mutex_unlock(&s->connection.main_lock);
	return r;
}

int serving_send_buf(struct page_server *s, const struct buf *b, struct error *err)
{
	return serving_send(s, &(struct iovec){.iov_base = b->data, .iov_len = b->len}, 1, err);
}

int serving_read(struct page_server *s, struct page_reader **reader, struct page_ref ref,
	uint8_t ret[RAM_PAGE], bool *ret_zero, struct error *err)
{
	if (!*reader && page_reader_open(s->source, reader, err) < 0)
		return -1;
	return page_reader_read(*reader, ref.block, ref.page, ret, ret_zero, err);
}

/* ---- threads ---- */

static void leave(struct page_server *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->connection.n_running == 0)
		ring(s->bell);
	pthread_mutex_unlock(&s->lock);
}

static int work(struct page_server *s, struct page_reader **reader, struct error *err)
{
	int r = s->connection.resume ? serving_recover(s, err) : serving_begin(s, reader, err);

	if (r < 0 || serving_fill(s, reader, err) < 0)
		return -1;
	return serving_end(s, err);
}

static void *filler_thread(void *arg)
{
	struct page_server *s = arg;
	struct page_reader *reader = NULL;
	struct error err = ERROR_INIT;

	/* What can go wrong here is the sockets. */
	if (work(s, &reader, &err) < 0)
		serving_lose(s);
	page_reader_free(reader);
	leave(s);
	return NULL;
}

static void *answerer_thread(void *arg)
{
	struct page_server *s = arg;

	serving_answer(s);
	leave(s);
	return NULL;
}

static int start_threads(struct page_server *s, struct error *err)
{
	struct serving_connection *c = &s->connection;
	int r;

	c->n_running = 2;
	r = pthread_create(&c->answerer, NULL, answerer_thread, s);
	if (r != 0)
		return error_errno(err, r, "start a thread");
	r = pthread_create(&c->filler, NULL, filler_thread, s);
	if (r != 0) {
		serving_lose(s);
		pthread_join(c->answerer, NULL);
		return error_errno(err, r, "start a thread");
	}
	c->has_threads = true;
	return 0;
}

static void disconnect(struct page_server *s)
{
	struct serving_connection *c = &s->connection;

	if (c->has_threads) {
		serving_lose(s);
		pthread_join(c->filler, NULL);
		pthread_join(c->answerer, NULL);
		c->has_threads = false;
	}
	close_p(&c->main_fd);
	close_p(&c->urgent_fd);
	c->main_fd = c->urgent_fd = -1;
}

static void set_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

int page_server_connect(struct page_server *s, int main_fd, int urgent_fd, bool resume, struct error *err)
{
	struct serving_connection *c = &s->connection;
	int size = MAIN_BUFFER;

	disconnect(s);
	c->main_fd = main_fd;
	c->urgent_fd = urgent_fd;
	c->urgent_over = false;
	c->resume = resume;
	if (!(moves[s->state] & (resume ? TO(RECOVERING) : TO(BEGINNING))))
		return error_set(err, ERROR_OPERATION_INVALID,
			"a second migration cannot be begun with the image %s", s->name);
	set_blocking(main_fd);
	setsockopt(main_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (urgent_fd >= 0)
		set_blocking(urgent_fd);
	s->unread.n = 0;
	s->n_bitmaps = 0;
	s->n_received = 0;
	s->resumed = false;
	s->state = resume ? SERVING_RECOVERING : SERVING_BEGINNING;
	return start_threads(s, err);
}

/* ---- the owner's side ---- */

/* QEMU takes its time to start, and they are the first that it gets: the disk can bring them meanwhile. */
static int expect_hot_pages(struct page_server *s, struct error *err)
{
	struct page_reader *reader = NULL;

	hot_list_read(s->image_fd, s->blocks, s->n_blocks, &s->hot);
	if (s->hot.pages.n == 0)
		return 0;
	if (page_reader_open(s->source, &reader, err) < 0)
		return -1;
	VEC_FOREACH (ref, &s->hot.pages)
		page_reader_expect(reader, ref.block, ref.page);
	page_reader_free(reader);
	return 0;
}

int page_server_new(int image_fd, const char *name, struct page_server **ret, struct error *err)
{
	struct page_server *s = NEW(struct page_server);
	pthread_condattr_t monotonic;

	s->image_fd = image_fd;
	s->name = xstrdup(name);
	s->connection.main_fd = s->connection.urgent_fd = -1;
	s->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->connection.main_lock, NULL);
	pthread_mutex_init(&s->connection.urgent_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (s->bell < 0 || s->wake < 0) {
		error_errno(err, errno, "serve %s", name);
		goto fail;
	}
	if (page_source_open(image_fd, name, &s->source, err) < 0)
		goto fail;
	s->blocks = page_source_blocks(s->source, &s->n_blocks);
	s->n_pages = page_source_memory(s->source) / RAM_PAGE;
	page_claims_init(&s->claims, s->blocks, s->n_blocks);
	if (expect_hot_pages(s, err) < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	page_server_free(s);
	return -1;
}

void page_server_free(struct page_server *s)
{
	if (!s)
		return;
	disconnect(s);
	page_claims_fini(&s->claims);
	hot_list_fini(&s->hot);
	hot_list_fini(&s->asked);
	VEC_FREE(&s->unread);
	page_source_free(s->source);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->connection.main_lock);
	pthread_mutex_destroy(&s->connection.urgent_lock);
	close_p(&s->bell);
	close_p(&s->wake);
	free(s->name);
	free(s);
}

void page_server_go(struct page_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->going = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void page_server_hurry(struct page_server *s)
{
	s->hurry = true;
}

void page_server_retry(struct page_server *s)
{
	pthread_mutex_lock(&s->lock);
	error_clear(&s->trouble);
	s->retries++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	ring(s->wake);
}

int page_server_bell(const struct page_server *s)
{
	return s->bell;
}

static enum page_server_stage stage_of(enum serving_state state)
{
	switch (state) {
	case SERVING_IDLE:
		return PAGE_SERVER_IDLE;
	case SERVING_OVER:
		return PAGE_SERVER_DONE;
	case SERVING_LOST:
		return PAGE_SERVER_LOST;
	case SERVING_FAILED:
		return PAGE_SERVER_FAILED;
	case SERVING_BEGINNING:
	case SERVING_RECOVERING:
	case SERVING_PAGES:
	case SERVING_ENDING:
	case SERVING_STATE_MAX_:
		break;
	}
	return PAGE_SERVER_SERVING;
}

void page_server_get_status(struct page_server *s, struct page_server_status *ret)
{
	uint64_t n;

	(void)!read(s->bell, &n, sizeof(n));
	pthread_mutex_lock(&s->lock);
	*ret = (struct page_server_status){.stage = stage_of(s->state),
		.processed = s->pages_in * RAM_PAGE,
		.total = s->n_pages * RAM_PAGE,
		.trouble = s->trouble,
		.error = s->error,
		.mended = s->mended};
	/* As long as a thread is on its way out nothing is over. */
	if (s->connection.n_running > 0)
		ret->stage = PAGE_SERVER_SERVING;
	pthread_mutex_unlock(&s->lock);
}
