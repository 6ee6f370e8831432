/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A conversation with another daemon, from our side: linked, then what libvirt's own clients say first (which authentication, whether it answers pings, open),
 * then the owner's calls. Replies are matched by serial and come in any order.
 */
#include <assert.h>
#include <errno.h>

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "peer-internal.h"

/* From peer_open until it is opened: a name looked up, a machine that does not answer, a daemon that is busy. */
#define OPEN_USEC (30 * USEC_PER_SEC)
/* qemu.conf's keepalive_interval and keepalive_count for such connections */
#define KEEPALIVE_USEC	(5 * USEC_PER_SEC)
#define KEEPALIVE_COUNT 5

struct request {
	struct list link;
	unsigned serial;
	int procedure;
	xdrproc_t decode;
	size_t ret_size;
	peer_reply_fn reply;
	void *userdata;
};

static void free_peer(struct peer *p)
{
	struct request *r, *next;

	LIST_FOREACH_SAFE (r, next, &p->requests, link)
		free(r);
	peer_stream_free_all(p);
	sd_event_source_disable_unref(p->timer);
	sd_event_source_disable_unref(p->broken);
	connection_close(p->connection);
	tls_handshake_free(p->handshake);
	peer_link_free(p->link);
	peer_uri_fini(&p->uri);
	free(p);
}

void peer_enter(struct peer *p)
{
	p->busy++;
}

bool peer_leave(struct peer *p)
{
	assert(p->busy > 0);
	if (--p->busy == 0 && p->closing) {
		free_peer(p);
		return false;
	}
	return true;
}

void peer_close(struct peer *p)
{
	if (!p || p->closing)
		return;
	p->closing = true;
	if (p->busy == 0)
		free_peer(p);
}

/* ---- the end ---- */

void peer_break(struct peer *p, const struct error *why)
{
	if (p->state == PEER_BROKEN)
		return;
	p->state = PEER_BROKEN;
	p->why = *why;
	error_prefix(&p->why, "%s", peer_uri_get_place(&p->uri));
	sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(p->broken, SD_EVENT_ONESHOT);
}

bool peer_is_broken(const struct peer *p)
{
	return p->state == PEER_BROKEN;
}

/* Takes the request off the list. */
static void answer(struct peer *p, struct request *request, const void *ret, const struct error *err)
{
	struct request over = *request;

	list_remove(&request->link);
	free(request);
	if (over.reply)
		over.reply(p, ret, err, over.userdata);
}

static int tell_broken(sd_event_source *source, void *userdata)
{
	struct peer *p = userdata;

	peer_enter(p);
	while (!p->closing && !list_empty(&p->requests))
		answer(p, container_of(p->requests.next, struct request, link), NULL, &p->why);
	peer_stream_fail_all(p);
	if (!p->closing)
		p->ops->closed(p, &p->why, p->userdata);
	peer_leave(p);
	return 0;
}

/* ---- calls ---- */

void peer_call(struct peer *p, const struct peer_call *call)
{
	struct rpc_header header = {.prog = call->program ? call->program : RPC_PROGRAM_REMOTE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = call->procedure,
		.type = RPC_CALL,
		.serial = ++p->next_serial};
	struct request *request = NEW(struct request);
	struct error err = ERROR_INIT;

	*request = (struct request){.serial = header.serial,
		.procedure = call->procedure,
		.decode = call->decode,
		.ret_size = call->ret_size,
		.reply = call->reply,
		.userdata = call->userdata};
	list_add_tail(&p->requests, &request->link);
	if (p->state == PEER_BROKEN)
		return; /* it fails with the others */
	assert(p->connection);
	if (connection_send(p->connection, &header, call->encode, call->args, &err) < 0) {
		error_prefix(&err, "call %d", call->procedure);
		peer_break(p, &err);
	}
}

unsigned peer_get_serial(const struct peer *p)
{
	return p->next_serial;
}

