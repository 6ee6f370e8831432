/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent in the guest is told to do. */
#include "alloc.h"
#include "base64.h"
#include "call-agent.h"
#include "constants.h"
#include "dispatch.h"
#include "guest.h"
#include "quiesce.h"

void call_ask_agent(struct call *call, const char *name, json *arguments, int timeout, agent_reply_fn reply)
{
	struct error err = ERROR_INIT;

	call_check(call, vm_agent_command(call->vm, name, arguments, timeout, reply, call, &err), &err);
}

/* Answers without result. */
static void done(json *ret, const struct error *err, void *userdata)
{
	call_vm_done(NULL, err, userdata);
}

/* ---- filesystems ---- */

static void count_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_int_ret){(int)json_object_get_int(ret)});
}

/* The VM, unless a job is in the way. */
static bool find_freezable(struct call *call, const rpc_freeze_args *args)
{
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return false;
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return false;
	if (vm_check_freeze(vm, &err) == 0)
		return true;
	call_fail(call, &err);
	return false;
}

void handle_domain_fsfreeze(struct call *call)
{
	const rpc_freeze_args *args = call->args;
	json *list;

	if (!find_freezable(call, args))
		return;
	if (args->mountpoints.mountpoints_len == 0) {
		call_ask_agent(call, "guest-fsfreeze-freeze", NULL, VM_AGENT_TIMEOUT, count_done);
		return;
	}
	list = json_object_new_array();
	for (u_int i = 0; i < args->mountpoints.mountpoints_len; i++)
		json_object_array_add(list, json_object_new_string(args->mountpoints.mountpoints_val[i]));
	call_ask_agent(call, "guest-fsfreeze-freeze-list", json_pack("o:mountpoints", list, NULL),
		VM_AGENT_TIMEOUT, count_done);
}

void handle_domain_fsthaw(struct call *call)
{
	const rpc_freeze_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!find_freezable(call, args))
		return;
	if (args->mountpoints.mountpoints_len == 0) {
		call_ask_agent(call, "guest-fsfreeze-thaw", NULL, VM_AGENT_TIMEOUT, count_done);
		return;
	}
	error_set(&err, ERROR_OPERATION_INVALID, "specifying mountpoints is not supported");
	call_fail(call, &err);
}

void handle_domain_fstrim(struct call *call)
{
	const rpc_trim_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, 0) || !call_find_active_vm(call, &args->dom))
		return;
	if (!args->mountpoint) {
		call_ask_agent(call, "guest-fstrim", json_pack("u:minimum", args->minimum, NULL),
			VM_AGENT_TIMEOUT, done);
		return;
	}
	error_set(&err, ERROR_ARGUMENT_UNSUPPORTED, "Specifying mount point is not supported for now");
	call_fail(call, &err);
}

/* ---- time ---- */

static void time_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	int64_t ns = json_object_get_int64(ret);

	if (err)
		call_fail(call, err);
	else
		call_reply(call,
			&(rpc_guest_time_ret){.seconds = ns / 1000000000 - (ns % 1000000000 < 0),
				.nanoseconds = (unsigned)((ns % 1000000000 + 1000000000) % 1000000000)});
}

void handle_domain_get_time(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0) && call_find_active_vm(call, &args->dom))
		call_ask_agent(call, "guest-get-time", NULL, VM_AGENT_TIMEOUT, time_done);
}

/* Interrupts of the clock that are still to be made up for would set it wrong again. */
static void time_set(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	struct qmp *q = vm_get_qmp(call->vm);

	if (!err && q)
		qmp_command(q, "rtc-reset-reinjection", NULL, -1, 0, NULL, NULL);
	done(ret, err, call);
}

void handle_domain_set_time(struct call *call)
{
	const rpc_set_guest_time_args *args = call->args;
	struct error err = ERROR_INIT;
	json *arguments = NULL;

	if (!call_check_flags(call, args->flags, RPC_TIME_SYNC) || !call_find_active_vm(call, &args->dom))
		return;
	if (args->seconds > INT64_MAX / 1000000000 - 1 || args->seconds < INT64_MIN / 1000000000) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "Time '%lld' is too big for guest agent",
			(long long)args->seconds);
		call_fail(call, &err);
		return;
	}
	/* Without a time the guest takes that of its hardware clock. */
	if (!(args->flags & RPC_TIME_SYNC))
		arguments = json_pack(
			"i:time", (int64_t)args->seconds * 1000000000 + (int64_t)args->nanoseconds, NULL);
	call_ask_agent(call, "guest-set-time", arguments, VM_AGENT_TIMEOUT, time_set);
}

/* ---- users ---- */

void handle_domain_set_user_password(struct call *call)
{
	const rpc_user_password_args *args = call->args;
	_cleanup_free_ char *password = NULL;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, RPC_PASSWORD_ENCRYPTED) ||
		!call_find_active_vm(call, &args->dom))
		return;
	if (!args->user || !args->password) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "a user and a password are needed");
		call_fail(call, &err);
		return;
	}
	password = base64_encode(*args->password, strlen(*args->password));
	call_ask_agent(call, "guest-set-user-password",
		json_pack("s:username", *args->user, "s:password", password, "b:crypted",
			(args->flags & RPC_PASSWORD_ENCRYPTED) != 0, NULL),
		VM_AGENT_TIMEOUT, done);
}

/* ---- whatever it can do ---- */

static void command_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	_cleanup_json_ json *message = NULL;
	_cleanup_free_ char *text = NULL;

	if (err) {
		call_fail(call, err);
		return;
	}
	message = json_pack("o:return", json_object_get(ret), NULL);
	text = json_format(message);
	call_reply(call, &(rpc_agent_command_ret){&text});
}

void handle_qemu_agent_command(struct call *call)
{
	const rpc_agent_command_args *args = call->args;
	_cleanup_json_ json *message = NULL;
	struct error err = ERROR_INIT;
	const char *name;

	if (!call_check_flags(call, args->flags, 0) || !call_find_active_vm(call, &args->dom))
		return;
	if (args->timeout < AGENT_BLOCK)
		error_set(&err, ERROR_INVALID_ARGUMENT,
			"guest agent timeout '%d' is less than the minimum '%d'", args->timeout, AGENT_BLOCK);
	else if (json_parse(args->command, strlen(args->command), &message, &err) < 0)
		error_prefix(&err, "agent command");
	else if (!(name = json_get_string(message, "execute")))
		error_set(&err, ERROR_INVALID_ARGUMENT, "agent command: it has no \"execute\"");
	else {
		call_ask_agent(call, name, json_object_get(json_get(message, "arguments")), args->timeout,
			command_done);
		return;
	}
	call_fail(call, &err);
}

void handle_domain_agent_set_response_timeout(struct call *call)
{
	const rpc_agent_timeout_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_agent_set_timeout(vm, args->timeout, &err) < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_int_ret){0});
}
