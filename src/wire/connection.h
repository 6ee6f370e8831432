/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Framed, non-blocking conversation over a stream socket on an event loop. Knows no procedures.
 *
 * Input: memory is taken as bytes arrive, never because a length word promises them; an idle connection
 * holds none. Output: sent at once as far as the socket takes it, the rest is queued.
 */
#pragma once

#include <systemd/sd-event.h>

#include "frame.h"
#include "transport.h"

struct connection;

struct connection_ops {
	/* A whole frame. `payload` is borrowed. The connection may be closed from within. */
	void (*frame)(struct connection *c, const struct rpc_header *header, const uint8_t *payload,
		size_t len, void *userdata);
	/* The output queue, which was over CONNECTION_OUTPUT_HIGH, is empty. */
	void (*drained)(struct connection *c, void *userdata);
	/* The peer went away (`why` NULL) or broke the framing. Called at most once; the owner then calls connection_close. */
	void (*closed)(struct connection *c, const struct error *why, void *userdata);
};

/* Who sends something that may wait should not while this many bytes are queued. */
#define CONNECTION_OUTPUT_HIGH (1u << 20)

/* `fd` is owned from here on, also on failure. `ops` must outlive the connection. */
int connection_open(sd_event *loop, int fd, const struct connection_ops *ops, void *userdata,
	struct connection **ret, struct error *err);
/* The same over a transport, which is owned in the same way. */
int connection_open_over(sd_event *loop, struct transport *t, const struct connection_ops *ops,
	void *userdata, struct connection **ret, struct error *err);
/* Safe inside any callback; none is called afterwards. What was queued and not sent is lost. Accepts NULL. */
void connection_close(struct connection *c);

/* Longest frame accepted; RPC_FRAME_MAX until set. */
void connection_set_frame_max(struct connection *c, size_t max);
/* While held no frame is delivered and nothing is read. */
void connection_hold(struct connection *c, bool hold);
/* Throw away the next `n` bytes that arrive behind the current frame. */
void connection_skip(struct connection *c, size_t n);

/* As frame_encode; errors of the socket are reported by `closed`, later. */
int connection_send(struct connection *c, const struct rpc_header *header, xdrproc_t coder, const void *value,
	struct error *err);
void connection_send_raw(
	struct connection *c, const struct rpc_header *header, const void *payload, size_t len);
/* Frames made with frame_encode before. */
void connection_send_frames(struct connection *c, const void *data, size_t len);
size_t connection_get_queued(const struct connection *c);