static void on_reply(struct peer *p, const struct rpc_header *header, const uint8_t *payload, size_t len)
{
	_cleanup_free_ void *ret = NULL;
	struct error err = ERROR_INIT;
	struct request *r;
	xdrproc_t decode;

	LIST_FOREACH (r, &p->requests, link)
		if (r->serial == header->serial && r->procedure == header->proc)
			break;
	if (&r->link == &p->requests) {
		error_set(&err, ERROR_RPC, "a reply to what was not asked (call %d, serial %u)", header->proc,
			header->serial);
		peer_break(p, &err);
		return;
	}
	if (header->status != RPC_OK) {
		peer_error_decode(payload, len, &err);
		answer(p, r, NULL, &err);
		return;
	}
	decode = r->decode;
	if (decode)
		ret = xcalloc(1, r->ret_size);
	if (decode && payload_decode(payload, len, decode, ret, &err) < 0) {
		error_prefix(&err, "reply to call %d", header->proc);
		answer(p, r, NULL, &err);
		return;
	}
	answer(p, r, ret, NULL);
	if (decode)
		payload_free(decode, ret);
}

/* ---- keepalive ---- */

static void send_keepalive(struct peer *p, int procedure)
{
	struct rpc_header header = {.prog = RPC_PROGRAM_KEEPALIVE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = procedure,
		.type = RPC_EVENT};

	connection_send_raw(p->connection, &header, NULL, 0);
}

static void watch_life(struct peer *p)
{
	struct error err = ERROR_INIT;

	if (p->heard) {
		p->unanswered = 0;
		p->heard = false;
	} else if (p->unanswered >= KEEPALIVE_COUNT) {
		error_set(&err, ERROR_TIMEOUT, "does not answer keepalive messages");
		peer_break(p, &err);
		return;
	} else {
		p->unanswered++;
		send_keepalive(p, RPC_KEEPALIVE_PING);
	}
	sd_event_source_set_time_relative(p->timer, p->keepalive_usec);
	sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct peer *p = userdata;
	struct error err = ERROR_INIT;

	if (p->state == PEER_OPEN) {
		watch_life(p);
		return 0;
	}
	error_set(&err, ERROR_TIMEOUT, "%s in %llu s", p->connection ? "it did not answer" : "no connection",
		(unsigned long long)(OPEN_USEC / USEC_PER_SEC));
	peer_break(p, &err);
	return 0;
}

/* ---- what clients say first ---- */

static void on_opened(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	if (err) {
		peer_break(p, err);
		return;
	}
	p->state = PEER_OPEN;
	if (p->asks) {
		sd_event_source_set_time_relative(p->timer, p->keepalive_usec);
		sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
	} else {
		sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
	}
	p->ops->opened(p, p->userdata);
}

static void open_name(struct peer *p)
{
	p->state = PEER_OPENING;
	peer_call(p, &(struct peer_call){.procedure = RPC_CONNECT_OPEN,
			     .encode = (xdrproc_t)xdr_rpc_connect_open_args,
			     .args = &(rpc_connect_open_args){.name = &p->uri.name},
			     .reply = on_opened});
}

static void on_feature(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	const rpc_int_ret *supported = ret;

	if (p->state == PEER_BROKEN)
		return;
	/* whoever does not know the call does not know pings */
	p->asks = supported && supported->value == 1;
	open_name(p);
}

static void on_auth(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	const rpc_auth_list_ret *list = ret;
	struct error refused = ERROR_INIT;
	bool open = false;

	if (err) {
		peer_break(p, err);
		return;
	}
	for (u_int i = 0; i < list->types.types_len; i++)
		open = open || list->types.types_val[i] == RPC_AUTH_TYPE_NONE;
	if (!open) {
		error_set(&refused, ERROR_AUTH,
			"it wants its clients to log in (SASL or polkit), which daemons cannot");
		peer_break(p, &refused);
		return;
	}
	p->state = PEER_KEEPALIVE;
	peer_call(p, &(struct peer_call){.procedure = RPC_CONNECT_SUPPORTS_FEATURE,
			     .encode = (xdrproc_t)xdr_rpc_connect_supports_feature_args,
			     .args = &(rpc_connect_supports_feature_args){RPC_FEATURE_KEEPALIVE},
			     .decode = (xdrproc_t)xdr_rpc_int_ret,
			     .ret_size = sizeof(rpc_int_ret),
			     .reply = on_feature});
}

static void list_auth(struct peer *p)
{
	p->state = PEER_AUTH;
	peer_call(p, &(struct peer_call){.procedure = RPC_AUTH_LIST,
			     .decode = (xdrproc_t)xdr_rpc_auth_list_ret,
			     .ret_size = sizeof(rpc_auth_list_ret),
			     .reply = on_auth});
}

