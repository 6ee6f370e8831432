/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that come and go. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "vm-device.h"

typedef int (*plug_fn)(struct vm *vm, const char *device, unsigned affect, vm_done_fn done, void *userdata,
	struct error *err);

static void plug(struct call *call, const rpc_domain *dom, const char *device, unsigned flags, plug_fn fn)
{
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, flags, RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG))
		return;
	vm = call_find_vm(call, dom);
	if (vm)
		call_check(call, fn(vm, device, flags, call_vm_done, call, &err), &err);
}

/* The calls without flags are older than persistent definitions: they mean the running VM. */
void handle_domain_attach_device(struct call *call)
{
	const rpc_device_args *args = call->args;

	plug(call, &args->dom, args->device, RPC_AFFECT_LIVE, vm_attach_device);
}

void handle_domain_attach_device_flags(struct call *call)
{
	const rpc_device_flags_args *args = call->args;

	plug(call, &args->dom, args->device, args->flags, vm_attach_device);
}

void handle_domain_detach_device(struct call *call)
{
	const rpc_device_args *args = call->args;

	plug(call, &args->dom, args->device, RPC_AFFECT_LIVE, vm_detach_device);
}

void handle_domain_detach_device_flags(struct call *call)
{
	const rpc_device_flags_args *args = call->args;

	plug(call, &args->dom, args->device, args->flags, vm_detach_device);
}

void handle_domain_detach_device_alias(struct call *call)
{
	const rpc_device_flags_args *args = call->args;

	plug(call, &args->dom, args->device, args->flags, vm_detach_alias);
}
