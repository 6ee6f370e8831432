/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job's figures as typed parameters (names of libvirt's API). */
#include "job-params.h"

#include <assert.h>

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
	case VM_JOB_SNAPSHOT_DELETE:
		return RPC_JOB_OPERATION_SNAPSHOT_DELETE;
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

void job_info_fill(const struct vm_job_info *info, rpc_job_info_ret *ret)
{
	*ret = (rpc_job_info_ret){.type = job_type(info)};
	if (info->operation == VM_JOB_NONE)
		return;
	ret->time_elapsed_ms = info->elapsed_ms;
	ret->memory_total = info->memory_total;
	ret->memory_processed = info->memory_processed;
	ret->memory_remaining = info->memory_remaining;
	ret->file_total = info->disk_total;
	ret->file_processed = info->disk_processed;
	ret->file_remaining = info->disk_remaining;
	ret->data_total = ret->memory_total + ret->file_total;
	ret->data_processed = ret->memory_processed + ret->file_processed;
	ret->data_remaining = ret->memory_remaining + ret->file_remaining;
}

/* ---- typed parameters ---- */

struct list {
	rpc_param *params;
	unsigned n;
};

static rpc_param_value *add(struct list *l, const char *name, int type)
{
	rpc_param *p = &l->params[l->n++];

	assert(l->n <= JOB_PARAMS_MAX);
	p->field = (char *)name;
	p->value.type = type;
	return &p->value;
}

static void add_int(struct list *l, const char *name, int value)
{
	add(l, name, RPC_PARAM_INT)->rpc_param_value_u.i = value;
}

static void add_ull(struct list *l, const char *name, uint64_t value)
{
	add(l, name, RPC_PARAM_ULLONG)->rpc_param_value_u.ul = value;
}

static void add_known(struct list *l, const char *name, uint64_t value)
{
	if (value > 0)
		add_ull(l, name, value);
}

/* Without what the clocks differ by; a difference larger than the time itself says nothing. */
static void add_net(struct list *l, const char *name, uint64_t ms, const struct vm_job_migration *m)
{
	int64_t net = (int64_t)ms - m->delta_ms;

	if (m->has_delta && net >= 0)
		add_ull(l, name, (uint64_t)net);
}

static void add_disks(struct list *l, const struct vm_job_info *info)
{
	if (info->disk_total == 0)
		return;
	add_ull(l, "disk_total", info->disk_total);
	add_ull(l, "disk_processed", info->disk_processed);
	add_ull(l, "disk_remaining", info->disk_remaining);
	add_known(l, "disk_bps", info->disk_bps);
}

static void add_xbzrle(struct list *l, const struct vm_job_migration *m)
{
	if (!m->has_xbzrle)
		return;
	add_ull(l, "compression_cache", m->xbzrle_cache);
	add_ull(l, "compression_bytes", m->xbzrle_bytes);
	add_ull(l, "compression_pages", m->xbzrle_pages);
	add_ull(l, "compression_cache_misses", m->xbzrle_misses);
	add_ull(l, "compression_overflow", m->xbzrle_overflow);
}

static void add_migration(struct list *l, const struct vm_job_migration *m)
{
	if (m->page_size > 0) {
		add_ull(l, "memory_constant", m->constant_pages);
		add_ull(l, "memory_normal", m->normal_pages);
		add_ull(l, "memory_normal_bytes", m->normal_bytes);
		add_ull(l, "memory_dirty_rate", m->dirty_rate);
		add_ull(l, "memory_iteration", m->iteration);
		add_ull(l, "memory_postcopy_requests", m->postcopy_requests);
		add_ull(l, "memory_page_size", m->page_size);
	}
	add_xbzrle(l, m);
	if (m->throttle > 0)
		add_int(l, "auto_converge_throttle", (int)m->throttle);
}

unsigned job_params_fill(const struct vm_job_info *info, rpc_param *params)
{
	const struct vm_job_migration *m = &info->migration;
	struct list l = {params, 0};
	rpc_job_info_ret sums;

	job_info_fill(info, &sums);
	add_int(&l, "operation", job_operation(info));
	add_ull(&l, "time_elapsed", info->elapsed_ms);
	add_net(&l, "time_elapsed_net", info->elapsed_ms, m);
	/* what was expected says nothing once it is over */
	if (m->has_downtime && !(info->completed && m->downtime_is_expected)) {
		add_ull(&l, "downtime", m->downtime_ms);
		add_net(&l, "downtime_net", m->downtime_ms, m);
	}
	add_known(&l, "setup_time", m->setup_ms);
	add_ull(&l, "data_total", sums.data_total);
	add_ull(&l, "data_processed", sums.data_processed);
	add_ull(&l, "data_remaining", sums.data_remaining);
	add_ull(&l, "memory_total", info->memory_total);
	add_ull(&l, "memory_processed", info->memory_processed);
	add_ull(&l, "memory_remaining", info->memory_remaining);
	add_known(&l, "memory_bps", info->memory_bps);
	add_disks(&l, info);
	add_migration(&l, m);
	if (info->completed)
		add(&l, "success", RPC_PARAM_BOOLEAN)->rpc_param_value_u.b = info->succeeded;
	return l.n;
}
