/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images of a disk merged while the VM runs, and the disk's size.
 *
 * Who waits hears of the end by the event, and of the progress by asking.
 */
#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "images.h"
#include "job-watch.h"
#include "progress.h"
#include "strv.h"

#define POLL_MS 200

/* virConnectDomainEventBlockJobStatus */
enum { ENDED_WELL, ENDED_BADLY, ENDED_CANCELED, IS_READY };

/* ---- the calls ---- */

static char *text(const char *s)
{
	return (char *)s;
}

static int get_info(struct cli *cli, const struct rpc_domain *dom, const char *disk,
	struct rpc_block_job_info_ret *ret, struct error *err)
{
	struct rpc_domain_path_flags_args args = {*dom, text(disk), RPC_BLOCK_JOB_INFO_BYTES};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_BLOCK_JOB_INFO,
		CLIENT_ARGS(rpc_domain_path_flags_args, &args),
		CLIENT_RET(rpc_block_job_info_ret, ret)};

	*ret = (struct rpc_block_job_info_ret){0};
	return cli_call(cli, &call, err);
}

static int abort_job(
	struct cli *cli, const struct rpc_domain *dom, const char *disk, unsigned flags, struct error *err)
{
	struct rpc_domain_path_flags_args args = {*dom, text(disk), flags};
	struct client_call call = {
		.procedure = RPC_DOMAIN_BLOCK_JOB_ABORT, CLIENT_ARGS(rpc_domain_path_flags_args, &args)};

	return cli_call(cli, &call, err);
}

/* MiB a second, as virsh has it. */
static uint64_t get_bandwidth(const struct arguments *args)
{
	return arguments_number(args, "bandwidth", 0);
}

/* ---- waiting ---- */

struct waiter {
	const char *disk;     /* as it was typed: a path, or its target */
	uint64_t timeout_s;   /* until it is broken off; 0: never */
	unsigned abort_flags; /* of breaking it off */
	bool is_over, is_ready, is_broken_off;
	int status;
};

/* What virsh makes of its options: true when the end, or that it is ready, is to be waited for. */
static int read_waiter(
	const struct arguments *args, bool wait, struct waiter *w, bool *ret, struct error *err)
{
	bool has_timeout = arguments_has(args, "timeout");

	*w = (struct waiter){.disk = arguments_string(args, "path"),
		.timeout_s = arguments_number(args, "timeout", 0),
		.abort_flags = arguments_flag(args, "async", RPC_BLOCK_JOB_ABORT_ASYNC)};
	*ret = wait || has_timeout || arguments_has(args, "wait");
	if (has_timeout && (w->timeout_s == 0 || w->timeout_s > INT32_MAX))
		return error_set(err, ERROR_INVALID_ARGUMENT, "--timeout must be at least one second");
	if (arguments_has(args, "async") && !*ret)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--async is about waiting: it needs --wait or --timeout");
	return 0;
}

static void hear(unsigned program, int procedure, const void *payload, size_t len, void *userdata)
{
	struct waiter *w = userdata;
	struct rpc_event_block_job event = {0};
	int expected = *w->disk == '/' ? RPC_EVENT_CALLBACK_BLOCK_JOB : RPC_EVENT_CALLBACK_BLOCK_JOB_2;

	/* the callback id, an int, comes first */
	if (program != RPC_PROGRAM_REMOTE || procedure != expected || len < 4 ||
		payload_decode((const char *)payload + 4, len - 4, (xdrproc_t)xdr_rpc_event_block_job, &event,
			NULL) < 0)
		return;
	if (streq(event.disk, w->disk)) {
		w->is_ready |= event.status == IS_READY;
		w->is_over |= event.status != IS_READY;
		w->status = event.status;
	}
	payload_free((xdrproc_t)xdr_rpc_event_block_job, &event);
}

static int listen_to(struct cli *cli, struct rpc_domain *dom, struct waiter *w, struct error *err)
{
	struct rpc_event_register_args args = {
		.event_id = *w->disk == '/' ? RPC_EVENT_ID_BLOCK_JOB : RPC_EVENT_ID_BLOCK_JOB_2, .dom = dom};
	struct rpc_int_ret ret = {0};
	struct client_call call = {.procedure = RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY,
		CLIENT_ARGS(rpc_event_register_args, &args),
		CLIENT_RET(rpc_int_ret, &ret)};

	if (cli_connect(cli, err) < 0)
		return -1;
	client_set_event_handler(cli->client, hear, w);
	return cli_call(cli, &call, err);
}

static void show(const struct progress *p, const char *title)
{
	_cleanup_free_ char *line = progress_format(p, title, terminal_columns(), clock_now());

	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
}

/* The job may have come to its end by itself meanwhile: then there is nothing to break off. */
static int break_off(struct cli *cli, const struct rpc_domain *dom, struct waiter *w, struct error *err)
{
	if (abort_job(cli, dom, w->disk, w->abort_flags, err) == 0)
		w->is_broken_off = true;
	else if (!w->is_over)
		return -1;
	error_clear(err);
	return 0;
}

