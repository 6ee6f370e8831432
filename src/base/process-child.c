/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between fork and exec. The daemon has one thread, so the child may allocate and do as it likes; but it shares every
 * descriptor, and must not keep one that it does not need while it works.
 */
#include "process-child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "file.h"

static int child_set_stdio(const struct process_options *o)
{
	int fds[3] = {o->stdin_fd, o->stdout_fd, o->stderr_fd};

	/* All above 2 first: one of them may stand where another one goes. */
	for (int i = 0; i < 3; i++) {
		int fd = fds[i] >= 0 ? fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return errno;
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0)
			return errno;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return errno;
	return 0;
}

static int child_prepare(const struct process_options *o, pid_t parent)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int r;

	if (o->dies_with_daemon) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return ECHILD;
	}
	if (o->new_session && setsid() < 0)
		return errno;

	r = child_set_stdio(o);
	if (r != 0)
		return r;
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	for (size_t i = 0; i < o->n_fds; i++)
		if (fd_set_cloexec(o->fds[i], false) < 0)
			return errno;

	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return errno;
	return 0;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/*
 * For the time of the work, which may be long: sockets and locks of a daemon that dies meanwhile must not live on in
 * here.
 */
static int child_close_others(const struct process_options *o, int report_fd)
{
	VEC(int) kept = {0};
	unsigned from = 3;
	int r = 0;

	for (size_t i = 0; i < o->n_fds; i++)
		VEC_ADD(&kept, o->fds[i]);
	VEC_ADD(&kept, report_fd);
	qsort(kept.items, kept.n, sizeof(kept.items[0]), compare_fds);
	VEC_FOREACH (fd, &kept) {
		if ((unsigned)fd > from && close_range(from, (unsigned)fd - 1, 0) < 0)
			r = errno;
		from = (unsigned)fd + 1;
	}
	if (close_range(from, ~0u, 0) < 0)
		r = errno;
	VEC_FREE(&kept);
	return r;
}

static int report(int fd, const struct error *err)
{
	return write(fd, err, sizeof(*err)) == sizeof(*err) ? 0 : -1;
}

/* A peer of the work that closes its socket is an error to the work, not its end; a daemon that is gone is the child's. */
static void do_work(const struct process_options *o, int report_fd)
{
	struct error err = ERROR_INIT;
	struct buf result = {0};
	int failed;

	signal(SIGPIPE, SIG_IGN);
	failed = o->work(&result, o->work_userdata, &err);
	if (report(report_fd, &err) < 0 || failed < 0 || write_full(report_fd, result.data, result.len) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
}

_Noreturn void process_child_run(const struct process_options *o, pid_t parent, int go_fd, int report_fd)
{
	struct error err = ERROR_INIT;
	char go;
	int r;

	if (read_full(go_fd, &go, 1) != 1)
		_exit(127);
	report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, 3); /* out of the way of stdio */
	r = child_prepare(o, parent);
	if (r == 0 && o->work)
		r = child_close_others(o, report_fd);
	if (r == 0) {
		if (o->work)
			do_work(o, report_fd);
		if (!o->argv)
			_exit(0);
		execv(o->argv->items[0], o->argv->items);
		r = errno;
	}
	error_errno(&err, r, "start %s", o->argv ? o->argv->items[0] : "a child");
	report(report_fd, &err);
	_exit(127);
}
