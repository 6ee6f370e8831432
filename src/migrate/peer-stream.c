/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A descriptor's bytes to another daemon. It is not read while the connection has more queued than it should: whoever writes into the other end of the
 * descriptor waits, as it would for a slow socket.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "alloc.h"
#include "file.h"
#include "peer-internal.h"

struct peer_stream {
	struct list link;
	struct peer *peer;
	struct rpc_header header;
	sd_event_source *io;
	int fd; /* -1 once it ended, and the other side has still to say that it has everything */
	void (*done)(struct peer *p, const struct error *err, void *userdata);
	void *userdata;
};

static void end_descriptor(struct peer_stream *st)
{
	st->io = sd_event_source_disable_unref(st->io);
	close_p(&st->fd);
	st->fd = -1;
}

static void free_stream(struct peer_stream *st)
{
	end_descriptor(st);
	list_remove(&st->link);
	free(st);
}

/* The stream is over; calls the owner. */
static void finish(struct peer_stream *st, const struct error *err)
{
	struct peer *p = st->peer;
	struct peer_stream over = *st;

	free_stream(st);
	if (over.done)
		over.done(p, err, over.userdata);
}

static void send_packet(struct peer_stream *st, int status, const void *data, size_t len)
{
	struct rpc_header header = st->header;

	header.status = status;
	connection_send_raw(st->peer->connection, &header, data, len);
}

static void update_events(struct peer_stream *st)
{
	bool full = connection_get_queued(st->peer->connection) > CONNECTION_OUTPUT_HIGH;

	if (st->io)
		sd_event_source_set_enabled(st->io, full ? SD_EVENT_OFF : SD_EVENT_ON);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct peer_stream *st = userdata;
	struct peer *p = st->peer;
	struct error err = ERROR_INIT;
	char data[RPC_STREAM_CHUNK_MAX];
	ssize_t n = read(fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		send_packet(st, RPC_CONTINUE, data, (size_t)n);
		update_events(st);
		return 0;
	}
	if (n == 0) {
		send_packet(st, RPC_OK, NULL, 0);
		end_descriptor(st);
		return 0;
	}
	error_errno(&err, errno, "read what is to be sent to %s", peer_uri_get_place(&p->uri));
	send_packet(st, RPC_ERROR, NULL, 0);
	peer_enter(p);
	finish(st, &err);
	peer_leave(p);
	return 0;
}

void peer_send_stream(struct peer *p, int procedure, unsigned serial, int fd,
	void (*done)(struct peer *p, const struct error *err, void *userdata), void *userdata)
{
	struct peer_stream *st = NEW(struct peer_stream);
	struct error err = ERROR_INIT;
	int r;

	*st = (struct peer_stream){.peer = p,
		.header = {.prog = RPC_PROGRAM_REMOTE,
			.vers = RPC_PROGRAM_VERSION,
			.proc = procedure,
			.type = RPC_STREAM,
			.serial = serial},
		.fd = fd,
		.done = done,
		.userdata = userdata};
	list_add_tail(&p->streams, &st->link);
	if (p->state == PEER_BROKEN)
		return; /* it fails with the others */
	r = fd_set_nonblock(fd) < 0 ? -errno
				    : sd_event_add_io(p->loop, &st->io, fd, EPOLLIN, on_readable, st);
	if (r < 0) {
		error_errno(&err, -r, "set up a stream");
		peer_break(p, &err);
		return;
	}
	update_events(st);
}

static struct peer_stream *find_stream(struct peer *p, const struct rpc_header *header)
{
	struct peer_stream *st;

	LIST_FOREACH (st, &p->streams, link)
		if (st->header.serial == header->serial && st->header.proc == header->proc)
			return st;
	return NULL;
}

void peer_stream_frame(struct peer *p, const struct rpc_header *header, const uint8_t *payload, size_t len)
{
	struct peer_stream *st = find_stream(p, header);
	struct error err = ERROR_INIT;

	if (!st || header->status == RPC_CONTINUE)
		return; /* nothing is asked for in this direction */
	if (header->status == RPC_OK && st->fd < 0) {
		finish(st, NULL);
		return;
	}
	if (header->status == RPC_ERROR)
		peer_error_decode(payload, len, &err);
	else
		error_set(&err, ERROR_OPERATION_FAILED, "%s ended the stream before all was sent",
			peer_uri_get_place(&p->uri));
	finish(st, &err);
}

void peer_stream_resume(struct peer *p)
{
	struct peer_stream *st;

	LIST_FOREACH (st, &p->streams, link)
		update_events(st);
}

void peer_stream_fail_all(struct peer *p)
{
	while (!p->closing && !list_empty(&p->streams))
		finish(container_of(p->streams.next, struct peer_stream, link), &p->why);
}

void peer_stream_free_all(struct peer *p)
{
	while (!list_empty(&p->streams))
		free_stream(container_of(p->streams.next, struct peer_stream, link));
}
