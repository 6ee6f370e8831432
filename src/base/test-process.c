/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting, ending and adopting real processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "process.h"
#include "tap.h"

/* What the test itself needs failed. */
#define BAIL_OUT(...) (printf("Bail out! " __VA_ARGS__), putchar('\n'), exit(1))

struct watch {
	sd_event *loop;
	unsigned exits;
	int status;
	bool free_in_exit;
	struct work *work;
};

static void on_exit_cb(struct process *p, int status, void *userdata)
{
	struct watch *w = userdata;

	w->exits++;
	w->status = status;
	if (w->free_in_exit)
		process_free(p);
}

static void wait_exit(struct watch *w)
{
	for (int i = 0; i < 500 && w->exits == 0; i++)
		sd_event_run(w->loop, 10000);
}

static int start_shell(struct watch *w, const char *script, struct process_options *o, struct process **ret)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	struct error err = ERROR_INIT;

	strv_add(&argv, "/bin/sh");
	strv_add(&argv, "-c");
	strv_add(&argv, script);
	o->argv = &argv;
	if (process_start(w->loop, o, on_exit_cb, w, ret, &err) < 0)
		BAIL_OUT("%s", err.message);
	return 0;
}

#define NO_STDIO .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1

static void test_ends(struct watch *w)
{
	struct process_options o = {NO_STDIO};
	struct process *p = NULL;
	char text[64];

	w->exits = 0;
	start_shell(w, "exit 3", &o, &p);
	ok(process_is_running(p) && process_get_pid(p) > 1 && process_get_start_time(p) > 0, "started");
	wait_exit(w);
	process_status_format(w->status, text);
	is_str(text, "exited with status 3", "its status is told");
	ok(!process_is_running(p), "it runs no more");
	process_kill(p, SIGKILL);
	process_free(p);

	w->exits = 0;
	start_shell(w, "kill -9 $$", &o, &p);
	wait_exit(w);
	process_status_format(w->status, text);
	is_str(text, "killed by signal 9 (Killed)", "so is a signal");
	process_free(p);

	w->exits = 0;
	w->free_in_exit = true;
	start_shell(w, "exit 0", &o, &p);
	wait_exit(w);
	ok(w->exits == 1 && w->status == 0, "it may be freed when its end is told");
	w->free_in_exit = false;

	process_status_format(-1, text);
	is_str(text, "ended", "an unknown status");
}

static void test_cannot_start(struct watch *w)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	struct process_options o = {.argv = &argv, NO_STDIO};
	struct error err = ERROR_INIT;
	struct process *p = NULL;

	strv_add(&argv, "/nonexistent/program");
	ok(process_start(w->loop, &o, on_exit_cb, w, &p, &err) < 0 && !p,
		"a program that is not there fails at once");
	is_str(err.message, "start /nonexistent/program: No such file or directory", "... and says so");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no zombie is left");
}

static char *read_all(int fd)
{
	struct buf b = {0};
	char text[512];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		buf_add(&b, text, (size_t)n);
	close(fd);
	return buf_take(&b);
}

static void test_descriptors(struct watch *w)
{
	_cleanup_free_ char *text = NULL;
	int out[2], secret, fds[1];
	struct process_options o = {
		.stdin_fd = -1, .stderr_fd = -1, .new_session = true, .fds = fds, .n_fds = 1};
	struct process *p = NULL;

	if (pipe2(out, O_CLOEXEC) < 0)
		BAIL_OUT("pipe");
	secret = fcntl(out[0], F_DUPFD, 40); /* not O_CLOEXEC: somebody forgot it */
	fds[0] = fcntl(out[0], F_DUPFD_CLOEXEC, 50);
	o.stdout_fd = out[1];
	w->exits = 0;
	signal(SIGUSR1, SIG_IGN);
	start_shell(w,
		"cd /proc/self/fd; for f in *; do test $f -lt 9 || echo -n \"$f \"; done; kill -USR1 $$; "
		"echo survived",
		&o, &p);
	close(out[1]);
	text = read_all(out[0]);
	is_str(text, "50 ", "the child has the named descriptors, no others, and signals are reset");
	wait_exit(w);
	ok(WIFSIGNALED(w->status) && WTERMSIG(w->status) == SIGUSR1, "it died of the signal that we ignore");
	signal(SIGUSR1, SIG_DFL);
	process_free(p);
	close(secret);
	close(fds[0]);
}

