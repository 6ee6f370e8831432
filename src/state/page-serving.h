/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the page server (page-server.h). A connection has two threads:
 *
 *	filler		begins or recovers, fills, ends			page-server-begin.c, -recovery.c, -fill.c, -end.c
 *	answerer	reads what QEMU sends, answers requests		page-server-requests.c
 *
 * Both end when the connection does, and the next one has new ones.
 */
#pragma once

#include <pthread.h>

#include "hot-list.h"
#include "page-claims.h"
#include "page-server.h"
#include "page-source.h"
#include "postcopy.h"
#include "stream-io.h"

enum serving_state {
	SERVING_IDLE,
	SERVING_BEGINNING,  /* up to the devices */
	SERVING_RECOVERING, /* asking QEMU what it has */
	SERVING_PAGES,
	SERVING_ENDING, /* all was sent, and so was END */
	SERVING_OVER,	/* QEMU agrees */
	SERVING_LOST,
	SERVING_FAILED,
	SERVING_STATE_MAX_,
};

struct serving_connection {
	int main_fd, urgent_fd;	     /* urgent: -1 none */
	pthread_mutex_t main_lock;   /* for whole sections */
	pthread_mutex_t urgent_lock; /* for whole records */
	bool urgent_over;	     /* under urgent_lock: its end was sent */
	bool resume;
	pthread_t filler, answerer;
	bool has_threads;
	unsigned n_running; /* under the server's lock */
};

struct page_server {
	int image_fd;
	char *name;
	struct page_source *source;
	const struct ram_block *blocks; /* of the source */
	unsigned n_blocks;
	uint64_t n_pages;
	struct page_claims claims;
	int bell; /* an eventfd for the owner */
	int wake; /* and one for the answerer */

	/* Of the answerer alone. */
	VEC(struct page_ref) unread; /* asked for, and not readable */

	_Atomic bool hurry;
	_Atomic uint64_t pages_in;    /* sent, and so in QEMU unless the connection breaks */
	_Atomic bool answering;	      /* the guest waits */
	_Atomic uint64_t last_answer; /* clock_now() */
	/* Where the guest goes on in order, as serving_number(); 0: nowhere, or the fill has seen to it. */
	_Atomic uint64_t next_asked;

	pthread_mutex_t lock;	/* for what follows */
	pthread_cond_t changed; /* on CLOCK_MONOTONIC */
	enum serving_state state;
	struct error error, trouble;
	unsigned retries;			   /* asked for */
	unsigned filler_retried, answerer_retried; /* which of them each thread is through with */
	unsigned mended;			   /* the last one that left no trouble */
	bool going;
	bool devices_loaded, resumed; /* QEMU said so */
	unsigned n_bitmaps;	      /* that QEMU sent in this recovery */
	uint64_t n_received;	      /* pages in them */
	bool recording;		      /* of what the guest asks for */
	struct hot_list hot, asked;

	struct serving_connection connection;
};

/* Both lock. The move must be one of the machine's (page-server.c). */
void serving_move(struct page_server *s, enum serving_state state);
/* A move to FAILED; no effect when the connection is over in another way already. */
void serving_fail(struct page_server *s, const struct error *err);
/* QEMU is gone: a move to LOST; no effect as above. Makes both threads leave their sockets. */
void serving_lose(struct page_server *s);
/* The lock is held: is there a connection to work for? */
bool serving_is_connected(const struct page_server *s);

/* Is there a connection to work for, and may the guest run (NULL: not asked)? Locks. */
bool serving_look(struct page_server *s, bool *ret_going);

/* Of what was read when `retries` had been asked for; if another was asked for since, the page is read again for that one. */
void serving_report_trouble(struct page_server *s, unsigned retries, const struct error *err);
unsigned serving_count_retries(struct page_server *s);
/* One thread is through with retry number `retries`. */
void serving_note_retried(struct page_server *s, unsigned *which, unsigned retries);
/* `n` pages more were sent. */
void serving_add_pages(struct page_server *s, uint64_t n);
bool serving_has_all(const struct page_server *s);

/* Whole sections on the main socket; `iov` is used up. */
int serving_send(struct page_server *s, struct iovec *iov, int n, struct error *err);
int serving_send_buf(struct page_server *s, const struct buf *b, struct error *err);

/* Reads with the thread's own reader, which is opened when it is first needed. */
int serving_read(struct page_server *s, struct page_reader **reader, struct page_ref ref,
	uint8_t ret[RAM_PAGE], bool *ret_zero, struct error *err);

/* Parts of the filler's work; each returns when it is done, or -1 when the connection is over or lost. */
int serving_begin(struct page_server *s, struct page_reader **reader, struct error *err);
int serving_recover(struct page_server *s, struct error *err);
int serving_fill(struct page_server *s, struct page_reader **reader, struct error *err);
int serving_end(struct page_server *s, struct error *err);

/* The answerer's work, until the connection is over. */
void serving_answer(struct page_server *s);

/* A page as a number that is not 0. */
static inline uint64_t serving_number(struct page_ref ref)
{
	return (uint64_t)ref.block << 48 | (ref.page + 1);
}

static inline struct page_ref serving_page(uint64_t number)
{
	return (struct page_ref){
		.block = (unsigned)(number >> 48), .page = (number & ((UINT64_C(1) << 48) - 1)) - 1};
}
