/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A call that takes long.
 *
 * The call is sent, and while its answer is awaited DOMAIN_GET_JOB_STATS is asked for every tenth of a second on the
 * same connection (the daemon answers in the order in which things end). What it says drives the bar. Its
 * failures mean nothing: the job may not have begun, or may just be over.
 */
#include "job-watch.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "frame.h"
#include "progress.h"
#include "strv.h"

#define POLL_MS 100

struct watch {
	struct cli *cli;
	const struct job_watch *w;
	struct progress progress;
	bool terminal;
	bool drawn;
	bool aborted;
	/* the question in flight */
	struct client_request *stats;
	struct client_call stats_call;
	struct rpc_domain_flags_args stats_args;
	struct rpc_job_stats_ret stats_ret;
	struct client_request *abort;
	struct client_call abort_call;
};

bool job_watch_wanted(const struct cli *cli, bool verbose)
{
	return verbose || (!cli->quiet && !cli->json && isatty(STDERR_FILENO));
}

unsigned terminal_columns(void)
{
	struct winsize size = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 79;
	return size.ws_col - 1u;
}

static void draw(struct watch *watch)
{
	unsigned permyriad = progress_permyriad(&watch->progress);

	if (!watch->w->show)
		return;
	watch->drawn = true;
	if (watch->terminal) {
		_cleanup_free_ char *title = xasprintf("%s %s", watch->w->title, watch->w->object);
		_cleanup_free_ char *line =
			progress_format(&watch->progress, title, terminal_columns(), clock_now());

		fprintf(stderr, "\r%s\033[K", line);
	} else {
		fprintf(stderr, "\r%s: [%3u.%02u %%]", watch->w->title, permyriad / 100, permyriad % 100);
	}
	fflush(stderr);
}

static uint64_t find_param(const struct rpc_job_stats_ret *r, const char *name)
{
	for (u_int i = 0; i < r->params.rpc_params_len; i++) {
		const struct rpc_param *p = &r->params.rpc_params_val[i];

		if (streq(p->field, name) && p->value.type == RPC_PARAM_ULLONG)
			return p->value.rpc_param_value_u.ul;
	}
	return 0;
}

static void ask_stats(struct watch *watch)
{
	watch->stats_args = (struct rpc_domain_flags_args){*watch->w->dom, 0};
	watch->stats_ret = (struct rpc_job_stats_ret){0};
	watch->stats_call = (struct client_call){
		.procedure = RPC_DOMAIN_GET_JOB_STATS,
		CLIENT_ARGS(rpc_domain_flags_args, &watch->stats_args),
		CLIENT_RET(rpc_job_stats_ret, &watch->stats_ret),
	};
	if (client_start(watch->cli->client, &watch->stats_call, &watch->stats, NULL) < 0)
		watch->stats = NULL;
}

static void take_stats(struct watch *watch)
{
	uint64_t total, remaining;

	if (client_finish(watch->cli->client, TAKE_PTR(watch->stats), NULL) < 0)
		return;
	if (watch->stats_ret.type == RPC_JOB_BOUNDED || watch->stats_ret.type == RPC_JOB_UNBOUNDED) {
		total = find_param(&watch->stats_ret, "data_total");
		remaining = find_param(&watch->stats_ret, "data_remaining");
		if (total == 0) {
			total = find_param(&watch->stats_ret, "memory_total");
			remaining = find_param(&watch->stats_ret, "memory_remaining");
		}
		if (remaining > total)
			remaining = total;
		progress_set_dirtying(&watch->progress, find_param(&watch->stats_ret, "memory_bps"),
			find_param(&watch->stats_ret, "memory_dirty_rate") *
				find_param(&watch->stats_ret, "memory_page_size"));
		progress_update(&watch->progress, clock_now(), total - remaining, total);
		draw(watch);
	}
	payload_free((xdrproc_t)xdr_rpc_job_stats_ret, &watch->stats_ret);
}

/* The first Ctrl-C asks the daemon to stop; the job's own answer says whether it did. */
static void handle_interrupt(struct watch *watch, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) < 0 || watch->aborted || !watch->w->dom)
		return;
	watch->aborted = true;
	watch->abort_call = (struct client_call){
		.procedure = RPC_DOMAIN_ABORT_JOB, CLIENT_ARGS(rpc_domain, watch->w->dom)};
	if (client_start(watch->cli->client, &watch->abort_call, &watch->abort, NULL) < 0)
		watch->abort = NULL;
}

static int wait_for_answer(struct watch *watch, struct client_request *r, struct error *err)
{
	struct client *c = watch->cli->client;
	uint64_t deadline = clock_now() + watch->cli->timeout_s * USEC_PER_SEC, next = clock_now();
	_cleanup_interrupt_ int interrupt = -1;

	/* without a VM to name there is nothing to stop: Ctrl-C then ends the program as usual */
	if (watch->w->dom) {
		interrupt = interrupt_fd_open(err);
		if (interrupt < 0)
			return -1;
	}
	while (!client_is_answered(r)) {
		struct pollfd fds[1] = {{.fd = interrupt, .events = POLLIN}};

		if (watch->w->show && watch->w->dom && !watch->stats && clock_now() >= next) {
			ask_stats(watch);
			next = clock_now() + POLL_MS * USEC_PER_MSEC;
		}
		if (client_wait(c, fds, 1, POLL_MS, err) < 0)
			return -1;
		if (fds[0].revents)
			handle_interrupt(watch, interrupt);
		if (watch->stats && client_is_answered(watch->stats))
			take_stats(watch);
		if (watch->w->tick)
			watch->w->tick(watch->w->userdata);
		if (watch->cli->timeout_s > 0 && clock_now() > deadline)
			return error_set(err, ERROR_TIMEOUT, "no answer within %u s; the job goes on",
				watch->cli->timeout_s);
	}
	return 0;
}

int job_watch_run(struct cli *cli, const struct job_watch *w, struct error *err)
{
	struct watch watch = {.cli = cli, .w = w, .terminal = isatty(STDERR_FILENO)};
	struct client_request *r;
	int ret;

	if (cli_connect(cli, err) < 0 || client_start(cli->client, w->call, &r, err) < 0)
		return -1;
	progress_init(&watch.progress, clock_now());
	ret = wait_for_answer(&watch, r, err);
	if (ret < 0)
		client_forget(cli->client, r);
	else
		ret = client_finish(cli->client, r, err);
	client_forget(cli->client, watch.stats);
	client_forget(cli->client, watch.abort);
	if (ret == 0 && w->show) {
		progress_finish(&watch.progress, clock_now());
		draw(&watch);
	}
	if (watch.drawn && (watch.terminal || ret < 0))
		fputs("\n", stderr);
	return ret;
}
