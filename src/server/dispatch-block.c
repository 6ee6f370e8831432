/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images of a running VM's disks: merging them, and their size. */
#include "block-job.h"

#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "images.h"

#define MIB ((uint64_t)1 << 20)

/* A client's bandwidth is in MiB a second unless it says bytes; false: the call has failed. */
static bool get_bandwidth(struct call *call, uint64_t given, bool in_bytes, uint64_t *ret)
{
	struct error err = ERROR_INIT;

	if (!in_bytes && given > INT64_MAX / MIB) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "bandwidth must be less than %llu",
			(unsigned long long)(INT64_MAX / MIB));
		call_fail(call, &err);
		return false;
	}
	*ret = in_bytes ? given : given * MIB;
	return true;
}

void handle_domain_block_job_abort(struct call *call)
{
	const rpc_domain_path_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_BLOCK_JOB_ABORT_ASYNC | RPC_BLOCK_JOB_ABORT_PIVOT))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call,
			vm_block_job_abort(vm, args->path, args->flags & RPC_BLOCK_JOB_ABORT_ASYNC,
				args->flags & RPC_BLOCK_JOB_ABORT_PIVOT, call_vm_done, call, &err),
			&err);
}

static void info_done(const struct vm_block_job_info *info, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_domain_path_flags_args *args = call->args;
	bool in_bytes = args->flags & RPC_BLOCK_JOB_INFO_BYTES;
	rpc_block_job_info_ret ret = {.found = info->type != BLOCK_JOB_NONE,
		.type = (int)info->type,
		.bandwidth = in_bytes ? info->bandwidth : (info->bandwidth + MIB - 1) / MIB,
		.cur = info->done,
		.end = info->total};

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &ret);
}

void handle_domain_get_block_job_info(struct call *call)
{
	const rpc_domain_path_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_BLOCK_JOB_INFO_BYTES))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call, vm_block_job_get_info(vm, args->path, info_done, call, &err), &err);
}

void handle_domain_block_job_set_speed(struct call *call)
{
	const rpc_block_number_args *args = call->args;
	struct error err = ERROR_INIT;
	uint64_t bandwidth;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_BLOCK_JOB_SPEED_BYTES) ||
		!get_bandwidth(call, args->value, args->flags & RPC_BLOCK_JOB_SPEED_BYTES, &bandwidth))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call, vm_block_job_set_speed(vm, args->disk, bandwidth, call_vm_done, call, &err),
			&err);
}

static void pull(struct call *call, const rpc_domain *dom, const struct vm_block_pull_options *options)
{
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_active_vm(call, dom);

	if (vm)
		call_check(call, vm_block_pull(vm, options, call_vm_done, call, &err), &err);
}

void handle_domain_block_pull(struct call *call)
{
	const rpc_block_number_args *args = call->args;
	struct vm_block_pull_options options = {.disk = args->disk};

	if (call_check_flags(call, args->flags, RPC_BLOCK_REBASE_BYTES) &&
		get_bandwidth(call, args->value, args->flags & RPC_BLOCK_REBASE_BYTES, &options.bandwidth))
		pull(call, &args->dom, &options);
}

/* Without one of the flags that make it a copy to another file it is a pull that knows where to stop. */
void handle_domain_block_rebase(struct call *call)
{
	const rpc_block_rebase_args *args = call->args;
	struct vm_block_pull_options options = {.disk = args->path,
		.base = args->base ? *args->base : NULL,
		.relative = args->flags & RPC_BLOCK_REBASE_RELATIVE};
	struct error err = ERROR_INIT;

	if (args->flags & RPC_BLOCK_REBASE_COPY) {
		error_set(&err, ERROR_UNSUPPORTED, "block copy of disk '%.255s' to another file", args->path);
		call_fail(call, &err);
		return;
	}
	if (call_check_flags(call, args->flags, RPC_BLOCK_REBASE_RELATIVE | RPC_BLOCK_REBASE_BYTES) &&
		get_bandwidth(
			call, args->bandwidth, args->flags & RPC_BLOCK_REBASE_BYTES, &options.bandwidth))
		pull(call, &args->dom, &options);
}

void handle_domain_block_commit(struct call *call)
{
	const rpc_block_commit_args *args = call->args;
	struct vm_block_commit_options options = {.disk = args->disk,
		.base = args->base ? *args->base : NULL,
		.top = args->top ? *args->top : NULL,
		.shallow = args->flags & RPC_BLOCK_COMMIT_SHALLOW,
		.delete_merged = args->flags & RPC_BLOCK_COMMIT_DELETE,
		.active = args->flags & RPC_BLOCK_COMMIT_ACTIVE,
		.relative = args->flags & RPC_BLOCK_COMMIT_RELATIVE};
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags,
		    RPC_BLOCK_COMMIT_SHALLOW | RPC_BLOCK_COMMIT_DELETE | RPC_BLOCK_COMMIT_ACTIVE |
			    RPC_BLOCK_COMMIT_RELATIVE | RPC_BLOCK_COMMIT_BYTES) ||
		!get_bandwidth(
			call, args->bandwidth, args->flags & RPC_BLOCK_COMMIT_BYTES, &options.bandwidth))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call, vm_block_commit(vm, &options, call_vm_done, call, &err), &err);
}

void handle_domain_block_resize(struct call *call)
{
	const rpc_block_number_args *args = call->args;
	bool in_bytes = args->flags & RPC_BLOCK_RESIZE_BYTES;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_BLOCK_RESIZE_BYTES | RPC_BLOCK_RESIZE_CAPACITY))
		return;
	if (!in_bytes && args->value > INT64_MAX / 1024) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "size must be less than %llu",
			(unsigned long long)(INT64_MAX / 1024));
		call_fail(call, &err);
		return;
	}
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		call_check(call,
			(args->flags & RPC_BLOCK_RESIZE_CAPACITY ? vm_block_resize_to_capacity
								 : vm_block_resize)(vm, args->disk,
				in_bytes ? args->value : args->value * 1024, call_vm_done, call, &err),
			&err);
}
