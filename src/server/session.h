/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One client: its connection, its calls in flight, what it subscribed to and its streams.
 *
 *               CONNECT_OPEN               CONNECT_CLOSE
 *     NEW  ----------------------> OPEN ----------------------> CLOSED
 *      |                            |                             |
 *      +--- 60 s without opening ---+-- peer gone, no keepalive --+----> (freed)
 *
 * Calls beyond max_client_requests wait in a backlog, and reading stops when that is full; keepalive and streams pass
 * the backlog by.
 */
#pragma once

#include <sys/socket.h>

#include "call.h"
#include "connection.h"
#include "event.h"
#include "server-internal.h"

enum session_state { SESSION_NEW, SESSION_OPEN, SESSION_CLOSED };

/* Longest frame before the connection is open, and bytes of calls that may wait. */
#define SESSION_FRAME_MAX_NEW 65536
#define SESSION_BACKLOG_MAX   (1u << 20)
/* A client that lets this much lie unread while events are sent to it is dropped. */
#define SESSION_EVENTS_MAX (16u << 20)

/* A VM to be destroyed when the client goes away (virsh create --autodestroy). */
struct autodestroy {
	uint8_t uuid[16];
	int32_t id; /* of the run that was started */
};

struct session {
	struct list link; /* in server->sessions */
	struct server *server;
	struct connection *connection;
	enum session_state state;
	bool read_only;
	bool doomed;
	struct client_origin origin;
	struct list calls;
	unsigned n_calls;
	struct buf backlog; /* whole frames */
	bool running_backlog;
	struct list streams;
	unsigned n_streams;
	unsigned n_full; /* streams whose other end does not take what came */
	struct subscriptions subscriptions;
	VEC(struct autodestroy) autodestroys;
	sd_event_source *timer; /* time to open, then keepalive */
	unsigned unanswered;	/* pings */
	bool heard;		/* something came since the last ping */
	bool keepalive;
};

/* `t` NULL: over `fd` as it is. Whichever it is is owned from here on, also on failure. */
int session_open(struct server *server, int fd, struct transport *t, const struct client_origin *origin,
	struct error *err);
void session_close(struct session *s);
/* Close it soon, from the loop; for use inside handlers. */
void session_doom(struct session *s, const char *why);

/* Whether the client may send more has changed. */
void session_update_hold(struct session *s);
/* For reply.c: the call is answered and freed by its caller; others may begin. */
void session_call_ended(struct session *s, struct call *call);

/* CONNECT_OPEN, CONNECT_CLOSE and the keepalive feature. */
void session_set_open(struct session *s, bool read_only);
void session_set_closed(struct session *s);
void session_start_keepalive(struct session *s);
