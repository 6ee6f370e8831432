/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon and godwit-io say to each other, over a SOCK_SEQPACKET socketpair: one message per packet, its first byte the
 * type, then fixed fields, little-endian.
 *
 *	daemon					godwit-io
 *	START + descriptors  ---------------->
 *			     <---------------- PROGRESS, at most every 100 ms, any number
 *			     <---------------- MEMORY_BEGUN	  (save only)
 *			     <---------------- STREAMED		  (save only)
 *	COMMIT		     ---------------->			  (save only)
 *			     <---------------- DONE or FAILED	  then godwit-io exits
 *
 * Either side's end is the end: the daemon cancels by killing the helper, and the helper gives up when the daemon is gone.
 * START carries: the image file, a memfd with name, XML and cookie (each NUL-terminated; an empty cookie is none), and
 * the stream's descriptor unless the image is only checked. COMMIT carries a memfd with the note about disks, when there is one.
 *
 * Serving pages (pager.h) is another conversation, for which START's third descriptor is a listening socket of the same kind:
 *
 *	START + descriptors  ---------------->
 *			     <---------------- SERVABLE: nothing is wrong with the image so far. Or FAILED: nothing was sent to QEMU
 *	CONNECT + sockets    ---------------->			  the first: from the beginning; later ones: to go on
 *	GO		     ---------------->			  the guest may run: the pages nobody asked for may follow
 *	HURRY, RETRY	     ---------------->			  any number, at any time behind CONNECT
 *			     <---------------- PROGRESS, TROUBLE, MENDED, LOST, any number
 *			     <---------------- DONE or FAILED	  then godwit-io exits
 *
 * From GO on the daemon's end is not the helper's: a later daemon connects to the listening socket, and is told where things
 * stand: SERVABLE, PROGRESS, and LOST or TROUBLE where it is so. A new daemon takes the place of the one before.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define IO_CONTROL_FD	 0 /* godwit-io finds its end of the socketpair as its standard input */
#define IO_PACKET_MAX	 (ERROR_MESSAGE_MAX + 64)
#define IO_START_FDS_MAX 3
#define IO_TEXT_MAX	 (32u << 20) /* bytes of a memfd */

enum io_type {
	IO_START = 1,
	IO_PROGRESS,
	IO_STREAMED,
	IO_COMMIT,
	IO_DONE,
	IO_FAILED,
	/* Serving pages. */
	IO_SERVABLE,
	IO_CONNECT, /* + QEMU's socket, and one for urgent pages when it has postcopy-preempt */
	IO_GO,
	IO_HURRY,	 /* fill without regard for the guest */
	IO_RETRY,	 /* read again what could not be read */
	IO_TROUBLE,	 /* something cannot be read, and is not tried again before RETRY */
	IO_MENDED,	 /* behind TROUBLE and RETRY: it could be read */
	IO_LOST,	 /* QEMU is gone from its socket: another CONNECT is waited for */
	IO_MEMORY_BEGUN, /* of a save: the first page has come */
};

struct io_message {
	enum io_type type;
	/* START, COMMIT */
	uint64_t text_len; /* of the memfd */
	/* START */
	uint8_t kind; /* enum transfer_kind */
	uint8_t format;
	bool direct, was_running;
	uint32_t threads;
	/* PROGRESS; SERVABLE: total, bytes of memory */
	uint64_t processed, total, written;
	/* FAILED, TROUBLE */
	struct error error;
	/* CONNECT */
	bool resume; /* QEMU has some of the pages, and says which */
};

/* One packet with up to IO_START_FDS_MAX descriptors, which stay the caller's. -1 with errno. */
int io_send(int fd, const struct io_message *m, const int *fds, size_t n_fds);

/*
 * 1: a message, and its descriptors, which are the caller's now. 0: the peer closed. -1 with errno (EAGAIN: nothing there; EPROTO:
 * not a message of this protocol).
 */
int io_receive(int fd, struct io_message *ret, int ret_fds[IO_START_FDS_MAX], size_t *ret_n_fds);
