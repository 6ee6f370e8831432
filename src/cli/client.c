/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One conversation with godwitd. */
#include "client.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "frame.h"
#include "list.h"
#include "strv.h"

struct client_request {
	struct list list;
	const struct client_call *call;
	unsigned serial;
	bool answered;
	int status;
	struct buf payload;
};

struct client {
	int fd;
	bool open; /* hello was said, goodbye not */
	unsigned next_serial;
	unsigned timeout_s; /* 0: none */
	struct buf in;
	struct list requests;
	client_event_fn event;
	void *event_userdata;
	struct {
		int procedure;
		unsigned serial;
		client_stream_fn fn; /* NULL: none open */
		void *userdata;
	} stream;
};

static const struct {
	int wire;
	enum error_code code;
} error_codes[] = {
	{RPC_CODE_NO_MEMORY, ERROR_NO_MEMORY},
	{RPC_CODE_NO_SUPPORT, ERROR_UNSUPPORTED},
	{RPC_CODE_RPC, ERROR_UNSUPPORTED}, /* "unknown procedure" */
	{RPC_CODE_XML, ERROR_XML},
	{RPC_CODE_DOMAIN_EXISTS, ERROR_EXISTS},
	{RPC_CODE_OPERATION_DENIED, ERROR_OPERATION_DENIED},
	{RPC_CODE_AUTH_FAILED, ERROR_AUTH},
	{RPC_CODE_SYSTEM, ERROR_SYSTEM},
	{RPC_CODE_NO_DOMAIN, ERROR_NO_DOMAIN},
	{RPC_CODE_NO_NETWORK, ERROR_NO_OBJECT},
	{RPC_CODE_NO_STORAGE_POOL, ERROR_NO_OBJECT},
	{RPC_CODE_NO_STORAGE_VOLUME, ERROR_NO_OBJECT},
	{RPC_CODE_NO_NODE_DEVICE, ERROR_NO_OBJECT},
	{RPC_CODE_NO_INTERFACE, ERROR_NO_OBJECT},
	{RPC_CODE_NO_NWFILTER, ERROR_NO_OBJECT},
	{RPC_CODE_NO_SECRET, ERROR_NO_OBJECT},
	{RPC_CODE_OPERATION_INVALID, ERROR_OPERATION_INVALID},
	{RPC_CODE_CONFIG_UNSUPPORTED, ERROR_UNSUPPORTED_CONFIG},
	{RPC_CODE_OPERATION_TIMEOUT, ERROR_TIMEOUT},
	{RPC_CODE_NO_SNAPSHOT, ERROR_NO_SNAPSHOT},
	{RPC_CODE_ARGUMENT_UNSUPPORTED, ERROR_ARGUMENT_UNSUPPORTED},
	{RPC_CODE_OPERATION_ABORTED, ERROR_OPERATION_ABORTED},
	{RPC_CODE_NO_METADATA, ERROR_NO_METADATA},
	{RPC_CODE_OPERATION_UNSUPPORTED, ERROR_UNSUPPORTED},
	{RPC_CODE_RESOURCE_BUSY, ERROR_IN_USE},
	{RPC_CODE_AGENT_UNRESPONSIVE, ERROR_AGENT},
	{RPC_CODE_AGENT_COMMAND_TIMEOUT, ERROR_AGENT_TIMEOUT},
	{RPC_CODE_MIGRATE_UNSAFE, ERROR_MIGRATE_UNSAFE},
	{RPC_CODE_MIGRATE_FINISH_OK, ERROR_MIGRATE_FINISH_OK},
	{RPC_CODE_MIGRATE_PERSIST_FAILED, ERROR_MIGRATE_PERSIST_FAILED},
	{RPC_CODE_CPU_INCOMPATIBLE, ERROR_CPU_INCOMPATIBLE},
	{RPC_CODE_AGENT_COMMAND_FAILED, ERROR_AGENT_REFUSED},
};

