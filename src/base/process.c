/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting, watching and adopting processes. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"

/* After the sockets: QEMU's last events say why it ended, so they are to be read before the end is told. */
#define EXIT_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct process {
	pid_t pid;
	uint64_t start_time;
	int pidfd;
	bool is_child;
	bool running;
	sd_event_source *source; /* owns this object: freeing it frees us, see process_destroy() */
	process_exit_fn on_exit; /* NULL once process_free was called */
	void *userdata;
};

static int read_start_time(pid_t pid, uint64_t *ret)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", (int)pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[1024];
	ssize_t n;
	char *p;

	if (fd < 0)
		return -1;
	n = read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';

	/* Field 2 is the program's name in parentheses and may hold anything, so count from its end. */
	p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p) {
		errno = EPROTO;
		return -1;
	}
	*ret = strtoull(p + 1, NULL, 10);
	return 0;
}

/* ---- in the child, between fork and exec; returns errno ---- */

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

_Noreturn static void child_run(const struct process_options *o, pid_t parent, int go_fd, int report_fd)
{
	char go;
	int r;

	if (read_full(go_fd, &go, 1) != 1)
		_exit(127);
	report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, 3); /* out of the way of stdio */
	r = child_prepare(o, parent);
	if (r == 0) {
		execv(o->argv->items[0], o->argv->items);
		r = errno;
	}
	(void)!write(report_fd, &r, sizeof(r));
	_exit(127);
}

/* ---- in the daemon ---- */

static int wait_child(int pidfd, int options, int *ret_status)
{
	siginfo_t si = {0};

	if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | options) < 0)
		return -1;
	if (si.si_pid == 0) { /* WNOHANG and still running */
		errno = EAGAIN;
		return -1;
	}
	if (si.si_code == CLD_EXITED)
		*ret_status = W_EXITCODE(si.si_status, 0);
	else
		*ret_status = si.si_status | (si.si_code == CLD_DUMPED ? WCOREFLAG : 0);
	return 0;
}

static void process_destroy(void *userdata)
{
	struct process *p = userdata;

	close(p->pidfd);
	free(p);
}

static int on_pidfd(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct process *p = userdata;
	int status = -1;

	if (p->is_child && wait_child(p->pidfd, WNOHANG, &status) < 0 && errno == EAGAIN)
		return 0;
	p->running = false;
	sd_event_source_set_enabled(s, SD_EVENT_OFF);
	if (p->on_exit)
		p->on_exit(p, status, p->userdata);
	else
		sd_event_source_set_floating(s, false); /* drops the last reference */
	return 0;
}

/* Takes pidfd, also on failure. */
static int process_watch(
	sd_event *loop, pid_t pid, uint64_t start_time, int pidfd, struct process **ret, struct error *err)
{
	struct process *p = NEW(struct process);
	int r;

	p->pid = pid;
	p->start_time = start_time;
	p->pidfd = pidfd;
	p->running = true;
	r = sd_event_add_io(loop, &p->source, pidfd, EPOLLIN, on_pidfd, p);
	if (r < 0) {
		process_destroy(p);
		return error_errno(err, -r, "watch process %d", (int)pid);
	}
	sd_event_source_set_priority(p->source, EXIT_PRIORITY);
	sd_event_source_set_destroy_callback(p->source, process_destroy);
	*ret = p;
	return 0;
}

static void give_up_child(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child waits at `go`; what it reports through `report` ends at once: by the exec, which closes it, or by what went wrong. */
static int let_go(pid_t pid, uint64_t start_time, const struct process_options *options, void *userdata,
	int go, int report, struct error *err)
{
	const char *program = options->argv->items[0];
	int failure = 0;

	if (options->forked && options->forked(pid, start_time, userdata, err) < 0)
		return -1;
	if (write_full(go, "", 1) < 0)
		return error_errno(err, errno, "start %s", program);
	/* The daemon may die here and later: the child is on its way. */
	if (read_full(report, &failure, sizeof(failure)) == sizeof(failure))
		return error_errno(err, failure, "start %s", program);
	return 0;
}

int process_start(sd_event *loop, const struct process_options *options, process_exit_fn on_exit,
	void *userdata, struct process **ret, struct error *err)
{
	const char *program = options->argv->items[0];
	int report[2], go[2], pidfd = -1, r = -1;
	pid_t pid, parent = getpid();
	uint64_t start_time = 0;
	struct process *p;

	if (pipe2(report, O_CLOEXEC) < 0)
		return error_errno(err, errno, "start %s: pipe", program);
	if (pipe2(go, O_CLOEXEC) < 0) {
		r = error_errno(err, errno, "start %s: pipe", program);
		close(report[0]);
		close(report[1]);
		return r;
	}
	pid = fork();
	if (pid == 0) {
		close(go[1]); /* or it would wait for itself when the daemon dies */
		child_run(options, parent, go[0], report[1]);
	}
	close(report[1]);
	close(go[0]);
	if (pid < 0) {
		error_errno(err, errno, "start %s: fork", program);
		goto out;
	}

	/* It cannot be recycled before it is waited for, so this is it. */
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0 || read_start_time(pid, &start_time) < 0)
		error_errno(err, errno, "start %s: watch it", program);
	else if (let_go(pid, start_time, options, userdata, go[1], report[0], err) == 0)
		r = process_watch(loop, pid, start_time, take_fd(&pidfd), &p, err);
	if (r < 0) {
		give_up_child(pid);
		goto out;
	}
	p->is_child = true;
	p->on_exit = on_exit;
	p->userdata = userdata;
	*ret = p;
out:
	close_p(&pidfd);
	close(report[0]);
	close(go[1]);
	return r;
}

int process_adopt(sd_event *loop, pid_t pid, uint64_t start_time, process_exit_fn on_exit, void *userdata,
	struct process **ret, struct error *err)
{
	struct pollfd poll_exit = {.events = POLLIN};
	uint64_t found = 0;
	struct process *p;
	int pidfd;

	pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
	if (pidfd < 0)
		return error_set(err, ERROR_OPERATION_FAILED, "process %d is gone", (int)pid);

	/* In this order: a process that took the pid after pidfd_open has another start time. */
	poll_exit.fd = pidfd;
	if (read_start_time(pid, &found) < 0 || found != start_time || poll(&poll_exit, 1, 0) != 0) {
		close(pidfd);
		return error_set(err, ERROR_OPERATION_FAILED, "process %d is gone", (int)pid);
	}
	if (process_watch(loop, pid, start_time, pidfd, &p, err) < 0)
		return -1;
	p->on_exit = on_exit;
	p->userdata = userdata;
	*ret = p;
	return 0;
}

pid_t process_get_pid(const struct process *p)
{
	return p->pid;
}

uint64_t process_get_start_time(const struct process *p)
{
	return p->start_time;
}

bool process_is_running(const struct process *p)
{
	return p->running;
}

void process_kill(struct process *p, int signal)
{
	if (p->running)
		pidfd_send_signal(p->pidfd, signal, NULL, 0);
}

void process_free(struct process *p)
{
	sd_event_source *source;

	if (!p)
		return;
	source = p->source;
	p->on_exit = NULL;
	/* A living child stays watched, by the loop alone, until it can be reaped. */
	if (p->is_child && p->running)
		sd_event_source_set_floating(source, true);
	else
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_unref(source);
}

void process_status_format(int status, char text[64])
{
	if (status < 0)
		snprintf(text, 64, "ended");
	else if (WIFEXITED(status))
		snprintf(text, 64, "exited with status %d", WEXITSTATUS(status));
	else
		snprintf(text, 64, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}
