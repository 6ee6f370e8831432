/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is on this host and what can run on it. */
#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "host.h"
#include "server-internal.h"

/*
 * Model and domain of interpretation, each with the NUL that libvirt counts in. Not literals: libtirpc's xdr_char writes
 * back what it encodes.
 */
void handle_node_get_security_model(struct call *call)
{
	char model[] = "none", doi[] = "0";
	rpc_security_model_ret ret = {{sizeof(model), model}, {sizeof(doi), doi}};

	call_reply(call, &ret);
}

void handle_node_get_info(struct call *call)
{
	struct error err = ERROR_INIT;
	struct host_node_info info;
	rpc_node_info_ret ret = {0};

	if (host_get_node_info(call->server->host, &info, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	memcpy(ret.model, info.model, sizeof(ret.model));
	ret.memory_kib = info.memory_kib;
	ret.cpus = (int)info.cpus;
	ret.mhz = (int)info.mhz;
	ret.nodes = (int)info.nodes;
	ret.sockets = (int)info.sockets;
	ret.cores = (int)info.cores;
	ret.threads = (int)info.threads;
	call_reply(call, &ret);
}

void handle_node_get_free_memory(struct call *call)
{
	struct error err = ERROR_INIT;
	uint64_t bytes;

	if (host_get_free_memory(call->server->host, &bytes, &err) < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_u64_ret){bytes});
}

void handle_node_get_cells_free_memory(struct call *call)
{
	const rpc_cells_free_memory_args *args = call->args;
	uint64_t cells[RPC_CELLS_MAX];
	u_quad_t values[RPC_CELLS_MAX];
	rpc_cells_free_memory_ret ret = {.cells.cells_val = values};
	struct error err = ERROR_INIT;
	uint32_t n;

	if (args->start < 0 || args->maximum < 1 || args->maximum > RPC_CELLS_MAX) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "%d NUMA nodes from %d", args->maximum, args->start);
		call_fail(call, &err);
		return;
	}
	if (host_get_cells_free_memory(call->server->host, (uint32_t)args->start, (uint32_t)args->maximum,
		    cells, &n, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		values[i] = cells[i];
	ret.cells.cells_len = n;
	call_reply(call, &ret);
}

/* With room for none the question is how many there are. */
static void reply_stats(struct call *call, int nparams, const struct host_stat *stats, size_t n)
{
	rpc_node_stat values[HOST_STATS_MAX];
	rpc_node_stats_ret ret = {.nparams = (int)n};

	if (nparams > 0) {
		ret.params.params_val = values;
		ret.params.params_len = (size_t)nparams < n ? (u_int)nparams : (u_int)n;
		for (u_int i = 0; i < ret.params.params_len; i++)
			values[i] = (rpc_node_stat){(char *)stats[i].name, stats[i].value};
	}
	call_reply(call, &ret);
}

void handle_node_get_cpu_stats(struct call *call)
{
	const rpc_node_cpu_stats_args *args = call->args;
	struct host_stat stats[HOST_STATS_MAX];
	struct error err = ERROR_INIT;
	size_t n;

	if (!call_check_flags(call, args->flags, 0))
		return;
	if (host_get_cpu_stats(call->server->host, args->cpu, stats, &n, &err) < 0)
		call_fail(call, &err);
	else
		reply_stats(call, args->nparams, stats, n);
}

void handle_node_get_memory_stats(struct call *call)
{
	const rpc_node_memory_stats_args *args = call->args;
	struct host_stat stats[HOST_STATS_MAX];
	struct error err = ERROR_INIT;
	size_t n;

	if (!call_check_flags(call, args->flags, 0))
		return;
	if (host_get_memory_stats(call->server->host, args->cell, stats, &n, &err) < 0)
		call_fail(call, &err);
	else
		reply_stats(call, args->nparams, stats, n);
}

void handle_node_get_cpu_map(struct call *call)
{
	const rpc_node_cpu_map_args *args = call->args;
	struct error err = ERROR_INIT;
	struct host_cpu_map map;
	rpc_node_cpu_map_ret ret = {0};

	if (!call_check_flags(call, args->flags, 0))
		return;
	if (host_get_cpu_map(call->server->host, &map, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (args->need_map) {
		ret.map.map_val = (char *)map.online;
		ret.map.map_len = (map.n_present + 7) / 8;
	}
	if (args->need_online)
		ret.online = map.n_online;
	ret.ret = (int)map.n_present;
	call_reply(call, &ret);
}

void handle_connect_get_sysinfo(struct call *call)
{
	const rpc_flags_args *args = call->args;
	_cleanup_free_ char *xml = NULL;

	if (!call_check_flags(call, args->flags, 0))
		return;
	xml = host_format_sysinfo(call->server->host);
	call_reply(call, &(rpc_string_ret){xml});
}

/* ---- with what QEMU can do ---- */

static const char *default_emulator(const struct call *call)
{
	return registry_get_settings(call->registry)->default_emulator;
}

static void find_capabilities(struct call *call, const char *emulator, capability_done_fn done)
{
	capability_cache_find(registry_get_capabilities(call->registry), emulator, done, call);
}

static void version_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_u64_ret){caps->version});
}

