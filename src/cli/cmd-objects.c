/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of networks, storage pools, interfaces, devices, secrets and filters. godwitd keeps none of them and says so
 * with an empty list; what is in the columns that only such an object could answer is "-".
 */
#include "commands.h"
#include "frame.h"
#include "strv.h"

/* Flags of the LIST_ALL calls of networks and pools; interfaces have the first two. */
enum {
	OBJECTS_INACTIVE = 1 << 0,
	OBJECTS_ACTIVE = 1 << 1,
	OBJECTS_PERSISTENT = 1 << 2,
	OBJECTS_TRANSIENT = 1 << 3,
	OBJECTS_AUTOSTART = 1 << 4,
	OBJECTS_NO_AUTOSTART = 1 << 5,
};

/* One row: the first `n_given` cells are given, the others nobody knows. */
static void add_row(struct list_report *report, const char *const *given, size_t n_given)
{
	for (size_t i = 0; i < report->columns; i++)
		list_report_string(report, i < n_given ? given[i] : "-");
}

static int call_list(
	struct cli *cli, int procedure, unsigned flags, xdrproc_t decode, void *ret, struct error *err)
{
	struct rpc_list_args args = {.need_results = 1, .flags = flags};
	struct client_call call = {
		.procedure = procedure, CLIENT_ARGS(rpc_list_args, &args), .decode = decode, .ret = ret};

	return cli_call(cli, &call, err);
}

static unsigned active_flags(const struct arguments *args)
{
	if (arguments_has(args, "all"))
		return OBJECTS_ACTIVE | OBJECTS_INACTIVE;
	return arguments_has(args, "inactive") ? OBJECTS_INACTIVE : OBJECTS_ACTIVE;
}

/* Networks and pools, as a table or, with --name or --uuid, as lines. */
static int list_named(struct cli *cli, const struct arguments *args, int procedure, size_t n_columns,
	const char *const *titles, const char *const *keys, struct error *err)
{
	unsigned flags = active_flags(args) | arguments_flag(args, "persistent", OBJECTS_PERSISTENT) |
			 arguments_flag(args, "transient", OBJECTS_TRANSIENT) |
			 arguments_flag(args, "autostart", OBJECTS_AUTOSTART) |
			 arguments_flag(args, "no-autostart", OBJECTS_NO_AUTOSTART);
	bool name = arguments_has(args, "name") && !cli->json, id = arguments_has(args, "uuid") && !cli->json;
	struct rpc_networks_ret r = {0};
	struct list_report report;

	if (call_list(cli, procedure, flags, (xdrproc_t)xdr_rpc_networks_ret, &r, err) < 0)
		return -1;
	list_report_init(&report, cli->json, n_columns, titles, keys);
	for (u_int i = 0; i < r.networks.networks_len; i++) {
		const struct rpc_network *object = &r.networks.networks_val[i];
		char uuid[UUID_TEXT_MAX];

		uuid_format((const uint8_t *)object->uuid, uuid);
		add_row(&report, (const char *const[]){uuid, object->name}, 2);
		if (name || id)
			cli_print(cli, "%s%s%s\n", id ? uuid : "", id && name ? " " : "",
				name ? object->name : "");
	}
	if (!name && !id)
		cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_networks_ret, &r);
	return 0;
}

int cmd_net_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {NULL, "Name", "State", "Autostart", "Persistent"};
	static const char *const keys[] = {"uuid", "name", NULL, NULL, NULL};

	return list_named(cli, args, RPC_CONNECT_LIST_ALL_NETWORKS, ARRAY_SIZE(titles), titles, keys, err);
}

int cmd_pool_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {NULL, "Name", "State", "Autostart"};
	static const char *const keys[] = {"uuid", "name", NULL, NULL};

	return list_named(
		cli, args, RPC_CONNECT_LIST_ALL_STORAGE_POOLS, ARRAY_SIZE(titles), titles, keys, err);
}

int cmd_nwfilter_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"UUID", "Name"};
	static const char *const keys[] = {"uuid", "name"};
	struct rpc_networks_ret r = {0};
	struct list_report report;

	if (call_list(cli, RPC_CONNECT_LIST_ALL_NWFILTERS, 0, (xdrproc_t)xdr_rpc_networks_ret, &r, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.networks.networks_len; i++) {
		char uuid[UUID_TEXT_MAX];

		uuid_format((const uint8_t *)r.networks.networks_val[i].uuid, uuid);
		add_row(&report, (const char *const[]){uuid, r.networks.networks_val[i].name}, 2);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_networks_ret, &r);
	return 0;
}

int cmd_iface_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"Name", "State", "MAC Address"};
	static const char *const keys[] = {"name", NULL, "mac"};
	struct rpc_interfaces_ret r = {0};
	struct list_report report;

	if (call_list(cli, RPC_CONNECT_LIST_ALL_INTERFACES, active_flags(args),
		    (xdrproc_t)xdr_rpc_interfaces_ret, &r, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.interfaces.interfaces_len; i++) {
		const struct rpc_interface *iface = &r.interfaces.interfaces_val[i];

		add_row(&report, (const char *const[]){iface->name, "-", iface->mac}, 3);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_interfaces_ret, &r);
	return 0;
}

int cmd_nodedev_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_node_devices_ret r = {0};
	_cleanup_json_ json *names = json_object_new_array();

	if (call_list(cli, RPC_CONNECT_LIST_ALL_NODE_DEVICES, 0, (xdrproc_t)xdr_rpc_node_devices_ret, &r,
		    err) < 0)
		return -1;
	for (u_int i = 0; i < r.devices.devices_len; i++) {
		json_object_array_add(names, json_object_new_string(r.devices.devices_val[i].name));
		if (!cli->json)
			cli_print(cli, "%s\n", r.devices.devices_val[i].name);
	}
	if (cli->json)
		cli_print_json(cli, names);
	payload_free((xdrproc_t)xdr_rpc_node_devices_ret, &r);
	return 0;
}

int cmd_secret_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"UUID", "Usage"};
	static const char *const keys[] = {"uuid", "usage"};
	unsigned flags = arguments_flag(args, "ephemeral", 1 << 0) |
			 arguments_flag(args, "no-ephemeral", 1 << 1) |
			 arguments_flag(args, "private", 1 << 2) | arguments_flag(args, "no-private", 1 << 3);
	struct rpc_secrets_ret r = {0};
	struct list_report report;

	if (call_list(cli, RPC_CONNECT_LIST_ALL_SECRETS, flags, (xdrproc_t)xdr_rpc_secrets_ret, &r, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.secrets.secrets_len; i++) {
		char uuid[UUID_TEXT_MAX];

		uuid_format((const uint8_t *)r.secrets.secrets_val[i].uuid, uuid);
		add_row(&report, (const char *const[]){uuid, r.secrets.secrets_val[i].usage_id}, 2);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_secrets_ret, &r);
	return 0;
}
