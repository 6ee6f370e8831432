/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that print figures of running VMs: domstats, memory, block devices, interfaces. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "params.h"
#include "strv.h"

/* ---- domstats ---- */

static unsigned stats_groups(const struct arguments *args)
{
	return arguments_flag(args, "state", RPC_STATS_STATE) |
	       arguments_flag(args, "cpu-total", RPC_STATS_CPU_TOTAL) |
	       arguments_flag(args, "balloon", RPC_STATS_BALLOON) |
	       arguments_flag(args, "vcpu", RPC_STATS_VCPU) |
	       arguments_flag(args, "interface", RPC_STATS_INTERFACE) |
	       arguments_flag(args, "block", RPC_STATS_BLOCK) | arguments_flag(args, "perf", RPC_STATS_PERF) |
	       arguments_flag(args, "iothread", RPC_STATS_IOTHREAD) |
	       arguments_flag(args, "memory", RPC_STATS_MEMORY) |
	       arguments_flag(args, "dirtyrate", RPC_STATS_DIRTYRATE) |
	       arguments_flag(args, "vm", RPC_STATS_VM);
}

static unsigned stats_flags(const struct arguments *args)
{
	return arguments_flag(args, "list-active", RPC_LIST_ACTIVE) |
	       arguments_flag(args, "list-inactive", RPC_LIST_INACTIVE) |
	       arguments_flag(args, "list-persistent", RPC_LIST_PERSISTENT) |
	       arguments_flag(args, "list-transient", RPC_LIST_TRANSIENT) |
	       arguments_flag(args, "list-running", RPC_LIST_RUNNING) |
	       arguments_flag(args, "list-paused", RPC_LIST_PAUSED) |
	       arguments_flag(args, "list-shutoff", RPC_LIST_SHUTOFF) |
	       arguments_flag(args, "list-other", RPC_LIST_OTHER) |
	       arguments_flag(args, "nowait", RPC_STATS_NOWAIT) |
	       arguments_flag(args, "backing", RPC_STATS_BACKING) |
	       arguments_flag(args, "enforce", RPC_STATS_ENFORCE);
}

static void print_stats(struct cli *cli, const struct rpc_all_domain_stats_ret *r)
{
	for (u_int i = 0; i < r->records.records_len; i++) {
		const struct rpc_domain_stats_record *record = &r->records.records_val[i];

		cli_print(cli, "%sDomain: '%s'\n", i > 0 ? "\n" : "", record->dom.name);
		for (u_int p = 0; p < record->params.params_len; p++) {
			_cleanup_free_ char *value = param_format(&record->params.params_val[p]);

			cli_print(cli, "  %s=%s\n", record->params.params_val[p].field, value);
		}
	}
}

static void print_stats_json(struct cli *cli, const struct rpc_all_domain_stats_ret *r)
{
	_cleanup_json_ json *all = json_object_new_array();

	for (u_int i = 0; i < r->records.records_len; i++) {
		const struct rpc_domain_stats_record *record = &r->records.records_val[i];

		json_object_array_add(all,
			json_pack("s:domain", record->dom.name, "o:stats",
				params_to_json_tree(record->params.params_val, record->params.params_len),
				NULL));
	}
	cli_print_json(cli, all);
}

int cmd_domstats(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_domain *doms = xcalloc(args->n_rest + 1, sizeof(*doms));
	struct rpc_all_domain_stats_args a = {.stats = stats_groups(args), .flags = stats_flags(args)};
	struct rpc_all_domain_stats_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_GET_ALL_DOMAIN_STATS,
		CLIENT_ARGS(rpc_all_domain_stats_args, &a),
		CLIENT_RET(rpc_all_domain_stats_ret, &r)};
	size_t n = 0;
	int ret = 0;

	for (; n < args->n_rest && ret == 0; n++)
		ret = cli_find_domain_named(cli, args->rest[n], BY_ANY, &doms[n], err);
	a.domains.domains_len = (u_int)args->n_rest;
	a.domains.domains_val = doms;
	if (ret == 0)
		ret = cli_call(cli, &call, err);
	if (ret == 0 && cli->json)
		print_stats_json(cli, &r);
	else if (ret == 0)
		print_stats(cli, &r);
	payload_free((xdrproc_t)xdr_rpc_all_domain_stats_ret, &r);
	for (size_t i = 0; i < n; i++)
		rpc_domain_fini(&doms[i]);
	free(doms);
	return ret;
}

/* ---- memory ---- */

int cmd_dommemstat(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_memory_stats_args a = {.maximum = 64};
	struct rpc_memory_stats_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_MEMORY_STATS,
		CLIENT_ARGS(rpc_memory_stats_args, &a),
		CLIENT_RET(rpc_memory_stats_ret, &r)};
	_cleanup_json_ json *o = json_object_new_object();

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "memory figures of %s", dom.name);
	for (u_int i = 0; i < r.stats.stats_len; i++) {
		const char *name = memory_stat_name(r.stats.stats_val[i].tag);

		if (!name)
			continue;
		json_object_object_add(o, name, json_object_new_uint64(r.stats.stats_val[i].value));
		if (!cli->json)
			cli_print(cli, "%s %llu\n", name, (unsigned long long)r.stats.stats_val[i].value);
	}
	if (cli->json)
		cli_print_json(cli, o);
	payload_free((xdrproc_t)xdr_rpc_memory_stats_ret, &r);
	return 0;
}

