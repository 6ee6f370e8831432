/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that wait for events and print them: `event` and `qemu-monitor-event`. */
#include <errno.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "images.h"
#include "migration.h"
#include "params.h"
#include "strv.h"

struct listener {
	struct cli *cli;
	bool timestamp, pretty;
	bool connection_closed;
	unsigned long long count;
};

static void print_timestamp(struct listener *l)
{
	uint64_t now = clock_wall();
	time_t seconds = (time_t)(now / USEC_PER_SEC);
	struct tm tm;
	char text[32];

	if (!l->timestamp || l->cli->json)
		return;
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	cli_print(l->cli, "%s.%03u+0000: ", text, (unsigned)(now / USEC_PER_MSEC % 1000));
}

/* One event: `detail` is what stands behind the colon (NULL: nothing), `data` (owned from here) the same for JSON. */
static void print_event(
	struct listener *l, const char *type, const struct rpc_domain *dom, const char *detail, json *data)
{
	l->count++;
	if (l->cli->json) {
		_cleanup_json_ json *o = json_pack("s:event", type, "s:domain", dom->name, "u:time_us",
			(uint64_t)clock_wall(), "o:data", data, NULL);
		_cleanup_free_ char *text = json_format(o);

		/* one event, one line: readers need not wait for the end */
		cli_print(l->cli, "%s\n", text);
	} else {
		json_object_put(data);
		print_timestamp(l);
		cli_print(l->cli, "event '%s' for domain '%s'%s%s\n", type, dom->name, detail ? ": " : "",
			detail ? detail : "");
	}
	fflush(stdout);
}

/* ---- one function for each kind ---- */

static void show_lifecycle(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_lifecycle *m = message;
	const char *event = lifecycle_event_name(m->event),
		   *detail = lifecycle_detail_name(m->event, m->detail);
	_cleanup_free_ char *text = xasprintf("%s %s", event, detail);

	print_event(l, type, &m->dom, text, json_pack("s:event", event, "s:detail", detail, NULL));
}

static void show_domain(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_domain *m = message;

	print_event(l, type, &m->dom, NULL, NULL);
}

static void show_rtc_change(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_rtc_change *m = message;
	_cleanup_free_ char *text = xasprintf("%lld", (long long)m->offset);

	print_event(l, type, &m->dom, text, json_pack("i:offset_s", (int64_t)m->offset, NULL));
}

static void show_watchdog(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_watchdog *m = message;
	const char *action = watchdog_outcome_name(m->action);

	print_event(l, type, &m->dom, action, json_pack("s:action", action, NULL));
}

static void show_io_error(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_io_error *m = message;
	const char *action = io_error_action_name(m->action);
	_cleanup_free_ char *text = xasprintf("%s (%s) %s", m->path, m->alias, action);

	print_event(l, type, &m->dom, text,
		json_pack("s:path", m->path, "s:alias", m->alias, "s:action", action, NULL));
}

static void show_io_error_reason(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_io_error_reason *m = message;
	const char *action = io_error_action_name(m->action);
	_cleanup_free_ char *text = xasprintf("%s (%s) %s due to %s", m->path, m->alias, action, m->reason);

	/* virsh names it io-error although it is asked for as io-error-reason */
	print_event(l, l->cli->json ? type : "io-error", &m->dom, text,
		json_pack("s:path", m->path, "s:alias", m->alias, "s:action", action, "s:reason", m->reason,
			NULL));
}

static void show_graphics(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_graphics *m = message;
	const char *phase = graphics_phase_name(m->phase);
	_cleanup_free_ char *text = xasprintf("%s local[%s %s %s] remote[%s %s %s] %s", phase,
		graphics_family_name(m->local.family), m->local.node, m->local.service,
		graphics_family_name(m->remote.family), m->remote.node, m->remote.service, m->auth_scheme);

	print_event(l, type, &m->dom, text,
		json_pack("s:phase", phase, "s:local", m->local.node, "s:local_port", m->local.service,
			"s:remote", m->remote.node, "s:remote_port", m->remote.service, "s:authentication",
			m->auth_scheme, NULL));
}

