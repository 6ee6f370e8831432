/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent in a guest does and knows. */
#include <time.h>

#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "guest.h"
#include "params.h"
#include "strv.h"

/* As the server has them: any time, as long as libvirt waits, not at all. */
enum { TIMEOUT_BLOCK = -2, TIMEOUT_DEFAULT = -1, TIMEOUT_NONE = 0 };

/* ---- filesystems ---- */

static int freeze(struct cli *cli, const struct arguments *args, int procedure, const char *verb,
	const char *past, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_freeze_args a = {.mountpoints = {.mountpoints_len = (u_int)args->n_rest,
					    .mountpoints_val = (char **)args->rest}};
	struct rpc_int_ret r = {0};
	struct client_call call = {
		.procedure = procedure, CLIENT_ARGS(rpc_freeze_args, &a), CLIENT_RET(rpc_int_ret, &r)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "%s filesystems of %s", verb, dom.name);
	cli_print_extra(cli, "%s %d filesystem(s)\n", past, r.value);
	return 0;
}

int cmd_domfsfreeze(struct cli *cli, const struct arguments *args, struct error *err)
{
	return freeze(cli, args, RPC_DOMAIN_FSFREEZE, "freeze", "Froze", err);
}

int cmd_domfsthaw(struct cli *cli, const struct arguments *args, struct error *err)
{
	return freeze(cli, args, RPC_DOMAIN_FSTHAW, "thaw", "Thawed", err);
}

int cmd_domfstrim(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	char *mountpoint = (char *)arguments_string(args, "mountpoint");
	struct rpc_trim_args a = {.mountpoint = mountpoint ? &mountpoint : NULL,
		.minimum = arguments_number(args, "minimum", 0)};
	struct client_call call = {.procedure = RPC_DOMAIN_FSTRIM, CLIENT_ARGS(rpc_trim_args, &a)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "trim filesystems of %s", dom.name);
	return 0;
}

static void add_filesystem(struct list_report *report, const struct rpc_filesystem *fs)
{
	json *disks = json_object_new_array();
	_cleanup_free_ char *text = NULL;
	struct strv names = {0};

	for (u_int i = 0; i < fs->disks.disks_len; i++) {
		strv_add(&names, fs->disks.disks_val[i]);
		json_object_array_add(disks, json_object_new_string(fs->disks.disks_val[i]));
	}
	text = strv_join(&names, ",");
	list_report_string(report, fs->mountpoint);
	list_report_string(report, fs->name);
	list_report_string(report, fs->type);
	list_report_shown_as(report, text, disks);
	strv_fini(&names);
}

int cmd_domfsinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {"Mountpoint", "Name", "Type", "Target"};
	static const char *const keys[] = {"mountpoint", "name", "type", "targets"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_flags_args a = {0};
	struct rpc_filesystems_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_FSINFO,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_filesystems_ret, &r)};
	struct list_report report;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "filesystems of %s", dom.name);
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (u_int i = 0; i < r.filesystems.filesystems_len; i++)
		add_filesystem(&report, &r.filesystems.filesystems_val[i]);
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_filesystems_ret, &r);
	return 0;
}

/* ---- time ---- */

static void print_time(struct cli *cli, const struct rpc_guest_time_ret *now, bool pretty)
{
	time_t seconds = (time_t)now->seconds;
	char text[64] = "";
	struct tm tm;

	if (cli->json) {
		_cleanup_json_ json *o = json_pack(
			"i:seconds", (int64_t)now->seconds, "i:nanoseconds", (int64_t)now->nanoseconds, NULL);

		cli_print_json(cli, o);
	} else if (pretty && gmtime_r(&seconds, &tm) &&
		   strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0) {
		cli_print(cli, "Time: %s\n", text);
	} else {
		cli_print(cli, "Time: %lld\n", (long long)now->seconds);
	}
}

static int set_time(struct cli *cli, struct rpc_set_guest_time_args *a, struct error *err)
{
	struct client_call call = {.procedure = RPC_DOMAIN_SET_TIME, CLIENT_ARGS(rpc_set_guest_time_args, a)};

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "set the time of %s", a->dom.name);
	return 0;
}

static int show_time(struct cli *cli, const struct rpc_domain *dom, bool pretty, struct error *err)
{
	struct rpc_domain_flags_args a = {.dom = *dom};
	struct rpc_guest_time_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_TIME,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_guest_time_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "time of %s", dom->name);
	print_time(cli, &r, pretty);
	return 0;
}

