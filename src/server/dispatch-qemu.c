/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program for those who talk to QEMU itself. */
#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "session.h"

static void raw_done(struct qmp *q, const char *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_string_ret){(char *)reply});
}

static void hmp_done(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const char *text;

	if (err) {
		call_fail(call, err);
		return;
	}
	text = json_object_get_string(ret);
	call_reply(call, &(rpc_string_ret){(char *)(text ? text : "")});
}

void handle_qemu_monitor_command(struct call *call)
{
	const rpc_monitor_command_args *args = call->args;
	struct error err = ERROR_INIT;
	struct qmp *q;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_MONITOR_COMMAND_HMP))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return;
	q = vm_get_qmp(vm);
	if (!q) {
		error_set(&err, ERROR_OPERATION_INVALID, "QEMU's monitor is not connected");
		call_fail(call, &err);
		return;
	}
	if (args->flags & RPC_MONITOR_COMMAND_HMP)
		qmp_command(q, "human-monitor-command", json_pack("s:command-line", args->command, NULL), -1,
			0, hmp_done, call);
	else
		call_check(call, qmp_command_raw(q, args->command, raw_done, call, &err), &err);
}

void handle_qemu_monitor_event_register(struct call *call)
{
	const rpc_monitor_event_register_args *args = call->args;
	struct subscription item = {.kind = SUBSCRIPTION_MONITOR, .monitor_flags = args->flags};
	struct error err = ERROR_INIT;
	int id;

	if (!call_check_flags(call, args->flags, RPC_MONITOR_EVENT_REGEX | RPC_MONITOR_EVENT_NOCASE))
		return;
	if (args->dom) {
		if (!call_find_vm(call, args->dom))
			return;
		item.has_uuid = true;
		memcpy(item.uuid, args->dom->uuid, sizeof(item.uuid));
	}
	item.monitor_event = args->event ? xstrdup(*args->event) : NULL;
	id = subscriptions_add(&call->session->subscriptions, &item, &err);
	if (id < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_int_ret){id});
}

void handle_qemu_monitor_event_deregister(struct call *call)
{
	const rpc_callback_args *args = call->args;
	struct error err = ERROR_INIT;

	if (subscriptions_remove(
		    &call->session->subscriptions, SUBSCRIPTION_MONITOR, args->callback_id, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}