static void show_tray_change(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_tray_change *m = message;
	const char *what = m->reason == 0 ? "opened" : m->reason == 1 ? "closed" : "unknown";

	if (l->cli->json) {
		print_event(l, type, &m->dom, NULL, json_pack("s:disk", m->alias, "s:tray", what, NULL));
		return;
	}
	l->count++;
	print_timestamp(l);
	cli_print(l->cli, "event '%s' for domain '%s' disk %s: %s\n", type, m->dom.name, m->alias, what);
	fflush(stdout);
}

static void show_balloon_change(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_balloon_change *m = message;
	_cleanup_free_ char *text = xasprintf("%lluKiB", (unsigned long long)m->actual_kib);

	print_event(l, type, &m->dom, text, json_pack("u:actual_kib", (uint64_t)m->actual_kib, NULL));
}

static void show_device(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_device *m = message;

	print_event(l, type, &m->dom, m->alias, json_pack("s:alias", m->alias, NULL));
}

static void show_block_job(struct listener *l, const char *type, const void *message)
{
	/* virDomainBlockJobType and virConnectDomainEventBlockJobStatus, in virsh's words */
	static const char *const jobs[] = {
		"Unknown job", "Block Pull", "Block Copy", "Block Commit", "Active Block Commit", "Backup"};
	static const char *const states[] = {"completed", "failed", "canceled", "ready"};
	const struct rpc_event_block_job *m = message;
	const char *job = m->type > 0 && m->type < (int)ARRAY_SIZE(jobs) ? jobs[m->type] : jobs[0];
	const char *state =
		m->status >= 0 && m->status < (int)ARRAY_SIZE(states) ? states[m->status] : "unknown";
	_cleanup_free_ char *text = xasprintf("%s for %s %s", job, m->disk, state);

	print_event(
		l, type, &m->dom, text, json_pack("s:disk", m->disk, "s:job", job, "s:state", state, NULL));
}

static void show_agent_lifecycle(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_agent_lifecycle *m = message;
	const char *state = agent_state_name(m->state), *reason = agent_reason_name(m->reason);
	_cleanup_free_ char *text = xasprintf("state: '%s' reason: '%s'", state, reason);

	print_event(l, type, &m->dom, text, json_pack("s:state", state, "s:reason", reason, NULL));
}

static void show_metadata_change(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_metadata_change *m = message;
	const char *what = metadata_type_name(m->type), *uri = m->uri ? *m->uri : NULL;
	_cleanup_free_ char *text = xasprintf("type %s, uri %s", what, uri ? uri : "<null>");

	print_event(l, type, &m->dom, text, json_pack("s:type", what, "s:uri", uri, NULL));
}

static void show_migration_iteration(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_migration_iteration *m = message;
	_cleanup_free_ char *text = xasprintf("iteration: '%d'", m->iteration);

	print_event(l, type, &m->dom, text, json_pack("i:iteration", (int64_t)m->iteration, NULL));
}

static void show_job_completed(struct listener *l, const char *type, const void *message)
{
	const struct rpc_event_job_completed *m = message;
	struct buf text = {0};

	for (u_int i = 0; i < m->params.rpc_params_len; i++) {
		_cleanup_free_ char *value = param_format(&m->params.rpc_params_val[i]);

		buf_addf(&text, "\n\t%s: %s", m->params.rpc_params_val[i].field, value);
	}
	/* the first colon ends the line, as virsh has it */
	if (l->cli->json || text.len == 0) {
		print_event(l, type, &m->dom, NULL,
			params_to_json(m->params.rpc_params_val, m->params.rpc_params_len));
	} else {
		l->count++;
		print_timestamp(l);
		cli_print(l->cli, "event '%s' for domain '%s':%s\n", type, m->dom.name, text.data);
		fflush(stdout);
	}
	buf_fini(&text);
}