void handle_connect_get_version(struct call *call)
{
	find_capabilities(call, default_emulator(call), version_found);
}

static void max_vcpus_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_int_ret){(int)host_get_max_vcpus(caps)});
}

void handle_connect_get_max_vcpus(struct call *call)
{
	const rpc_optional_string_args *args = call->args;
	struct error err = ERROR_INIT;

	if (args->value && strcasecmp(*args->value, "qemu") != 0 && strcasecmp(*args->value, "kvm") != 0) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "unknown domain type \"%.64s\"", *args->value);
		call_fail(call, &err);
		return;
	}
	find_capabilities(call, default_emulator(call), max_vcpus_found);
}

static void cpu_models_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_cpu_models_args *args = call->args;
	rpc_cpu_models_ret ret = {0};

	if (err) {
		call_fail(call, err);
		return;
	}
	ret.ret = (int)caps->cpu_models.n;
	if (args->need_results) {
		ret.models.models_val = caps->cpu_models.items;
		ret.models.models_len = (u_int)caps->cpu_models.n;
	}
	call_reply(call, &ret);
}

void handle_connect_get_cpu_model_names(struct call *call)
{
	const rpc_cpu_models_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, 0))
		return;
	if (strcmp(args->arch, "x86_64") != 0) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "unknown architecture \"%.64s\"", args->arch);
		call_fail(call, &err);
		return;
	}
	find_capabilities(call, default_emulator(call), cpu_models_found);
}

static void reply_xml(struct call *call, int r, char *xml, const struct error *err)
{
	if (r < 0)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_string_ret){xml});
	free(xml);
}

static void capabilities_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	struct error why = ERROR_INIT;
	char *xml = NULL;
	int r;

	if (!call->session) { /* the host belongs to the server, which may be gone, too */
		call_ok(call);
		return;
	}
	/* without QEMU the host is still there to be described */
	r = host_format_capabilities(
		call->server->host, registry_get_settings(call->registry)->host_uuid, caps, &xml, &why);
	reply_xml(call, r, xml, &why);
}

void handle_connect_get_capabilities(struct call *call)
{
	find_capabilities(call, default_emulator(call), capabilities_found);
}

static const char *optional(rpc_string *s)
{
	return s ? *s : NULL;
}

static void domain_capabilities_found(
	const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_domain_capabilities_args *args = call->args;
	struct error why = ERROR_INIT;
	char *xml = NULL;
	int r;

	if (err) {
		call_fail(call, err);
		return;
	}
	r = host_format_domain_capabilities(
		caps, optional(args->arch), optional(args->machine), optional(args->virt_type), &xml, &why);
	reply_xml(call, r, xml, &why);
}

void handle_connect_get_domain_capabilities(struct call *call)
{
	const rpc_domain_capabilities_args *args = call->args;
	const char *emulator = optional(args->emulator);

	if (call_check_flags(call, args->flags, 0))
		find_capabilities(
			call, emulator ? emulator : default_emulator(call), domain_capabilities_found);
}
