/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about the job that a VM is busy with. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "params.h"
#include "strv.h"

enum unit { UNIT_MS, UNIT_BYTES, UNIT_BYTES_PER_SECOND, UNIT_PAGES_PER_SECOND, UNIT_EXACT_BYTES, UNIT_COUNT };

/* The lines of domjobinfo, in their order. A line appears when the daemon gave its field. */
static const struct job_line {
	const char *field, *label;
	enum unit unit;
	const char *
		group; /* shown only when one of data_, memory_ or disk_ "processed/remaining/total" is not 0 */
} job_lines[] = {
	{"time_elapsed", "Time elapsed:", UNIT_MS, NULL},
	{"time_elapsed_net", "Time elapsed w/o network:", UNIT_MS, NULL},
	{"time_remaining", "Time remaining:", UNIT_MS, NULL},
	{"data_processed", "Data processed:", UNIT_BYTES, "data"},
	{"data_remaining", "Data remaining:", UNIT_BYTES, "data"},
	{"data_total", "Data total:", UNIT_BYTES, "data"},
	{"memory_processed", "Memory processed:", UNIT_BYTES, "memory"},
	{"memory_remaining", "Memory remaining:", UNIT_BYTES, "memory"},
	{"memory_total", "Memory total:", UNIT_BYTES, "memory"},
	{"memory_bps", "Memory bandwidth:", UNIT_BYTES_PER_SECOND, "memory"},
	{"memory_dirty_rate", "Dirty rate:", UNIT_PAGES_PER_SECOND, NULL},
	{"memory_page_size", "Page size:", UNIT_EXACT_BYTES, NULL},
	{"memory_iteration", "Iteration:", UNIT_COUNT, NULL},
	{"memory_postcopy_requests", "Postcopy requests:", UNIT_COUNT, NULL},
	{"disk_processed", "File processed:", UNIT_BYTES, "disk"},
	{"disk_remaining", "File remaining:", UNIT_BYTES, "disk"},
	{"disk_total", "File total:", UNIT_BYTES, "disk"},
	{"disk_bps", "File bandwidth:", UNIT_BYTES_PER_SECOND, "disk"},
	{"memory_constant", "Constant pages:", UNIT_COUNT, NULL},
	{"memory_normal", "Normal pages:", UNIT_COUNT, NULL},
	{"memory_normal_bytes", "Normal data:", UNIT_BYTES, NULL},
	{"downtime", "Total downtime:", UNIT_MS, NULL},
	{"downtime_net", "Downtime w/o network:", UNIT_MS, NULL},
	{"setup_time", "Setup time:", UNIT_MS, NULL},
	{"compression_cache", "Compression cache:", UNIT_BYTES, NULL},
	{"compression_bytes", "Compressed data:", UNIT_BYTES, NULL},
	{"compression_pages", "Compressed pages:", UNIT_COUNT, NULL},
	{"compression_cache_misses", "Compression cache misses:", UNIT_COUNT, NULL},
	{"compression_overflow", "Compression overflows:", UNIT_COUNT, NULL},
	{"auto_converge_throttle", "Auto converge throttle:", UNIT_COUNT, NULL},
};

static bool group_is_used(const rpc_params *params, const char *group)
{
	static const char *const suffixes[] = {"processed", "remaining", "total"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *field = xasprintf("%s_%s", group, suffixes[i]);
		uint64_t value;

		if (param_get_u64(params->rpc_params_val, params->rpc_params_len, field, &value) && value > 0)
			return true;
	}
	return false;
}

static void print_line(struct cli *cli, const char *label, const struct job_line *line, uint64_t value)
{
	const char *unit;
	double scaled;

	cli_print(cli, "%-17s ", label);
	switch (line->unit) {
	case UNIT_MS:
		cli_print(cli, "%-12llu ms\n", (unsigned long long)value);
		break;
	case UNIT_BYTES:
	case UNIT_BYTES_PER_SECOND:
		scaled = scale_bytes(value, &unit);
		cli_print(cli, "%-.3lf %s%s\n", scaled, unit, line->unit == UNIT_BYTES ? "" : "/s");
		break;
	case UNIT_PAGES_PER_SECOND:
		cli_print(cli, "%-12llu pages/s\n", (unsigned long long)value);
		break;
	case UNIT_EXACT_BYTES:
		cli_print(cli, "%-12llu bytes\n", (unsigned long long)value);
		break;
	case UNIT_COUNT:
		cli_print(cli, "%-12llu\n", (unsigned long long)value);
		break;
	}
}