/* Every kind of event that the daemon may send: its message, its shape, and the id it is asked for by. */
static const struct event_kind {
	int procedure;
	int id;
	xdrproc_t coder;
	void (*show)(struct listener *l, const char *type, const void *message);
} event_kinds[] = {
	{RPC_EVENT_CALLBACK_LIFECYCLE, RPC_EVENT_ID_LIFECYCLE, (xdrproc_t)xdr_rpc_event_lifecycle,
		show_lifecycle},
	{RPC_EVENT_CALLBACK_REBOOT, RPC_EVENT_ID_REBOOT, (xdrproc_t)xdr_rpc_event_domain, show_domain},
	{RPC_EVENT_CALLBACK_RTC_CHANGE, RPC_EVENT_ID_RTC_CHANGE, (xdrproc_t)xdr_rpc_event_rtc_change,
		show_rtc_change},
	{RPC_EVENT_CALLBACK_WATCHDOG, RPC_EVENT_ID_WATCHDOG, (xdrproc_t)xdr_rpc_event_watchdog,
		show_watchdog},
	{RPC_EVENT_CALLBACK_IO_ERROR, RPC_EVENT_ID_IO_ERROR, (xdrproc_t)xdr_rpc_event_io_error,
		show_io_error},
	{RPC_EVENT_CALLBACK_IO_ERROR_REASON, RPC_EVENT_ID_IO_ERROR_REASON,
		(xdrproc_t)xdr_rpc_event_io_error_reason, show_io_error_reason},
	{RPC_EVENT_CALLBACK_GRAPHICS, RPC_EVENT_ID_GRAPHICS, (xdrproc_t)xdr_rpc_event_graphics,
		show_graphics},
	{RPC_EVENT_CALLBACK_BLOCK_JOB, RPC_EVENT_ID_BLOCK_JOB, (xdrproc_t)xdr_rpc_event_block_job,
		show_block_job},
	{RPC_EVENT_CALLBACK_BLOCK_JOB_2, RPC_EVENT_ID_BLOCK_JOB_2, (xdrproc_t)xdr_rpc_event_block_job,
		show_block_job},
	{RPC_EVENT_CALLBACK_TRAY_CHANGE, RPC_EVENT_ID_TRAY_CHANGE, (xdrproc_t)xdr_rpc_event_tray_change,
		show_tray_change},
	{RPC_EVENT_CALLBACK_BALLOON_CHANGE, RPC_EVENT_ID_BALLOON_CHANGE,
		(xdrproc_t)xdr_rpc_event_balloon_change, show_balloon_change},
	{RPC_EVENT_CALLBACK_DEVICE_REMOVED, RPC_EVENT_ID_DEVICE_REMOVED, (xdrproc_t)xdr_rpc_event_device,
		show_device},
	{RPC_EVENT_CALLBACK_DEVICE_ADDED, RPC_EVENT_ID_DEVICE_ADDED, (xdrproc_t)xdr_rpc_event_device,
		show_device},
	{RPC_EVENT_CALLBACK_AGENT_LIFECYCLE, RPC_EVENT_ID_AGENT_LIFECYCLE,
		(xdrproc_t)xdr_rpc_event_agent_lifecycle, show_agent_lifecycle},
	{RPC_EVENT_CALLBACK_METADATA_CHANGE, RPC_EVENT_ID_METADATA_CHANGE,
		(xdrproc_t)xdr_rpc_event_metadata_change, show_metadata_change},
	{RPC_EVENT_CALLBACK_MIGRATION_ITERATION, RPC_EVENT_ID_MIGRATION_ITERATION,
		(xdrproc_t)xdr_rpc_event_migration_iteration, show_migration_iteration},
	{RPC_EVENT_CALLBACK_JOB_COMPLETED, RPC_EVENT_ID_JOB_COMPLETED, (xdrproc_t)xdr_rpc_event_job_completed,
		show_job_completed},
};

