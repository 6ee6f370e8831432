/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client: frames in, calls begun, answers out, and the watch over whether it still lives. */
#include "session.h"

#include <errno.h>

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "log.h"
#include "migrate.h"
#include "stream.h"

static void run_backlog(struct session *s);

static void ignore_destroyed(struct vm *vm, const struct error *err, void *userdata)
{
	if (err)
		log_warning("destroy a domain whose client went away: %s", err->message);
}

/* What lives only as long as the client has the connection open. */
static void release_opened(struct session *s)
{
	struct error err = ERROR_INIT;
	struct vm *vm;

	stream_close_all(s);
	migrate_client_gone(s->server->registry, s);
	subscriptions_fini(&s->subscriptions);
	VEC_FOREACH (a, &s->autodestroys) {
		vm = registry_find_by_uuid(s->server->registry, a.uuid);
		if (!vm || vm_get_id(vm) != a.id)
			continue;
		if (vm_destroy(vm, false, ignore_destroyed, NULL, &err) < 0)
			ignore_destroyed(vm, &err, NULL);
	}
	VEC_FREE(&s->autodestroys);
}

void session_close(struct session *s)
{
	struct call *call, *next;

	release_opened(s);
	LIST_FOREACH_SAFE (call, next, &s->calls, link) {
		call->session = NULL;
		list_remove(&call->link);
	}
	sd_event_source_disable_unref(s->timer);
	connection_close(s->connection);
	list_remove(&s->link);
	s->server->n_sessions--;
	if (s->read_only)
		s->server->n_read_only--;
	buf_fini(&s->backlog);
	free(s);
}

void session_doom(struct session *s, const char *why)
{
	if (s->doomed)
		return;
	s->doomed = true;
	log_info("client (%s): %s", s->origin.name, why);
	sd_event_source_set_enabled(s->server->reaper, SD_EVENT_ONESHOT);
}

void session_update_hold(struct session *s)
{
	connection_hold(s->connection, s->backlog.len > SESSION_BACKLOG_MAX || s->n_full > 0);
}

void session_call_ended(struct session *s, struct call *call)
{
	s->n_calls--;
	if (s->backlog.len > 0 && !s->running_backlog)
		run_backlog(s);
}

/* May another call begin now? Also not while the client does not read its answers. */
static bool may_begin(const struct session *s)
{
	return s->n_calls < s->server->settings.max_client_requests &&
	       connection_get_queued(s->connection) <= CONNECTION_OUTPUT_HIGH;
}

static const struct procedure *find_procedure(struct call *call, struct error *err)
{
	const struct rpc_header *h = &call->header;
	const struct procedure *p;
	size_t n;

	if (h->vers != RPC_PROGRAM_VERSION || !procedure_table(h->prog, &n)) {
		error_set(err, ERROR_RPC, "Cannot find program %u version %u", h->prog, h->vers);
		return NULL;
	}
	if (h->type != RPC_CALL && h->type != RPC_CALL_WITH_FDS) {
		error_set(err, ERROR_RPC, "Unexpected message type %d", h->type);
		return NULL;
	}
	if (h->status != RPC_OK) {
		error_set(err, ERROR_RPC, "Unexpected message status %d", h->status);
		return NULL;
	}
	p = procedure_find(h->prog, h->proc);
	if (!p)
		error_set(err, ERROR_UNKNOWN_PROCEDURE, "unknown procedure: %d", h->proc);
	return p;
}

static int check_access(struct session *s, const struct procedure *p, struct error *err)
{
	char name[80];

	if (p->access == ACCESS_ALWAYS)
		return 0;
	if (s->state != SESSION_OPEN)
		return error_set(err, ERROR_INTERNAL, "connection not open");
	if (p->access == ACCESS_WRITE && s->read_only) {
		procedure_api_name(p, name);
		return error_set(err, ERROR_OPERATION_DENIED, "read only access prevents %s", name);
	}
	return 0;
}

