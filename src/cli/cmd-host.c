/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about the host and the daemon. */
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"
#include "xml-filter.h"

/* ---- one string ---- */

static int print_string(struct cli *cli, int procedure, const char *key, const char *what, struct error *err)
{
	_cleanup_free_ char *value = NULL;

	if (cli_ask_string(cli, procedure, &value, err) < 0)
		return error_prefix(err, "%s", what);
	if (cli->json) {
		_cleanup_json_ json *o = json_object_new_object();

		json_object_object_add(o, key, json_object_new_string(value));
		cli_print_json(cli, o);
	} else {
		cli_print(cli, "%s\n", value);
	}
	return 0;
}

int cmd_hostname(struct cli *cli, const struct arguments *args, struct error *err)
{
	return print_string(cli, RPC_CONNECT_GET_HOSTNAME, "hostname", "name of the host", err);
}

int cmd_uri(struct cli *cli, const struct arguments *args, struct error *err)
{
	return print_string(cli, RPC_CONNECT_GET_URI, "uri", "URI of the connection", err);
}

int cmd_capabilities(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_free_ char *xml = NULL;

	if (cli_ask_string(cli, RPC_CONNECT_GET_CAPABILITIES, &xml, err) < 0)
		return error_prefix(err, "capabilities of the host");
	return xml_filter_print(cli, args, xml, err);
}

int cmd_sysinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_flags_args a = {0};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_GET_SYSINFO,
		CLIENT_ARGS(rpc_flags_args, &a),
		CLIENT_RET(rpc_string_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "system information");
	cli_print(cli, "%s%s", r.value, endswith(r.value, "\n") ? "" : "\n");
	payload_free((xdrproc_t)xdr_rpc_string_ret, &r);
	return 0;
}

int cmd_domcapabilities(struct cli *cli, const struct arguments *args, struct error *err)
{
	enum { DISABLE_DEPRECATED_FEATURES = 1 << 0 };
	static const char *const names[] = {"emulatorbin", "arch", "machine", "virttype"};
	char *values[ARRAY_SIZE(names)];
	char **given[ARRAY_SIZE(names)];
	struct rpc_domain_capabilities_args a;
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_GET_DOMAIN_CAPABILITIES,
		CLIENT_ARGS(rpc_domain_capabilities_args, &a),
		CLIENT_RET(rpc_string_ret, &r)};
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		values[i] = (char *)arguments_string(args, names[i]);
		given[i] = values[i] ? &values[i] : NULL;
	}
	a = (struct rpc_domain_capabilities_args){given[0], given[1], given[2], given[3],
		arguments_flag(args, "disable-deprecated-features", DISABLE_DEPRECATED_FEATURES)};
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "capabilities of the emulator");
	ret = xml_filter_print(cli, args, r.value, err);
	payload_free((xdrproc_t)xdr_rpc_string_ret, &r);
	return ret;
}

int cmd_cpu_models(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_cpu_models_args a = {.arch = (char *)arguments_string(args, "arch"), .need_results = 1};
	struct rpc_cpu_models_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_GET_CPU_MODEL_NAMES,
		CLIENT_ARGS(rpc_cpu_models_args, &a),
		CLIENT_RET(rpc_cpu_models_ret, &r)};
	_cleanup_json_ json *names = json_object_new_array();

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "CPU models of %s", a.arch);
	for (u_int i = 0; i < r.models.models_len; i++) {
		json_object_array_add(names, json_object_new_string(r.models.models_val[i]));
		if (!cli->json)
			cli_print(cli, "%s\n", r.models.models_val[i]);
	}
	if (cli->json)
		cli_print_json(cli, names);
	else if (r.models.models_len == 0)
		cli_print(cli, "all CPU models are accepted\n");
	payload_free((xdrproc_t)xdr_rpc_cpu_models_ret, &r);
	return 0;
}

