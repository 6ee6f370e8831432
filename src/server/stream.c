/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A byte stream between a client and a descriptor, both ways or upwards. */
#include "stream.h"

#include <errno.h>

#include "alloc.h"
#include "file.h"
#include "strv.h"

/* One read of the descriptor; small, since consoles are what streams are for now. */
#define STREAM_READ_SIZE 16384

struct stream {
	struct list link; /* in session->streams */
	struct session *session;
	struct rpc_header header; /* of the call that opened it */
	sd_event_source *io;
	char *name;
	int fd;		    /* -1 once it ended; the client has still to finish the stream */
	struct buf pending; /* from the client, not written yet */
	bool upload;	    /* nothing is read from `fd` */
	bool finishing;	    /* the client has sent all, and is answered when it is written */
	bool full;	    /* nothing more is read from the client for now */
};

/* One stream that is full holds its whole connection: frames have one order. */
static void set_full(struct stream *st, bool full)
{
	if (st->full == full)
		return;
	st->full = full;
	st->session->n_full += full ? 1 : -1;
	session_update_hold(st->session);
}

static void update_events(struct stream *st)
{
	uint32_t events = st->pending.len > 0 ? EPOLLOUT : 0;

	if (st->upload)
		set_full(st, st->pending.len > STREAM_PENDING_MAX);
	else if (connection_get_queued(st->session->connection) <= CONNECTION_OUTPUT_HIGH)
		events |= EPOLLIN;
	if (st->io)
		sd_event_source_set_io_events(st->io, events);
}

static void end_descriptor(struct stream *st)
{
	st->io = sd_event_source_disable_unref(st->io);
	if (st->fd >= 0)
		close(take_fd(&st->fd));
	buf_fini(&st->pending);
	set_full(st, false);
}

static void free_stream(struct stream *st)
{
	end_descriptor(st);
	list_remove(&st->link);
	st->session->n_streams--;
	free(st->name);
	free(st);
}

static void send_packet(
	struct session *s, const struct rpc_header *call, int status, const void *data, size_t len)
{
	struct rpc_header header = *call;

	header.type = RPC_STREAM;
	header.status = status;
	connection_send_raw(s->connection, &header, data, len);
}

static void send_error(struct session *s, const struct rpc_header *call, const struct error *err)
{
	struct rpc_header header = *call;
	struct error_texts texts = {0};
	rpc_error error;

	header.type = RPC_STREAM;
	header.status = RPC_ERROR;
	error_to_rpc(err, &error, &texts);
	if (connection_send(s->connection, &header, (xdrproc_t)xdr_rpc_error, &error, NULL) < 0)
		session_doom(s, "error of a stream not sent");
	error_texts_fini(&texts);
}

/* Returns whether the stream is still there. */
static bool read_descriptor(struct stream *st)
{
	char data[STREAM_READ_SIZE];
	ssize_t n = read(st->fd, data, sizeof(data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n > 0) {
		send_packet(st->session, &st->header, RPC_CONTINUE, data, (size_t)n);
		return true;
	}
	/* a pseudo-terminal whose other side was closed says EIO */
	send_packet(st->session, &st->header, RPC_OK, NULL, 0);
	end_descriptor(st);
	return false;
}

static void write_pending(struct stream *st)
{
	ssize_t n = write(st->fd, st->pending.data, st->pending.len);

	if (n > 0)
		buf_drop_front(&st->pending, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR && !st->upload)
		buf_clear(&st->pending); /* the reading side will say that it ended */
	if (st->pending.len == 0)
		buf_fini(&st->pending);
}

/* The other end of an upload has gone before the client had sent all. */
static void break_upload(struct stream *st)
{
	struct session *s = st->session;
	struct rpc_header header = st->header;
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "nobody reads %s any more", st->name);
	free_stream(st);
	send_error(s, &header, &err);
}

/* All that the client sent is written. */
static void finish_upload(struct stream *st)
{
	struct session *s = st->session;
	struct rpc_header header = st->header;

	free_stream(st);
	send_packet(s, &header, RPC_OK, NULL, 0);
}

static void upload(struct stream *st, uint32_t revents)
{
	if (revents & EPOLLERR) {
		break_upload(st);
		return;
	}
	write_pending(st);
	if (st->finishing && st->pending.len == 0)
		finish_upload(st);
	else
		update_events(st);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct stream *st = userdata;

	if (st->upload) {
		upload(st, revents);
		return 0;
	}
	if (revents & EPOLLOUT)
		write_pending(st);
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR) && !read_descriptor(st))
		return 0;
	update_events(st);
	return 0;
}

