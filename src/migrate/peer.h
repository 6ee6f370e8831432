/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another daemon, spoken to from this one's loop as a client: libvirtd or godwitd. For migration from daemon to daemon (p2p).
 *
 * URIs: qemu:///... of a UNIX socket (?socket=PATH), qemu+unix:///system?socket=PATH, qemu+tcp://HOST[:16509]/system, qemu+tls://HOST[:16514]/system (GnuTLS,
 * libvirt's file layout, ?pkipath=DIR, ?no_verify=1), qemu+ssh://[USER@]HOST[:PORT]/system (runs ssh, ?socket=PATH, ?keyfile=FILE, ?command=PROGRAM, ?no_verify=1), and
 * the same with godwit instead of qemu. Names are looked up in a child.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "error.h"
#include "godwit.h"

struct peer;

struct peer_ops {
	/* Connected, authenticated and opened. Once, unless `closed` came first. */
	void (*opened)(struct peer *p, void *userdata);
	/* The connection failed or ended; every call in flight has failed before. Once, last; the owner then calls peer_close. */
	void (*closed)(struct peer *p, const struct error *err, void *userdata);
};

/* `ret` is of the call's result type, freed after the callback; NULL with err. */
typedef void (*peer_reply_fn)(struct peer *p, const void *ret, const struct error *err, void *userdata);

struct peer_call {
	uint32_t program; /* 0: RPC_PROGRAM_REMOTE */
	int procedure;
	xdrproc_t encode; /* NULL: no arguments */
	const void *args; /* borrowed during peer_call */
	xdrproc_t decode; /* NULL: no results */
	size_t ret_size;
	peer_reply_fn reply;
	void *userdata;
};

/* ERROR_INVALID_ARGUMENT: not such a URI. Keepalive as libvirt's: every 5 s, 5 unanswered end it. */
int peer_open(sd_event *loop, const char *uri, const struct peer_ops *ops, void *userdata, struct peer **ret,
	struct error *err);
/* It has failed or ended, which `closed` tells later. */
bool peer_is_broken(const struct peer *p);
/* From any callback; none is called afterwards. Accepts NULL. */
void peer_close(struct peer *p);

void peer_call(struct peer *p, const struct peer_call *call);

/*
 * A stream that call `serial` (the last peer_call's; peer_get_serial) opens towards the other side: data of `fd` is sent as it comes, its end is the stream's.
 * `done` once. Owned fd.
 */
unsigned peer_get_serial(const struct peer *p);
void peer_send_stream(struct peer *p, int procedure, unsigned serial, int fd,
	void (*done)(struct peer *p, const struct error *err, void *userdata), void *userdata);