/* Larger than any message above. */
union event_message {
	struct rpc_event_graphics graphics;
	struct rpc_event_io_error_reason io_error;
	struct rpc_event_job_completed job;
	char room[256];
};

static void handle_event(unsigned program, int procedure, const void *payload, size_t len, void *userdata)
{
	struct listener *l = userdata;
	union event_message message = {.room = {0}};

	if (program == RPC_PROGRAM_REMOTE && procedure == RPC_EVENT_CONNECTION_CLOSED)
		l->connection_closed = true;
	/* the callback id, an int, comes first; only one callback is registered for each kind */
	if (program != RPC_PROGRAM_REMOTE || len < 4)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(event_kinds); i++) {
		const struct event_kind *kind = &event_kinds[i];

		if (kind->procedure != procedure)
			continue;
		if (payload_decode((const char *)payload + 4, len - 4, kind->coder, &message, NULL) < 0)
			return;
		kind->show(l, event_type_name(kind->id), &message);
		payload_free(kind->coder, &message);
		return;
	}
}

/* ---- waiting ---- */

/* Until one event came, or with --loop until --timeout or Ctrl-C. */
static int listen_until_done(struct listener *l, const struct arguments *args, struct error *err)
{
	uint64_t seconds = arguments_number(args, "timeout", 0);
	uint64_t deadline = clock_now() + seconds * USEC_PER_SEC;
	bool loop = arguments_has(args, "loop");
	_cleanup_interrupt_ int interrupt = interrupt_fd_open(err);

	if (interrupt < 0)
		return -1;
	while (loop || l->count == 0) {
		struct pollfd fd = {.fd = interrupt, .events = POLLIN};
		uint64_t now = clock_now();
		uint64_t left_ms = deadline > now ? (deadline - now) / USEC_PER_MSEC + 1 : 0;

		if (seconds > 0 && left_ms == 0) {
			cli_print_extra(l->cli, "event loop timed out\n");
			break;
		}
		if (client_wait(l->cli->client, &fd, 1,
			    seconds > 0 ? (int)(left_ms < 60000 ? left_ms : 60000) : -1, err) < 0)
			return -1;
		if (fd.revents) {
			cli_print_extra(l->cli, "event loop interrupted\n");
			break;
		}
		if (l->connection_closed)
			return error_set(err, ERROR_RPC, "the daemon closed the connection");
	}
	cli_print_extra(l->cli, "events received: %llu\n", l->count);
	if (l->count == 0)
		return error_set(err, ERROR_TIMEOUT, "no event came");
	return 0;
}

static int register_event(struct cli *cli, int id, struct rpc_domain *dom, struct error *err)
{
	struct rpc_event_register_args args = {.event_id = id, .dom = dom};
	struct rpc_int_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY,
		CLIENT_ARGS(rpc_event_register_args, &args),
		CLIENT_RET(rpc_int_ret, &r)};

	return cli_call(cli, &call, err);
}

static int list_types(struct cli *cli)
{
	_cleanup_json_ json *names = json_object_new_array();

	for (int id = 0; event_type_name(id); id++) {
		json_object_array_add(names, json_object_new_string(event_type_name(id)));
		if (!cli->json)
			cli_print(cli, "%s\n", event_type_name(id));
	}
	if (cli->json)
		cli_print_json(cli, names);
	return 0;
}

static int find_type(const char *name, int *ret, struct error *err)
{
	for (int id = 0; event_type_name(id); id++) {
		if (!streq(event_type_name(id), name))
			continue;
		*ret = id;
		return 0;
	}
	return error_set(err, ERROR_INVALID_ARGUMENT,
		"unknown event type '%s' ('godwit event --list' shows them)", name);
}

