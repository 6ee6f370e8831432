/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking for events, and no longer asking. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "session.h"

static void subscribe(struct call *call, const struct subscription *item)
{
	struct error err = ERROR_INIT;
	int id = subscriptions_add(&call->session->subscriptions, item, &err);

	if (id < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_int_ret){id});
}

static void unsubscribe(struct call *call, enum subscription_kind kind)
{
	const rpc_callback_args *args = call->args;
	struct error err = ERROR_INIT;

	if (subscriptions_remove(&call->session->subscriptions, kind, args->callback_id, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

static bool check_event_id(struct call *call, int id)
{
	struct error err = ERROR_INIT;

	if (id >= 0 && id < RPC_EVENT_ID_MAX)
		return true;
	error_set(&err, ERROR_INVALID_ARGUMENT, "unknown event id %d", id);
	call_fail(call, &err);
	return false;
}

void handle_connect_domain_event_callback_register_any(struct call *call)
{
	const rpc_event_register_args *args = call->args;
	struct subscription item = {.kind = SUBSCRIPTION_DOMAIN, .event_id = args->event_id};

	if (!check_event_id(call, args->event_id))
		return;
	if (args->dom) {
		if (!call_find_vm(call, args->dom))
			return;
		item.has_uuid = true;
		memcpy(item.uuid, args->dom->uuid, sizeof(item.uuid));
	}
	subscribe(call, &item);
}

void handle_connect_domain_event_callback_deregister_any(struct call *call)
{
	unsubscribe(call, SUBSCRIPTION_DOMAIN);
}

/* ---- the interface of before 2013: one subscription per event id, no callback ids ---- */

static void set_old_style(struct call *call, int event_id, bool on)
{
	uint32_t bit = 1u << event_id;

	if (on)
		call->session->subscriptions.old_style |= bit;
	else
		call->session->subscriptions.old_style &= ~bit;
}

void handle_connect_domain_event_register(struct call *call)
{
	set_old_style(call, RPC_EVENT_ID_LIFECYCLE, true);
	call_reply(call, &(rpc_int_ret){1});
}

void handle_connect_domain_event_deregister(struct call *call)
{
	set_old_style(call, RPC_EVENT_ID_LIFECYCLE, false);
	call_reply(call, &(rpc_int_ret){0});
}

void handle_connect_domain_event_register_any(struct call *call)
{
	const rpc_event_id_args *args = call->args;

	if (!check_event_id(call, args->event_id))
		return;
	set_old_style(call, args->event_id, true);
	call_ok(call);
}

void handle_connect_domain_event_deregister_any(struct call *call)
{
	const rpc_event_id_args *args = call->args;

	if (!check_event_id(call, args->event_id))
		return;
	set_old_style(call, args->event_id, false);
	call_ok(call);
}

/* ---- networks, pools, node devices, secrets: there are none, so nothing will ever happen to them ---- */

void handle_register_nothing(struct call *call)
{
	subscribe(call, &(struct subscription){.kind = SUBSCRIPTION_NOTHING});
}

void handle_deregister_nothing(struct call *call)
{
	unsubscribe(call, SUBSCRIPTION_NOTHING);
}
