/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent in the guest knows of it. Whatever it says is the guest's: kinds and amounts are checked before they are passed on. */
#include "call-agent.h"
#include "constants.h"
#include "disk.h"
#include "dispatch.h"
#include "guest-report.h"
#include "session.h"
#include "strv.h"

static void fail_too_much(struct call *call, const char *what, size_t max)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "the guest has more than %zu %s", max, what);
	call_fail(call, &err);
}

/* ---- filesystems ---- */

static void fill_filesystem(rpc_filesystem *ret, const struct domain *d, json *fs)
{
	json *disks = json_get(fs, "disk");
	size_t n = json_count_(disks) < RPC_DISK_ALIASES_MAX ? json_count_(disks) : RPC_DISK_ALIASES_MAX;

	*ret = (rpc_filesystem){.mountpoint = (char *)(json_get_string(fs, "mountpoint") ?: ""),
		.name = (char *)(json_get_string(fs, "name") ?: ""),
		.type = (char *)(json_get_string(fs, "type") ?: "")};
	ret->disks.disks_val = xcalloc(n + 1, sizeof(char *));
	JSON_FOREACH (address, disks) {
		const struct disk *disk = guest_find_disk(d, address);
		const char *name = disk ? disk->target : json_get_string(address, "dev");

		if (name && ret->disks.disks_len < n)
			ret->disks.disks_val[ret->disks.disks_len++] = (char *)name;
	}
}

static void filesystems_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	size_t n = json_count_(ret);
	rpc_filesystems_ret answer = {0};

	if (err) {
		call_fail(call, err);
		return;
	}
	if (n > RPC_FILESYSTEMS_MAX) {
		fail_too_much(call, "filesystems", RPC_FILESYSTEMS_MAX);
		return;
	}
	_cleanup_free_ rpc_filesystem *list = xcalloc(n + 1, sizeof(*list));

	JSON_FOREACH (fs, ret)
		fill_filesystem(&list[answer.filesystems.filesystems_len++], vm_get_domain(call->vm), fs);
	answer.filesystems.filesystems_val = list;
	answer.ret = (unsigned)n;
	call_reply(call, &answer);
	for (size_t i = 0; i < n; i++)
		free(list[i].disks.disks_val);
}

void handle_domain_get_fsinfo(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0) && call_find_active_vm(call, &args->dom))
		call_ask_agent(call, "guest-get-fsinfo", NULL, VM_AGENT_TIMEOUT, filesystems_done);
}

/* ---- its name ---- */

static void hostname_done(json *ret, const struct error *err, void *userdata)
{
	const char *name = json_get_string(ret, "host-name");
	struct error none = ERROR_INIT;
	struct call *call = userdata;

	if (!err && !name)
		error_set(&none, ERROR_AGENT, "the agent did not say the guest's name");
	if (err || !name)
		call_fail(call, err ? err : &none);
	else
		call_reply(call, &(rpc_string_ret){(char *)name});
}

void handle_domain_get_hostname(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, RPC_HOSTNAME_LEASE | RPC_HOSTNAME_AGENT) ||
		!call_find_active_vm(call, &args->dom))
		return;
	if (args->flags & RPC_HOSTNAME_AGENT) {
		call_ask_agent(call, "guest-get-host-name", NULL, VM_AGENT_TIMEOUT, hostname_done);
		return;
	}
	error_set(&err, ERROR_UNSUPPORTED,
		"the guest's name from DHCP leases; its agent may know it (--source agent)");
	call_fail(call, &err);
}

/* ---- addresses ---- */

static void fill_interface(rpc_interface_addresses *ret, json *interface, char **mac)
{
	json *addresses = json_get(interface, "ip-addresses");
	size_t n = json_count_(addresses);

	*mac = (char *)json_get_string(interface, "hardware-address");
	*ret = (rpc_interface_addresses){
		.name = (char *)(json_get_string(interface, "name") ?: ""), .mac = *mac ? mac : NULL};
	n = n < RPC_ADDRESSES_MAX ? n : RPC_ADDRESSES_MAX;
	ret->addresses.addresses_val = xcalloc(n + 1, sizeof(rpc_address));
	JSON_FOREACH (a, addresses) {
		const char *text = json_get_string(a, "ip-address");

		if (text && ret->addresses.addresses_len < n)
			ret->addresses.addresses_val[ret->addresses.addresses_len++] =
				(rpc_address){.type = streq(json_get_string(a, "ip-address-type"), "ipv6"),
					.address = (char *)text,
					.prefix = (unsigned)json_get_uint(a, "prefix", 0)};
	}
}

