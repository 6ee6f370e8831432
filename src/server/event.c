/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of VMs, told to every client that asked, in the form it asked for. */
#include "event.h"

#include <regex.h>

#include "constants.h"
#include "frame.h"
#include "job-params.h"
#include "log.h"
#include "migration.h"
#include "session.h"
#include "strv.h"

void subscriptions_fini(struct subscriptions *s)
{
	VEC_FOREACH (item, &s->items)
		free(item.monitor_event);
	VEC_FREE(&s->items);
	s->old_style = 0;
}

int subscriptions_add(struct subscriptions *s, const struct subscription *item, struct error *err)
{
	struct subscription copy = *item;

	if (s->items.n >= SUBSCRIPTIONS_MAX) {
		free(copy.monitor_event);
		return error_set(
			err, ERROR_OPERATION_FAILED, "more than %d event callbacks", SUBSCRIPTIONS_MAX);
	}
	copy.callback_id = s->last_id++;
	VEC_ADD(&s->items, copy);
	return copy.callback_id;
}

int subscriptions_remove(
	struct subscriptions *s, enum subscription_kind kind, int callback_id, struct error *err)
{
	for (size_t i = 0; i < s->items.n; i++) {
		if (s->items.items[i].callback_id != callback_id || s->items.items[i].kind != kind)
			continue;
		free(s->items.items[i].monitor_event);
		VEC_REMOVE(&s->items, i);
		return 0;
	}
	return error_set(err, ERROR_INVALID_ARGUMENT, "event callback %d is not registered", callback_id);
}

/* An event's payload, with the callback id before it when the client asked in the new way. */
struct message {
	int event_id;
	int old_number; /* 0: the old interface does not have it */
	int new_number;
	xdrproc_t coder;
	void *body;
};

struct numbered {
	int callback_id;
	const struct message *message;
};

static bool_t xdr_numbered(XDR *xdrs, struct numbered *n)
{
	return xdr_int(xdrs, &n->callback_id) && coder_run(n->message->coder, xdrs, n->message->body);
}

static void send_event(struct session *s, uint32_t program, int number, xdrproc_t coder, const void *value)
{
	struct rpc_header header = {
		.prog = program, .vers = RPC_PROGRAM_VERSION, .proc = number, .type = RPC_EVENT};
	struct error err = ERROR_INIT;

	if (connection_get_queued(s->connection) > SESSION_EVENTS_MAX)
		session_doom(s, "does not read the events it asked for");
	else if (connection_send(s->connection, &header, coder, value, &err) < 0)
		log_warning("event not sent: %s", err.message);
}

static bool wants(const struct subscription *sub, enum subscription_kind kind, const struct vm *vm)
{
	return sub->kind == kind && (!sub->has_uuid || memcmp(sub->uuid, vm_get_uuid(vm), 16) == 0);
}

static void tell(struct server *server, const struct vm *vm, const struct message *m)
{
	struct session *s;

	LIST_FOREACH (s, &server->sessions, link) {
		if (m->old_number != 0 && s->subscriptions.old_style & 1u << m->event_id)
			send_event(s, RPC_PROGRAM_REMOTE, m->old_number, m->coder, m->body);
		VEC_FOREACH (sub, &s->subscriptions.items) {
			struct numbered numbered = {sub.callback_id, m};

			if (sub.event_id == m->event_id && wants(&sub, SUBSCRIPTION_DOMAIN, vm))
				send_event(s, RPC_PROGRAM_REMOTE, m->new_number, (xdrproc_t)xdr_numbered,
					&numbered);
		}
	}
}

