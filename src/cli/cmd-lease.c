/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases: godwit's own program, for which virsh has no commands. */
#include "alloc.h"
#include "commands.h"
#include "frame.h"
#include "own.h"
#include "strv.h"

static const char *mode_name(const struct rpc_lease *lease)
{
	return lease->shared ? "shared" : "exclusive";
}

static void add_row(struct list_report *report, const struct rpc_leases *vm, const struct rpc_lease *lease)
{
	_cleanup_free_ char *pid = xasprintf("%d", vm->pid);

	list_report_string(report, vm->dom.name);
	list_report_shown_as(report, pid, json_object_new_int(vm->pid));
	list_report_string(report, vm->manager);
	list_report_string(report, vm->state);
	list_report_string(report, lease ? mode_name(lease) : NULL);
	list_report_string(report, lease ? lease->what : NULL);
	list_report_string(report, lease ? lease->file : NULL);
}

int cmd_lease_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"VM", "PID", "Manager", "State", "Mode", "Lease", NULL};
	static const char *const keys[] = {"vm", "pid", "lock_manager", "state", "mode", "lease", "file"};
	struct rpc_flags_args a = {0};
	struct rpc_leases_ret r = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_LEASE_LIST,
		CLIENT_ARGS(rpc_flags_args, &a),
		CLIENT_RET(rpc_leases_ret, &r)};
	struct list_report report;

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "list leases");
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.domains.domains_len; i++) {
		const struct rpc_leases *vm = &r.domains.domains_val[i];

		for (u_int k = 0; k < vm->leases.leases_len; k++)
			add_row(&report, vm, &vm->leases.leases_val[k]);
		if (vm->leases.leases_len == 0)
			add_row(&report, vm, NULL);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_leases_ret, &r);
	return 0;
}

static json *leases_json(const struct rpc_leases *vm)
{
	json *list = json_object_new_array();

	for (u_int i = 0; i < vm->leases.leases_len; i++) {
		const struct rpc_lease *lease = &vm->leases.leases_val[i];

		json_object_array_add(list, json_pack("s:lease", lease->what, "s:mode", mode_name(lease),
						    "s:file", lease->file, NULL));
	}
	return list;
}

static void print_leases(struct cli *cli, const struct rpc_lease_show_ret *r)
{
	const struct rpc_leases *vm = &r->leases;
	struct record record;

	record_init(&record, cli->json, 16);
	record_string(&record, "Name:", "vm", vm->dom.name);
	record_string(&record, "Lock manager:", "lock_manager", vm->manager);
	record_string(&record, "State:", "state", vm->state);
	record_shown_as(&record, "Held by:", "pid", json_object_new_int(vm->pid), "QEMU, pid %d", vm->pid);
	record_shown_as(&record, "Held:", "held", json_object_new_uint64(r->n_held), "%u of %u", r->n_held,
		vm->leases.leases_len);
	record_shown_as(&record, NULL, "leases", leases_json(vm), "%s", "");
	for (u_int i = 0; i < vm->leases.leases_len; i++) {
		const struct rpc_lease *lease = &vm->leases.leases_val[i];

		record_shown_as(&record, i == 0 ? "Leases:" : "", NULL, NULL, "%s (%s), %s", lease->what,
			mode_name(lease), lease->file);
	}
	cli_print_record(cli, &record);
	record_fini(&record);
}

int cmd_lease_show(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_lease_show_ret r = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_LEASE_SHOW,
		CLIENT_ARGS(rpc_domain, &dom),
		CLIENT_RET(rpc_lease_show_ret, &r)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "leases of %s", dom.name);
	print_leases(cli, &r);
	payload_free((xdrproc_t)xdr_rpc_lease_show_ret, &r);
	return 0;
}

int cmd_lease_lost(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *text = arguments_string(args, "uuid");
	struct rpc_uuid_args a = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_LEASE_LOST,
		CLIENT_ARGS(rpc_uuid_args, &a)};

	if (!uuid_parse(text, (uint8_t *)a.uuid))
		return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is not a UUID", text);
	return cli_call(cli, &call, err);
}