/* stdout and stderr crossed over: each is where the other one goes. */
static void test_stdio_swap(struct watch *w)
{
	_cleanup_free_ char *text = NULL;
	struct process_options o = {.stdin_fd = -1};
	struct process *p = NULL;
	int out[2], saved = dup(2);

	if (pipe2(out, O_CLOEXEC) < 0 || dup2(out[1], 2) < 0)
		BAIL_OUT("pipe");
	o.stdout_fd = 2;
	o.stderr_fd = 1;
	w->exits = 0;
	start_shell(w, "echo to-stdout; exit 0", &o, &p);
	dup2(saved, 2);
	close(saved);
	close(out[1]);
	text = read_all(out[0]);
	is_str(text, "to-stdout\n", "stdio may be crossed over");
	wait_exit(w);
	process_free(p);
}

static void test_adopt(struct watch *w)
{
	struct process_options o = {NO_STDIO};
	struct process *p = NULL, *adopted = NULL;
	struct error err = ERROR_INIT;
	pid_t pid;
	uint64_t start_time;

	start_shell(w, "exec sleep 100", &o, &p);
	pid = process_get_pid(p);
	start_time = process_get_start_time(p);

	ok(process_adopt(w->loop, pid, start_time + 1, on_exit_cb, w, &adopted, &err) < 0 &&
			err.code == ERROR_OPERATION_FAILED,
		"a pid with another start time is a stranger");
	ok(process_adopt(w->loop, -1, 0, on_exit_cb, w, &adopted, &err) < 0, "no process has a negative pid");
	ok(process_adopt(w->loop, pid, start_time, on_exit_cb, w, &adopted, &err) == 0,
		"the right one is adopted");

	/* The end of ours comes first, and reaps; the adopted one only learns that it is over. */
	process_free(p);
	w->exits = 0;
	w->status = 0;
	process_kill(adopted, SIGKILL);
	wait_exit(w);
	ok(w->exits == 1 && w->status == -1, "its end is told without a status");
	process_free(adopted);
	for (int i = 0; i < 100 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		sd_event_run(w->loop, 10000);
	ok(process_adopt(w->loop, pid, start_time, on_exit_cb, w, &adopted, &err) < 0,
		"a dead one is not adopted");
}

static void test_freed_child_is_reaped(struct watch *w)
{
	struct process_options o = {NO_STDIO};
	struct process *p = NULL;
	siginfo_t si = {0};
	int r = 0;

	w->exits = 0;
	start_shell(w, "exit 0", &o, &p);
	process_free(p);
	for (int i = 0; i < 200 && r == 0; i++) {
		sd_event_run(w->loop, 10000);
		r = waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT);
	}
	ok(r < 0 && errno == ECHILD, "a child that is freed while it runs is reaped all the same");
	ok(w->exits == 0, "... and nobody is told");
}

/* ---- work in the child ---- */

struct work {
	struct watch *watch;
	enum { WORK_RESULT, WORK_FAIL, WORK_DIE, WORK_DESCRIPTOR } what;
	int secret;
	unsigned told;
	struct error err;
	char result[64];
};

static int work(struct buf *result, void *userdata, struct error *err)
{
	struct work *k = userdata;

	switch (k->what) {
	case WORK_FAIL:
		return error_set(err, ERROR_BUSY, "somebody has it");
	case WORK_DIE:
		_exit(3);
	case WORK_RESULT:
		buf_addf(result, "pid %d, secret %s", (int)getpid(),
			fcntl(k->secret, F_GETFD) < 0 ? "closed" : "open");
		return 0;
	case WORK_DESCRIPTOR:
		return dup2(2, 77) == 77 ? 0 : -1;
	}
	return -1;
}

