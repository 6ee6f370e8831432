/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A byte stream between a client and a descriptor, both ways or only upwards, over a session's connection.
 *
 *     client                      server                    descriptor
 *       | <- CONTINUE, bytes -------- | <-- read, while the client takes it
 *       | -- CONTINUE, bytes -------> | --> write; what it does not take waits, at most STREAM_PENDING_MAX
 *       | <- OK, empty -------------- |     end of file; the stream lives until the client finishes it
 *       | -- OK, empty: finish -----> |     answered by the same
 *       | -- ERROR, empty: abort ---> |     answered by an error
 *
 * One that goes upwards only makes its client wait when there is too much, and its finishing is answered when all is written.
 */
#pragma once

#include "session.h"

#define STREAMS_MAX	   64 /* of one session */
#define STREAM_PENDING_MAX (1u << 20)

/*
 * Answer the call and open its stream over `fd`, which is owned from here on, also on failure. `name` says what is at
 * its other end (copied); a stream over it can be found and ended by others.
 */
void stream_open(struct call *call, const char *name, int fd);
/*
 * For a call that answers by itself, afterwards: what its client sends goes into `fd`, owned from here on, also on failure. When the other end of that is
 * closed too early the client hears of it by an error.
 */
int stream_open_upload(struct call *call, const char *name, int fd, struct error *err);
bool stream_is_open(const struct server *server, const char *name);
/* Its client hears of it by an error. */
void stream_take_over(struct server *server, const char *name);
/* A frame of type STREAM or STREAM_HOLE. */
void stream_frame(struct session *s, const struct rpc_header *header, const uint8_t *payload, size_t len);
/* The client has read what was queued. */
void stream_resume_all(struct session *s);
void stream_close_all(struct session *s);