enum error_code client_error_code(int wire_code)
{
	for (size_t i = 0; i < ARRAY_SIZE(error_codes); i++)
		if (error_codes[i].wire == wire_code)
			return error_codes[i].code;
	return ERROR_OPERATION_FAILED;
}

static int decode_error(const void *payload, size_t len, struct error *err)
{
	struct rpc_error e = {0};

	if (payload_decode(payload, len, (xdrproc_t)xdr_rpc_error, &e, err) < 0)
		return error_prefix(err, "the daemon's error cannot be read");
	error_set(err, client_error_code(e.code), "%s", e.message ? *e.message : "failed without a reason");
	payload_free((xdrproc_t)xdr_rpc_error, &e);
	return -1;
}

/* ---- bytes ---- */

/* What has arrived goes behind c->in; at least one byte must be there or arrive. */
static int receive_some(struct client *c, struct error *err)
{
	const size_t chunk = 64 << 10;
	ssize_t n = recv(c->fd, buf_reserve(&c->in, chunk), chunk, MSG_DONTWAIT);

	if (n > 0) {
		c->in.len += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	c->open = false;
	if (n == 0 || errno == ECONNRESET)
		return error_set(err, ERROR_RPC, "the daemon closed the connection");
	return error_set(err, ERROR_RPC, "read from the daemon: %s", strerror(errno));
}

/* Reads on while the daemon does not: both sides waiting for the other to read would be for ever. */
static int send_all(struct client *c, const char *data, size_t len, struct error *err)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLOUT};

			if (poll(&p, 1, -1) > 0 && (p.revents & (POLLIN | POLLHUP)) &&
				receive_some(c, err) < 0)
				return -1;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return error_set(err, ERROR_RPC, "the daemon closed the connection");
		} else if (errno != EINTR) {
			return error_set(err, ERROR_RPC, "write to the daemon: %s", strerror(errno));
		}
	}
	return 0;
}

static int send_frame(struct client *c, const struct rpc_header *header, xdrproc_t encode, const void *args,
	struct error *err)
{
	struct buf out = {0};
	int r = frame_encode(&out, header, encode, args, err);

	if (r == 0)
		r = send_all(c, out.data, out.len, err);
	buf_fini(&out);
	return r;
}

/* ---- what arrives ---- */

static void answer_ping(struct client *c)
{
	struct rpc_header pong = {
		RPC_PROGRAM_KEEPALIVE, RPC_PROGRAM_VERSION, RPC_KEEPALIVE_PONG, RPC_EVENT, 0, RPC_OK};

	/* a lost connection shows up where somebody waits for an answer */
	send_frame(c, &pong, NULL, NULL, NULL);
}

static void handle_reply(struct client *c, const struct rpc_header *h, const void *payload, size_t len)
{
	struct client_request *r;

	LIST_FOREACH (r, &c->requests, list) {
		if (r->serial != h->serial || r->answered)
			continue;
		r->answered = true;
		r->status = h->status;
		buf_add(&r->payload, payload, len);
		return;
	}
}

static void handle_stream(struct client *c, const struct rpc_header *h, const void *payload, size_t len)
{
	client_stream_fn fn = c->stream.fn;
	struct error err = ERROR_INIT;

	if (!fn || h->serial != c->stream.serial)
		return;
	if (h->status == RPC_ERROR)
		decode_error(payload, len, &err);
	if (h->status != RPC_CONTINUE)
		c->stream.fn = NULL;
	fn(h->status, payload, len, &err, c->stream.userdata);
}

static void handle_frame(struct client *c, const struct rpc_header *h, const void *payload, size_t len)
{
	if (h->prog == RPC_PROGRAM_KEEPALIVE) {
		if (h->proc == RPC_KEEPALIVE_PING)
			answer_ping(c);
	} else if (h->type == RPC_REPLY) {
		handle_reply(c, h, payload, len);
	} else if (h->type == RPC_STREAM) {
		handle_stream(c, h, payload, len);
	} else if (h->type == RPC_EVENT && c->event) {
		c->event(h->prog, h->proc, payload, len, c->event_userdata);
	}
}

