/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's name, addresses, passwords and vCPUs, as the agent in it has them. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "guest.h"
#include "strv.h"

/* As the server has them: any time, as long as libvirt waits, not at all. */
enum { TIMEOUT_BLOCK = -2, TIMEOUT_DEFAULT = -1, TIMEOUT_NONE = 0 };

/* ---- its name and addresses ---- */

/* The place of what --source says in `names`; `otherwise` when it says nothing. */
static int find_source(const struct arguments *args, const char *const *names, size_t n, unsigned otherwise,
	unsigned *ret, struct error *err)
{
	const char *source = arguments_string(args, "source");

	*ret = otherwise;
	if (!source)
		return 0;
	for (unsigned i = 0; i < n; i++)
		if (streq(names[i], source)) {
			*ret = i;
			return 0;
		}
	return error_set(err, ERROR_INVALID_ARGUMENT, "Unknown data source '%s'", source);
}

int cmd_domhostname(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const names[] = {"", "lease", "agent"};
	static const unsigned flags[] = {0, RPC_HOSTNAME_LEASE, RPC_HOSTNAME_AGENT};
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *name = NULL;
	unsigned source;

	if (find_source(args, names, ARRAY_SIZE(names), 0, &source, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(cli, RPC_DOMAIN_GET_HOSTNAME, &dom, flags[source], &name, err) < 0)
		return error_prefix(err, "name of the guest of %s", dom.name);
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:hostname", name, NULL);

		cli_print_json(cli, o);
	} else {
		cli_print(cli, "%s\n", name);
	}
	return 0;
}

static const char *address_type(const struct rpc_address *a)
{
	return a->type == 0 ? "ipv4" : a->type == 1 ? "ipv6" : "";
}

static json *interface_to_json(const struct rpc_interface_addresses *i)
{
	json *addresses = json_object_new_array();

	for (u_int k = 0; k < i->addresses.addresses_len; k++) {
		const struct rpc_address *a = &i->addresses.addresses_val[k];

		json_object_array_add(addresses, json_pack("s:type", address_type(a), "s:address", a->address,
							 "u:prefix", (uint64_t)a->prefix, NULL));
	}
	return json_pack("s:name", i->name, "s:mac", i->mac ? *i->mac : NULL, "o:addresses", addresses, NULL);
}

/* In virsh's columns. `full`: name and MAC in every line. */
static void print_interface(struct cli *cli, const struct rpc_interface_addresses *i, bool full)
{
	const char *mac = i->mac ? *i->mac : NULL;

	if (i->addresses.addresses_len == 0)
		cli_print(cli, " %-10s %-17s    %-12s %s\n", i->name, mac ? mac : "N/A", "N/A", "N/A");
	for (u_int k = 0; k < i->addresses.addresses_len; k++) {
		const struct rpc_address *a = &i->addresses.addresses_val[k];
		bool named = full || k == 0;

		cli_print(cli, " %-10s %-17s    %-12s %s/%u\n", named ? i->name : "-",
			!named ? "-"
			: mac  ? mac
			       : "",
			address_type(a), a->address, a->prefix);
	}
}

static void print_interfaces(
	struct cli *cli, const struct arguments *args, const struct rpc_interface_addresses_ret *r)
{
	const char *only = arguments_string(args, "interface");
	_cleanup_json_ json *list = json_object_new_array();

	cli_print_extra(cli, " %-10s %-20s %-8s     %s\n%.79s\n", "Name", "MAC address", "Protocol",
		"Address",
		"----------------------------------------"
		"----------------------------------------");
	for (u_int i = 0; i < r->interfaces.interfaces_len; i++) {
		const struct rpc_interface_addresses *interface = &r->interfaces.interfaces_val[i];

		if (only && !streq(only, interface->name))
			continue;
		if (cli->json)
			json_object_array_add(list, interface_to_json(interface));
		else
			print_interface(cli, interface, arguments_has(args, "full"));
	}
	if (cli->json)
		cli_print_json(cli, list);
}

int cmd_domifaddr(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const sources[] = {"lease", "agent", "arp"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_interface_addresses_args a = {0};
	struct rpc_interface_addresses_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_INTERFACE_ADDRESSES,
		CLIENT_ARGS(rpc_interface_addresses_args, &a),
		CLIENT_RET(rpc_interface_addresses_ret, &r)};

	if (find_source(args, sources, ARRAY_SIZE(sources), RPC_ADDRESSES_LEASE, &a.source, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "addresses of %s", dom.name);
	print_interfaces(cli, args, &r);
	payload_free((xdrproc_t)xdr_rpc_interface_addresses_ret, &r);
	return 0;
}

/* ---- what it is told ---- */

int cmd_set_user_password(struct cli *cli, const struct arguments *args, struct error *err)
{
	char *user = (char *)arguments_string(args, "user"),
	     *password = (char *)arguments_string(args, "password");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_user_password_args a = {.user = &user,
		.password = &password,
		.flags = arguments_flag(args, "encrypted", RPC_PASSWORD_ENCRYPTED)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_SET_USER_PASSWORD, CLIENT_ARGS(rpc_user_password_args, &a)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "set the password of %s in %s", user, dom.name);
	cli_print_extra(cli, "Password set successfully for %s in %s\n", user, dom.name);
	return 0;
}

/* virsh's: a number of seconds, or -2, -1 and 0 for what the server has no seconds for. */
static int parse_timeout(const char *given, int *ret, struct error *err)
{
	bool is_special = given && *given == '-';
	uint64_t value;

	*ret = TIMEOUT_BLOCK;
	if (!given)
		return 0;
	if (!parse_u64(given + is_special, &value) || value > (is_special ? -TIMEOUT_BLOCK : INT32_MAX))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"\"%s\" is no timeout: seconds, 0 not to wait, -1 the default, -2 any time", given);
	*ret = is_special ? -(int)value : (int)value;
	return 0;
}

int cmd_guest_agent_timeout(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_agent_timeout_args a = {0};
	struct rpc_int_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_AGENT_SET_RESPONSE_TIMEOUT,
		CLIENT_ARGS(rpc_agent_timeout_args, &a),
		CLIENT_RET(rpc_int_ret, &r)};

	if (parse_timeout(arguments_string(args, "timeout"), &a.timeout, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "timeout of the agent of %s", dom.name);
	return 0;
}

int cmd_setvcpus(struct cli *cli, const struct arguments *args, struct error *err)
{
	uint64_t count = arguments_number(args, "count", 0);
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_set_vcpus_args a = {
		.flags = RPC_VCPU_GUEST | arguments_flag(args, "live", RPC_AFFECT_LIVE)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_SET_VCPUS_FLAGS, CLIENT_ARGS(rpc_set_vcpus_args, &a)};

	if (count == 0 || count > INT32_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "a guest has at least one vCPU");
	if (!arguments_has(args, "guest"))
		return error_set(err, ERROR_UNSUPPORTED,
			"vCPUs are not plugged in or out; --guest takes them off line in the guest");
	if (arguments_exclusive(args, "current", "live", err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	a.count = (unsigned)count;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "vCPUs of the guest of %s", dom.name);
	return 0;
}