static int judge_end(const struct waiter *w, bool timed_out, struct error *err)
{
	if (w->is_broken_off && timed_out)
		return error_set(err, ERROR_TIMEOUT, "the job was not done after %llu s, and is canceled",
			(unsigned long long)w->timeout_s);
	if (w->is_broken_off || w->status == ENDED_CANCELED)
		return error_set(err, ERROR_OPERATION_ABORTED, "the job was canceled");
	return w->status == ENDED_BADLY ? error_set(err, ERROR_OPERATION_FAILED, "the job failed") : 0;
}

/* Until it is over, or ready. Ctrl-C, and the timeout, end it in the VM, too, and only then here. */
static int wait_for_end(struct cli *cli, struct rpc_domain *dom, struct waiter *w, const char *title,
	bool verbose, struct error *err)
{
	bool shown = job_watch_wanted(cli, verbose);
	_cleanup_interrupt_ int interrupt = interrupt_fd_open(err);
	uint64_t start = clock_now();
	struct progress progress;
	bool timed_out = false;

	if (interrupt < 0)
		return -1;
	progress_init(&progress, start);
	while (!w->is_over && !w->is_ready && !w->is_broken_off) {
		struct pollfd fd = {.fd = interrupt, .events = POLLIN};
		struct rpc_block_job_info_ret info;

		if (get_info(cli, dom, w->disk, &info, err) < 0)
			return -1;
		progress_update(&progress, clock_now(), info.cur, info.end);
		if (shown)
			show(&progress, title);
		if (w->is_over || w->is_ready || !info.found)
			break;
		if (client_wait(cli->client, &fd, 1, POLL_MS, err) < 0)
			return -1;
		timed_out = w->timeout_s && clock_now() - start >= w->timeout_s * USEC_PER_SEC;
		if ((fd.revents || timed_out) && !w->is_over && !w->is_ready &&
			break_off(cli, dom, w, err) < 0)
			return -1;
	}
	if (shown) {
		progress_finish(&progress, clock_now());
		show(&progress, title);
		fputc('\n', stderr);
	}
	return judge_end(w, timed_out, err);
}

/* ---- the commands ---- */

static int start_commit(struct cli *cli, const struct arguments *args, const struct rpc_domain *dom,
	bool active, struct error *err)
{
	char *base = text(arguments_string(args, "base")), *top = text(arguments_string(args, "top"));
	struct rpc_block_commit_args a = {.dom = *dom,
		.disk = text(arguments_string(args, "path")),
		.base = base ? &base : NULL,
		.top = top ? &top : NULL,
		.bandwidth = get_bandwidth(args),
		.flags = arguments_flag(args, "shallow", RPC_BLOCK_COMMIT_SHALLOW) |
			 arguments_flag(args, "delete", RPC_BLOCK_COMMIT_DELETE) |
			 arguments_flag(args, "keep-relative", RPC_BLOCK_COMMIT_RELATIVE) |
			 arguments_flag(args, "bytes", RPC_BLOCK_COMMIT_BYTES) |
			 (active ? RPC_BLOCK_COMMIT_ACTIVE : 0)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_BLOCK_COMMIT, CLIENT_ARGS(rpc_block_commit_args, &a)};

	return cli_call(cli, &call, err);
}

