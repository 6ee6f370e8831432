/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Framed, non-blocking conversation over a stream socket on an event loop. */
#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "alloc.h"
#include "file.h"

/* Read in one go, on the stack; frames that arrive whole are never copied. */
#define READ_SIZE 65536
/* A buffer that grew beyond this is given back when it has become empty. */
#define KEEP_SIZE 4096

struct connection {
	sd_event_source *io;
	sd_event_source *wake; /* delivers what was buffered while held, and errors found while sending */
	struct transport *transport; /* &plain, or owned */
	struct transport plain;
	const struct connection_ops *ops;
	void *userdata;
	struct buf in;
	struct buf out;
	size_t sent; /* bytes at the front of `out` that are gone already */
	size_t skip;
	size_t frame_max;
	bool held, was_high;
	bool closing; /* connection_close was called */
	bool reported;
	struct error send_error;
	unsigned busy; /* callbacks on the stack: freeing waits for them */
};

/* ---- a socket as it is ---- */

static ssize_t plain_receive(struct transport *t, void *data, size_t len, struct error *err)
{
	ssize_t n = recv(t->fd, data, len, MSG_DONTWAIT);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? TRANSPORT_AGAIN : error_errno(err, errno, "receive");
}

static ssize_t plain_send(struct transport *t, const void *data, size_t len, struct error *err)
{
	ssize_t n;

	do
		n = send(t->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN ? TRANSPORT_AGAIN : error_errno(err, errno, "send");
}

static void plain_free(struct transport *t)
{
	close(t->fd);
}

static const struct transport_ops plain_ops = {plain_receive, plain_send, plain_free};

static void close_transport(struct connection *c)
{
	if (c->transport)
		c->transport->ops->free(c->transport);
	c->transport = NULL;
}

/* ---- the connection ---- */

static void free_connection(struct connection *c)
{
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->wake);
	close_transport(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

static void enter(struct connection *c)
{
	c->busy++;
}

/* False when the connection was closed meanwhile and is gone now. */
static bool leave(struct connection *c)
{
	assert(c->busy > 0);
	if (--c->busy == 0 && c->closing) {
		free_connection(c);
		return false;
	}
	return true;
}

static void report_closed(struct connection *c, const struct error *why)
{
	if (c->reported || c->closing)
		return;
	c->reported = true;
	sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
	c->ops->closed(c, why, c->userdata);
}

static void update_events(struct connection *c)
{
	uint32_t events = (c->held ? 0 : EPOLLIN) | (c->out.len > c->sent ? EPOLLOUT : 0);

	if (!c->reported)
		sd_event_source_set_io_events(c->io, events);
}

/* Hand out the whole frames at `data`; the number of bytes used, or -1 when the framing is broken. */
static ssize_t deliver_frames(struct connection *c, const uint8_t *data, size_t len, struct error *err)
{
	struct rpc_header header;
	size_t used = 0, length, n;
	int r;

	while (!c->held && !c->closing) {
		if (c->skip > 0) {
			n = len - used < c->skip ? len - used : c->skip;
			used += n;
			c->skip -= n;
			if (c->skip > 0)
				break;
		}
		r = frame_get_length(data + used, len - used, c->frame_max, &length, err);
		if (r < 0)
			return -1;
		if (r == 0 || len - used < length)
			break;
		frame_decode_header(data + used, &header);
		c->ops->frame(c, &header, data + used + RPC_FRAME_MIN, length - RPC_FRAME_MIN, c->userdata);
		used += length;
	}
	return (ssize_t)used;
}

static void release_input(struct connection *c)
{
	if (c->in.len == 0 && c->in.allocated > KEEP_SIZE)
		buf_fini(&c->in);
}

static void deliver_buffered(struct connection *c)
{
	struct error err = ERROR_INIT;
	ssize_t used = deliver_frames(c, (const uint8_t *)c->in.data, c->in.len, &err);

	if (used < 0) {
		report_closed(c, &err);
		return;
	}
	buf_drop_front(&c->in, (size_t)used);
	release_input(c);
}

static void receive(struct connection *c)
{
	struct error err = ERROR_INIT;
	uint8_t data[READ_SIZE];
	ssize_t n, used;

	n = c->transport->ops->receive(c->transport, data, sizeof(data), &err);
	if (n == TRANSPORT_AGAIN)
		return;
	if (n < 0) {
		report_closed(c, &err);
		return;
	}
	if (n == 0) {
		report_closed(c, NULL);
		return;
	}
	if (c->in.len > 0) {
		buf_add(&c->in, data, (size_t)n);
		deliver_buffered(c);
		return;
	}
	used = deliver_frames(c, data, (size_t)n, &err);
	if (used < 0)
		report_closed(c, &err);
	else if (used < n)
		buf_add(&c->in, data + used, (size_t)(n - used));
}

static void transmit(struct connection *c)
{
	ssize_t n;

	while (c->out.len > c->sent) {
		n = c->transport->ops->send(
			c->transport, c->out.data + c->sent, c->out.len - c->sent, &c->send_error);
		if (n < 0) {
			if (n != TRANSPORT_AGAIN)
				sd_event_source_set_enabled(c->wake, SD_EVENT_ONESHOT);
			break;
		}
		c->sent += (size_t)n;
	}
	if (c->sent == c->out.len) {
		buf_clear(&c->out);
		c->sent = 0;
		if (c->out.allocated > KEEP_SIZE)
			buf_fini(&c->out);
	} else if (c->sent > c->out.len / 2) {
		buf_drop_front(&c->out, c->sent);
		c->sent = 0;
	}
	if (c->out.len - c->sent > CONNECTION_OUTPUT_HIGH)
		c->was_high = true;
	update_events(c);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct connection *c = userdata;

	enter(c);
	if (revents & EPOLLOUT) {
		transmit(c);
		if (c->was_high && c->out.len == 0) {
			c->was_high = false;
			c->ops->drained(c, c->userdata);
		}
	}
	if (!c->closing && !c->held && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(c);
	else if (!c->closing && revents & (EPOLLHUP | EPOLLERR))
		report_closed(c, NULL);
	leave(c);
	return 0;
}

static int on_wake(sd_event_source *s, void *userdata)
{
	struct connection *c = userdata;

	enter(c);
	if (c->send_error.code != ERROR_NONE)
		report_closed(c, &c->send_error);
	else if (!c->held && !c->reported)
		deliver_buffered(c);
	leave(c);
	return 0;
}

/* `t` NULL: `fd` as it is. */
static int open_over(sd_event *loop, struct transport *t, int fd, const struct connection_ops *ops,
	void *userdata, struct connection **ret, struct error *err)
{
	struct connection *c = NEW(struct connection);
	int r;

	c->plain = (struct transport){&plain_ops, fd};
	c->transport = t ? t : &c->plain;
	c->ops = ops;
	c->userdata = userdata;
	c->frame_max = RPC_FRAME_MAX;
	if (fd_set_nonblock(fd) < 0) {
		error_errno(err, errno, "set up connection");
		goto fail;
	}
	r = sd_event_add_io(loop, &c->io, fd, EPOLLIN, on_io, c);
	if (r >= 0)
		r = sd_event_add_defer(loop, &c->wake, on_wake, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->wake, SD_EVENT_OFF);
	if (r < 0) {
		error_errno(err, -r, "set up connection");
		goto fail;
	}
	*ret = c;
	return 0;
fail:
	free_connection(c);
	return -1;
}

int connection_open(sd_event *loop, int fd, const struct connection_ops *ops, void *userdata,
	struct connection **ret, struct error *err)
{
	return open_over(loop, NULL, fd, ops, userdata, ret, err);
}

int connection_open_over(sd_event *loop, struct transport *t, const struct connection_ops *ops,
	void *userdata, struct connection **ret, struct error *err)
{
	return open_over(loop, t, t->fd, ops, userdata, ret, err);
}

void connection_close(struct connection *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	if (c->busy == 0) {
		free_connection(c);
		return;
	}
	/* the callbacks on the stack still use the memory; the peer must learn of it now */
	c->io = sd_event_source_disable_unref(c->io);
	c->wake = sd_event_source_disable_unref(c->wake);
	close_transport(c);
}

void connection_set_frame_max(struct connection *c, size_t max)
{
	c->frame_max = max;
}

void connection_hold(struct connection *c, bool hold)
{
	if (c->held == hold || c->closing)
		return;
	c->held = hold;
	update_events(c);
	if (!hold && c->in.len > 0)
		sd_event_source_set_enabled(c->wake, SD_EVENT_ONESHOT);
}

void connection_skip(struct connection *c, size_t n)
{
	c->skip += n;
}

/* Frames were appended to `out`, which held `before` bytes. */
static void push_out(struct connection *c, size_t before)
{
	if (before == 0)
		transmit(c);
	else if (c->out.len - c->sent > CONNECTION_OUTPUT_HIGH)
		c->was_high = true;
}

int connection_send(struct connection *c, const struct rpc_header *header, xdrproc_t coder, const void *value,
	struct error *err)
{
	size_t before = c->out.len;

	if (c->closing || c->reported)
		return 0;
	if (frame_encode(&c->out, header, coder, value, err) < 0)
		return -1;
	push_out(c, before);
	return 0;
}

void connection_send_raw(
	struct connection *c, const struct rpc_header *header, const void *payload, size_t len)
{
	size_t before = c->out.len;

	if (c->closing || c->reported)
		return;
	frame_encode_raw(&c->out, header, payload, len);
	push_out(c, before);
}

void connection_send_frames(struct connection *c, const void *data, size_t len)
{
	size_t before = c->out.len;

	if (c->closing || c->reported)
		return;
	buf_add(&c->out, data, len);
	push_out(c, before);
}

size_t connection_get_queued(const struct connection *c)
{
	return c->out.len - c->sent;
}
