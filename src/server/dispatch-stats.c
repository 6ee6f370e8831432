/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Statistics: of one disk, one interface, the memory, and of all domains at once. */
#include "stats.h"

#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "domain-filter.h"
#include "param-list.h"
#include "strv.h"

/* ---- disks ---- */

static bool block_matches(const struct vm_block_stats *b, const char *path)
{
	return streq(b->target, path) || streq(b->path, path);
}

/* The disk that `path` (target or file) names; fails the call when there is none. */
static const struct vm_block_stats *find_block(
	struct call *call, const struct vm_stats *stats, const char *path)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < stats->blocks.n; i++)
		if (block_matches(&stats->blocks.items[i], path))
			return &stats->blocks.items[i];
	error_set(&err, ERROR_INVALID_ARGUMENT, "invalid path %.255s not assigned to domain", path);
	call_fail(call, &err);
	return NULL;
}

/* Counts of the disk, or with an empty path the sum over all; fails the call when they are not known. */
static bool get_counts(struct call *call, const struct vm_stats *stats, const char *path,
	const struct error *err, struct vm_block_stats *ret)
{
	struct error none = ERROR_INIT;
	const struct vm_block_stats *one = NULL;

	*ret = (struct vm_block_stats){0};
	if (path[0] != '\0') {
		one = find_block(call, stats, path);
		if (!one)
			return false;
		*ret = *one;
	} else {
		VEC_FOREACH (b, &stats->blocks) {
			ret->has_counts |= b.has_counts;
			ret->read_requests += b.read_requests;
			ret->read_bytes += b.read_bytes;
			ret->read_ns += b.read_ns;
			ret->write_requests += b.write_requests;
			ret->write_bytes += b.write_bytes;
			ret->write_ns += b.write_ns;
			ret->flush_requests += b.flush_requests;
			ret->flush_ns += b.flush_ns;
		}
	}
	if (ret->has_counts)
		return true;
	if (!err) {
		error_set(&none, ERROR_OPERATION_FAILED, "cannot find statistics for device '%.255s'", path);
		err = &none;
	}
	call_fail(call, err);
	return false;
}

static void block_stats_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_domain_path_args *args = call->args;
	struct vm_block_stats b;
	rpc_block_stats_ret ret;

	if (!get_counts(call, stats, args->path, err, &b))
		return;
	ret = (rpc_block_stats_ret){(int64_t)b.read_requests, (int64_t)b.read_bytes,
		(int64_t)b.write_requests, (int64_t)b.write_bytes, -1};
	call_reply(call, &ret);
}

void handle_domain_block_stats(struct call *call)
{
	const rpc_domain_path_args *args = call->args;
	struct vm *vm = call_find_active_vm(call, &args->dom);

	if (vm)
		vm_stats_find(vm, VM_STATS_BLOCK, block_stats_done, call);
}

static void block_stats_flags_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_block_stats_flags_args *args = call->args;
	rpc_block_stats_flags_ret ret = {0};
	struct param_list l = {0};
	struct vm_block_stats b;

	if (!get_counts(call, stats, args->path, err, &b))
		return;
	/* signed in this call, by tradition; the bits are the same */
	param_list_ull(&l, b.read_bytes, "rd_bytes");
	param_list_ull(&l, b.read_requests, "rd_operations");
	param_list_ull(&l, b.read_ns, "rd_total_times");
	param_list_ull(&l, b.write_bytes, "wr_bytes");
	param_list_ull(&l, b.write_requests, "wr_operations");
	param_list_ull(&l, b.write_ns, "wr_total_times");
	param_list_ull(&l, b.flush_requests, "flush_operations");
	param_list_ull(&l, b.flush_ns, "flush_total_times");
	for (size_t i = 0; i < l.params.n; i++)
		l.params.items[i].value.type = RPC_PARAM_LLONG;
	if (args->nparams == 0) {
		ret.nparams = (int)l.params.n; /* the question was how many there are */
	} else {
		ret.params.params_val = l.params.items;
		ret.params.params_len = args->nparams < 0 || (size_t)args->nparams > l.params.n
						? (u_int)l.params.n
						: (u_int)args->nparams;
	}
	call_reply(call, &ret);
	param_list_fini(&l);
}

void handle_domain_block_stats_flags(struct call *call)
{
	const rpc_block_stats_flags_args *args = call->args;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_TYPED_PARAM_STRING_OKAY))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		vm_stats_find(vm, VM_STATS_BLOCK, block_stats_flags_done, call);
}

static void reply_block_info(struct call *call, const struct vm_block_stats *b)
{
	call_reply(call, &(rpc_block_info_ret){b->allocation, b->capacity, b->physical});
}

