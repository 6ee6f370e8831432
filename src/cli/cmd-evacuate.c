/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command that empties a host: "godwit migrate" for each VM, several at a time. Those with the least memory go first, so that most guests are away
 * soon when the host is about to fail. It has no memory of its own: begun again, it goes on with what is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"

/* Two keep a link busy while one of them stands before its switch-over; more only make each take longer. */
enum { DEFAULT_JOBS = 2, JOBS_MAX = 64 };

enum stage { WAITS, MOVES, MOVED, STAYS };

struct evacuee {
	const struct rpc_domain *dom;
	bool is_active, is_persistent;
	uint64_t memory_kib;
	enum stage stage;
	size_t first, n_tried; /* of the hosts */
	pid_t pid;
	int fd;		 /* what the migration says */
	struct buf said; /* by the last host tried */
	const char *why; /* it stays; NULL: what was said */
};

struct evacuation {
	struct cli *cli;
	struct strv hosts, options; /* options: passed on to each migration */
	struct evacuee *all;
	size_t n, n_moving, jobs;
	unsigned n_interrupts;
};

/* ---- one migration ---- */

static const char *host_of(const struct evacuation *e, const struct evacuee *v)
{
	return e->hosts.items[(v->first + v->n_tried) % e->hosts.n];
}

static void add_option(struct strv *argv, const char *option, const char *value)
{
	if (!value)
		return;
	strv_add(argv, option);
	strv_add(argv, value);
}

static void make_command(const struct evacuation *e, const struct evacuee *v, struct strv *ret)
{
	strv_add(ret, "godwit");
	add_option(ret, "--connect", e->cli->uri);
	add_option(ret, "--root", e->cli->root);
	add_option(ret, "--socket", e->cli->socket);
	strv_add(ret, "migrate");
	strv_add(ret, v->is_active ? "--live" : "--offline");
	if (v->is_active)
		strv_add(ret, "--auto-converge");
	if (v->is_persistent) {
		strv_add(ret, "--persistent");
		strv_add(ret, "--undefinesource");
	}
	for (size_t i = 0; i < e->options.n; i++)
		strv_add(ret, e->options.items[i]);
	strv_add(ret, "--");
	strv_add(ret, v->dom->name);
	strv_add(ret, host_of(e, v));
}

/* In a process group of its own: Ctrl-C is for this program, which passes on what it makes of it. */
static _Noreturn void become_migration(struct strv *argv, int out)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv("/proc/self/exe", argv->items);
	_exit(127);
}

static int begin_one(struct evacuation *e, struct evacuee *v, struct error *err)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	int pipe[2];

	make_command(e, v, &argv);
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return error_errno(err, errno, "make a pipe");
	v->pid = fork();
	if (v->pid == 0)
		become_migration(&argv, pipe[1]);
	close(pipe[1]);
	if (v->pid < 0) {
		close(pipe[0]);
		return error_errno(err, errno, "start a process");
	}
	v->fd = pipe[0];
	buf_clear(&v->said);
	v->stage = MOVES;
	e->n_moving++;
	return 0;
}

/* The line that says why, or what came of it: the last one. Caller frees. */
static char *last_line(const struct buf *said)
{
	_cleanup_free_ char *text = xstrndup(said->data ? said->data : "", said->len);
	char *line = NULL, *rest = text;

	for (char *next = strsep(&rest, "\n"); next; next = strsep(&rest, "\n"))
		if (*next && (!line || !startswith(line, "error: ") || startswith(next, "error: ")))
			line = next;
	return xstrdup(!line ? "it said nothing" : startswith(line, "error: ") ? line + 7 : line);
}

