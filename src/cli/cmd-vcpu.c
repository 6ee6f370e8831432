/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about virtual and real CPUs. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "params.h"
#include "strv.h"

/* ---- maps of CPUs: bit N of byte N/8 ---- */

static bool map_has(const char *map, size_t len, unsigned cpu)
{
	return cpu / 8 < len && ((uint8_t)map[cpu / 8] >> (cpu % 8) & 1);
}

/* "yy--", or for people "0-1 (out of 4)"; owned. */
static char *map_format(const char *map, size_t len, unsigned cpus, bool pretty)
{
	struct buf out = {0};

	if (!pretty) {
		for (unsigned cpu = 0; cpu < cpus; cpu++)
			buf_adds(&out, map_has(map, len, cpu) ? "y" : "-");
		return buf_take(&out);
	}
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		unsigned last = cpu;

		if (!map_has(map, len, cpu))
			continue;
		while (last + 1 < cpus && map_has(map, len, last + 1))
			last++;
		buf_addf(&out, last > cpu ? "%s%u-%u" : "%s%u", out.len > 0 ? "," : "", cpu, last);
		cpu = last;
	}
	return buf_take(&out);
}

static json *map_to_json(const char *map, size_t len, unsigned cpus)
{
	json *list = json_object_new_array();

	for (unsigned cpu = 0; cpu < cpus; cpu++)
		if (map_has(map, len, cpu))
			json_object_array_add(list, json_object_new_int((int)cpu));
	return list;
}

static int get_cpu_map(struct cli *cli, struct rpc_node_cpu_map_ret *ret, struct error *err)
{
	struct rpc_node_cpu_map_args a = {.need_map = 1, .need_online = 1};
	struct client_call call = {.procedure = RPC_NODE_GET_CPU_MAP,
		CLIENT_ARGS(rpc_node_cpu_map_args, &a),
		CLIENT_RET(rpc_node_cpu_map_ret, ret)};

	return cli_call(cli, &call, err);
}

int cmd_nodecpumap(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_node_cpu_map_ret r = {0};
	_cleanup_free_ char *map = NULL;
	struct record record;

	if (get_cpu_map(cli, &r, err) < 0)
		return error_prefix(err, "CPUs of the host");
	map = map_format(r.map.map_val, r.map.map_len, (unsigned)r.ret, arguments_has(args, "pretty"));
	record_init(&record, cli->json, 16);
	record_shown_as(&record, "CPUs present:", "present", json_object_new_int(r.ret), "%d", r.ret);
	record_shown_as(&record, "CPUs online:", "online", json_object_new_int64(r.online), "%u", r.online);
	record_shown_as(&record, "CPU map:", "map",
		map_to_json(r.map.map_val, r.map.map_len, (unsigned)r.ret), "%s", map);
	cli_print_record(cli, &record);
	record_fini(&record);
	payload_free((xdrproc_t)xdr_rpc_node_cpu_map_ret, &r);
	return 0;
}

/* ---- vcpuinfo ---- */

struct vcpu_view {
	unsigned cpus; /* of the host */
	bool pretty;
	size_t map_length;
};

static void add_vcpu(struct cli *cli, const struct vcpu_view *v, struct record *r, unsigned number,
	const struct rpc_vcpu_info *info, const char *map)
{
	_cleanup_free_ char *affinity = map_format(map, v->map_length, v->cpus, v->pretty);

	record_shown_as(r, "VCPU:", "vcpu", json_object_new_int64(number), "%u", number);
	if (info) {
		record_shown_as(r, "CPU:", "cpu", json_object_new_int(info->cpu),
			info->cpu >= 0 ? "%d" : "N/A", info->cpu);
		record_string(r, "State:", "state", vcpu_state_name(info->state));
		record_shown_as(r, info->cpu_time_ns ? "CPU time:" : NULL, "cpu_time_ns",
			json_object_new_uint64(info->cpu_time_ns), "%.1fs", (double)info->cpu_time_ns / 1e9);
	} else {
		record_shown_as(r, "CPU:", "cpu", NULL, "N/A");
		record_shown_as(r, "State:", "state", NULL, "N/A");
		record_shown_as(r, "CPU time", "cpu_time_ns", NULL, "N/A");
	}
	record_shown_as(r, "CPU Affinity:", "affinity", map_to_json(map, v->map_length, v->cpus),
		v->pretty ? "%s (out of %u)" : "%s", affinity, v->cpus);
}

/* Prints `n` vCPUs; `info` NULL: the VM is off, only its pinning is known. */
static void print_vcpus(struct cli *cli, const struct vcpu_view *v, size_t n,
	const struct rpc_vcpu_info *info, const char *maps, size_t maps_len)
{
	_cleanup_json_ json *all = json_object_new_array();

	for (size_t i = 0; i < n && (i + 1) * v->map_length <= maps_len; i++) {
		struct record r;

		record_init(&r, cli->json, 16);
		add_vcpu(cli, v, &r, info ? info[i].number : (unsigned)i, info ? &info[i] : NULL,
			maps + i * v->map_length);
		if (cli->json)
			json_object_array_add(all, TAKE_PTR(r.object));
		else
			cli_print_record(cli, &r);
		if (!cli->json && i + 1 < n)
			cli_print(cli, "\n");
		record_fini(&r);
	}
	if (cli->json)
		cli_print_json(cli, all);
}

