/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPUs: how many, where they run, what they used. */
#include <errno.h>
#include <sched.h>

#include "alloc.h"
#include "call-agent.h"
#include "constants.h"
#include "dispatch.h"
#include "param-list.h"
#include "session.h"
#include "stats.h"

#define AFFINITY_CPUS (RPC_CPUMAP_MAX * 8)

/* The host CPUs a thread may use, as a bitmap of `len` bytes; 0 is this process, for VMs that are off. */
static void read_affinity(pid_t tid, uint8_t *map, size_t len)
{
	cpu_set_t *set = CPU_ALLOC(AFFINITY_CPUS);
	size_t size = CPU_ALLOC_SIZE(AFFINITY_CPUS);

	memset(map, 0, len);
	if (set && sched_getaffinity(tid, size, set) == 0)
		for (size_t i = 0; i < len * 8 && i < AFFINITY_CPUS; i++)
			if (CPU_ISSET_S(i, size, set))
				map[i / 8] |= (uint8_t)(1u << i % 8);
	CPU_FREE(set);
}

/* Bytes of one map and number of maps, as the client asked, within the protocol's limits. */
static bool check_maps(struct call *call, int maximum, int map_length)
{
	struct error err = ERROR_INIT;

	if (maximum >= 0 && map_length >= 0 && maximum <= RPC_VCPUS_MAX && map_length <= RPC_CPUMAP_MAX &&
		(int64_t)maximum * map_length <= RPC_CPUMAPS_MAX)
		return true;
	error_set(&err, ERROR_INVALID_ARGUMENT, "%d CPU maps of %d bytes", maximum, map_length);
	call_fail(call, &err);
	return false;
}

static void vcpus_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_vcpus_args *args = call->args;
	size_t n = stats->vcpus.n < (size_t)args->maximum ? stats->vcpus.n : (size_t)args->maximum;
	size_t map_length = (size_t)args->map_length;
	_cleanup_free_ rpc_vcpu_info *info = xcalloc(n + 1, sizeof(*info));
	_cleanup_free_ uint8_t *maps = xcalloc(n * map_length + 1, 1);
	rpc_vcpus_ret ret = {0};

	if (err) {
		call_fail(call, err);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct vm_vcpu_stats *v = &stats->vcpus.items[i];

		/* libvirt says "running" of every vCPU that is plugged in and may run */
		info[i] = (rpc_vcpu_info){v->number, RPC_VCPU_RUNNING, v->time_ns, v->cpu};
		if (map_length > 0)
			read_affinity(v->tid, maps + i * map_length, map_length);
	}
	ret.info.info_val = info;
	ret.info.info_len = (u_int)n;
	ret.maps.maps_val = (char *)maps;
	ret.maps.maps_len = (u_int)(n * map_length);
	call_reply(call, &ret);
}

void handle_domain_get_vcpus(struct call *call)
{
	const rpc_vcpus_args *args = call->args;
	struct vm *vm;

	if (!check_maps(call, args->maximum, args->map_length))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (vm)
		vm_stats_find(vm, VM_STATS_VCPU, vcpus_done, call);
}

/* The definition that AFFECT flags mean; fails the call when there is none. */
static const struct domain *find_definition(struct call *call, const struct vm *vm, unsigned flags)
{
	struct error err = ERROR_INIT;
	const struct domain *d;

	if (flags & RPC_AFFECT_LIVE && flags & RPC_AFFECT_CONFIG)
		error_set(&err, ERROR_INVALID_ARGUMENT, "live and config exclude each other");
	else if (flags & RPC_AFFECT_LIVE && !vm_get_live(vm))
		error_set(&err, ERROR_OPERATION_INVALID, "domain is not running");
	else if (flags & RPC_AFFECT_CONFIG && !vm_get_persistent(vm))
		error_set(
			&err, ERROR_OPERATION_INVALID, "transient domains do not have any persistent config");
	else {
		d = flags & RPC_AFFECT_LIVE	? vm_get_live(vm)
		    : flags & RPC_AFFECT_CONFIG ? vm_get_persistent(vm)
						: NULL;
		return d ? d : vm_get_domain(vm);
	}
	call_fail(call, &err);
	return NULL;
}

