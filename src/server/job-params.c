/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job's figures as typed parameters (names of libvirt's API). */
#include "job-params.h"

#include "constants.h"

static int job_operation(const struct vm_job_info *info)
{
	switch (info->operation) {
	case VM_JOB_START:
		return RPC_JOB_OPERATION_START;
	case VM_JOB_SAVE:
		return RPC_JOB_OPERATION_SAVE;
	case VM_JOB_RESTORE:
		return RPC_JOB_OPERATION_RESTORE;
	case VM_JOB_REVERT:
		return RPC_JOB_OPERATION_SNAPSHOT_REVERT;
	case VM_JOB_MIGRATION_IN:
		return RPC_JOB_OPERATION_MIGRATION_IN;
	case VM_JOB_MIGRATION_OUT:
		return RPC_JOB_OPERATION_MIGRATION_OUT;
	case VM_JOB_SNAPSHOT:
		return RPC_JOB_OPERATION_SNAPSHOT;
	case VM_JOB_NONE:
	case VM_JOB_OTHER:
		break;
	}
	return RPC_JOB_OPERATION_UNKNOWN;
}

int job_type(const struct vm_job_info *info)
{
	if (info->operation == VM_JOB_NONE)
		return RPC_JOB_NONE;
	if (!info->completed)
		return RPC_JOB_UNBOUNDED;
	return info->succeeded ? RPC_JOB_COMPLETED : RPC_JOB_FAILED;
}

static void add(rpc_param *params, unsigned *n, const char *name, int type, uint64_t value)
{
	rpc_param *p = &params[(*n)++];

	p->field = (char *)name;
	p->value.type = type;
	if (type == RPC_PARAM_ULLONG)
		p->value.rpc_param_value_u.ul = value;
	else
		p->value.rpc_param_value_u.i = (int)value;
}

unsigned job_params_fill(const struct vm_job_info *info, rpc_param *params)
{
	unsigned n = 0;

	add(params, &n, "operation", RPC_PARAM_INT, (uint64_t)job_operation(info));
	add(params, &n, "time_elapsed", RPC_PARAM_ULLONG, info->elapsed_ms);
	add(params, &n, "data_total", RPC_PARAM_ULLONG, info->memory_total);
	add(params, &n, "data_processed", RPC_PARAM_ULLONG, info->memory_processed);
	add(params, &n, "data_remaining", RPC_PARAM_ULLONG, info->memory_remaining);
	add(params, &n, "memory_total", RPC_PARAM_ULLONG, info->memory_total);
	add(params, &n, "memory_processed", RPC_PARAM_ULLONG, info->memory_processed);
	add(params, &n, "memory_remaining", RPC_PARAM_ULLONG, info->memory_remaining);
	if (info->memory_bps > 0)
		add(params, &n, "memory_bps", RPC_PARAM_ULLONG, info->memory_bps);
	if (info->completed)
		add(params, &n, "success", RPC_PARAM_BOOLEAN, info->succeeded);
	return n;
}