static int prepare_call(
	struct session *s, struct call *call, const uint8_t *payload, size_t len, struct error *err)
{
	call->procedure = find_procedure(call, err);
	if (!call->procedure || check_access(s, call->procedure, err) < 0)
		return -1;
	if (call->header.type == RPC_CALL_WITH_FDS)
		return error_set(err, ERROR_UNSUPPORTED, "passing of file descriptors");
	if (!call->procedure->args) {
		if (len > 0)
			return error_set(
				err, ERROR_RPC, "procedure %d takes no arguments", call->header.proc);
		return 0;
	}
	call->args = xcalloc(1, call->procedure->args_size);
	if (payload_decode(payload, len, call->procedure->args, call->args, err) == 0)
		return 0;
	free(TAKE_PTR(call->args));
	return error_prefix(err, "procedure %d", call->header.proc);
}

static void begin_call(struct session *s, const struct rpc_header *header, const uint8_t *payload, size_t len)
{
	struct call *call = NEW(struct call);
	struct error err = ERROR_INIT;

	call->session = s;
	call->server = s->server;
	call->registry = s->server->registry;
	call->header = *header;
	list_add_tail(&s->calls, &call->link);
	s->n_calls++;
	if (prepare_call(s, call, payload, len, &err) < 0)
		call_fail(call, &err);
	else
		call->procedure->handle(call);
}

static void run_backlog(struct session *s)
{
	struct error err = ERROR_INIT;
	struct rpc_header header;
	size_t length, used = 0;

	s->running_backlog = true;
	while (used < s->backlog.len && may_begin(s) && !s->doomed) {
		const uint8_t *frame = (const uint8_t *)s->backlog.data + used;

		if (frame_get_length(frame, s->backlog.len - used, RPC_FRAME_MAX, &length, &err) <= 0)
			break;
		frame_decode_header(frame, &header);
		begin_call(s, &header, frame + RPC_FRAME_MIN, length - RPC_FRAME_MIN);
		used += length;
	}
	s->running_backlog = false;
	buf_drop_front(&s->backlog, used);
	if (s->backlog.len == 0)
		buf_fini(&s->backlog);
	session_update_hold(s);
}

static void on_keepalive(struct session *s, const struct rpc_header *header)
{
	struct rpc_header pong = {.prog = RPC_PROGRAM_KEEPALIVE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = RPC_KEEPALIVE_PONG,
		.type = RPC_EVENT};

	if (header->vers == RPC_PROGRAM_VERSION && header->proc == RPC_KEEPALIVE_PING &&
		header->type == RPC_EVENT)
		connection_send_raw(s->connection, &pong, NULL, 0);
}

/* Descriptors follow the frame with one byte each; without a control buffer the kernel closes them. */
static void skip_descriptors(struct session *s, const uint8_t *payload, size_t len)
{
	uint32_t n = len >= 4 ? get_be32(payload) : 0;

	if (n <= RPC_FDS_MAX)
		connection_skip(s->connection, n);
	else
		session_doom(s, "announced more descriptors than are allowed");
}

static void on_frame(struct connection *c, const struct rpc_header *header, const uint8_t *payload,
	size_t len, void *userdata)
{
	struct session *s = userdata;

	s->heard = true;
	if (s->doomed)
		return;
	if (header->prog == RPC_PROGRAM_KEEPALIVE) {
		on_keepalive(s, header);
		return;
	}
	switch (header->type) {
	case RPC_STREAM:
	case RPC_STREAM_HOLE:
		stream_frame(s, header, payload, len);
		return;
	case RPC_REPLY:
	case RPC_REPLY_WITH_FDS:
	case RPC_EVENT:
		return; /* nothing was asked of the client: nobody waits for these */
	default:
		break;
	}
	if (header->type == RPC_CALL_WITH_FDS)
		skip_descriptors(s, payload, len);
	if (s->backlog.len == 0 && may_begin(s)) {
		begin_call(s, header, payload, len);
		return;
	}
	frame_encode_raw(&s->backlog, header, payload, len);
	session_update_hold(s);
}