static void end_one(struct evacuation *e, struct evacuee *v)
{
	_cleanup_free_ char *line = last_line(&v->said);
	int status = 0;

	close(v->fd);
	while (waitpid(v->pid, &status, 0) < 0 && errno == EINTR)
		;
	e->n_moving--;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		v->stage = MOVED;
		cli_print_extra(e->cli, "%s\n", line);
		return;
	}
	v->stage = ++v->n_tried < e->hosts.n && e->n_interrupts == 0 ? WAITS : STAYS;
	cli_print_extra(
		e->cli, "%s: %s%s\n", v->dom->name, line, v->stage == WAITS ? "; trying the next host" : "");
}

static void read_from(struct evacuation *e, struct evacuee *v)
{
	char data[4096];
	ssize_t n = read(v->fd, data, sizeof(data));

	if (n > 0)
		buf_add(&v->said, data, (size_t)n);
	else if (n == 0 || errno != EINTR)
		end_one(e, v);
}

/* ---- all of them ---- */

static int begin_more(struct evacuation *e, struct error *err)
{
	for (size_t i = 0; i < e->n && e->n_moving < e->jobs; i++)
		if (e->all[i].stage == WAITS && begin_one(e, &e->all[i], err) < 0)
			return -1;
	return 0;
}

/* The first time those under way are let come to their end, the second time they are called off. */
static void interrupted(struct evacuation *e, int fd)
{
	char info[sizeof(struct signalfd_siginfo)];

	while (read(fd, info, sizeof(info)) == sizeof(info))
		e->n_interrupts++;
	for (size_t i = 0; i < e->n; i++) {
		struct evacuee *v = &e->all[i];

		if (v->stage == WAITS) {
			v->stage = STAYS;
			v->why = "not begun, as this was interrupted";
		} else if (v->stage == MOVES && e->n_interrupts > 1) {
			kill(v->pid, SIGINT);
		}
	}
	if (e->n_interrupts == 1 && e->n_moving > 0)
		cli_print_extra(e->cli, "Waiting for those under way (%zu); Ctrl-C again calls them off\n",
			e->n_moving);
}

static int move_all(struct evacuation *e, int interrupt, struct error *err)
{
	struct pollfd fds[JOBS_MAX + 1];
	struct evacuee *of[JOBS_MAX + 1];
	struct error failure = ERROR_INIT;

	for (;;) {
		size_t n = 1;

		if (failure.code == ERROR_NONE)
			(void)begin_more(e, &failure);
		if (e->n_moving == 0)
			return failure.code == ERROR_NONE ? 0 : error_copy(err, &failure);
		fds[0] = (struct pollfd){.fd = interrupt, .events = POLLIN};
		for (size_t i = 0; i < e->n; i++) {
			if (e->all[i].stage != MOVES)
				continue;
			of[n] = &e->all[i];
			fds[n++] = (struct pollfd){.fd = e->all[i].fd, .events = POLLIN};
		}
		if (poll(fds, n, -1) < 0)
			continue;
		for (size_t i = 1; i < n; i++)
			if (fds[i].revents)
				read_from(e, of[i]);
		if (fds[0].revents)
			interrupted(e, interrupt);
	}
}

/* ---- who there is ---- */

static int compare(const void *a, const void *b)
{
	const struct evacuee *x = a, *y = b;

	if (x->is_active != y->is_active)
		return x->is_active ? -1 : 1;
	if (x->memory_kib != y->memory_kib)
		return x->memory_kib < y->memory_kib ? -1 : 1;
	return strcmp(x->dom->name, y->dom->name);
}

/* One that has gone meanwhile is nobody's concern any more. */
static bool look_at(struct evacuation *e, struct evacuee *v)
{
	struct rpc_domain_args args = {*v->dom};
	struct rpc_domain_info_ret info = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_INFO,
		CLIENT_ARGS(rpc_domain_args, &args),
		CLIENT_RET(rpc_domain_info_ret, &info)};
	int is_persistent = 0;

	if (cli_call(e->cli, &call, NULL) < 0 ||
		cli_ask_domain_int(e->cli, RPC_DOMAIN_IS_PERSISTENT, v->dom, &is_persistent, NULL) < 0)
		return false;
	v->is_active = v->dom->id >= 0;
	v->is_persistent = is_persistent;
	v->memory_kib = info.memory_kib;
	return true;
}