/* TELL(LIFECYCLE, rpc_event_lifecycle, body): for events that both interfaces have. */
#define TELL(name, type, value)                                                                              \
	tell(server, event->vm,                                                                              \
		&(struct message){RPC_EVENT_ID_##name, RPC_EVENT_##name, RPC_EVENT_CALLBACK_##name,          \
			(xdrproc_t)xdr_##type, &(value)})
#define TELL_NEW(name, type, value)                                                                          \
	tell(server, event->vm,                                                                              \
		&(struct message){                                                                           \
			RPC_EVENT_ID_##name, 0, RPC_EVENT_CALLBACK_##name, (xdrproc_t)xdr_##type, &(value)})

/* XDR has no missing string where libvirt's types have none. */
static char *text(const char *s)
{
	return (char *)(s ? s : "");
}

static void tell_io_error(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	rpc_event_io_error plain = {
		*dom, text(event->io_error.path), text(event->io_error.alias), event->io_error.action};
	rpc_event_io_error_reason reasoned = {
		*dom, plain.path, plain.alias, plain.action, text(event->io_error.reason)};

	TELL(IO_ERROR, rpc_event_io_error, plain);
	TELL(IO_ERROR_REASON, rpc_event_io_error_reason, reasoned);
}

static rpc_graphics_address graphics_address(const struct vm_graphics_address *a)
{
	return (rpc_graphics_address){a->family, text(a->node), text(a->service)};
}

static void tell_graphics(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	rpc_event_graphics body = {.dom = *dom,
		.phase = event->graphics.phase,
		.local = graphics_address(&event->graphics.local),
		.remote = graphics_address(&event->graphics.remote),
		.auth_scheme = text(event->graphics.auth_scheme)};

	TELL(GRAPHICS, rpc_event_graphics, body);
}

static void tell_metadata(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	char *uri = (char *)event->metadata.uri;
	rpc_event_metadata_change body = {*dom, (int)event->metadata.what, uri ? &uri : NULL};

	TELL_NEW(METADATA_CHANGE, rpc_event_metadata_change, body);
}

static void tell_job(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	rpc_param params[JOB_PARAMS_MAX];
	rpc_event_job_completed body = {.dom = *dom};

	body.params.rpc_params_val = params;
	body.params.rpc_params_len = job_params_fill(&event->job.info, params);
	TELL_NEW(JOB_COMPLETED, rpc_event_job_completed, body);
}

static bool monitor_event_matches(const struct subscription *sub, const char *name)
{
	bool nocase = sub->monitor_flags & RPC_MONITOR_EVENT_NOCASE;
	regex_t regex;
	bool matches;

	if (!sub->monitor_event)
		return true;
	if (!(sub->monitor_flags & RPC_MONITOR_EVENT_REGEX))
		return nocase ? strcasecmp(sub->monitor_event, name) == 0 : streq(sub->monitor_event, name);
	if (regcomp(&regex, sub->monitor_event, REG_EXTENDED | REG_NOSUB | (nocase ? REG_ICASE : 0)) != 0)
		return false;
	matches = regexec(&regex, name, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

static void tell_monitor(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	_cleanup_free_ char *details = NULL;
	rpc_monitor_event body = {.dom = *dom,
		.event = text(event->monitor.name),
		.seconds = event->monitor.seconds,
		.micros = (u_int)event->monitor.micros};
	struct session *s;

	LIST_FOREACH (s, &server->sessions, link) {
		VEC_FOREACH (sub, &s->subscriptions.items) {
			if (!wants(&sub, SUBSCRIPTION_MONITOR, event->vm) ||
				!monitor_event_matches(&sub, body.event))
				continue;
			if (event->monitor.data && !details)
				details = json_format(event->monitor.data);
			body.details = details ? &details : NULL;
			body.callback_id = sub.callback_id;
			send_event(s, RPC_PROGRAM_QEMU, RPC_QEMU_MONITOR_EVENT,
				(xdrproc_t)xdr_rpc_monitor_event, &body);
		}
	}
}

static void tell_device(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	rpc_event_device body = {*dom, text(event->device.alias)};

	if (event->type == VM_EVENT_DEVICE_ADDED)
		TELL_NEW(DEVICE_ADDED, rpc_event_device, body);
	else
		TELL(DEVICE_REMOVED, rpc_event_device, body);
}

static void tell_block_job(struct server *server, const struct vm_event *event, const rpc_domain *dom)
{
	rpc_event_block_job body = {
		*dom, text(event->block_job.path), event->block_job.type, event->block_job.status};

	TELL(BLOCK_JOB, rpc_event_block_job, body);
	body.disk = text(event->block_job.target);
	TELL_NEW(BLOCK_JOB_2, rpc_event_block_job, body);
}

void event_broadcast(const struct vm_event *event, void *userdata)
{
	struct server *server = userdata;
	rpc_domain dom;

	domain_handle(event->vm, &dom);
	switch (event->type) {
	case VM_EVENT_LIFECYCLE:
		TELL(LIFECYCLE, rpc_event_lifecycle,
			((rpc_event_lifecycle){dom, event->lifecycle.event, event->lifecycle.detail}));
		break;
	case VM_EVENT_REBOOT:
		TELL(REBOOT, rpc_event_domain, (rpc_event_domain){dom});
		break;
	case VM_EVENT_RTC_CHANGE:
		TELL(RTC_CHANGE, rpc_event_rtc_change, ((rpc_event_rtc_change){dom, event->rtc.offset}));
		break;
	case VM_EVENT_WATCHDOG:
		TELL(WATCHDOG, rpc_event_watchdog, ((rpc_event_watchdog){dom, event->watchdog.action}));
		break;
	case VM_EVENT_IO_ERROR:
		tell_io_error(server, event, &dom);
		break;
	case VM_EVENT_GRAPHICS:
		tell_graphics(server, event, &dom);
		break;
	case VM_EVENT_BALLOON_CHANGE:
		TELL(BALLOON_CHANGE, rpc_event_balloon_change,
			((rpc_event_balloon_change){dom, event->balloon.actual_kib}));
		break;
	case VM_EVENT_TRAY_CHANGE:
		TELL(TRAY_CHANGE, rpc_event_tray_change,
			((rpc_event_tray_change){dom, text(event->tray.alias), event->tray.reason}));
		break;
	case VM_EVENT_DEVICE_ADDED:
	case VM_EVENT_DEVICE_REMOVED:
		tell_device(server, event, &dom);
		break;
	case VM_EVENT_JOB_COMPLETED:
		tell_job(server, event, &dom);
		break;
	case VM_EVENT_AGENT_LIFECYCLE:
		TELL_NEW(AGENT_LIFECYCLE, rpc_event_agent_lifecycle,
			((rpc_event_agent_lifecycle){dom, event->agent.state, event->agent.reason}));
		break;
	case VM_EVENT_METADATA_CHANGE:
		tell_metadata(server, event, &dom);
		break;
	case VM_EVENT_MIGRATION_ITERATION:
		TELL_NEW(MIGRATION_ITERATION, rpc_event_migration_iteration,
			((rpc_event_migration_iteration){dom, event->iteration.number}));
		break;
	case VM_EVENT_BLOCK_JOB:
		tell_block_job(server, event, &dom);
		break;
	case VM_EVENT_MONITOR:
		tell_monitor(server, event, &dom);
		break;
	case VM_EVENT_MAX_:
		break;
	}
}
