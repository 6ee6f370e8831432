/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of a peer share.
 *
 *     LINKING ----> AUTH ----> KEEPALIVE ----> OPENING ----> OPEN
 *        |            |            |              |            |
 *        +------------+------------+--------------+------------+---> BROKEN ---> (closed told, freed by its owner)
 */
#pragma once

#include "connection.h"
#include "list.h"
#include "peer-link.h"
#include "peer.h"
#include "tls.h"

enum peer_state { PEER_LINKING, PEER_AUTH, PEER_KEEPALIVE, PEER_OPENING, PEER_OPEN, PEER_BROKEN };

struct peer {
	sd_event *loop;
	struct peer_uri uri;
	const struct peer_ops *ops;
	void *userdata;
	enum peer_state state;
	struct peer_link *link;
	struct tls_handshake *handshake; /* NULL without TLS */
	struct connection *connection;	 /* NULL before it stands */
	struct list requests, streams;
	unsigned next_serial;
	sd_event_source *timer;	 /* time to open, then keepalive */
	sd_event_source *broken; /* tells what failed within a call of the owner's */
	struct error why;	 /* it is broken */
	uint64_t keepalive_usec; /* tests are in a hurry */
	unsigned unanswered;	 /* pings */
	bool heard;		 /* something came since the last */
	bool asks;		 /* the other side answers pings */
	unsigned busy;		 /* callbacks on the stack: freeing waits for them */
	bool closing;		 /* peer_close was called */
};

/* Around everything that calls the owner. */
void peer_enter(struct peer *p);
/* False when it was closed meanwhile and is gone now. */
bool peer_leave(struct peer *p);
/* Nothing works any more: everything in flight fails, and the owner is told, from the loop. */
void peer_break(struct peer *p, const struct error *why);

/* The error in a reply; always -1. A number that is none of ours is ERROR_OPERATION_FAILED. */
int peer_error_decode(const void *payload, size_t len, struct error *err);

/* The certificates for it. */
int peer_tls_open(const struct peer_uri *uri, struct tls_context **ret, struct error *err);

/* peer-stream.c */
void peer_stream_frame(struct peer *p, const struct rpc_header *header, const uint8_t *payload, size_t len);
void peer_stream_resume(struct peer *p);
void peer_stream_fail_all(struct peer *p); /* with p->why */
void peer_stream_free_all(struct peer *p);
