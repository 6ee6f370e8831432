/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting, watching and adopting processes. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "process-child.h"

/* After the sockets: QEMU's last events say why it ended, so they are to be read before the end is told. */
#define EXIT_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

struct process {
	pid_t pid;
	uint64_t start_time;
	int pidfd;
	bool is_child, has_program;
	bool running;
	sd_event_source *source; /* owns this object: freeing it frees us, see process_destroy() */
	process_exit_fn on_exit; /* NULL once process_free was called */
	process_worked_fn on_worked;
	void *userdata;
	/* While the child works. */
	sd_event_source *report_source;
	int report_fd;
	struct buf report;
};

int process_find_start_time(pid_t pid, uint64_t *ret)
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

static void close_report(struct process *p)
{
	p->report_source = sd_event_source_disable_unref(p->report_source);
	close_p(&p->report_fd);
	p->report_fd = -1;
	buf_fini(&p->report);
}

static void process_destroy(void *userdata)
{
	struct process *p = userdata;

	close_report(p);
	close(p->pidfd);
	free(p);
}

/* ---- the work of a child ---- */

#define REPORT_MAX (1u << 20)

/* All of what process_child_run sent. */
static void tell_worked(struct process *p)
{
	process_worked_fn worked = p->on_worked;
	struct buf report = p->report;
	struct error err = ERROR_INIT, why = ERROR_INIT;

	p->report = (struct buf){0};
	close_report(p);
	if (report.len < sizeof(err)) {
		error_set(&err, ERROR_OPERATION_FAILED, "the child at work (pid %d) ended in the middle",
			(int)p->pid);
	} else {
		memcpy(&err, report.data, sizeof(err));
		buf_drop_front(&report, sizeof(err));
	}
	/* With a program in place of a result: why it could not be run. */
	if (err.code == ERROR_NONE && p->has_program && report.len == sizeof(why)) {
		memcpy(&why, report.data, sizeof(why));
		err = why;
	}
	if (worked)
		worked(p, err.code == ERROR_NONE ? NULL : &err, report.data, report.len, p->userdata);
	buf_fini(&report);
}

static int on_report(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct process *p = userdata;
	ssize_t n = read(fd, buf_reserve(&p->report, PIPE_BUF), PIPE_BUF);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0) {
		p->report.len += (size_t)n;
		if (p->report.len < REPORT_MAX)
			return 0;
	}
	tell_worked(p);
	return 0;
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

	p->report_fd = -1;
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

/* The child waits at `go`. Without work, what it reports ends at once: by the exec, which closes it, or by what went wrong. */
static int let_go(pid_t pid, uint64_t start_time, const struct process_options *options, void *userdata,
	int go, int report, struct error *err)
{
	struct error failure;

	if (options->forked && options->forked(pid, start_time, userdata, err) < 0)
		return -1;
	if (write_full(go, "", 1) < 0)
		return error_errno(err, errno, "start process %d", (int)pid);
	/* The daemon may die here and later: the child is on its way. */
	if (!options->work && read_full(report, &failure, sizeof(failure)) == sizeof(failure))
		return error_copy(err, &failure);
	return 0;
}

static int watch_report(struct process *p, sd_event *loop, int *report, struct error *err)
{
	int r;

	if (fd_set_nonblock(*report) < 0)
		return error_errno(err, errno, "watch process %d", (int)p->pid);
	r = sd_event_add_io(loop, &p->report_source, *report, EPOLLIN, on_report, p);
	if (r < 0)
		return error_errno(err, -r, "watch process %d", (int)p->pid);
	p->report_fd = take_fd(report);
	return 0;
}

struct child {
	pid_t pid;
	uint64_t start_time;
	int go, report; /* our ends */
	int pidfd;
};

static int fork_child(const struct process_options *options, struct child *c, struct error *err)
{
	pid_t parent = getpid();
	int report[2], go[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return error_errno(err, errno, "start a process: pipe");
	if (pipe2(go, O_CLOEXEC) < 0) {
		error_errno(err, errno, "start a process: pipe");
		close(report[0]);
		close(report[1]);
		return -1;
	}
	c->pid = fork();
	if (c->pid == 0) {
		close(go[1]); /* or it would wait for itself when the daemon dies */
		process_child_run(options, parent, go[0], report[1]);
	}
	c->go = go[1];
	c->report = report[0];
	close(report[1]);
	close(go[0]);
	if (c->pid < 0)
		return error_errno(err, errno, "start a process: fork");
	/* It cannot be recycled before it is waited for, so this is it. */
	c->pidfd = pidfd_open(c->pid, 0);
	if (c->pidfd < 0 || process_find_start_time(c->pid, &c->start_time) < 0)
		return error_errno(err, errno, "watch process %d", (int)c->pid);
	return 0;
}

int process_start(sd_event *loop, const struct process_options *options, process_exit_fn on_exit,
	void *userdata, struct process **ret, struct error *err)
{
	struct child c = {.pid = -1, .go = -1, .report = -1, .pidfd = -1};
	struct process *p = NULL;
	int r = -1;

	/* Everything that can fail before it is let go: then its end is near, and may be waited for. */
	if (fork_child(options, &c, err) == 0 &&
		process_watch(loop, c.pid, c.start_time, take_fd(&c.pidfd), &p, err) == 0 &&
		(!options->work || watch_report(p, loop, &c.report, err) == 0) &&
		let_go(c.pid, c.start_time, options, userdata, c.go, c.report, err) == 0)
		r = 0;
	close_p(&c.pidfd);
	close_p(&c.report);
	close_p(&c.go);
	if (r < 0) {
		process_free(p);
		if (c.pid > 0)
			give_up_child(c.pid);
		return -1;
	}
	p->is_child = true;
	p->has_program = options->argv;
	p->on_exit = on_exit;
	p->on_worked = options->worked;
	p->userdata = userdata;
	*ret = p;
	return 0;
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
	if (process_find_start_time(pid, &found) < 0 || found != start_time || poll(&poll_exit, 1, 0) != 0) {
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

void process_set_owner(struct process *p, process_exit_fn on_exit, void *userdata)
{
	p->on_exit = on_exit;
	p->userdata = userdata;
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

/* Until its end has been seen nobody has waited for it, so that the number is still its own. */
void process_kill_group(struct process *p, int signal)
{
	if (p->running)
		kill(-p->pid, signal);
}

void process_free(struct process *p)
{
	sd_event_source *source;

	if (!p)
		return;
	source = p->source;
	p->on_exit = NULL;
	close_report(p);
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