int cmd_event(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *name = arguments_string(args, "event");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain *only = NULL;
	struct listener l = {.cli = cli, .timestamp = arguments_has(args, "timestamp")};
	int wanted = -1;

	if (arguments_has(args, "list"))
		return list_types(cli);
	if (!name && !arguments_has(args, "all"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "event needs --list, --all or --event TYPE");
	if (name && find_type(name, &wanted, err) < 0)
		return -1;
	if (cli_connect(cli, err) < 0)
		return -1;
	if (arguments_has(args, "domain")) {
		if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
			return -1;
		only = &dom;
	}
	client_set_event_handler(cli->client, handle_event, &l);
	for (int id = 0; event_type_name(id); id++) {
		if (wanted >= 0 && wanted != id)
			continue;
		/* an older daemon may not know the later kinds */
		if (register_event(cli, id, only, err) < 0 && (wanted == id || id == 0))
			return error_prefix(err, "ask for %s events", event_type_name(id));
	}
	error_clear(err);
	return listen_until_done(&l, args, err);
}

/* ---- QEMU's own events ---- */

static void handle_monitor_event(
	unsigned program, int procedure, const void *payload, size_t len, void *userdata)
{
	struct listener *l = userdata;
	struct rpc_monitor_event m = {0};
	_cleanup_json_ json *details = NULL;
	const char *text;

	if (program != RPC_PROGRAM_QEMU || procedure != RPC_QEMU_MONITOR_EVENT ||
		payload_decode(payload, len, (xdrproc_t)xdr_rpc_monitor_event, &m, NULL) < 0)
		return;
	l->count++;
	text = m.details ? *m.details : NULL;
	if (text && (l->pretty || l->cli->json))
		json_parse(text, strlen(text), &details, NULL);
	if (l->cli->json) {
		_cleanup_json_ json *o =
			json_pack("s:event", m.event, "s:domain", m.dom.name, "i:seconds", (int64_t)m.seconds,
				"i:micros", (int64_t)m.micros, "o:data", json_object_get(details), NULL);
		_cleanup_free_ char *line = json_format(o);

		cli_print(l->cli, "%s\n", line);
	} else {
		if (l->timestamp)
			print_timestamp(l);
		else
			cli_print(l->cli, "event %s at %lld.%06u for domain '%s': ", m.event,
				(long long)m.seconds, m.micros, m.dom.name);
		if (l->timestamp)
			cli_print(l->cli, "event %s for domain '%s': ", m.event, m.dom.name);
		if (details)
			text = json_object_to_json_string_ext(
				details, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
		cli_print(l->cli, "%s\n", text ? text : "<null>");
	}
	fflush(stdout);
	payload_free((xdrproc_t)xdr_rpc_monitor_event, &m);
}

int cmd_qemu_monitor_event(struct cli *cli, const struct arguments *args, struct error *err)
{
	char *event = (char *)arguments_string(args, "event");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct listener l = {.cli = cli,
		.timestamp = arguments_has(args, "timestamp"),
		.pretty = arguments_has(args, "pretty")};
	struct rpc_monitor_event_register_args a = {.event = event ? &event : NULL};
	struct rpc_int_ret r = {0};
	struct client_call call = {
		.program = RPC_PROGRAM_QEMU,
		.procedure = RPC_QEMU_MONITOR_EVENT_REGISTER,
		CLIENT_ARGS(rpc_monitor_event_register_args, &a),
		CLIENT_RET(rpc_int_ret, &r),
	};

	if (cli_connect(cli, err) < 0)
		return -1;
	if (arguments_has(args, "domain")) {
		if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
			return -1;
		a.dom = &dom;
	}
	a.flags = arguments_flag(args, "regex", RPC_MONITOR_EVENT_REGEX) |
		  arguments_flag(args, "no-case", RPC_MONITOR_EVENT_NOCASE);
	client_set_event_handler(cli->client, handle_monitor_event, &l);
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "ask for QEMU's events");
	return listen_until_done(&l, args, err);
}