static void find_all(struct evacuation *e, const struct rpc_domains_ret *r)
{
	e->all = xcalloc(r->domains.domains_len + 1, sizeof(*e->all));
	for (u_int i = 0; i < r->domains.domains_len; i++) {
		e->all[e->n] = (struct evacuee){.dom = &r->domains.domains_val[i]};
		if (look_at(e, &e->all[e->n]))
			e->n++;
	}
	qsort(e->all, e->n, sizeof(*e->all), compare);
	for (size_t i = 0; i < e->n; i++)
		e->all[i].first = i;
}

/* ---- the command ---- */

static int judge(struct evacuation *e, struct error *err)
{
	size_t n_moved = 0, n_stay = 0;

	for (size_t i = 0; i < e->n; i++) {
		n_moved += e->all[i].stage == MOVED;
		n_stay += e->all[i].stage != MOVED;
	}
	cli_print_extra(e->cli, "%zu moved, %zu stayed\n", n_moved, n_stay);
	for (size_t i = 0; i < e->n; i++) {
		_cleanup_free_ char *said = last_line(&e->all[i].said);

		if (e->all[i].stage != MOVED)
			cli_print(e->cli, "%s stays: %s\n", e->all[i].dom->name,
				e->all[i].why ? e->all[i].why : said);
	}
	if (n_stay == 0)
		return 0;
	return error_set(err, e->n_interrupts ? ERROR_OPERATION_ABORTED : ERROR_OPERATION_FAILED,
		"%zu of %zu VMs stay here", n_stay, e->n);
}

static void read_list(const char *list, struct strv *ret)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n > 0)
			strv_take(ret, xstrndup(list, n));
		list += n + (list[n] == ',');
	}
}

static int read_options(const struct arguments *args, struct evacuation *e, struct error *err)
{
	static const char *const passed_on[] = {"p2p", "copy-storage-all", "unsafe"};

	read_list(arguments_string(args, "to"), &e->hosts);
	if (e->hosts.n == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "--to names no host");
	e->jobs = arguments_number(args, "jobs", DEFAULT_JOBS);
	if (e->jobs == 0 || e->jobs > JOBS_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "--jobs must be 1 to %d", JOBS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++)
		if (arguments_has(args, passed_on[i]))
			strv_take(&e->options, xasprintf("--%s", passed_on[i]));
	return 0;
}

int cmd_evacuate(struct cli *cli, const struct arguments *args, struct error *err)
{
	struct rpc_list_args list_args = {.need_results = 1,
		.flags = RPC_LIST_ACTIVE | arguments_flag(args, "offline", RPC_LIST_INACTIVE)};
	struct rpc_domains_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_LIST_ALL_DOMAINS,
		CLIENT_ARGS(rpc_list_args, &list_args),
		CLIENT_RET(rpc_domains_ret, &r)};
	struct evacuation e = {.cli = cli};
	_cleanup_interrupt_ int interrupt = -1;
	int ret = read_options(args, &e, err);

	/* It takes its time: each line is to be read when it is true. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ret == 0)
		ret = cli_call(cli, &call, err);
	if (ret == 0)
		ret = interrupt = interrupt_fd_open(err);
	if (ret >= 0) {
		find_all(&e, &r);
		ret = move_all(&e, interrupt, err);
	}
	if (ret == 0)
		ret = judge(&e, err);
	for (size_t i = 0; i < e.n; i++)
		buf_fini(&e.all[i].said);
	free(e.all);
	strv_fini(&e.hosts);
	strv_fini(&e.options);
	payload_free((xdrproc_t)xdr_rpc_domains_ret, &r);
	return ret < 0 ? error_prefix(err, "evacuate") : 0;
}
