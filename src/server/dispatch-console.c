/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Consoles and channels as streams. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "stream.h"
#include "strv.h"

/* A console is one user's at a time. */
static void open_device(struct call *call, struct vm *vm, const struct chardev *device, bool force)
{
	struct error err = ERROR_INIT;
	int fd = -1;

	/* pseudo-terminal or socket: a console and the serial port it stands for have the same */
	if (device->path && stream_is_open(call->server, device->path)) {
		if (!force) {
			error_set(&err, ERROR_OPERATION_FAILED,
				"Active console session exists for this domain");
			call_fail(call, &err);
			return;
		}
		stream_take_over(call->server, device->path);
	}
	if (vm_open_console(vm, device->info.alias, &fd, &err) < 0)
		call_fail(call, &err);
	else
		stream_open(call, device->path, fd);
}

/* Without a name the first console, or the first serial port. */
static const struct chardev *find_console(const struct domain *d, const char *alias)
{
	VEC_FOREACH (console, &d->consoles)
		if (!alias || streq(console->info.alias, alias))
			return console;
	VEC_FOREACH (serial, &d->serials)
		if (!alias || streq(serial->info.alias, alias))
			return serial;
	return NULL;
}

/* By its target's name ("org.qemu.guest_agent.0") or its alias; without one the first channel. */
static const struct chardev *find_channel(const struct domain *d, const char *name)
{
	VEC_FOREACH (channel, &d->channels)
		if (!name || streq(channel->name, name) || streq(channel->info.alias, name))
			return channel;
	return NULL;
}

static void open_named(struct call *call,
	const struct chardev *(*find)(const struct domain *d, const char *name), const char *kind)
{
	const rpc_open_console_args *args = call->args;
	const char *name = args->device ? *args->device : NULL;
	const struct chardev *device = NULL;
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_active_vm(call, &args->dom);

	if (!vm)
		return;
	if (vm_get_live(vm))
		device = find(vm_get_live(vm), name);
	if (!device) {
		error_set(
			&err, ERROR_INVALID_ARGUMENT, "cannot find %s %.255s", kind, name ? name : "device");
		call_fail(call, &err);
		return;
	}
	open_device(call, vm, device, args->flags & RPC_CONSOLE_FORCE);
}

void handle_domain_open_console(struct call *call)
{
	const rpc_open_console_args *args = call->args;

	/* SAFE asks that nobody else have it open, which is always so here */
	if (call_check_flags(call, args->flags, RPC_CONSOLE_FORCE | RPC_CONSOLE_SAFE))
		open_named(call, find_console, "console");
}

void handle_domain_open_channel(struct call *call)
{
	const rpc_open_console_args *args = call->args;

	if (call_check_flags(call, args->flags, RPC_CONSOLE_FORCE))
		open_named(call, find_channel, "channel");
}