static void on_drained(struct connection *c, void *userdata)
{
	struct session *s = userdata;

	stream_resume_all(s);
	if (s->backlog.len > 0)
		run_backlog(s);
}

static void on_closed(struct connection *c, const struct error *why, void *userdata)
{
	struct session *s = userdata;

	if (why)
		log_info("client (%s): %s", s->origin.name, why->message);
	session_close(s);
}

static const struct connection_ops session_ops = {on_frame, on_drained, on_closed};

static int open_timed_out(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct session *s = userdata;

	if (s->state == SESSION_NEW)
		session_doom(s, "did not open the connection in time");
	return 0;
}

static int keepalive_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	static const struct rpc_header ping = {.prog = RPC_PROGRAM_KEEPALIVE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = RPC_KEEPALIVE_PING,
		.type = RPC_EVENT};
	struct session *s = userdata;
	const struct server_settings *settings = &s->server->settings;

	/* what it says is not read while a stream of it is full */
	if (s->heard || s->n_full > 0) {
		s->unanswered = 0;
		s->heard = false;
	} else if (s->unanswered >= settings->keepalive_count) {
		session_doom(s, "does not answer keepalive messages");
		return 0;
	} else {
		s->unanswered++;
		connection_send_raw(s->connection, &ping, NULL, 0);
	}
	sd_event_source_set_time_relative(source, settings->keepalive_interval * USEC_PER_SEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void session_start_keepalive(struct session *s)
{
	uint64_t interval = s->server->settings.keepalive_interval * USEC_PER_SEC;

	if (s->keepalive || interval == 0)
		return;
	s->keepalive = true;
	s->timer = sd_event_source_disable_unref(s->timer);
	/* an accuracy of a quarter lets the kernel wake the daemon once for many clients */
	if (sd_event_add_time_relative(s->server->loop, &s->timer, CLOCK_MONOTONIC, interval, interval / 4,
		    keepalive_due, s) < 0)
		session_doom(s, "no timer for keepalive");
}

void session_set_open(struct session *s, bool read_only)
{
	s->state = SESSION_OPEN;
	if (read_only && !s->read_only) {
		s->read_only = true;
		s->server->n_read_only++;
	}
	connection_set_frame_max(s->connection, RPC_FRAME_MAX);
	if (!s->keepalive)
		s->timer = sd_event_source_disable_unref(s->timer);
}

void session_set_closed(struct session *s)
{
	s->state = SESSION_CLOSED;
	release_opened(s);
}

int session_open(struct server *server, int fd, struct transport *t, const struct client_origin *origin,
	struct error *err)
{
	struct session *s = NEW(struct session);
	int r;

	s->server = server;
	s->read_only = origin->read_only;
	s->origin = *origin;
	list_init(&s->link);
	list_init(&s->calls);
	list_init(&s->streams);
	r = t ? connection_open_over(server->loop, t, &session_ops, s, &s->connection, err)
	      : connection_open(server->loop, fd, &session_ops, s, &s->connection, err);
	if (r < 0) {
		free(s);
		return -1;
	}
	connection_set_frame_max(s->connection, SESSION_FRAME_MAX_NEW);
	r = sd_event_add_time_relative(server->loop, &s->timer, CLOCK_MONOTONIC, SERVER_OPEN_TIMEOUT_USEC,
		USEC_PER_SEC * 5, open_timed_out, s);
	if (r < 0) {
		connection_close(s->connection);
		free(s);
		return error_errno(err, -r, "set up client");
	}
	list_add_tail(&server->sessions, &s->link);
	server->n_sessions++;
	if (s->read_only)
		server->n_read_only++;
	return 0;
}
