/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may be set for a VM that moves, its switch to post-copy, and who gives up its destination. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "migrate.h"
#include "migration.h"

void handle_domain_migrate_start_post_copy(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call, migrate_start_postcopy(vm, call_vm_done, call, &err), &err);
}

void handle_migrate_resolve(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_check(call, migrate_resolve_here(vm, call_vm_done, call, &err), &err);
}

static void set(struct call *call, enum migrate_limit limit)
{
	const rpc_migrate_limit_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_check(call, migrate_set_limit(vm, limit, args->value, call_vm_done, call, &err), &err);
}

static void get_done(struct vm *vm, uint64_t value, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_u64_ret){value});
}

static void get(struct call *call, enum migrate_limit limit)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_check(call, migrate_get_limit(vm, limit, get_done, call, &err), &err);
}

static enum migrate_limit speed_limit(unsigned flags)
{
	return flags & RPC_MAX_SPEED_POSTCOPY ? MIGRATE_LIMIT_POSTCOPY_SPEED_MIB : MIGRATE_LIMIT_SPEED_MIB;
}

void handle_domain_migrate_set_max_downtime(struct call *call)
{
	const rpc_migrate_limit_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		set(call, MIGRATE_LIMIT_DOWNTIME_MS);
}

void handle_domain_migrate_get_max_downtime(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		get(call, MIGRATE_LIMIT_DOWNTIME_MS);
}

void handle_domain_migrate_set_max_speed(struct call *call)
{
	const rpc_migrate_limit_args *args = call->args;

	if (call_check_flags(call, args->flags, RPC_MAX_SPEED_POSTCOPY))
		set(call, speed_limit(args->flags));
}

void handle_domain_migrate_get_max_speed(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, RPC_MAX_SPEED_POSTCOPY))
		get(call, speed_limit(args->flags));
}

void handle_domain_migrate_set_compression_cache(struct call *call)
{
	const rpc_migrate_limit_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		set(call, MIGRATE_LIMIT_XBZRLE_BYTES);
}

void handle_domain_migrate_get_compression_cache(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		get(call, MIGRATE_LIMIT_XBZRLE_BYTES);
}
