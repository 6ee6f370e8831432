/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Talking to QEMU's monitor past the daemon's own judgement. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"

/* Prints what QEMU answered: as it is, indented, or only the value of "return". */
static int print_answer(struct cli *cli, const struct arguments *args, const char *answer, struct error *err)
{
	bool pretty = arguments_has(args, "pretty") || cli->json,
	     only_return = arguments_has(args, "return-value");
	_cleanup_json_ json *o = NULL;
	json *shown;

	if (!pretty && !only_return) {
		cli_print(cli, "%s\n", answer);
		return 0;
	}
	if (json_parse(answer, strlen(answer), &o, err) < 0)
		return error_prefix(err, "QEMU's answer");
	shown = only_return ? json_get(o, "return") : o;
	if (!shown)
		return error_set(err, ERROR_QEMU, "QEMU's answer has no return value: %s", answer);
	if (cli->json)
		cli_print_json(cli, shown);
	else
		cli_print_last(
			cli, json_object_to_json_string_ext(shown,
				     pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						      JSON_C_TO_STRING_NOSLASHESCAPE
					    : JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return 0;
}

int cmd_qemu_monitor_command(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool hmp = arguments_has(args, "hmp");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *command = arguments_join_rest(args);
	struct rpc_monitor_command_args a = {.command = command, .flags = hmp ? RPC_MONITOR_COMMAND_HMP : 0};
	struct rpc_string_ret r = {0};
	struct client_call call = {
		.program = RPC_PROGRAM_QEMU,
		.procedure = RPC_QEMU_MONITOR_COMMAND,
		CLIENT_ARGS(rpc_monitor_command_args, &a),
		CLIENT_RET(rpc_string_ret, &r),
	};
	int ret = 0;

	if (arguments_exclusive(args, "hmp", "pretty", err) < 0 ||
		arguments_exclusive(args, "hmp", "return-value", err) < 0)
		return -1;
	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "monitor of %s", dom.name);
	if (hmp)
		cli_print(cli, "%s\n", r.value);
	else
		ret = print_answer(cli, args, r.value, err);
	payload_free((xdrproc_t)xdr_rpc_string_ret, &r);
	return ret;
}