/* ---- block devices ---- */

/* Fields of DOMAIN_BLOCK_STATS_FLAGS in the order of printing; virsh's name for each, and for people. */
static const struct block_field {
	const char *field, *name, *label;
} block_fields[] = {
	{"rd_operations", "rd_req", "number of read operations:"},
	{"rd_bytes", "rd_bytes", "number of bytes read:"},
	{"wr_operations", "wr_req", "number of write operations:"},
	{"wr_bytes", "wr_bytes", "number of bytes written:"},
	{"errs", "errs", "error count:"},
	{"flush_operations", "flush_operations", "number of flush operations:"},
	{"rd_total_times", "rd_total_times", "total duration of reads (ns):"},
	{"wr_total_times", "wr_total_times", "total duration of writes (ns):"},
	{"flush_total_times", "flush_total_times", "total duration of flushes (ns):"},
};

int cmd_domblkstat(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *device = arguments_string(args, "device");
	bool human = arguments_has(args, "human");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_block_stats_flags_args a = {.nparams = RPC_BLOCK_STATS_MAX};
	struct rpc_block_stats_flags_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_BLOCK_STATS_FLAGS,
		CLIENT_ARGS(rpc_block_stats_flags_args, &a),
		CLIENT_RET(rpc_block_stats_flags_ret, &r)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	a.path = (char *)(device ? device : ""); /* "": all together */
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "block device figures of %s", dom.name);
	if (cli->json) {
		_cleanup_json_ json *o = params_to_json(r.params.params_val, r.params.params_len);

		cli_print_json(cli, o);
	} else if (human) {
		cli_print(cli, "Device: %s\n", a.path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(block_fields) && !cli->json; i++) {
		const struct block_field *f = &block_fields[i];
		const struct rpc_param *p = param_find(r.params.params_val, r.params.params_len, f->field);
		_cleanup_free_ char *value = p ? param_format(p) : NULL;

		if (value && human)
			cli_print(cli, " %-31s %s\n", f->label, value);
		else if (value)
			cli_print(cli, "%s %s %s\n", a.path, f->name, value);
	}
	payload_free((xdrproc_t)xdr_rpc_block_stats_flags_ret, &r);
	return 0;
}

int cmd_domblkerror(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"Device", "Error"};
	static const char *const keys[] = {"device", "error"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_disk_errors_args a = {.maximum = RPC_DISK_ERRORS_MAX};
	struct rpc_disk_errors_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_DISK_ERRORS,
		CLIENT_ARGS(rpc_disk_errors_args, &a),
		CLIENT_RET(rpc_disk_errors_ret, &r)};
	struct list_report report;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "disk errors of %s", dom.name);
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.errors.errors_len; i++) {
		const struct rpc_disk_error *e = &r.errors.errors_val[i];

		list_report_string(&report, e->disk);
		list_report_string(&report, disk_error_name(e->error));
		if (!cli->json)
			cli_print(cli, "%s: %s\n", e->disk, disk_error_name(e->error));
	}
	if (cli->json)
		cli_print_list(cli, &report);
	else if (r.errors.errors_len == 0)
		cli_print(cli, "No errors found\n");
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_disk_errors_ret, &r);
	return 0;
}

/* ---- network interfaces ---- */

int cmd_domifstat(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *interface = arguments_string(args, "interface");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_path_args a = {.path = (char *)interface};
	struct rpc_interface_stats_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_INTERFACE_STATS,
		CLIENT_ARGS(rpc_domain_path_args, &a),
		CLIENT_RET(rpc_interface_stats_ret, &r)};
	_cleanup_json_ json *o = json_object_new_object();

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "figures of interface %s of %s", interface, dom.name);
	{
		const struct {
			const char *name;
			int64_t value;
		} fields[] = {
			{"rx_bytes", r.rx_bytes},
			{"rx_packets", r.rx_packets},
			{"rx_errs", r.rx_errors},
			{"rx_drop", r.rx_dropped},
			{"tx_bytes", r.tx_bytes},
			{"tx_packets", r.tx_packets},
			{"tx_errs", r.tx_errors},
			{"tx_drop", r.tx_dropped},
		};

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			/* -1: not known */
			if (fields[i].value < 0)
				continue;
			json_object_object_add(o, fields[i].name, json_object_new_int64(fields[i].value));
			if (!cli->json)
				cli_print(cli, "%s %s %lld\n", interface, fields[i].name,
					(long long)fields[i].value);
		}
	}
	if (cli->json)
		cli_print_json(cli, o);
	return 0;
}
