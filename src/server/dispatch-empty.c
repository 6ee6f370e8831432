/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kinds of objects that are not kept here: lists of them are empty, looking one up finds nothing. */
#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "images.h"

/* No result of these procedures is larger; all zero it says "none". */
union empty_result {
	rpc_int_ret number;
	rpc_strings_ret strings;
	rpc_networks_ret networks;
	rpc_interfaces_ret interfaces;
	rpc_node_devices_ret node_devices;
	rpc_secrets_ret secrets;
	rpc_nwfilter_bindings_ret bindings;
	rpc_snapshots_ret checkpoints;
};

void handle_nothing(struct call *call)
{
	call_reply(call, &(union empty_result){0});
}

void handle_nothing_of_domain(struct call *call)
{
	/* the arguments of all of them begin with the domain */
	if (call_find_vm(call, call->args))
		call_reply(call, &(union empty_result){0});
}

void handle_no_network(struct call *call)
{
	call_fail_code(
		call, RPC_CODE_NO_NETWORK, RPC_FROM_NETWORK, "Network not found: networks are not kept here");
}

void handle_no_pool(struct call *call)
{
	call_fail_code(call, RPC_CODE_NO_STORAGE_POOL, RPC_FROM_STORAGE,
		"Storage pool not found: pools are not kept here");
}

void handle_no_volume(struct call *call)
{
	call_fail_code(call, RPC_CODE_NO_STORAGE_VOLUME, RPC_FROM_STORAGE,
		"Storage volume not found: volumes are not kept here");
}

void handle_no_interface(struct call *call)
{
	call_fail_code(call, RPC_CODE_NO_INTERFACE, RPC_FROM_INTERFACE,
		"Interface not found: host interfaces are not kept here");
}

void handle_no_node_device(struct call *call)
{
	call_fail_code(call, RPC_CODE_NO_NODE_DEVICE, RPC_FROM_NODEDEV,
		"Node device not found: node devices are not kept here");
}

void handle_no_secret(struct call *call)
{
	call_fail_code(
		call, RPC_CODE_NO_SECRET, RPC_FROM_SECRET, "Secret not found: secrets are not kept here");
}

void handle_no_nwfilter(struct call *call)
{
	call_fail_code(call, RPC_CODE_NO_NWFILTER, RPC_FROM_NWFILTER,
		"Network filter not found: filters are not kept here");
}

void handle_no_checkpoint(struct call *call)
{
	struct vm *vm = call_find_vm(call, call->args);

	if (vm)
		call_fail_code(call, RPC_CODE_NO_CHECKPOINT, RPC_FROM_QEMU,
			"Domain checkpoint not found: %s has none", vm_get_name(vm));
}