static int handle_input(struct client *c, struct error *err)
{
	for (;;) {
		struct rpc_header h;
		size_t length;
		int r = frame_get_length(c->in.data, c->in.len, RPC_FRAME_MAX, &length, err);

		if (r < 0)
			c->open = false; /* whoever that is would not understand a goodbye either */
		if (r <= 0)
			return r;
		if (c->in.len < length)
			return 0;
		frame_decode_header(c->in.data, &h);
		handle_frame(c, &h, c->in.data + RPC_FRAME_MIN, length - RPC_FRAME_MIN);
		buf_drop_front(&c->in, length);
	}
}

int client_wait(struct client *c, struct pollfd *extra, size_t n, int timeout_ms, struct error *err)
{
	struct pollfd fds[4] = {{.fd = c->fd, .events = POLLIN}};
	int r;

	if (n + 1 > ARRAY_SIZE(fds))
		return error_set(err, ERROR_INTERNAL, "wait for %zu things at once", n);
	for (size_t i = 0; i < n; i++)
		fds[i + 1] = extra[i];
	r = poll(fds, n + 1, timeout_ms);
	for (size_t i = 0; i < n; i++)
		extra[i].revents = r > 0 ? fds[i + 1].revents : 0;
	if (r < 0 && errno != EINTR)
		return error_errno(err, errno, "wait for the daemon");
	if (r <= 0 || !fds[0].revents)
		return 0;
	if (receive_some(c, err) < 0)
		return -1;
	return handle_input(c, err);
}

/* ---- calls ---- */

int client_start(
	struct client *c, const struct client_call *call, struct client_request **ret, struct error *err)
{
	struct rpc_header h = {
		.prog = call->program ? call->program : RPC_PROGRAM_REMOTE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = call->procedure,
		.type = RPC_CALL,
		.serial = c->next_serial++,
	};
	struct client_request *r;

	if (send_frame(c, &h, call->encode, call->args, err) < 0)
		return -1;
	r = NEW(struct client_request);
	r->call = call;
	r->serial = h.serial;
	list_add_tail(&c->requests, &r->list);
	*ret = r;
	return 0;
}

bool client_is_answered(const struct client_request *r)
{
	return r->answered;
}

unsigned client_get_serial(const struct client_request *r)
{
	return r->serial;
}

void client_forget(struct client *c, struct client_request *r)
{
	if (!r)
		return;
	list_remove(&r->list);
	buf_fini(&r->payload);
	free(r);
}