/* What the emulator can, as virsh does; the older question knows only of the daemon's own limit. */
static int ask_max_vcpus(struct cli *cli, char *type, int *ret, struct error *err)
{
	struct rpc_domain_capabilities_args a = {.virt_type = type ? &type : NULL};
	struct rpc_string_ret xml = {0};
	struct client_call call = {.procedure = RPC_CONNECT_GET_DOMAIN_CAPABILITIES,
		CLIENT_ARGS(rpc_domain_capabilities_args, &a),
		CLIENT_RET(rpc_string_ret, &xml)};
	struct rpc_optional_string_args old_a = {.value = type ? &type : NULL};
	struct rpc_int_ret old = {0};
	struct client_call old_call = {.procedure = RPC_CONNECT_GET_MAX_VCPUS,
		CLIENT_ARGS(rpc_optional_string_args, &old_a),
		CLIENT_RET(rpc_int_ret, &old)};

	if (cli_call(cli, &call, NULL) == 0) {
		_cleanup_free_ char *text = xml_select(xml.value, "/domainCapabilities/vcpu/@max");
		uint32_t n;
		bool known = text && parse_u32(text, &n);

		payload_free((xdrproc_t)xdr_rpc_string_ret, &xml);
		if (known) {
			*ret = (int)n;
			return 0;
		}
	}
	if (cli_call(cli, &old_call, err) < 0)
		return -1;
	*ret = old.value;
	return 0;
}

int cmd_maxvcpus(struct cli *cli, const struct arguments *args, struct error *err)
{
	int max;

	if (ask_max_vcpus(cli, (char *)arguments_string(args, "type"), &max, err) < 0)
		return error_prefix(err, "most vCPUs of a VM");
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("i:max_vcpus", (int64_t)max, NULL);

		cli_print_json(cli, o);
	} else {
		cli_print(cli, "%d\n", max);
	}
	return 0;
}

/* ---- version ---- */

static int ask_version(struct cli *cli, int procedure, char **ret, struct error *err)
{
	struct rpc_u64_ret r = {0};
	struct client_call call = {.procedure = procedure, CLIENT_RET(rpc_u64_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = xasprintf("%llu.%llu.%llu", (unsigned long long)(r.value / 1000000),
		(unsigned long long)(r.value / 1000 % 1000), (unsigned long long)(r.value % 1000));
	return 0;
}

int cmd_version(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_free_ char *type = NULL, *hypervisor = NULL, *daemon = NULL;

	if (cli_ask_string(cli, RPC_CONNECT_GET_TYPE, &type, err) < 0 ||
		ask_version(cli, RPC_CONNECT_GET_VERSION, &hypervisor, err) < 0 ||
		ask_version(cli, RPC_CONNECT_GET_LIB_VERSION, &daemon, err) < 0)
		return error_prefix(err, "versions");
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:godwit", GODWIT_VERSION, "s:daemon_api", daemon,
			"s:hypervisor", type, "s:hypervisor_version", hypervisor, NULL);

		cli_print_json(cli, o);
		return 0;
	}
	cli_print(cli, "Using program: godwit %s\nUsing API: %s %s\nRunning hypervisor: %s %s\n",
		GODWIT_VERSION, type, daemon, type, hypervisor);
	if (arguments_has(args, "daemon"))
		cli_print(cli, "Running against daemon: %s\n", daemon);
	return 0;
}

/* ---- the machine ---- */

int cmd_nodeinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_node_info_ret r = {0};
	struct client_call call = {.procedure = RPC_NODE_GET_INFO, CLIENT_RET(rpc_node_info_ret, &r)};
	struct record record;
	char model[sizeof(r.model) + 1];

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "information about the host");
	memcpy(model, r.model, sizeof(r.model));
	model[sizeof(r.model)] = '\0';
	record_init(&record, cli->json, 21);
	record_string(&record, "CPU model:", "cpu_model", model);
	record_shown_as(&record, "CPU(s):", "cpus", json_object_new_int(r.cpus), "%d", r.cpus);
	record_shown_as(
		&record, r.mhz ? "CPU frequency:" : NULL, "mhz", json_object_new_int(r.mhz), "%d MHz", r.mhz);
	record_shown_as(
		&record, "CPU socket(s):", "sockets", json_object_new_int(r.sockets), "%d", r.sockets);
	record_shown_as(&record, "Core(s) per socket:", "cores", json_object_new_int(r.cores), "%d", r.cores);
	record_shown_as(
		&record, "Thread(s) per core:", "threads", json_object_new_int(r.threads), "%d", r.threads);
	record_shown_as(&record, "NUMA cell(s):", "numa_cells", json_object_new_int(r.nodes), "%d", r.nodes);
	record_shown_as(&record, "Memory size:", "memory_kib", json_object_new_uint64(r.memory_kib),
		"%llu KiB", (unsigned long long)r.memory_kib);
	cli_print_record(cli, &record);
	record_fini(&record);
	return 0;
}

