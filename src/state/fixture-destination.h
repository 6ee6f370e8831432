/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests: the destination of a post-copy migration of the synthetic stream (fixture-stream.h), as QEMU is one: it reads everything in
 * order, checks each page, and is as unforgiving about pages that come twice.
 */
#pragma once

#include <pthread.h>

#include "fixture-stream.h"

struct destination {
	int main_fd, urgent_fd;		      /* urgent: -1 none */
	int server_main_fd, server_urgent_fd; /* for the code under test, which takes them: then -1 */
	uint8_t *seen[FIXTURE_BLOCKS];	      /* per page */
	unsigned n_seen, n_pages;
	unsigned n_twice, n_wrong; /* what QEMU would have ended the connection for */
	unsigned n_hot;		   /* that came before LISTEN */
	char block[256];	   /* of the last request */
	struct buf in;		   /* read and not used */
	/* The thread that reads the urgent socket, named as QEMU's. */
	pthread_t preempt;
	pthread_mutex_t lock; /* for what the two threads count */
	_Atomic bool preempt_over;
	bool has_thread, lost_race;
};

void destination_init(struct destination *d);
void destination_fini(struct destination *d);
/* New sockets. */
void destination_listen(struct destination *d, bool preempt);
/* Closes them. */
void destination_hang_up(struct destination *d);

/* From the first byte to RUN, all of it as it must be; then says that the devices are loaded. */
bool destination_begin(struct destination *d);
/* Says which pages are here, and that it goes on. */
bool destination_recover(struct destination *d);

/* Asks for a page; `named`: with the name of its block. */
void destination_request(struct destination *d, unsigned block, uint64_t page, bool named);
/* The next section on the main socket, which must hold pages; false: it was the last one (or nothing came). */
bool destination_section(struct destination *d);
/* The next record on the urgent socket: the page that was asked for. */
bool destination_urgent(struct destination *d);
bool destination_has(struct destination *d, unsigned block, uint64_t page);
/* From now on a thread reads the urgent socket. */
void destination_preempt(struct destination *d);
/* Reads to the end and says that it is done; false when anything was wrong or is missing. */
bool destination_finish(struct destination *d);
void destination_shut(struct destination *d, uint32_t status);