static int wait_answer(struct client *c, const struct client_request *r, struct error *err)
{
	uint64_t deadline = clock_now() + c->timeout_s * USEC_PER_SEC;

	/* something may have arrived while the call was being sent */
	if (handle_input(c, err) < 0)
		return -1;
	while (!r->answered) {
		int timeout_ms = -1;

		if (c->timeout_s > 0) {
			uint64_t now = clock_now();

			if (now >= deadline)
				return error_set(err, ERROR_TIMEOUT, "no answer from the daemon within %u s",
					c->timeout_s);
			timeout_ms = (int)((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
		}
		if (client_wait(c, NULL, 0, timeout_ms, err) < 0)
			return -1;
	}
	return 0;
}

int client_finish(struct client *c, struct client_request *r, struct error *err)
{
	const struct client_call *call = r->call;
	int ret;

	ret = wait_answer(c, r, err);
	if (ret == 0 && r->status != RPC_OK)
		ret = decode_error(r->payload.data, r->payload.len, err);
	else if (ret == 0 && call->decode)
		ret = payload_decode(r->payload.data, r->payload.len, call->decode, call->ret, err);
	client_forget(c, r);
	return ret;
}

int client_call(struct client *c, const struct client_call *call, struct error *err)
{
	struct client_request *r;

	if (client_start(c, call, &r, err) < 0)
		return -1;
	return client_finish(c, r, err);
}

/* ---- streams ---- */

void client_open_stream(struct client *c, int procedure, unsigned serial, client_stream_fn fn, void *userdata)
{
	c->stream.procedure = procedure;
	c->stream.serial = serial;
	c->stream.fn = fn;
	c->stream.userdata = userdata;
}

static struct rpc_header stream_header(const struct client *c, int status)
{
	return (struct rpc_header){RPC_PROGRAM_REMOTE, RPC_PROGRAM_VERSION, c->stream.procedure, RPC_STREAM,
		c->stream.serial, status};
}

int client_send_stream(struct client *c, const void *data, size_t len, struct error *err)
{
	struct rpc_header h = stream_header(c, RPC_CONTINUE);
	struct buf out = {0};
	int r;

	if (!c->stream.fn)
		return 0;
	frame_encode_raw(&out, &h, data, len);
	r = send_all(c, out.data, out.len, err);
	buf_fini(&out);
	return r;
}

void client_close_stream(struct client *c)
{
	struct rpc_header h = stream_header(c, RPC_OK);

	if (c->stream.fn)
		send_frame(c, &h, NULL, NULL, NULL);
}

/* ---- hello and goodbye ---- */

static int authenticate(struct client *c, struct error *err)
{
	struct rpc_auth_list_ret list = {0};
	struct client_call call = {.procedure = RPC_AUTH_LIST, CLIENT_RET(rpc_auth_list_ret, &list)};
	bool none = false;

	if (client_call(c, &call, err) < 0)
		return -1;
	for (u_int i = 0; i < list.types.types_len; i++)
		none = none || list.types.types_val[i] == RPC_AUTH_TYPE_NONE;
	payload_free((xdrproc_t)xdr_rpc_auth_list_ret, &list);
	if (!none)
		return error_set(
			err, ERROR_AUTH, "the daemon asks for an authentication that godwit does not have");
	return 0;
}

static int open_connection(struct client *c, const char *uri, bool read_only, struct error *err)
{
	char *name = (char *)uri; /* the coder only reads it */
	struct rpc_connect_open_args args = {
		.name = name ? &name : NULL, .flags = read_only ? RPC_OPEN_READ_ONLY : 0};
	struct client_call call = {.procedure = RPC_CONNECT_OPEN, CLIENT_ARGS(rpc_connect_open_args, &args)};

	return client_call(c, &call, err);
}

int client_open(
	int fd, const char *uri, bool read_only, unsigned timeout_s, struct client **ret, struct error *err)
{
	struct client *c = NEW(struct client);

	c->fd = fd;
	c->timeout_s = timeout_s;
	list_init(&c->requests);
	if (authenticate(c, err) < 0 || open_connection(c, uri, read_only, err) < 0) {
		client_close(c);
		return -1;
	}
	c->open = true;
	*ret = c;
	return 0;
}

/* Waits a moment for the answer to CLOSE, so that the daemon does not find the line dead while it sends it. */
static void say_goodbye(struct client *c)
{
	struct client_call call = {.procedure = RPC_CONNECT_CLOSE};
	struct client_request *r;

	if (client_start(c, &call, &r, NULL) < 0)
		return;
	c->timeout_s = 1;
	client_finish(c, r, NULL);
}

void client_close(struct client *c)
{
	struct client_request *r, *next;

	if (!c)
		return;
	/* Whoever wanted them is gone. */
	c->event = NULL;
	if (c->open)
		say_goodbye(c);
	LIST_FOREACH_SAFE (r, next, &c->requests, list)
		client_forget(c, r);
	close(c->fd);
	buf_fini(&c->in);
	free(c);
}

void client_set_event_handler(struct client *c, client_event_fn fn, void *userdata)
{
	c->event = fn;
	c->event_userdata = userdata;
}