static int show_pinning(struct cli *cli, const struct rpc_domain *dom, const struct vcpu_view *v, int vcpus,
	struct error *err)
{
	struct rpc_vcpu_pin_info_args a = {
		.dom = *dom, .maximum = vcpus, .map_length = (int)v->map_length, .flags = RPC_AFFECT_CONFIG};
	struct rpc_pin_info_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_VCPU_PIN_INFO,
		CLIENT_ARGS(rpc_vcpu_pin_info_args, &a),
		CLIENT_RET(rpc_pin_info_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	print_vcpus(cli, v, (size_t)r.ret, NULL, r.maps.maps_val, r.maps.maps_len);
	payload_free((xdrproc_t)xdr_rpc_pin_info_ret, &r);
	return 0;
}

static int show_vcpus(
	struct cli *cli, const struct rpc_domain *dom, const struct vcpu_view *v, struct error *err)
{
	struct rpc_domain_info_ret info = {0};
	struct client_call info_call = {.procedure = RPC_DOMAIN_GET_INFO,
		CLIENT_ARGS(rpc_domain, dom),
		CLIENT_RET(rpc_domain_info_ret, &info)};
	struct rpc_vcpus_args a = {.dom = *dom, .map_length = (int)v->map_length};
	struct rpc_vcpus_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_VCPUS,
		CLIENT_ARGS(rpc_vcpus_args, &a),
		CLIENT_RET(rpc_vcpus_ret, &r)};

	if (cli_call(cli, &info_call, err) < 0)
		return -1;
	if (info.state == RPC_STATE_SHUTOFF)
		return show_pinning(cli, dom, v, info.vcpus, err);
	a.maximum = info.vcpus;
	if (cli_call(cli, &call, err) < 0)
		return -1;
	print_vcpus(cli, v, r.info.info_len, r.info.info_val, r.maps.maps_val, r.maps.maps_len);
	payload_free((xdrproc_t)xdr_rpc_vcpus_ret, &r);
	return 0;
}

int cmd_vcpuinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_node_cpu_map_ret host = {0};
	struct vcpu_view v = {.pretty = arguments_has(args, "pretty")};
	int ret;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	ret = get_cpu_map(cli, &host, err);
	if (ret == 0) {
		v.cpus = (unsigned)host.ret;
		v.map_length = (v.cpus + 7) / 8;
		ret = show_vcpus(cli, &dom, &v, err);
	}
	payload_free((xdrproc_t)xdr_rpc_node_cpu_map_ret, &host);
	return ret < 0 ? error_prefix(err, "vCPUs of %s", dom.name) : 0;
}

/* ---- vcpucount ---- */

static int show_all_counts(struct cli *cli, const struct rpc_domain *dom, struct error *err)
{
	static const struct {
		const char *what, *where;
		unsigned flags;
	} counts[] = {
		{"maximum", "config", RPC_VCPU_MAXIMUM | RPC_AFFECT_CONFIG},
		{"maximum", "live", RPC_VCPU_MAXIMUM | RPC_AFFECT_LIVE},
		{"current", "config", RPC_AFFECT_CONFIG},
		{"current", "live", RPC_AFFECT_LIVE},
	};
	_cleanup_json_ json *o = json_object_new_object();
	size_t shown = 0;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_free_ char *key = xasprintf("%s_%s", counts[i].what, counts[i].where);
		int count;

		/* a VM that is off has no live count, a transient one no configured one */
		if (cli_ask_domain_flags_int(
			    cli, RPC_DOMAIN_GET_VCPUS_FLAGS, dom, counts[i].flags, &count, err) < 0)
			continue;
		json_object_object_add(o, key, json_object_new_int(count));
		shown++;
		if (!cli->json)
			cli_print(cli, "%-12s %-12s %3d\n", counts[i].what, counts[i].where, count);
	}
	if (shown == 0)
		return -1;
	error_clear(err);
	if (cli->json)
		cli_print_json(cli, o);
	return 0;
}