static void addresses_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	rpc_interface_addresses_ret answer = {0};
	size_t n = json_count_(ret);

	if (err) {
		call_fail(call, err);
		return;
	}
	if (n > RPC_ADDRESSES_MAX) {
		fail_too_much(call, "interfaces", RPC_ADDRESSES_MAX);
		return;
	}
	_cleanup_free_ rpc_interface_addresses *list = xcalloc(n + 1, sizeof(*list));
	_cleanup_free_ char **macs = xcalloc(n + 1, sizeof(*macs));

	answer.interfaces.interfaces_val = list;
	JSON_FOREACH (interface, ret) {
		u_int at = answer.interfaces.interfaces_len++;

		fill_interface(&list[at], interface, &macs[at]);
	}
	call_reply(call, &answer);
	for (size_t i = 0; i < n; i++)
		free(list[i].addresses.addresses_val);
}

void handle_domain_interface_addresses(struct call *call)
{
	static const char *const sources[] = {"DHCP leases", "the guest agent", "the ARP table"};
	const rpc_interface_addresses_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, 0) || !call_find_active_vm(call, &args->dom))
		return;
	if (args->source == RPC_ADDRESSES_AGENT && !call->session->read_only) {
		call_ask_agent(call, "guest-network-get-interfaces", NULL, VM_AGENT_TIMEOUT, addresses_done);
		return;
	}
	if (args->source == RPC_ADDRESSES_AGENT)
		error_set(&err, ERROR_OPERATION_DENIED, "read only access prevents asking the guest agent");
	else
		error_set(&err, ERROR_UNSUPPORTED, "addresses of interfaces from %s",
			args->source < ARRAY_SIZE(sources) ? sources[args->source] : "an unknown source");
	call_fail(call, &err);
}

/* ---- all sorts of things, one question after the other ---- */

struct inquiry {
	const struct guest_report *now;
	struct param_list list;
};

static void ask_next(struct call *call);

static void report_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_guest_info_args *args = call->args;
	struct inquiry *inquiry = call->state;

	/* Who asks for everything gets what this agent knows; who asks for something hears why not. */
	if (err && !(args->types == 0 && err->code == ERROR_AGENT_REFUSED)) {
		param_list_fini(&inquiry->list);
		call_fail(call, err);
		return;
	}
	if (!err)
		inquiry->now->tell(&inquiry->list, vm_get_domain(call->vm), ret);
	inquiry->now++;
	ask_next(call);
}

static void ask_next(struct call *call)
{
	const rpc_guest_info_args *args = call->args;
	struct inquiry *inquiry = call->state;
	struct error err = ERROR_INIT;
	rpc_guest_info_ret ret;

	while (inquiry->now->type && args->types && !(args->types & inquiry->now->type))
		inquiry->now++;
	if (inquiry->now->type) {
		if (vm_agent_command(call->vm, inquiry->now->command, NULL, VM_AGENT_TIMEOUT, report_done,
			    call, &err) == 0)
			return;
		param_list_fini(&inquiry->list);
		call_fail(call, &err);
		return;
	}
	if (inquiry->list.params.n > RPC_GUEST_INFO_MAX) {
		param_list_fini(&inquiry->list);
		fail_too_much(call, "things to say", RPC_GUEST_INFO_MAX);
		return;
	}
	struct param_list list = inquiry->list;

	ret.params.params_val = list.params.items;
	ret.params.params_len = (u_int)list.params.n;
	call_reply(call, &ret);
	param_list_fini(&list);
}

void handle_domain_get_guest_info(struct call *call)
{
	const rpc_guest_info_args *args = call->args;
	struct inquiry *inquiry;

	if (!call_check_flags(call, args->flags, 0) ||
		!call_check_flags(call, args->types, RPC_GUEST_INFO_ALL) ||
		!call_find_active_vm(call, &args->dom))
		return;
	inquiry = NEW(struct inquiry);
	inquiry->now = guest_reports;
	call->state = inquiry;
	ask_next(call);
}
