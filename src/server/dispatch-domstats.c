/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET_ALL_DOMAIN_STATS: many VMs asked at the same time, one answer when the last has answered. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "domain-filter.h"
#include "param-list.h"
#include "stats.h"

#define STATS_SUPPORTED                                                                                      \
	(RPC_STATS_STATE | RPC_STATS_CPU_TOTAL | RPC_STATS_BALLOON | RPC_STATS_VCPU | RPC_STATS_INTERFACE |  \
		RPC_STATS_BLOCK | RPC_STATS_IOTHREAD)

/* One VM's part of the answer. */
struct record {
	struct collection *collection;
	struct vm *vm; /* a reference */
	struct param_list params;
};

struct collection {
	struct call *call;
	unsigned stats;
	bool backing;
	struct record *records;
	size_t n, pending;
};

static void add_state(struct param_list *l, const struct vm *vm)
{
	struct vm_status status;

	vm_get_status(vm, &status);
	param_list_int(l, status.state, "state.state");
	param_list_int(l, status.reason, "state.reason");
}

static void add_cpu(struct param_list *l, const struct vm_stats *stats)
{
	param_list_ull(l, stats->cpu_user_ns + stats->cpu_system_ns, "cpu.time");
	param_list_ull(l, stats->cpu_user_ns, "cpu.user");
	param_list_ull(l, stats->cpu_system_ns, "cpu.system");
}

static void add_balloon(struct param_list *l, const struct vm_stats *stats)
{
	static const char *const names[] = {"swap_in", "swap_out", "major_fault", "minor_fault", "unused",
		"available", NULL, "rss", "usable", "last-update", "disk_caches", "hugetlb_pgalloc",
		"hugetlb_pgfail"};
	const struct domain *d = vm_get_domain(stats->vm);

	param_list_ull(l, vm_is_active(stats->vm) ? vm_get_balloon_kib(stats->vm) : d->current_memory_kib,
		"balloon.current");
	param_list_ull(l, d->memory_kib, "balloon.maximum");
	VEC_FOREACH (s, &stats->memory)
		if ((size_t)s.tag < ARRAY_SIZE(names) && names[s.tag])
			param_list_ull(l, s.value, "balloon.%s", names[s.tag]);
}

static void add_vcpu(struct param_list *l, const struct vm_stats *stats)
{
	const struct domain *d = vm_get_domain(stats->vm);

	param_list_uint(l, d->vcpus_current, "vcpu.current");
	param_list_uint(l, d->vcpus, "vcpu.maximum");
	VEC_FOREACH (v, &stats->vcpus) {
		param_list_int(l, RPC_VCPU_RUNNING, "vcpu.%u.state", v.number);
		param_list_ull(l, v.time_ns, "vcpu.%u.time", v.number);
		param_list_ull(l, v.delay_ns, "vcpu.%u.delay", v.number);
	}
}

static void add_interfaces(struct param_list *l, const struct vm *vm)
{
	const struct domain *d = vm_get_domain(vm);
	struct vm_nic_stats s;
	unsigned i = 0;

	if (!vm_is_active(vm))
		return;
	param_list_uint(l, (unsigned)d->nics.n, "net.count");
	VEC_FOREACH (nic, &d->nics) {
		param_list_string(l, nic->target, "net.%u.name", i);
		if (nic->target && vm_stats_get_nic(nic->target, &s, NULL) == 0) {
			param_list_ull(l, s.rx_bytes, "net.%u.rx.bytes", i);
			param_list_ull(l, s.rx_packets, "net.%u.rx.pkts", i);
			param_list_ull(l, s.rx_errors, "net.%u.rx.errs", i);
			param_list_ull(l, s.rx_dropped, "net.%u.rx.drop", i);
			param_list_ull(l, s.tx_bytes, "net.%u.tx.bytes", i);
			param_list_ull(l, s.tx_packets, "net.%u.tx.pkts", i);
			param_list_ull(l, s.tx_errors, "net.%u.tx.errs", i);
			param_list_ull(l, s.tx_dropped, "net.%u.tx.drop", i);
		}
		i++;
	}
}

static void add_block(struct param_list *l, const struct vm_block_stats *b, unsigned i)
{
	param_list_string(l, b->target, "block.%u.name", i);
	param_list_string(l, b->path, "block.%u.path", i);
	if (b->path && b->node)
		param_list_uint(l, b->node, "block.%u.backingIndex", i);
	if (b->has_counts) {
		param_list_ull(l, b->read_requests, "block.%u.rd.reqs", i);
		param_list_ull(l, b->read_bytes, "block.%u.rd.bytes", i);
		param_list_ull(l, b->read_ns, "block.%u.rd.times", i);
		param_list_ull(l, b->write_requests, "block.%u.wr.reqs", i);
		param_list_ull(l, b->write_bytes, "block.%u.wr.bytes", i);
		param_list_ull(l, b->write_ns, "block.%u.wr.times", i);
		param_list_ull(l, b->flush_requests, "block.%u.fl.reqs", i);
		param_list_ull(l, b->flush_ns, "block.%u.fl.times", i);
	}
	if (b->has_size) {
		param_list_ull(l, b->allocation, "block.%u.allocation", i);
		param_list_ull(l, b->capacity, "block.%u.capacity", i);
		param_list_ull(l, b->physical, "block.%u.physical", i);
	}
}