int cmd_blockcommit(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool pivot = arguments_has(args, "pivot"), keep = arguments_has(args, "keep-overlay"),
	     active = pivot || keep || arguments_has(args, "active"), wait;
	struct waiter w;
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (arguments_exclusive(args, "pivot", "keep-overlay", err) < 0 ||
		read_waiter(args, pivot || keep, &w, &wait, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0 ||
		(wait && listen_to(cli, &dom, &w, err) < 0) ||
		start_commit(cli, args, &dom, active, err) < 0 ||
		(wait && wait_for_end(cli, &dom, &w, "Commit", arguments_has(args, "verbose"), err) < 0))
		return -1;
	if (w.is_ready && (pivot || keep)) {
		if (abort_job(cli, &dom, w.disk, pivot ? RPC_BLOCK_JOB_ABORT_PIVOT : 0, err) < 0)
			return -1;
		cli_print_extra(
			cli, pivot ? "Successfully pivoted\n" : "Commit aborted, the overlay stays\n");
	} else {
		cli_print_extra(cli, !wait	  ? "Block commit started\n"
				     : w.is_ready ? "Now in synchronized phase\n"
						  : "Commit complete\n");
	}
	return 0;
}

int cmd_blockpull(struct cli *cli, const struct arguments *args, struct error *err)
{
	char *base = text(arguments_string(args, "base"));
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_block_rebase_args a = {.path = text(arguments_string(args, "path")),
		.base = base ? &base : NULL,
		.bandwidth = get_bandwidth(args),
		.flags = arguments_flag(args, "keep-relative", RPC_BLOCK_REBASE_RELATIVE) |
			 arguments_flag(args, "bytes", RPC_BLOCK_REBASE_BYTES)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_BLOCK_REBASE, CLIENT_ARGS(rpc_block_rebase_args, &a)};
	struct waiter w;
	bool wait;

	if (read_waiter(args, false, &w, &wait, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0 ||
		(wait && listen_to(cli, &dom, &w, err) < 0))
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0 ||
		(wait && wait_for_end(cli, &dom, &w, "Pull", arguments_has(args, "verbose"), err) < 0))
		return -1;
	cli_print_extra(cli, wait ? "Pull complete\n" : "Block pull started\n");
	return 0;
}

static int show_job(struct cli *cli, const struct rpc_domain *dom, const char *disk, struct error *err)
{
	static const char *const names[] = {"none", "pull", "copy", "commit", "active-commit"};
	struct rpc_block_job_info_ret info;

	if (get_info(cli, dom, disk, &info, err) < 0)
		return -1;
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:disk", disk, "s:type",
			info.type >= 0 && info.type < (int)ARRAY_SIZE(names) ? names[info.type] : "unknown",
			"u:bandwidth", (uint64_t)info.bandwidth, "u:done", (uint64_t)info.cur, "u:total",
			(uint64_t)info.end, NULL);

		cli_print_json(cli, o);
	} else if (!info.found) {
		cli_print(cli, "No current block job for %s\n", disk);
	} else {
		cli_print(cli, "%s: [%3u %%]\n", names[info.type % (int)ARRAY_SIZE(names)],
			info.end ? (unsigned)(info.cur * 100 / info.end) : 0);
		if (info.bandwidth)
			cli_print(cli, "Bandwidth limit: %" PRIu64 " bytes/s\n", (uint64_t)info.bandwidth);
	}
	return 0;
}

int cmd_blockjob(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *disk = arguments_string(args, "path");
	bool abort = arguments_has(args, "abort"), pivot = arguments_has(args, "pivot");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_block_number_args a = {.disk = text(disk),
		.value = get_bandwidth(args),
		.flags = arguments_flag(args, "bytes", RPC_BLOCK_JOB_SPEED_BYTES)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_BLOCK_JOB_SET_SPEED, CLIENT_ARGS(rpc_block_number_args, &a)};

	if (arguments_exclusive(args, "abort", "info", err) < 0 ||
		arguments_exclusive(args, "abort", "bandwidth", err) < 0 ||
		arguments_exclusive(args, "pivot", "info", err) < 0 ||
		arguments_exclusive(args, "pivot", "bandwidth", err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (abort || pivot)
		return abort_job(cli, &dom, disk,
			(pivot ? RPC_BLOCK_JOB_ABORT_PIVOT : 0) |
				arguments_flag(args, "async", RPC_BLOCK_JOB_ABORT_ASYNC),
			err);
	if (!arguments_has(args, "bandwidth"))
		return show_job(cli, &dom, disk, err);
	a.dom = dom;
	return cli_call(cli, &call, err);
}

/* virsh's: a number of KiB, or with one of these behind it, where "b" is bytes. */
static int parse_size(const char *given, uint64_t *ret, struct error *err)
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} units[] = {{"", 1 << 10}, {"b", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30},
		{"t", 1ull << 40}, {"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1ull << 40}};
	size_t digits = strspn(given, "0123456789");
	_cleanup_free_ char *number = xstrndup(given, digits);
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcasecmp(given + digits, units[i].unit) == 0 && parse_u64(number, &value) &&
			value <= INT64_MAX / units[i].factor) {
			*ret = value * units[i].factor;
			return 0;
		}
	return error_set(err, ERROR_INVALID_ARGUMENT,
		"\"%s\" is no size: a number, with b, k, M, G or T behind it", given);
}

int cmd_blockresize(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *disk = arguments_string(args, "path");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_block_number_args a = {.disk = text(disk), .flags = RPC_BLOCK_RESIZE_BYTES};
	struct client_call call = {
		.procedure = RPC_DOMAIN_BLOCK_RESIZE, CLIENT_ARGS(rpc_block_number_args, &a)};
	bool capacity = arguments_has(args, "capacity");
	const char *given = arguments_string(args, "size");
	uint64_t size = 0;

	if (!given && !capacity)
		return error_set(err, ERROR_INVALID_ARGUMENT, "say a size, or --capacity");
	if (arguments_exclusive(args, "size", "capacity", err) < 0 ||
		(given && parse_size(given, &size, err) < 0) ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (capacity)
		a.flags |= RPC_BLOCK_RESIZE_CAPACITY;
	a.value = size;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "resize block device %s of %s", disk, dom.name);
	cli_print_extra(cli, "Block device '%s' is resized\n", disk);
	return 0;
}