/* ---- the connection ---- */

static void on_frame(struct connection *c, const struct rpc_header *header, const uint8_t *payload,
	size_t len, void *userdata)
{
	struct peer *p = userdata;

	p->heard = true;
	if (p->state == PEER_BROKEN)
		return;
	if (header->prog == RPC_PROGRAM_KEEPALIVE) {
		if (header->type == RPC_EVENT && header->proc == RPC_KEEPALIVE_PING)
			send_keepalive(p, RPC_KEEPALIVE_PONG);
		return;
	}
	if (header->prog != RPC_PROGRAM_REMOTE &&
		!(header->prog == RPC_PROGRAM_GODWIT && header->type == RPC_REPLY))
		return;
	peer_enter(p);
	if (header->type == RPC_REPLY)
		on_reply(p, header, payload, len);
	else if (header->type == RPC_STREAM)
		peer_stream_frame(p, header, payload, len);
	/* events were not asked for */
	peer_leave(p);
}

static void on_drained(struct connection *c, void *userdata)
{
	peer_stream_resume(userdata);
}

static void on_closed(struct connection *c, const struct error *why, void *userdata)
{
	struct peer *p = userdata;
	struct error gone = ERROR_INIT;

	if (why)
		gone = *why;
	else
		error_set(&gone, ERROR_OPERATION_FAILED, "closed the connection");
	peer_link_explain(p->link, &gone);
	peer_break(p, &gone);
}

static const struct connection_ops connection_ops = {on_frame, on_drained, on_closed};

static void on_shaken(struct transport *t, const char *dn, const struct error *err, void *userdata)
{
	struct peer *p = userdata;
	struct error failed = ERROR_INIT;

	if (err)
		peer_break(p, err);
	else if (p->state == PEER_BROKEN)
		t->ops->free(t);
	else if (connection_open_over(p->loop, t, &connection_ops, p, &p->connection, &failed) < 0)
		peer_break(p, &failed);
	else
		list_auth(p);
}

static int shake_hands(struct peer *p, int fd, struct error *err)
{
	struct tls_context *context;
	int r;

	if (peer_tls_open(&p->uri, &context, err) < 0) {
		close(fd);
		return -1;
	}
	r = tls_handshake_start(p->loop, context, fd, p->uri.host, on_shaken, p, &p->handshake, err);
	tls_context_close(context);
	return r;
}

static void on_linked(int fd, const struct error *err, void *userdata)
{
	struct peer *p = userdata;
	struct error failed = ERROR_INIT;

	if (err)
		peer_break(p, err);
	else if (p->state == PEER_BROKEN)
		close(fd);
	else if (p->uri.transport == PEER_TLS) {
		if (shake_hands(p, fd, &failed) < 0)
			peer_break(p, &failed);
	} else if (connection_open(p->loop, fd, &connection_ops, p, &p->connection, &failed) < 0)
		peer_break(p, &failed);
	else
		list_auth(p);
}

int peer_open(sd_event *loop, const char *uri, const struct peer_ops *ops, void *userdata, struct peer **ret,
	struct error *err)
{
	struct peer *p = NEW(struct peer);
	int r;

	*p = (struct peer){.loop = loop, .ops = ops, .userdata = userdata, .keepalive_usec = KEEPALIVE_USEC};
	list_init(&p->requests);
	list_init(&p->streams);
	if (peer_uri_parse(uri, &p->uri, err) < 0)
		goto fail;
	r = sd_event_add_defer(loop, &p->broken, tell_broken, p);
	if (r >= 0)
		r = sd_event_source_set_enabled(p->broken, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &p->timer, CLOCK_MONOTONIC, OPEN_USEC, 0, on_timer, p);
	if (r < 0) {
		error_errno(err, -r, "connect to %s", peer_uri_get_place(&p->uri));
		goto fail;
	}
	if (peer_link_start(loop, &p->uri, on_linked, p, &p->link, err) < 0) {
		error_prefix(err, "%s", peer_uri_get_place(&p->uri));
		goto fail;
	}
	*ret = p;
	return 0;
fail:
	free_peer(p);
	return -1;
}
