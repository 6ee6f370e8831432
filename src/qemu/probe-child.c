/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU started to be asked something.
 *
 * Its monitor is one end of a socketpair, so that nothing has a name in any file system. The end is told when the
 * process is gone, not when the monitor closes: only then is its standard error complete.
 */
#include "probe-child.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"

#define STDERR_MAX  (64 << 10) /* it cannot write more: nobody's memory is filled by a program gone mad */
#define STDERR_TAIL 1024
/* A QEMU that closed its monitor is about to exit, and its status says more than our signal would. */
#define CLOSED_LIMIT_USEC (300 * USEC_PER_MSEC)

struct probe_child {
	char *binary;
	struct process *process;
	struct qmp *qmp;
	sd_event_source *limit;
	int stderr_fd; /* memfd */
	const struct probe_child_ops *ops;
	void *userdata;
	struct error closed; /* set when the monitor ended first */
	struct error why;    /* set when the end was our doing */
};

/* The last line that is not empty, made printable. */
static char *read_last_line(int fd)
{
	char text[STDERR_TAIL + 1], *end, *line;
	off_t written = lseek(fd, 0, SEEK_CUR); /* its position is ours */
	ssize_t n;

	n = written < STDERR_TAIL ? written : STDERR_TAIL;
	if (n <= 0 || pread_full(fd, text, (size_t)n, written - n) != n)
		return NULL;
	end = text + n;
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	line = memrchr(text, '\n', (size_t)(end - text));
	line = line ? line + 1 : text;
	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	return *line ? xstrdup(line) : NULL;
}

static void on_exit_cb(struct process *p, int status, void *userdata)
{
	struct probe_child *c = userdata;
	_cleanup_free_ char *line = read_last_line(c->stderr_fd);
	struct error why = c->why;
	char how[64];

	if (why.code == ERROR_NONE) {
		process_status_format(status, how);
		error_set(&why, ERROR_OPERATION_FAILED, "%s %s%s%s", c->binary, how, line ? ": " : "",
			line ? line : "");
	} else {
		error_prefix(&why, "%s", c->binary);
	}
	c->ops->ended(&why, c->userdata);
}

static void on_event(
	struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata)
{
	struct probe_child *c = userdata;

	if (c->ops->event)
		c->ops->event(name, c->userdata);
}

static void on_closed(struct qmp *q, const struct error *why, void *userdata)
{
	struct probe_child *c = userdata;

	if (why->code == ERROR_OPERATION_FAILED) {
		c->closed = *why;
		sd_event_source_set_time_relative(c->limit, CLOSED_LIMIT_USEC);
		return;
	}
	c->why = *why;
	process_kill(c->process, SIGKILL);
}

static const struct qmp_ops qmp_ops = {.event = on_event, .closed = on_closed};

static int on_limit(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct probe_child *c = userdata;

	if (c->closed.code != ERROR_NONE)
		c->why = c->closed;
	else
		error_set(&c->why, ERROR_TIMEOUT, "no answer in time");
	process_kill(c->process, SIGKILL);
	return 0;
}

static int spawn(sd_event *loop, struct probe_child *c, const struct strv *args, const int *more_fds,
	size_t n_fds, int monitor_fd, struct error *err)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	int fds[1 + PROBE_CHILD_FDS] = {monitor_fd};
	struct process_options options = {
		.argv = &argv,
		.fds = fds,
		.n_fds = 1 + n_fds,
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = c->stderr_fd,
		.dies_with_daemon = true,
	};

	assert(n_fds <= PROBE_CHILD_FDS);
	for (size_t i = 0; i < n_fds; i++)
		fds[1 + i] = more_fds[i];
	strv_add(&argv, c->binary);
	strv_add(&argv, "-S");
	strv_add(&argv, "-no-user-config");
	strv_add(&argv, "-nodefaults");
	strv_add(&argv, "-display");
	strv_add(&argv, "none");
	strv_add(&argv, "-chardev");
	strv_addf(&argv, "socket,id=monitor,fd=%d", monitor_fd);
	strv_add(&argv, "-mon");
	strv_add(&argv, "chardev=monitor,mode=control");
	for (size_t i = 0; i < args->n; i++)
		strv_add(&argv, args->items[i]);
	return process_start(loop, &options, on_exit_cb, c, &c->process, err);
}

int probe_child_start(sd_event *loop, const char *binary, const struct strv *args, const int *fds,
	size_t n_fds, const struct probe_child_ops *ops, void *userdata, struct probe_child **ret,
	struct error *err)
{
	struct probe_child *c = NEW(struct probe_child);
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], r;

	c->binary = xstrdup(binary);
	c->ops = ops;
	c->userdata = userdata;
	c->stderr_fd = memfd_create("probe-stderr", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->stderr_fd < 0 || ftruncate(c->stderr_fd, STDERR_MAX) < 0 ||
		fcntl(c->stderr_fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error_errno(err, errno, "probe %s", binary);
		goto fail;
	}
	ours = pair[0];
	theirs = pair[1];
	r = sd_event_add_time_relative(
		loop, &c->limit, CLOCK_MONOTONIC, PROBE_CHILD_LIMIT_USEC, 0, on_limit, c);
	if (r < 0) {
		error_errno(err, -r, "probe %s", binary);
		goto fail;
	}
	if (spawn(loop, c, args, fds, n_fds, theirs, err) < 0)
		goto fail;
	if (qmp_open(loop, take_fd(&ours), &qmp_ops, c, &c->qmp, err) < 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	probe_child_free(c);
	return -1;
}

void probe_child_free(struct probe_child *c)
{
	if (!c)
		return;
	qmp_close(c->qmp);
	sd_event_source_disable_unref(c->limit);
	if (c->process)
		process_kill(c->process, SIGKILL);
	process_free(c->process);
	if (c->stderr_fd >= 0)
		close(c->stderr_fd);
	free(c->binary);
	free(c);
}

struct qmp *probe_child_get_qmp(struct probe_child *c)
{
	return c->qmp;
}

pid_t probe_child_get_pid(const struct probe_child *c)
{
	return process_get_pid(c->process);
}