static void worked(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct watch *w = userdata;
	struct work *k = w->work;

	k->told++;
	error_clear(&k->err);
	if (err)
		k->err = *err;
	snprintf(k->result, sizeof(k->result), "%.*s", (int)len, result ? result : "");
}

static void do_work(struct watch *w, struct work *k, const char *script)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	struct process_options o = {NO_STDIO, .work = work, .work_userdata = k, .worked = worked};
	struct error err = ERROR_INIT;
	struct process *p = NULL;
	char expected[64];

	strv_add(&argv, script ? script : "");
	strv_add(&argv, "-c");
	strv_add(&argv, "test -e /proc/self/fd/77 && exit 5");
	if (script)
		o.argv = &argv;
	w->work = k;
	w->exits = k->told = 0;
	if (process_start(w->loop, &o, on_exit_cb, w, &p, &err) < 0)
		BAIL_OUT("%s", err.message);
	snprintf(expected, sizeof(expected), "pid %d, secret closed", (int)process_get_pid(p));
	wait_exit(w);
	if (k->what == WORK_RESULT)
		is_str(k->result, expected, "a child works and tells its result, without our descriptors");
	process_free(p);
}

static void test_work(struct watch *w)
{
	struct work k = {.what = WORK_RESULT, .secret = open("/dev/null", O_RDONLY | O_CLOEXEC)};

	do_work(w, &k, NULL);
	ok(k.told == 1 && k.err.code == ERROR_NONE, "... once");
	ok(WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0, "... and ends");
	k.what = WORK_FAIL;
	do_work(w, &k, NULL);
	ok(k.told == 1 && k.err.code == ERROR_BUSY && streq(k.err.message, "somebody has it"),
		"its error is told as it is");
	k.what = WORK_DIE;
	do_work(w, &k, NULL);
	ok(k.told == 1 && k.err.code == ERROR_OPERATION_FAILED, "its death is an ordinary error");
	k.what = WORK_DESCRIPTOR;
	do_work(w, &k, "/bin/sh");
	ok(k.told == 1 && k.err.code == ERROR_NONE && WEXITSTATUS(w->status) == 5,
		"the program behind the work has the descriptor that the work opened");
	do_work(w, &k, "/nonexistent/program");
	ok(k.told == 1 && streq(k.err.message, "start /nonexistent/program: No such file or directory"),
		"a program that is not there is told as well");
	k.what = WORK_FAIL;
	do_work(w, &k, "/bin/sh");
	ok(k.told == 1 && k.err.code == ERROR_BUSY && WEXITSTATUS(w->status) == 127,
		"behind work that failed no program is run");
	close(k.secret);
}

static void test_kill_group(struct watch *w)
{
	int out[2];
	struct process_options o = {.stdin_fd = -1, .stderr_fd = -1, .new_session = true};
	struct process *p = NULL;
	struct pollfd ends = {.events = POLLIN};
	char text[4];

	if (pipe2(out, O_CLOEXEC) < 0)
		BAIL_OUT("pipe");
	o.stdout_fd = out[1];
	w->exits = 0;
	start_shell(w, "sleep 100 & echo on; wait", &o, &p);
	close(out[1]);
	ok(read(out[0], text, sizeof(text)) == 3, "a shell has started another program");
	process_kill_group(p, SIGKILL);
	wait_exit(w);
	ends.fd = out[0];
	ok(w->exits == 1 && poll(&ends, 1, 5000) == 1 && read(out[0], text, sizeof(text)) == 0,
		"both are killed");
	close(out[0]);
	process_free(p);
}

int main(void)
{
	struct watch w = {0};

	if (sd_event_new(&w.loop) < 0)
		BAIL_OUT("no loop");
	test_ends(&w);
	test_cannot_start(&w);
	test_descriptors(&w);
	test_stdio_swap(&w);
	test_adopt(&w);
	test_freed_child_is_reaped(&w);
	test_work(&w);
	test_kill_group(&w);
	sd_event_unref(w.loop);
	return done_testing();
}
