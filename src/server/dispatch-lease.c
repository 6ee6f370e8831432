/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit's own program: the leases of running VMs. */
#include "alloc.h"
#include "call.h"
#include "dispatch.h"
#include "own.h"
#include "vm-lease.h"

/* Borrows from the VM; free leases_val. */
static void fill_leases(const struct vm *vm, rpc_leases *ret)
{
	const struct lease_set *set = vm_get_leases(vm);
	size_t n = set ? set->items.n : 0;

	*ret = (rpc_leases){
		.pid = vm_get_pid(vm),
		.manager = (char *)lease_kind_name(vm_get_lease_kind(vm)),
		.state = (char *)(n ? lease_state_name(vm_get_lease_state(vm)) : "none"),
		.leases = {.leases_len = (u_int)n, .leases_val = xcalloc(n ? n : 1, sizeof(rpc_lease))},
	};
	domain_handle(vm, &ret->dom);
	for (size_t i = 0; i < n; i++) {
		const struct lease_item *item = &set->items.items[i];

		ret->leases.leases_val[i] =
			(rpc_lease){.what = item->what, .file = item->file, .shared = item->is_shared};
	}
}

void handle_lease_list(struct call *call)
{
	const rpc_flags_args *args = call->args;
	VEC(rpc_leases) domains = {0};
	struct vm *const *vms;
	size_t n;

	if (!call_check_flags(call, args->flags, 0))
		return;
	registry_list(call->registry, &vms, &n);
	for (size_t i = 0; i < n && domains.n < RPC_DOMAINS_MAX; i++) {
		rpc_leases leases;

		if (!vm_is_active(vms[i]))
			continue;
		fill_leases(vms[i], &leases);
		VEC_ADD(&domains, leases);
	}
	call_reply(call, &(rpc_leases_ret){.domains = {(u_int)domains.n, domains.items}});
	VEC_FOREACH (leases, &domains)
		free(leases.leases.leases_val);
	VEC_FREE(&domains);
}

static void shown(struct vm *vm, size_t n_held, const struct error *err, void *userdata)
{
	rpc_lease_show_ret ret = {.n_held = (u_int)n_held};

	if (err) {
		call_fail(userdata, err);
		return;
	}
	fill_leases(vm, &ret.leases);
	call_reply(userdata, &ret);
	free(ret.leases.leases.leases_val);
}

void handle_lease_show(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm = call_find_active_vm(call, &args->dom);

	if (vm)
		call_check(call, vm_inquire_leases(vm, shown, call, &err), &err);
}

/* From sanlock, through `godwit lease-lost`. */
void handle_lease_lost(struct call *call)
{
	const rpc_uuid_args *args = call->args;
	rpc_domain dom = {.name = (char *)"", .id = -1};
	struct error err = ERROR_INIT;
	struct vm *vm;

	memcpy(dom.uuid, args->uuid, sizeof(dom.uuid));
	vm = call_find_active_vm(call, &dom);
	if (vm)
		call_check(call, vm_lose_leases(vm, call_vm_done, call, &err), &err);
}
