/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Getting a connected socket to the daemon.
 *
 * On demand: whoever finds nobody at the socket of his own daemon takes a lock beside it, tries again (somebody may
 * have started it meanwhile), starts `godwitd --session`, and waits until the daemon says READY=1 (sd_notify), until the
 * socket answers (a daemon that cannot say so), or until the daemon is dead. The lock is let go only then, so of
 * two who come at the same time one starts it and the other finds it running. The kernel lets go of a dead one's lock.
 */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "alloc.h"
#include "clock.h"
#include "file.h"
#include "strv.h"

/* A cold start probes QEMU, which takes seconds on a loaded machine. */
#define START_TIMEOUT_US (60 * USEC_PER_SEC)

int connect_socket(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (strlen(path) >= sizeof(name.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return -1;
	return take_fd(&fd);
}

static int explain_failure(const struct address *a, int errnum, struct error *err)
{
	if (errnum == EACCES || errnum == EPERM)
		return error_set(err, ERROR_RPC,
			"connect to %s: %s (only root and the configured group may; your own daemon is "
			"godwit:///session)",
			a->socket, strerror(errnum));
	if (errnum != ENOENT && errnum != ECONNREFUSED)
		return error_set(err, ERROR_RPC, "connect to %s: %s", a->socket, strerror(errnum));
	if (a->root)
		return error_set(err, ERROR_RPC, "no daemon answers at %s (start it: godwitd --root %s)",
			a->socket, a->root);
	if (streq(a->socket, ADDRESS_SYSTEM_SOCKET) || streq(a->socket, ADDRESS_SYSTEM_SOCKET "-ro"))
		return error_set(err, ERROR_RPC,
			"no daemon answers at %s (start it: systemctl start godwitd)", a->socket);
	return error_set(err, ERROR_RPC, "no daemon answers at %s: %s", a->socket, strerror(errnum));
}

/* The program beside this one, where it is installed, or whatever PATH has. Owned by the caller. */
static char *find_daemon(void)
{
	static const char *const places[] = {"godwitd", "../sbin/godwitd"};
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return xstrdup("godwitd");
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", self, places[i]);

		if (access(path, X_OK) == 0)
			return TAKE_PTR(path);
	}
	return xstrdup("godwitd");
}

/* A datagram socket in the abstract name space on which the daemon will say READY=1. */
static int open_notify_socket(char **ret_name, struct error *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(name);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* an address of just its family lets the kernel choose the name */
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name.sun_family)) < 0 ||
		getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return error_errno(err, errno, "make a socket for the daemon's answer");
	*ret_name = xasprintf(
		"@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), name.sun_path + 1);
	return take_fd(&fd);
}

static void run_daemon(const char *program, const char *notify_name, int log_fd)
{
	sigset_t none;
	int null = open("/dev/null", O_RDWR);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
		setenv("NOTIFY_SOCKET", notify_name, 1) < 0)
		_exit(127);
	execlp(program, "godwitd", "--session", NULL);
	dprintf(2, "godwitd: cannot run %s: %s\n", program, strerror(errno));
	_exit(127);
}

/* The last line of the daemon's output, owned by the caller. */
static char *last_words(int dir)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	char *line;

	if (file_read(dir, "godwitd.log", 1 << 20, &text, &len, NULL) < 0)
		return xstrdup("");
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	line = strrchr(text, '\n');
	return xstrdup(line ? line + 1 : text);
}

static bool said_ready(int notify)
{
	char text[512];
	ssize_t n = recv(notify, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return startswith(text, "READY=1") || strstr(text, "\nREADY=1");
}

/* Connected once the daemon is ready; `child` is a pidfd. */
static int wait_ready(const struct address *a, int dir, int notify, int child, struct error *err)
{
	uint64_t deadline = clock_now() + START_TIMEOUT_US;
	int pause_ms = 10;

	for (;;) {
		struct pollfd fds[2] = {{.fd = notify, .events = POLLIN}, {.fd = child, .events = POLLIN}};
		bool ready = poll(fds, 2, pause_ms) > 0 && fds[0].revents && said_ready(notify);
		int fd = connect_socket(a->socket);

		if (fd >= 0)
			return fd;
		if (ready)
			return explain_failure(a, errno, err);
		if (fds[1].revents) {
			_cleanup_free_ char *words = last_words(dir);

			return error_set(err, ERROR_RPC,
				"your own daemon ended while starting: %s (%s/godwitd.log)", words,
				a->session_dir);
		}
		if (clock_now() > deadline)
			return error_set(err, ERROR_RPC,
				"your own daemon does not become ready (%s/godwitd.log)", a->session_dir);
		pause_ms = pause_ms < 320 ? pause_ms * 2 : 320;
	}
}

static int start_daemon(const struct address *a, int dir, struct error *err)
{
	_cleanup_free_ char *program = find_daemon(), *notify_name = NULL;
	_cleanup_close_ int log_fd = -1, notify = -1, child = -1;
	pid_t pid;

	log_fd = openat(dir, "godwitd.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log_fd < 0)
		return error_errno(err, errno, "open %s/godwitd.log", a->session_dir);
	notify = open_notify_socket(&notify_name, err);
	if (notify < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		run_daemon(program, notify_name, log_fd);
	if (pid < 0)
		return error_errno(err, errno, "start %s", program);
	child = (int)syscall(SYS_pidfd_open, pid, 0);
	if (child < 0)
		return error_errno(err, errno, "watch %s", program);
	return wait_ready(a, dir, notify, child, err);
}

static int connect_or_start(const struct address *a, struct error *err)
{
	_cleanup_close_ int dir = -1, lock = -1;
	int fd;

	dir = dir_open_or_make(a->session_dir, 0700, err);
	if (dir < 0)
		return -1;
	lock = openat(dir, "start.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return error_errno(err, errno, "lock %s/start.lock", a->session_dir);
	fd = connect_socket(a->socket);
	if (fd >= 0)
		return fd;
	return start_daemon(a, dir, err);
}

int connect_to_daemon(const struct address *address, int *ret_fd, struct error *err)
{
	int fd = connect_socket(address->socket);

	if (fd < 0 && address->session_dir && (errno == ENOENT || errno == ECONNREFUSED)) {
		fd = connect_or_start(address, err);
		if (fd < 0)
			return -1;
	}
	if (fd < 0)
		return explain_failure(address, errno, err);
	*ret_fd = fd;
	return 0;
}
