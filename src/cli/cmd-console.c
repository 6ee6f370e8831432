/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal as the guest's console: bytes both ways over the stream that OPEN_CONSOLE opens. */
#include <errno.h>
#include <termios.h>

#include "commands.h"
#include "console.h"
#include "constants.h"
#include "file.h"

#define ESCAPE 0x1d /* ^] */

struct console {
	bool closed;
	bool failed;
	struct error error;
};

static void handle_packet(int status, const void *data, size_t len, const struct error *err, void *userdata)
{
	struct console *console = userdata;

	if (status == RPC_CONTINUE) {
		/* a terminal that went away shows up as the end of input */
		write_full(STDOUT_FILENO, data, len);
		return;
	}
	console->closed = true;
	if (status == RPC_ERROR) {
		console->failed = true;
		console->error = *err;
	}
}

/* 1: go on, 0: the user wants out, -1: the connection is gone. */
static int forward_input(struct client *c, struct error *err)
{
	char data[4096];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));
	const char *escape;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n <= 0)
		return 0;
	escape = memchr(data, ESCAPE, (size_t)n);
	if (escape)
		n = escape - data;
	if (n > 0 && client_send_stream(c, data, (size_t)n, err) < 0)
		return -1;
	return escape ? 0 : 1;
}

static int copy_both_ways(struct cli *cli, const struct console *console, struct error *err)
{
	while (!console->closed) {
		struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
		int r;

		if (client_wait(cli->client, &in, 1, -1, err) < 0)
			return -1;
		if (!in.revents || console->closed)
			continue;
		r = forward_input(cli->client, err);
		if (r <= 0)
			return r;
	}
	return 0;
}

static int open_console(struct cli *cli, const struct rpc_domain *dom, const char *device, unsigned flags,
	struct console *console, struct error *err)
{
	char *name = (char *)device;
	struct rpc_open_console_args args = {.dom = *dom, .device = name ? &name : NULL, .flags = flags};
	struct client_call call = {
		.procedure = RPC_DOMAIN_OPEN_CONSOLE, CLIENT_ARGS(rpc_open_console_args, &args)};
	struct client_request *r;

	if (cli_connect(cli, err) < 0 || client_start(cli->client, &call, &r, err) < 0)
		return -1;
	/* the first packets may come right behind the answer */
	client_open_stream(
		cli->client, RPC_DOMAIN_OPEN_CONSOLE, client_get_serial(r), handle_packet, console);
	return client_finish(cli->client, r, err);
}

int console_run(struct cli *cli, const struct rpc_domain *dom, const char *device, unsigned flags,
	bool resume, struct error *err)
{
	struct console console = {0};
	struct termios saved, raw;
	bool terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
	int r;

	if (open_console(cli, dom, device, flags, &console, err) < 0)
		return error_prefix(err, "open the console of %s", dom->name);
	if (terminal) {
		cli_print_extra(
			cli, "Connected to domain '%s'\nEscape character is ^] (Ctrl + ])\n", dom->name);
		fflush(stdout);
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	}
	r = resume ? cli_call_domain(cli, RPC_DOMAIN_RESUME, dom, err) : 0;
	if (r == 0)
		r = copy_both_ways(cli, &console, err);
	client_close_stream(cli->client);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
		cli_print_extra(cli, "\n");
	}
	if (r == 0 && console.failed)
		r = error_copy(err, &console.error);
	return r;
}

int cmd_console(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "force", RPC_CONSOLE_FORCE) |
			 arguments_flag(args, "safe", RPC_CONSOLE_SAFE);
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_state_ret state = {0};
	struct rpc_domain_flags_args a;
	struct client_call call = {.procedure = RPC_DOMAIN_GET_STATE,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_domain_state_ret, &state)};
	bool resume = arguments_has(args, "resume");

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_flags_args){dom, 0};
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "console of %s", dom.name);
	if (state.state == RPC_STATE_SHUTOFF)
		return error_set(
			err, ERROR_OPERATION_INVALID, "console of %s: the VM is not running", dom.name);
	return console_run(cli, &dom, arguments_string(args, "devname"), flags,
		resume && state.state == RPC_STATE_PAUSED, err);
}