int cmd_vcpucount(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "live", RPC_AFFECT_LIVE) |
			 arguments_flag(args, "config", RPC_AFFECT_CONFIG) |
			 arguments_flag(args, "maximum", RPC_VCPU_MAXIMUM) |
			 arguments_flag(args, "guest", RPC_VCPU_GUEST);
	bool all = flags == 0 && !arguments_has(args, "active") && !arguments_has(args, "current");
	_cleanup_domain_ struct rpc_domain dom = {0};
	int count = 0, r;

	if (arguments_exclusive(args, "live", "config", err) < 0 ||
		arguments_exclusive(args, "current", "live", err) < 0 ||
		arguments_exclusive(args, "current", "config", err) < 0 ||
		arguments_exclusive(args, "active", "maximum", err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (all)
		r = show_all_counts(cli, &dom, err);
	else
		r = cli_ask_domain_flags_int(cli, RPC_DOMAIN_GET_VCPUS_FLAGS, &dom, flags, &count, err);
	if (r < 0)
		return error_prefix(err, "number of vCPUs of %s", dom.name);
	if (!all && cli->json) {
		_cleanup_json_ json *o = json_pack("i:vcpus", (int64_t)count, NULL);

		cli_print_json(cli, o);
	} else if (!all) {
		cli_print(cli, "%d\n", count);
	}
	return 0;
}

/* ---- cpu-stats ---- */

static int get_cpu_stats(struct cli *cli, const struct rpc_domain *dom, unsigned nparams, int start,
	unsigned cpus, struct rpc_params_count_ret *ret, struct error *err)
{
	struct rpc_cpu_stats_args a = {.dom = *dom, .nparams = nparams, .start_cpu = start, .ncpus = cpus};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_CPU_STATS,
		CLIENT_ARGS(rpc_cpu_stats_args, &a),
		CLIENT_RET(rpc_params_count_ret, ret)};

	return cli_call(cli, &call, err);
}

/* Prints the figures of one CPU, or of all together, and adds them to `list` as JSON. */
static void show_figures(
	struct cli *cli, const char *title, const struct rpc_param *params, u_int n, json *list)
{
	json *o = params_to_json(params, n);

	json_object_object_add(o, "cpu", json_object_new_string(title));
	json_object_array_add(list, o);
	if (cli->json)
		return;
	cli_print(cli, "%s:\n", title);
	for (u_int i = 0; i < n; i++) {
		uint64_t ns;

		if (streq(params[i].field, "cpu_time") || streq(params[i].field, "user_time") ||
			streq(params[i].field, "system_time") || streq(params[i].field, "vcpu_time")) {
			if (param_get_u64(&params[i], 1, params[i].field, &ns))
				cli_print(cli, "\t%-12s %9llu.%09llu seconds\n", params[i].field,
					(unsigned long long)(ns / 1000000000),
					(unsigned long long)(ns % 1000000000));
		} else {
			_cleanup_free_ char *value = param_format(&params[i]);

			cli_print(cli, "\t%-12s %s\n", params[i].field, value);
		}
	}
}

/* One call per CPU: an answer for several has gaps where CPUs are offline, and says not which. */
static int show_each_cpu(struct cli *cli, const struct rpc_domain *dom, const struct arguments *args,
	json *list, struct error *err)
{
	uint64_t start = arguments_number(args, "start", 0),
		 count = arguments_number(args, "count", UINT32_MAX);
	struct rpc_params_count_ret r = {0};
	uint64_t cpus;

	if (get_cpu_stats(cli, dom, 0, 0, 0, &r, err) < 0)
		return -1;
	cpus = r.n > 0 ? (uint64_t)r.n : 0;
	payload_free((xdrproc_t)xdr_rpc_params_count_ret, &r);
	if (start >= cpus && arguments_has(args, "start"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "--start %llu: the host has CPUs 0 to %llu",
			(unsigned long long)start, (unsigned long long)(cpus ? cpus - 1 : 0));
	for (uint64_t cpu = start; cpu < cpus && cpu - start < count; cpu++) {
		_cleanup_free_ char *title = xasprintf("CPU%llu", (unsigned long long)cpu);

		r = (struct rpc_params_count_ret){0};
		if (get_cpu_stats(cli, dom, 16, (int)cpu, 1, &r, err) < 0)
			return -1;
		if (r.params.params_len > 0)
			show_figures(cli, title, r.params.params_val, r.params.params_len, list);
		payload_free((xdrproc_t)xdr_rpc_params_count_ret, &r);
	}
	return 0;
}

int cmd_cpu_stats(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool part = arguments_has(args, "start") || arguments_has(args, "count"),
	     total = arguments_has(args, "total");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_json_ json *list = json_object_new_array();
	struct rpc_params_count_ret r = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if ((part || !total) && show_each_cpu(cli, &dom, args, list, err) < 0) {
		/* who did not ask for single CPUs is content with all together */
		if (part || err->code != ERROR_UNSUPPORTED)
			return error_prefix(err, "CPU figures of %s", dom.name);
		error_clear(err);
	}
	if (total || !part) {
		if (get_cpu_stats(cli, &dom, 16, -1, 1, &r, err) < 0)
			return error_prefix(err, "CPU figures of %s", dom.name);
		show_figures(cli, "Total", r.params.params_val, r.params.params_len, list);
		payload_free((xdrproc_t)xdr_rpc_params_count_ret, &r);
	}
	if (cli->json)
		cli_print_json(cli, list);
	return 0;
}
