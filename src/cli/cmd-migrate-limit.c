/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands about the limits of migration, and the switch to post-copy. */
#include "commands.h"
#include "constants.h"
#include "migration.h"
#include "own.h"

static int set(struct cli *cli, const struct rpc_domain *dom, int procedure, uint64_t value, unsigned flags,
	struct error *err)
{
	struct rpc_migrate_limit_args a = {*dom, value, flags};
	struct client_call call = {.procedure = procedure, CLIENT_ARGS(rpc_migrate_limit_args, &a)};

	return cli_call(cli, &call, err);
}

static int get(struct cli *cli, const struct rpc_domain *dom, int procedure, unsigned flags, uint64_t *ret,
	struct error *err)
{
	struct rpc_domain_flags_args a = {*dom, flags};
	struct rpc_u64_ret r = {0};
	struct client_call call = {
		.procedure = procedure, CLIENT_ARGS(rpc_domain_flags_args, &a), CLIENT_RET(rpc_u64_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

static unsigned speed_flags(const struct arguments *args)
{
	return arguments_flag(args, "postcopy", RPC_MAX_SPEED_POSTCOPY);
}

static void print_number(struct cli *cli, const char *name, uint64_t value)
{
	_cleanup_json_ json *o = NULL;

	if (!cli->json) {
		cli_print(cli, "%llu\n", (unsigned long long)value);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, name, json_object_new_uint64(value));
	cli_print_json(cli, o);
}

int cmd_migrate_setmaxdowntime(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (set(cli, &dom, RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, arguments_number(args, "downtime", 0), 0,
		    err) < 0)
		return error_prefix(err, "longest downtime of %s", dom.name);
	return 0;
}

int cmd_migrate_getmaxdowntime(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	uint64_t ms;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (get(cli, &dom, RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, 0, &ms, err) < 0)
		return error_prefix(err, "longest downtime of %s", dom.name);
	print_number(cli, "downtime_ms", ms);
	return 0;
}

int cmd_migrate_setspeed(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (set(cli, &dom, RPC_DOMAIN_MIGRATE_SET_MAX_SPEED, arguments_number(args, "bandwidth", 0),
		    speed_flags(args), err) < 0)
		return error_prefix(err, "migration speed of %s", dom.name);
	return 0;
}

int cmd_migrate_getspeed(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	uint64_t mib;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (get(cli, &dom, RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, speed_flags(args), &mib, err) < 0)
		return error_prefix(err, "migration speed of %s", dom.name);
	print_number(cli, "speed_mib", mib);
	return 0;
}

int cmd_migrate_compcache(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	uint64_t bytes;
	const char *unit;
	double scaled;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if ((arguments_has(args, "size") && set(cli, &dom, RPC_DOMAIN_MIGRATE_SET_COMPRESSION_CACHE,
						    arguments_number(args, "size", 0), 0, err) < 0) ||
		get(cli, &dom, RPC_DOMAIN_MIGRATE_GET_COMPRESSION_CACHE, 0, &bytes, err) < 0)
		return error_prefix(err, "compression cache of %s", dom.name);
	if (cli->json) {
		print_number(cli, "bytes", bytes);
		return 0;
	}
	scaled = scale_bytes(bytes, &unit);
	cli_print(cli, "Compression cache: %.3lf %s\n", scaled, unit);
	return 0;
}

int cmd_migrate_postcopy(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_MIGRATE_START_POST_COPY, &dom, 0, err) < 0)
		return error_prefix(err, "switch %s to post-copy", dom.name);
	return 0;
}

int cmd_migrate_resolve(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_args a;
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_MIGRATE_RESOLVE,
		CLIENT_ARGS(rpc_domain_args, &a)};

	if (!arguments_has(args, "here"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"say --here, when it is certain that the VM does not run on the other host; where it "
			"does, 'destroy' ends it here");
	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_args){dom};
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "let %s go on here", dom.name);
	cli_print_extra(cli, "Domain '%s' goes on here\n", dom.name);
	return 0;
}