/* Asks first how many figures there are: libvirt refuses any other number. Free *ret with payload_free. */
static int get_memory_stats(struct cli *cli, int cell, struct rpc_node_stats_ret *ret, struct error *err)
{
	struct rpc_node_memory_stats_args a = {.cell = cell};
	struct client_call call = {.procedure = RPC_NODE_GET_MEMORY_STATS,
		CLIENT_ARGS(rpc_node_memory_stats_args, &a),
		CLIENT_RET(rpc_node_stats_ret, ret)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	a.nparams = ret->nparams;
	payload_free((xdrproc_t)xdr_rpc_node_stats_ret, ret);
	*ret = (struct rpc_node_stats_ret){0};
	return cli_call(cli, &call, err);
}

static int get_cpu_stats(struct cli *cli, int cpu, struct rpc_node_stats_ret *ret, struct error *err)
{
	struct rpc_node_cpu_stats_args a = {.cpu = cpu};
	struct client_call call = {.procedure = RPC_NODE_GET_CPU_STATS,
		CLIENT_ARGS(rpc_node_cpu_stats_args, &a),
		CLIENT_RET(rpc_node_stats_ret, ret)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	a.nparams = ret->nparams;
	payload_free((xdrproc_t)xdr_rpc_node_stats_ret, ret);
	*ret = (struct rpc_node_stats_ret){0};
	return cli_call(cli, &call, err);
}

int cmd_nodememstats(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_node_stats_ret r = {0};
	_cleanup_json_ json *o = json_object_new_object();

	if (get_memory_stats(cli, (int)arguments_number(args, "cell", (uint64_t)-1), &r, err) < 0)
		return error_prefix(err, "memory of the host");
	for (u_int i = 0; i < r.params.params_len; i++) {
		const struct rpc_node_stat *s = &r.params.params_val[i];

		json_object_object_add(o, s->field, json_object_new_uint64(s->value));
		if (!cli->json)
			cli_print(cli, "%-7s: %20llu KiB\n", s->field, (unsigned long long)s->value);
	}
	if (cli->json)
		cli_print_json(cli, o);
	payload_free((xdrproc_t)xdr_rpc_node_stats_ret, &r);
	return 0;
}

/* ---- nodecpustats ---- */

/* Nanoseconds since boot; the order is that of printing. */
struct cpu_times {
	uint64_t user, system, idle, iowait, intr;
	bool has_iowait, has_intr;
};

static int get_cpu_times(struct cli *cli, int cpu, struct cpu_times *ret, struct error *err)
{
	struct rpc_node_stats_ret r = {0};

	*ret = (struct cpu_times){0};
	if (get_cpu_stats(cli, cpu, &r, err) < 0)
		return error_prefix(err, "CPU times of the host");
	for (u_int i = 0; i < r.params.params_len; i++) {
		const struct rpc_node_stat *s = &r.params.params_val[i];

		if (streq(s->field, "user")) {
			ret->user = s->value;
		} else if (streq(s->field, "kernel")) {
			ret->system = s->value;
		} else if (streq(s->field, "idle")) {
			ret->idle = s->value;
		} else if (streq(s->field, "iowait")) {
			ret->iowait = s->value;
			ret->has_iowait = true;
		} else if (streq(s->field, "intr")) {
			ret->intr = s->value;
			ret->has_intr = true;
		}
	}
	payload_free((xdrproc_t)xdr_rpc_node_stats_ret, &r);
	return 0;
}

static void print_times(struct cli *cli, const struct cpu_times *t)
{
	struct record r;

	record_init(&r, cli->json, 16);
	record_shown_as(
		&r, "user:", "user", json_object_new_uint64(t->user), "%20llu", (unsigned long long)t->user);
	record_shown_as(&r, "system:", "system", json_object_new_uint64(t->system), "%20llu",
		(unsigned long long)t->system);
	record_shown_as(
		&r, "idle:", "idle", json_object_new_uint64(t->idle), "%20llu", (unsigned long long)t->idle);
	if (t->has_iowait)
		record_shown_as(&r, "iowait:", "iowait", json_object_new_uint64(t->iowait), "%20llu",
			(unsigned long long)t->iowait);
	if (t->has_intr)
		record_shown_as(&r, "intr:", "intr", json_object_new_uint64(t->intr), "%20llu",
			(unsigned long long)t->intr);
	cli_print_record(cli, &r);
	record_fini(&r);
}

static void print_percent(struct cli *cli, const struct cpu_times *a, const struct cpu_times *b)
{
	double user = (double)(b->user - a->user), system = (double)(b->system - a->system);
	double idle = (double)(b->idle - a->idle), iowait = (double)(b->iowait - a->iowait);
	double total = user + system + idle + iowait;
	const struct {
		const char *label, *key;
		double share;
	} lines[] = {
		{"usage:", "usage", user + system},
		{"user:", "user", user},
		{"system:", "system", system},
		{"idle:", "idle", idle},
		{"iowait:", "iowait", iowait},
	};
	struct record r;

	record_init(&r, cli->json, 16);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		double percent = total > 0 ? lines[i].share / total * 100 : 0;

		record_shown_as(&r, lines[i].label, lines[i].key, json_object_new_double(percent), "%5.1f%%",
			percent);
	}
	cli_print_record(cli, &r);
	record_fini(&r);
}

int cmd_nodecpustats(struct cli *cli, const struct arguments *args, struct error *err)
{
	int cpu = (int)arguments_number(args, "cpu", (uint64_t)-1);
	struct cpu_times before, after;
	struct timespec second = {.tv_sec = 1};

	if (get_cpu_times(cli, cpu, &before, err) < 0)
		return -1;
	if (!arguments_has(args, "percent")) {
		print_times(cli, &before);
		return 0;
	}
	nanosleep(&second, NULL); /* what happens within one second is what is asked for */
	if (get_cpu_times(cli, cpu, &after, err) < 0)
		return -1;
	print_percent(cli, &before, &after);
	return 0;
}

/* ---- freecell ---- */

static int get_cells(
	struct cli *cli, int start, int maximum, struct rpc_cells_free_memory_ret *ret, struct error *err)
{
	struct rpc_cells_free_memory_args a = {.start = start, .maximum = maximum};
	struct client_call call = {.procedure = RPC_NODE_GET_CELLS_FREE_MEMORY,
		CLIENT_ARGS(rpc_cells_free_memory_args, &a),
		CLIENT_RET(rpc_cells_free_memory_ret, ret)};

	return cli_call(cli, &call, err);
}

static int show_all_cells(struct cli *cli, struct error *err)
{
	struct rpc_cells_free_memory_ret r = {0};
	_cleanup_json_ json *o = json_object_new_object();
	uint64_t total = 0;

	if (get_cells(cli, 0, RPC_CELLS_MAX, &r, err) < 0)
		return -1;
	for (u_int i = 0; i < r.cells.cells_len; i++) {
		_cleanup_free_ char *key = xasprintf("%u", i);
		uint64_t kib = r.cells.cells_val[i] / 1024;

		total += kib;
		json_object_object_add(o, key, json_object_new_uint64(kib));
		if (!cli->json)
			cli_print(cli, "%5u: %10llu KiB\n", i, (unsigned long long)kib);
	}
	json_object_object_add(o, "total", json_object_new_uint64(total));
	if (cli->json)
		cli_print_json(cli, o);
	else
		cli_print(cli, "--------------------\n%5s: %10llu KiB\n", "Total", (unsigned long long)total);
	payload_free((xdrproc_t)xdr_rpc_cells_free_memory_ret, &r);
	return 0;
}

static int show_one_cell(struct cli *cli, int cell, struct error *err)
{
	struct rpc_cells_free_memory_ret r = {0};
	uint64_t kib;

	if (get_cells(cli, cell, 1, &r, err) < 0)
		return -1;
	kib = r.cells.cells_len > 0 ? r.cells.cells_val[0] / 1024 : 0;
	payload_free((xdrproc_t)xdr_rpc_cells_free_memory_ret, &r);
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("i:cell", (int64_t)cell, "u:free_kib", kib, NULL);

		cli_print_json(cli, o);
	} else {
		cli_print(cli, "%d: %llu KiB\n", cell, (unsigned long long)kib);
	}
	return 0;
}

static int show_total(struct cli *cli, struct error *err)
{
	struct rpc_u64_ret r = {0};
	struct client_call call = {.procedure = RPC_NODE_GET_FREE_MEMORY, CLIENT_RET(rpc_u64_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("u:total", (uint64_t)r.value / 1024, NULL);

		cli_print_json(cli, o);
	} else {
		cli_print(cli, "Total: %llu KiB\n", (unsigned long long)r.value / 1024);
	}
	return 0;
}

int cmd_freecell(struct cli *cli, const struct arguments *args, struct error *err)
{
	int r;

	if (arguments_exclusive(args, "all", "cellno", err) < 0)
		return -1;
	if (arguments_has(args, "all"))
		r = show_all_cells(cli, err);
	else if (arguments_has(args, "cellno"))
		r = show_one_cell(cli, (int)arguments_number(args, "cellno", 0), err);
	else
		r = show_total(cli, err);
	return r < 0 ? error_prefix(err, "free memory of the host") : 0;
}