int cmd_domtime(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool now = arguments_has(args, "now"), sync = arguments_has(args, "sync");
	struct rpc_set_guest_time_args a = {
		.flags = sync ? RPC_TIME_SYNC : 0, .seconds = (int64_t)arguments_number(args, "time", 0)};
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (arguments_exclusive(args, "now", "sync", err) < 0 ||
		arguments_exclusive(args, "now", "time", err) < 0 ||
		arguments_exclusive(args, "sync", "time", err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (!now && !sync && !arguments_has(args, "time"))
		return show_time(cli, &dom, arguments_has(args, "pretty"), err);
	a.dom = dom;
	if (now)
		a.seconds = time(NULL);
	return set_time(cli, &a, err);
}

/* ---- whatever it can do ---- */

static int get_timeout(const struct arguments *args, int *ret, struct error *err)
{
	uint64_t seconds = arguments_number(args, "timeout", 0);

	if (arguments_exclusive(args, "timeout", "async", err) < 0 ||
		arguments_exclusive(args, "timeout", "block", err) < 0 ||
		arguments_exclusive(args, "async", "block", err) < 0)
		return -1;
	if (arguments_has(args, "timeout") && (seconds == 0 || seconds > INT32_MAX))
		return error_set(err, ERROR_INVALID_ARGUMENT, "the timeout must be at least one second");
	*ret = arguments_has(args, "timeout") ? (int)seconds
	       : arguments_has(args, "block") ? TIMEOUT_BLOCK
	       : arguments_has(args, "async") ? TIMEOUT_NONE
					      : TIMEOUT_DEFAULT;
	return 0;
}

static int print_answer(struct cli *cli, const char *answer, bool pretty, struct error *err)
{
	_cleanup_json_ json *o = NULL;

	if (!pretty && !cli->json) {
		cli_print(cli, "%s\n", answer);
		return 0;
	}
	if (json_parse(answer, strlen(answer), &o, err) < 0)
		return error_prefix(err, "the agent's answer");
	if (cli->json)
		cli_print_json(cli, o);
	else
		cli_print_last(cli,
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

int cmd_qemu_agent_command(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *command = arguments_join_rest(args);
	struct rpc_agent_command_args a = {.command = command};
	struct rpc_agent_command_ret r = {0};
	struct client_call call = {.program = RPC_PROGRAM_QEMU,
		.procedure = RPC_QEMU_AGENT_COMMAND,
		CLIENT_ARGS(rpc_agent_command_args, &a),
		CLIENT_RET(rpc_agent_command_ret, &r)};
	int ret = 0;

	if (get_timeout(args, &a.timeout, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "agent of %s", dom.name);
	if (r.result)
		ret = print_answer(cli, *r.result, arguments_has(args, "pretty"), err);
	payload_free((xdrproc_t)xdr_rpc_agent_command_ret, &r);
	return ret;
}

int cmd_guestinfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_guest_info_args a = {
		.types = arguments_flag(args, "user", RPC_GUEST_INFO_USERS) |
			 arguments_flag(args, "os", RPC_GUEST_INFO_OS) |
			 arguments_flag(args, "timezone", RPC_GUEST_INFO_TIMEZONE) |
			 arguments_flag(args, "hostname", RPC_GUEST_INFO_HOSTNAME) |
			 arguments_flag(args, "filesystem", RPC_GUEST_INFO_FILESYSTEM) |
			 arguments_flag(args, "disk", RPC_GUEST_INFO_DISKS) |
			 arguments_flag(args, "interface", RPC_GUEST_INFO_INTERFACES) |
			 arguments_flag(args, "load", RPC_GUEST_INFO_LOAD)};
	struct rpc_guest_info_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_GUEST_INFO,
		CLIENT_ARGS(rpc_guest_info_args, &a),
		CLIENT_RET(rpc_guest_info_ret, &r)};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "facts of the guest of %s", dom.name);
	if (cli->json) {
		_cleanup_json_ json *o = params_to_json(r.params.params_val, r.params.params_len);

		cli_print_json(cli, o);
	}
	for (u_int i = 0; i < r.params.params_len && !cli->json; i++) {
		_cleanup_free_ char *value = param_format(&r.params.params_val[i]);

		cli_print(cli, "%-20s: %s\n", r.params.params_val[i].field, value);
	}
	payload_free((xdrproc_t)xdr_rpc_guest_info_ret, &r);
	return 0;
}
