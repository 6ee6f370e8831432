/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a post-copy migration towards a stock QEMU (7.2 and later) that takes the guest's memory from an image: first how the
 * stream begins, the pages that were hot last time and the devices; then what the guest asks for; then, beside that, all the rest.
 * docs/decisions/lazy-restore.md says what QEMU demands of it.
 *
 * For godwit-io and tests: it has threads of its own, and SIGPIPE must be ignored. All functions are for one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct page_server;

enum page_server_stage {
	PAGE_SERVER_IDLE,    /* not connected yet */
	PAGE_SERVER_SERVING, /* or on the way to it, or at its end */
	PAGE_SERVER_LOST,    /* QEMU is gone from its sockets; page_server_connect can go on */
	PAGE_SERVER_DONE,    /* QEMU has all of its memory */
	PAGE_SERVER_FAILED,  /* `error` */
};

struct page_server_status {
	enum page_server_stage stage;
	uint64_t processed, total; /* bytes of memory: that QEMU has, of all */
	/* What could not be read since page_server_retry, the first of it; ERROR_NONE: nothing. FAILED: why. */
	struct error trouble, error;
	unsigned
		mended; /* calls of page_server_retry, up to the last one after which everything could be read */
};

/* The image is opened, and checked as far as page_source_open does. `image_fd` stays the caller's, as long as this. */
int page_server_new(int image_fd, const char *name, struct page_server **ret, struct error *err);
/* Ends whatever is going on. Accepts NULL. */
void page_server_free(struct page_server *s);

/*
 * Begin, or with `resume` go on where QEMU says that it is, in place of an earlier connection. Takes the sockets; `urgent_fd` is -1
 * without postcopy-preempt. Does not wait: the status tells.
 */
int page_server_connect(struct page_server *s, int main_fd, int urgent_fd, bool resume, struct error *err);
/* The guest may run: send what nobody asked for. */
void page_server_go(struct page_server *s);
/* As fast as it goes, whatever the guest asks for. */
void page_server_hurry(struct page_server *s);
/* Read once more what could not be read. */
void page_server_retry(struct page_server *s);

/* Readable when the status, except for `processed`, may have changed; page_server_get_status() makes it unreadable again. */
int page_server_bell(const struct page_server *s);
void page_server_get_status(struct page_server *s, struct page_server_status *ret);
