/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's handle on a godwit-io that serves a guest's pages out of an image while the guest already runs
 * (docs/decisions/lazy-restore.md). QEMU was told to wait for a post-copy migration; the helper plays its source.
 *
 *	start -> servable -> connect -> [QEMU has its devices, the guest may run] go -> ... -> done
 *						     lost -> connect(resume) -> ...
 *						     trouble -> [somebody mends it] retry -> ...
 *
 * Until pager_go the helper's life hangs on this process, as a transfer's does. From then on it goes on alone, and a later daemon
 * finds it at its listening socket.
 */
#pragma once

#include <systemd/sd-event.h>

#include "transfer.h"

struct pager;

struct pager_options {
	const char *program; /* path of godwit-io */
	const char *name;    /* of the image, for messages */
	int file_fd; /* the image; stays the caller's. Writable, its list of hot pages is kept up to date */
	int listen_fd; /* of pager_listen; the caller's, who closes it once started: only the helper is to have it */
};

/* None is called from within a function of this header. */
struct pager_ops {
	/* The image can be served, as far as can be told before. `memory`: bytes of it. */
	void (*servable)(struct pager *p, uint64_t memory, void *userdata);
	/* Something the guest waits for, or the fill, cannot be read: it stays so until pager_retry; the rest goes on. */
	void (*trouble)(struct pager *p, const struct error *err, void *userdata);
	/* What was tried again could be read; nothing is missing any more. */
	void (*mended)(struct pager *p, void *userdata);
	/* QEMU is gone from its sockets before all was in. Wants pager_connect with new ones when QEMU can take them. */
	void (*lost)(struct pager *p, void *userdata);
	/*
	 * Exactly once, when the helper's process is gone. `err` NULL: QEMU has all of its memory. Otherwise it failed or died; an
	 * error before `servable` means that nothing was sent to QEMU. May free p.
	 */
	void (*done)(struct pager *p, const struct error *err, void *userdata);
};

int pager_start(sd_event *loop, const struct pager_options *options, const struct pager_ops *ops,
	void *userdata, struct pager **ret, struct error *err);
/*
 * A helper that an earlier daemon started: `socket_fd` is connected to its listening socket (a SOCK_SEQPACKET), and taken, also
 * on failure. `servable` comes first again, then `lost` or `trouble` where it is so.
 */
int pager_reconnect(sd_event *loop, int socket_fd, const struct pager_ops *ops, void *userdata,
	struct pager **ret, struct error *err);

/* Where a helper will be found: a listening socket at `path`, for its owner only, in place of a stale one. -1: err. */
int pager_listen(const char *path, struct error *err);

/*
 * QEMU's sockets, connected in this order; `urgent_fd` -1 when it has no postcopy-preempt. They stay the caller's. With `resume` QEMU
 * is in post-copy recovery and keeps the pages it has.
 */
void pager_connect(struct pager *p, int main_fd, int urgent_fd, bool resume);
void pager_go(struct pager *p);
void pager_hurry(struct pager *p);
void pager_retry(struct pager *p);
/* processed: bytes of memory that are in, zero pages included. */
void pager_get_progress(const struct pager *p, struct transfer_progress *ret);
/* Nothing is called any more. Before pager_go the helper is killed, later it lives on. Accepts NULL. */
void pager_free(struct pager *p);
/* `done` follows. */
void pager_kill(struct pager *p);