void handle_domain_get_vcpus_flags(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	const struct domain *d;
	struct vm *vm;

	if (!call_check_flags(call, args->flags,
		    RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG | RPC_VCPU_MAXIMUM | RPC_VCPU_GUEST))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (args->flags & RPC_VCPU_GUEST) {
		struct error err = ERROR_INIT;

		if (!call->session->read_only) {
			call_count_guest_vcpus(call);
			return;
		}
		error_set(&err, ERROR_OPERATION_DENIED, "read only access prevents asking the guest agent");
		call_fail(call, &err);
		return;
	}
	d = find_definition(call, vm, args->flags);
	if (d)
		call_reply(call,
			&(rpc_int_ret){(int)(args->flags & RPC_VCPU_MAXIMUM ? d->vcpus : d->vcpus_current)});
}

/* ---- pinning: what the kernel says of the threads; all CPUs when there are none ---- */

static void reply_maps(struct call *call, const struct vm_stats *stats, size_t n, size_t map_length)
{
	_cleanup_free_ uint8_t *maps = xcalloc(n * map_length + 1, 1);
	rpc_pin_info_ret ret = {.ret = (int)n};

	for (size_t i = 0; i < n && map_length > 0; i++)
		read_affinity(stats && i < stats->vcpus.n ? stats->vcpus.items[i].tid : 0,
			maps + i * map_length, map_length);
	ret.maps.maps_val = (char *)maps;
	ret.maps.maps_len = (u_int)(n * map_length);
	call_reply(call, &ret);
}

static void vcpu_pins_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_vcpu_pin_info_args *args = call->args;
	size_t max = (size_t)args->maximum;

	if (err)
		call_fail(call, err);
	else
		reply_maps(
			call, stats, stats->vcpus.n < max ? stats->vcpus.n : max, (size_t)args->map_length);
}

void handle_domain_get_vcpu_pin_info(struct call *call)
{
	const rpc_vcpu_pin_info_args *args = call->args;
	const struct domain *d;
	struct vm *vm;
	size_t max;

	if (!call_check_flags(call, args->flags, RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG) ||
		!check_maps(call, args->maximum, args->map_length))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	d = find_definition(call, vm, args->flags);
	if (!d)
		return;
	max = (size_t)args->maximum;
	if (d == vm_get_live(vm))
		vm_stats_find(vm, VM_STATS_VCPU, vcpu_pins_done, call);
	else
		reply_maps(call, NULL, d->vcpus < max ? d->vcpus : max, (size_t)args->map_length);
}

void handle_domain_get_emulator_pin_info(struct call *call)
{
	const rpc_emulator_pin_info_args *args = call->args;
	const struct domain *d;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG) ||
		!check_maps(call, 1, args->map_length))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	d = find_definition(call, vm, args->flags);
	if (d) {
		_cleanup_free_ uint8_t *map = xcalloc((size_t)args->map_length + 1, 1);
		rpc_pin_info_ret ret = {.maps = {(u_int)args->map_length, (char *)map}, .ret = 1};

		read_affinity(d == vm_get_live(vm) ? vm_get_pid(vm) : 0, map, (size_t)args->map_length);
		call_reply(call, &ret);
	}
}

/* ---- time ---- */

static void cpu_stats_done(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_cpu_stats_args *args = call->args;
	rpc_params_count_ret ret = {0};
	struct param_list l = {0};

	param_list_ull(&l, stats->cpu_user_ns + stats->cpu_system_ns, "cpu_time");
	param_list_ull(&l, stats->cpu_user_ns, "user_time");
	param_list_ull(&l, stats->cpu_system_ns, "system_time");
	if (args->nparams > 0) {
		ret.params.params_val = l.params.items;
		ret.params.params_len = args->nparams < l.params.n ? args->nparams : (u_int)l.params.n;
	}
	ret.n = (int)l.params.n;
	call_reply(call, &ret);
	param_list_fini(&l);
}

void handle_domain_get_cpu_stats(struct call *call)
{
	const rpc_cpu_stats_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_TYPED_PARAM_STRING_OKAY))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return;
	if (args->start_cpu != -1) {
		error_set(&err, ERROR_UNSUPPORTED,
			"times for each host CPU are not kept; ask for the total (--total)");
		call_fail(call, &err);
		return;
	}
	vm_stats_find(vm, VM_STATS_CPU, cpu_stats_done, call);
}

void handle_domain_get_iothread_info(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (!call_check_flags(call, args->flags, RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG))
		return;
	if (call_find_vm(call, &args->dom))
		call_reply(call, &(rpc_iothreads_ret){0});
}
