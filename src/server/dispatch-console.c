/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consoles and channels as streams. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "stream.h"
#include "strv.h"

static void open_device(struct call *call, struct vm *vm, const char *device, bool force)
{
	struct error err = ERROR_INIT;
	int fd = -1;

	if (vm_open_console(vm, device, force, &fd, &err) < 0)
		call_fail(call, &err);
	else
		stream_open(call, fd);
}

void handle_domain_open_console(struct call *call)
{
	const rpc_open_console_args *args = call->args;
	struct vm *vm;

	/* SAFE asks that nobody else have it open, which is always so here */
	if (!call_check_flags(call, args->flags, RPC_CONSOLE_FORCE | RPC_CONSOLE_SAFE))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		open_device(call, vm, args->device ? *args->device : NULL, args->flags & RPC_CONSOLE_FORCE);
}

/* By its target's name ("org.qemu.guest_agent.0") or its alias; without one the first channel. */
static const char *find_channel(const struct vm *vm, const char *name)
{
	const struct domain *d = vm_get_live(vm);

	if (!d)
		return NULL;
	VEC_FOREACH (channel, &d->channels)
		if (!name || streq(channel->name, name) || streq(channel->info.alias, name))
			return channel->info.alias;
	return NULL;
}

void handle_domain_open_channel(struct call *call)
{
	const rpc_open_console_args *args = call->args;
	const char *name = args->device ? *args->device : NULL, *alias;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_CONSOLE_FORCE))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return;
	alias = find_channel(vm, name);
	if (!alias) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "cannot find channel %.255s", name ? name : "");
		call_fail(call, &err);
		return;
	}
	open_device(call, vm, alias, args->flags & RPC_CONSOLE_FORCE);
}