static const char *operation_name(const rpc_params *params)
{
	uint64_t operation = RPC_JOB_OPERATION_UNKNOWN;

	param_get_u64(params->rpc_params_val, params->rpc_params_len, "operation", &operation);
	return job_operation_name((int)operation);
}

static void print_job(struct cli *cli, const struct rpc_job_stats_ret *r)
{
	const rpc_params *params = &r->params;
	const struct rpc_param *message;

	cli_print(cli, "%-17s %-12s\n", "Job type:", job_type_name(r->type));
	if (r->type == RPC_JOB_NONE)
		return;
	cli_print(cli, "%-17s %-12s\n", "Operation:", operation_name(params));
	for (size_t i = 0; i < ARRAY_SIZE(job_lines); i++) {
		const struct job_line *line = &job_lines[i];
		/* how long the guest stands still is a guess until it has */
		const char *label = streq(line->field, "downtime") && r->type != RPC_JOB_COMPLETED
					    ? "Expected downtime:"
					    : line->label;
		uint64_t value;

		if (!param_get_u64(params->rpc_params_val, params->rpc_params_len, line->field, &value))
			continue;
		/* only a job whose end is known has something to say about it */
		if (streq(line->field, "time_remaining") && r->type != RPC_JOB_BOUNDED)
			continue;
		if (!line->group || group_is_used(params, line->group))
			print_line(cli, label, line, value);
	}
	message = param_find(params->rpc_params_val, params->rpc_params_len, "errmsg");
	if (message && message->value.type == RPC_PARAM_STRING)
		cli_print(cli, "%-17s %s\n", "Error message:", message->value.rpc_param_value_u.s);
}

static void print_raw(struct cli *cli, const struct rpc_job_stats_ret *r)
{
	cli_print(cli, "Job type: %d\n\n", r->type);
	for (u_int i = 0; i < r->params.rpc_params_len; i++) {
		_cleanup_free_ char *value = param_format(&r->params.rpc_params_val[i]);

		cli_print(cli, "%s: %s\n", r->params.rpc_params_val[i].field, value);
	}
}

static void print_json(struct cli *cli, const struct rpc_job_stats_ret *r)
{
	_cleanup_json_ json *o = json_pack("s:type", job_type_name(r->type), "s:operation",
		operation_name(&r->params), "o:figures",
		params_to_json(r->params.rpc_params_val, r->params.rpc_params_len), NULL);

	cli_print_json(cli, o);
}

int cmd_domjobinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool keep = arguments_has(args, "keep-completed");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_flags_args a;
	struct rpc_job_stats_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_JOB_STATS,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_job_stats_ret, &r)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_flags_args){dom, arguments_flag(args, "completed", RPC_JOB_STATS_COMPLETED)};
	if (keep)
		a.flags |= RPC_JOB_STATS_COMPLETED | RPC_JOB_STATS_KEEP_COMPLETED;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "job of %s", dom.name);
	/* what became of a failed job is shown only to those who ask for it */
	if (!arguments_has(args, "anystats") && !arguments_has(args, "rawstats") &&
		(r.type == RPC_JOB_FAILED || r.type == RPC_JOB_CANCELLED))
		r.type = RPC_JOB_NONE;
	if (cli->json)
		print_json(cli, &r);
	else if (arguments_has(args, "rawstats"))
		print_raw(cli, &r);
	else
		print_job(cli, &r);
	payload_free((xdrproc_t)xdr_rpc_job_stats_ret, &r);
	return 0;
}

int cmd_domjobabort(struct cli *cli, const struct arguments *args, struct error *err)
{
	enum { ABORT_POSTCOPY = 1 << 0 };
	_cleanup_domain_ struct rpc_domain dom = {0};
	int r;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (arguments_has(args, "postcopy"))
		r = cli_call_domain_flags(cli, RPC_DOMAIN_ABORT_JOB_FLAGS, &dom, ABORT_POSTCOPY, err);
	else
		r = cli_call_domain(cli, RPC_DOMAIN_ABORT_JOB, &dom, err);
	return r < 0 ? error_prefix(err, "abort the job of %s", dom.name) : 0;
}