static struct stream *find_by_name(const struct server *server, const char *name)
{
	struct session *s;
	struct stream *st;

	LIST_FOREACH (s, &server->sessions, link)
		LIST_FOREACH (st, &s->streams, link)
			if (st->fd >= 0 && streq(st->name, name))
				return st;
	return NULL;
}

bool stream_is_open(const struct server *server, const char *name)
{
	return find_by_name(server, name) != NULL;
}

void stream_take_over(struct server *server, const char *name)
{
	struct stream *st = find_by_name(server, name);
	struct error err = ERROR_INIT;
	struct rpc_header header;
	struct session *s;

	if (!st)
		return;
	s = st->session;
	header = st->header;
	free_stream(st);
	error_set(&err, ERROR_OPERATION_ABORTED, "%s was taken over by another client", name);
	send_error(s, &header, &err);
}

static int add_stream(struct call *call, const char *name, int fd, bool is_upload, struct error *err)
{
	struct session *s = call->session;
	struct stream *st;

	if (s->n_streams >= STREAMS_MAX) {
		close(fd);
		return error_set(
			err, ERROR_OPERATION_FAILED, "more than %d streams of one client", STREAMS_MAX);
	}
	st = NEW(struct stream);
	st->session = s;
	st->header = call->header;
	st->name = xstrdup(name);
	st->fd = fd;
	st->upload = is_upload;
	list_add_tail(&s->streams, &st->link);
	s->n_streams++;
	if (fd_set_nonblock(fd) < 0 ||
		sd_event_add_io(s->server->loop, &st->io, fd, is_upload ? 0 : EPOLLIN, on_io, st) < 0) {
		free_stream(st);
		return error_set(err, ERROR_INTERNAL, "set up stream");
	}
	return 0;
}

void stream_open(struct call *call, const char *name, int fd)
{
	struct error err = ERROR_INIT;

	if (!call->session) {
		close(fd);
		call_ok(call);
	} else if (add_stream(call, name, fd, false, &err) < 0) {
		call_fail(call, &err);
	} else {
		call_ok(call);
	}
}

int stream_open_upload(struct call *call, const char *name, int fd, struct error *err)
{
	if (call->session)
		return add_stream(call, name, fd, true, err);
	close(fd);
	return 0;
}

static struct stream *find_stream(struct session *s, const struct rpc_header *header)
{
	struct stream *st;

	LIST_FOREACH (st, &s->streams, link)
		if (st->header.serial == header->serial && st->header.proc == header->proc &&
			st->header.prog == header->prog)
			return st;
	return NULL;
}

static void take_data(struct stream *st, const uint8_t *data, size_t len)
{
	struct session *s = st->session;
	struct rpc_header header = st->header;
	struct error err = ERROR_INIT;

	if (st->fd < 0)
		return; /* it ended; the client learns of it */
	if (!st->upload && st->pending.len + len > STREAM_PENDING_MAX) {
		error_set(&err, ERROR_OPERATION_FAILED, "the other end of the stream does not take %u bytes",
			STREAM_PENDING_MAX);
		free_stream(st);
		send_error(s, &header, &err);
		return;
	}
	buf_add(&st->pending, data, len);
	write_pending(st);
	update_events(st);
}

void stream_frame(struct session *s, const struct rpc_header *header, const uint8_t *payload, size_t len)
{
	struct stream *st = find_stream(s, header);
	struct error err = ERROR_INIT;

	if (header->type == RPC_STREAM_HOLE)
		error_set(&err, ERROR_RPC, "holes are not for this stream");
	else if (header->status == RPC_CONTINUE) {
		if (st)
			take_data(st, payload, len);
		return;
	} else if (header->status == RPC_OK && st && st->upload && st->pending.len > 0) {
		st->finishing = true;
		return;
	} else if (header->status == RPC_OK) {
		/* also for a stream that is gone already: the client waits for this answer */
		send_packet(s, header, RPC_OK, NULL, 0);
	} else if (header->status == RPC_ERROR)
		error_set(&err, ERROR_RPC, "stream aborted at client request");
	else
		error_set(&err, ERROR_RPC, "stream packet with status %d", header->status);
	if (st)
		free_stream(st);
	if (err.code != ERROR_NONE)
		send_error(s, header, &err);
}

void stream_resume_all(struct session *s)
{
	struct stream *st;

	LIST_FOREACH (st, &s->streams, link)
		update_events(st);
}

void stream_close_all(struct session *s)
{
	struct stream *st, *next;

	LIST_FOREACH_SAFE (st, next, &s->streams, link)
		free_stream(st);
}
