/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and listing domains. */
#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "domain-filter.h"
#include "strv.h"

static void reply_domain(struct call *call, const struct vm *vm)
{
	rpc_domain_ret ret;

	domain_handle(vm, &ret.dom);
	call_reply(call, &ret);
}

void handle_domain_lookup_by_id(struct call *call)
{
	const rpc_id_args *args = call->args;
	struct vm *vm = args->id < 0 ? NULL : registry_find_by_id(call->registry, args->id);
	struct error err = ERROR_INIT;

	if (vm) {
		reply_domain(call, vm);
		return;
	}
	error_set(&err, ERROR_NO_DOMAIN, "no domain with matching id %d", args->id);
	call_fail(call, &err);
}

void handle_domain_lookup_by_name(struct call *call)
{
	const rpc_name_args *args = call->args;
	struct vm *vm = registry_find_by_name(call->registry, args->name);
	struct error err = ERROR_INIT;

	if (vm) {
		reply_domain(call, vm);
		return;
	}
	error_set(&err, ERROR_NO_DOMAIN, "no domain with matching name '%.*s'", 255, args->name);
	call_fail(call, &err);
}

void handle_domain_lookup_by_uuid(struct call *call)
{
	const rpc_uuid_args *args = call->args;
	struct vm *vm = registry_find_by_uuid(call->registry, (const uint8_t *)args->uuid);
	struct error err = ERROR_INIT;
	char text[UUID_TEXT_MAX];

	if (vm) {
		reply_domain(call, vm);
		return;
	}
	uuid_format((const uint8_t *)args->uuid, text);
	error_set(&err, ERROR_NO_DOMAIN, "no domain with matching uuid '%s'", text);
	call_fail(call, &err);
}

void handle_connect_list_all_domains(struct call *call)
{
	const rpc_list_args *args = call->args;
	_cleanup_free_ rpc_domain *domains = NULL;
	rpc_domains_ret ret = {0};
	struct vm *const *vms;
	size_t n;

	if (!call_check_flags(call, args->flags, DOMAIN_FILTER_ALL))
		return;
	registry_list(call->registry, &vms, &n);
	if (args->need_results)
		domains = xcalloc(n + 1, sizeof(*domains));
	for (size_t i = 0; i < n; i++) {
		if (!domain_filter_matches(vms[i], args->flags))
			continue;
		if (domains)
			domain_handle(vms[i], &domains[ret.ret]);
		ret.ret++;
	}
	if (domains) {
		ret.domains.domains_val = domains;
		ret.domains.domains_len = ret.ret;
	}
	call_reply(call, &ret);
}

static int count(struct call *call, unsigned filter)
{
	struct vm *const *vms;
	int found = 0;
	size_t n;

	registry_list(call->registry, &vms, &n);
	for (size_t i = 0; i < n; i++)
		found += domain_filter_matches(vms[i], filter);
	return found;
}

void handle_connect_num_of_domains(struct call *call)
{
	call_reply(call, &(rpc_int_ret){count(call, RPC_LIST_ACTIVE)});
}

void handle_connect_num_of_defined_domains(struct call *call)
{
	call_reply(call, &(rpc_int_ret){count(call, RPC_LIST_INACTIVE)});
}

/* How many may be listed: what was asked for, what there is, what the protocol allows. */
static size_t limit(struct call *call, size_t n)
{
	const rpc_maximum_args *args = call->args;
	size_t max = args->maximum < 0 ? 0 : (size_t)args->maximum;

	max = max < n ? max : n;
	return max < RPC_DOMAINS_MAX ? max : RPC_DOMAINS_MAX;
}

void handle_connect_list_domains(struct call *call)
{
	_cleanup_free_ int *ids = NULL;
	rpc_ids_ret ret = {0};
	struct vm *const *vms;
	size_t n, max;

	registry_list(call->registry, &vms, &n);
	max = limit(call, n);
	ids = xcalloc(max + 1, sizeof(*ids));
	ret.ids.ids_val = ids;
	for (size_t i = 0; i < n && ret.ids.ids_len < max; i++)
		if (vm_is_active(vms[i]))
			ids[ret.ids.ids_len++] = vm_get_id(vms[i]);
	call_reply(call, &ret);
}

void handle_connect_list_defined_domains(struct call *call)
{
	_cleanup_free_ rpc_string *names = NULL;
	rpc_strings_ret ret = {0};
	struct vm *const *vms;
	size_t n, max;

	registry_list(call->registry, &vms, &n);
	max = limit(call, n);
	names = xcalloc(max + 1, sizeof(*names));
	ret.values.values_val = names;
	for (size_t i = 0; i < n && ret.values.values_len < max; i++)
		if (!vm_is_active(vms[i]))
			names[ret.values.values_len++] = (char *)vm_get_name(vms[i]);
	call_reply(call, &ret);
}