static void add_blocks(struct param_list *l, const struct vm_stats *stats)
{
	param_list_uint(l, (unsigned)stats->blocks.n, "block.count");
	for (size_t i = 0; i < stats->blocks.n; i++)
		add_block(l, &stats->blocks.items[i], (unsigned)i);
}

static void reply_and_free(struct collection *c)
{
	_cleanup_free_ rpc_domain_stats_record *records = xcalloc(c->n + 1, sizeof(*records));
	rpc_all_domain_stats_ret ret = {.records = {(u_int)c->n, records}};

	for (size_t i = 0; i < c->n; i++) {
		domain_handle(c->records[i].vm, &records[i].dom);
		records[i].params.params_val = c->records[i].params.params.items;
		records[i].params.params_len = (u_int)c->records[i].params.params.n;
	}
	call_reply(c->call, &ret);
	for (size_t i = 0; i < c->n; i++) {
		param_list_fini(&c->records[i].params);
		vm_unref(c->records[i].vm);
	}
	free(c->records);
	free(c);
}

static void found(const struct vm_stats *stats, const struct error *err, void *userdata)
{
	struct record *r = userdata;
	struct collection *c = r->collection;

	/* what QEMU did not say is left out; the other domains' figures must not fail for it */
	if (c->stats & RPC_STATS_STATE)
		add_state(&r->params, r->vm);
	if (c->stats & RPC_STATS_CPU_TOTAL && vm_is_active(r->vm))
		add_cpu(&r->params, stats);
	if (c->stats & RPC_STATS_BALLOON)
		add_balloon(&r->params, stats);
	if (c->stats & RPC_STATS_VCPU)
		add_vcpu(&r->params, stats);
	if (c->stats & RPC_STATS_INTERFACE)
		add_interfaces(&r->params, r->vm);
	if (c->stats & RPC_STATS_BLOCK)
		add_blocks(&r->params, stats);
	if (c->stats & RPC_STATS_IOTHREAD && vm_is_active(r->vm))
		param_list_uint(&r->params, 0, "iothread.count");
	if (--c->pending == 0)
		reply_and_free(c);
}

static unsigned needed(const struct collection *c)
{
	unsigned stats = c->stats;

	return (c->backing ? VM_STATS_BACKING : 0) | (stats & RPC_STATS_CPU_TOTAL ? VM_STATS_CPU : 0) |
	       (stats & RPC_STATS_BALLOON ? VM_STATS_BALLOON : 0) |
	       (stats & RPC_STATS_VCPU ? VM_STATS_VCPU : 0) |
	       (stats & RPC_STATS_BLOCK ? VM_STATS_BLOCK | VM_STATS_BLOCK_SIZE : 0);
}

static void add_record(struct collection *c, struct vm *vm, unsigned filter)
{
	if (vm && domain_filter_matches(vm, filter))
		c->records[c->n++] = (struct record){.collection = c, .vm = vm_ref(vm)};
}

/* The domains that were named (those that are gone are skipped), or all; both filtered. */
static void choose(struct collection *c, const rpc_all_domain_stats_args *args, unsigned filter)
{
	struct vm *const *vms;
	size_t n;

	if (args->domains.domains_len > 0) {
		c->records = xcalloc(args->domains.domains_len, sizeof(*c->records));
		for (u_int i = 0; i < args->domains.domains_len; i++)
			add_record(c,
				registry_find_by_uuid(c->call->registry,
					(const uint8_t *)args->domains.domains_val[i].uuid),
				filter);
		return;
	}
	registry_list(c->call->registry, &vms, &n);
	c->records = xcalloc(n + 1, sizeof(*c->records));
	for (size_t i = 0; i < n; i++)
		add_record(c, vms[i], filter);
}

void handle_connect_get_all_domain_stats(struct call *call)
{
	/* NOWAIT: nothing here ever waits for a job. */
	const unsigned modes = RPC_STATS_NOWAIT | RPC_STATS_BACKING | RPC_STATS_ENFORCE;
	const rpc_all_domain_stats_args *args = call->args;
	struct error err = ERROR_INIT;
	struct collection *c;

	if (!call_check_flags(call, args->flags, DOMAIN_FILTER_ALL | modes))
		return;
	if (args->flags & RPC_STATS_ENFORCE && args->stats & ~(unsigned)STATS_SUPPORTED) {
		error_set(&err, ERROR_ARGUMENT_UNSUPPORTED, "statistics 0x%x are not supported",
			args->stats & ~(unsigned)STATS_SUPPORTED);
		call_fail(call, &err);
		return;
	}
	c = NEW(struct collection);
	c->call = call;
	c->backing = args->flags & RPC_STATS_BACKING;
	c->stats = args->stats ? args->stats : STATS_SUPPORTED;
	choose(c, args, args->flags & ~modes);
	/* One for ourselves: answers that come at once must not free what the loop walks over. */
	c->pending = c->n + 1;
	for (size_t i = 0; i < c->n; i++)
		vm_stats_find(c->records[i].vm, needed(c), found, &c->records[i]);
	if (--c->pending == 0)
		reply_and_free(c);
}