static void block_info_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_domain_path_flags_args *args = call->args;
	const struct vm_block_stats *b = find_block(call, stats, args->path);
	struct error none = ERROR_INIT;

	if (!b)
		return;
	if (b->has_size) {
		reply_block_info(call, b);
		return;
	}
	error_set(&none, ERROR_OPERATION_FAILED, "drive %.255s has no size: it is empty", args->path);
	call_fail(call, err ? err : &none);
}

void handle_domain_get_block_info(struct call *call)
{
	const rpc_domain_path_flags_args *args = call->args;
	struct vm_block_stats b = {0};
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_is_active(vm)) {
		vm_stats_find(vm, VM_STATS_BLOCK_SIZE, block_info_done, call);
		return;
	}
	VEC_FOREACH (disk, &vm_get_domain(vm)->disks) {
		if (!streq(disk->target, args->path) && !streq(disk->source, args->path))
			continue;
		if (vm_stats_get_file_size(disk, &b, &err) < 0)
			call_fail(call, &err);
		else
			reply_block_info(call, &b);
		return;
	}
	error_set(&err, ERROR_INVALID_ARGUMENT, "invalid path %.255s not assigned to domain", args->path);
	call_fail(call, &err);
}

static void disk_errors_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_disk_errors_args *args = call->args;
	rpc_disk_error errors[RPC_DISK_ERRORS_MAX];
	rpc_disk_errors_ret ret = {0};

	if (err) {
		call_fail(call, err);
		return;
	}
	if (args->maximum == 0) {
		ret.n = (int)stats->blocks.n; /* the question was how many there may be */
		call_reply(call, &ret);
		return;
	}
	VEC_FOREACH (b, &stats->blocks) {
		if (b.io_status == VM_BLOCK_OK || (u_int)ret.n >= args->maximum ||
			ret.n >= RPC_DISK_ERRORS_MAX)
			continue;
		errors[ret.n++] = (rpc_disk_error){b.target,
			b.io_status == VM_BLOCK_NO_SPACE ? RPC_DISK_ERROR_NO_SPACE : RPC_DISK_ERROR_UNSPEC};
	}
	ret.errors.errors_val = errors;
	ret.errors.errors_len = (u_int)ret.n;
	call_reply(call, &ret);
}

void handle_domain_get_disk_errors(struct call *call)
{
	const rpc_disk_errors_args *args = call->args;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		vm_stats_find(vm, VM_STATS_BLOCK_SIZE, disk_errors_done, call);
}

/* ---- interfaces ---- */

/* By the name of its tap device or its MAC address; fails the call when there is none. */
static const struct nic *find_nic(struct call *call, const struct vm *vm, const char *device)
{
	struct error err = ERROR_INIT;
	char mac[18];

	VEC_FOREACH (nic, &vm_get_domain(vm)->nics) {
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1],
			nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
		if (streq(nic->target, device) || strcasecmp(mac, device) == 0)
			return nic;
	}
	error_set(&err, ERROR_INVALID_ARGUMENT, "invalid path, '%.64s' is not a known interface", device);
	call_fail(call, &err);
	return NULL;
}

void handle_domain_interface_stats(struct call *call)
{
	const rpc_domain_path_args *args = call->args;
	struct vm *vm = call_find_active_vm(call, &args->dom);
	struct error err = ERROR_INIT;
	struct vm_nic_stats s;
	const struct nic *nic;
	rpc_interface_stats_ret ret;

	if (!vm)
		return;
	nic = find_nic(call, vm, args->path);
	if (!nic)
		return;
	if (!nic->target) {
		error_set(&err, ERROR_UNSUPPORTED, "statistics of an interface of type '%s'",
			nic_type_name(nic->type));
		call_fail(call, &err);
		return;
	}
	if (vm_stats_get_nic(nic->target, &s, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	ret = (rpc_interface_stats_ret){(int64_t)s.rx_bytes, (int64_t)s.rx_packets, (int64_t)s.rx_errors,
		(int64_t)s.rx_dropped, (int64_t)s.tx_bytes, (int64_t)s.tx_packets, (int64_t)s.tx_errors,
		(int64_t)s.tx_dropped};
	call_reply(call, &ret);
}

/* ---- memory ---- */

static void memory_stats_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_memory_stats_args *args = call->args;
	_cleanup_free_ rpc_memory_stat *values = xcalloc(stats->memory.n + 1, sizeof(*values));
	rpc_memory_stats_ret ret = {.stats.stats_val = values};

	for (size_t i = 0; i < stats->memory.n && i < args->maximum; i++)
		values[ret.stats.stats_len++] =
			(rpc_memory_stat){stats->memory.items[i].tag, stats->memory.items[i].value};
	call_reply(call, &ret);
}

void handle_domain_memory_stats(struct call *call)
{
	const rpc_memory_stats_args *args = call->args;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		vm_stats_find(vm, VM_STATS_BALLOON, memory_stats_done, call);
}
