/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of a name are tried one after the other, each for a while; the error that is told is that of the last. */
#include "peer-link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "peer-ssh.h"
#include "process.h"

/* For one address while there are others. */
#define ADDRESS_USEC (5 * USEC_PER_SEC)
/* A listener whose queue is full answers a UNIX socket with EAGAIN, and there is no event for when it no longer is. */
#define FULL_PAUSE_USEC (20 * USEC_PER_MSEC)
#define ADDRESSES_MAX	16
/* Of what ssh says, the end. */
#define WORDS_MAX 512

struct address {
	socklen_t len;
	int protocol;
	struct sockaddr_storage socket;
};

struct peer_link {
	sd_event *loop;
	const struct peer_uri *uri;
	peer_linked_fn done;
	void *userdata;
	struct process *lookup;
	struct address addresses[ADDRESSES_MAX];
	size_t n_addresses, next;
	sd_event_source *io;
	sd_event_source *timer; /* the next attempt */
	int fd;
	struct process *ssh;
	int words_fd; /* what it says: a memory file, of which only the last line matters */
};

static void try_next(struct peer_link *l, int why);

static void stop_attempt(struct peer_link *l)
{
	l->io = sd_event_source_disable_unref(l->io);
	l->timer = sd_event_source_disable_unref(l->timer);
	close_p(&l->fd);
	l->fd = -1;
}

static void fail(struct peer_link *l, const struct error *err)
{
	stop_attempt(l);
	l->done(-1, err, l->userdata);
}

static int on_connected(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct peer_link *l = userdata;
	socklen_t len = sizeof(int);
	int why = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0)
		why = errno;
	if (why != 0) {
		try_next(l, why);
		return 0;
	}
	fd = take_fd(&l->fd);
	stop_attempt(l);
	l->done(fd, NULL, l->userdata);
	return 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	try_next(userdata, ETIMEDOUT);
	return 0;
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct peer_link *l = userdata;

	l->next--;
	try_next(l, EAGAIN);
	return 0;
}

/* 0 or an errno. */
static int attempt(struct peer_link *l, const struct address *a)
{
	sd_event_time_handler_t handler = on_late;
	int on = 1, r;

	l->fd = socket(a->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
	if (l->fd < 0)
		return errno;
	if (a->socket.ss_family != AF_UNIX)
		setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(l->fd, (const struct sockaddr *)&a->socket, a->len) < 0) {
		if (errno == EAGAIN)
			handler = on_again;
		else if (errno != EINPROGRESS)
			return errno;
	}
	if (handler == on_again || l->next < l->n_addresses) {
		r = sd_event_add_time_relative(l->loop, &l->timer, CLOCK_MONOTONIC,
			handler == on_again ? FULL_PAUSE_USEC : ADDRESS_USEC, 0, handler, l);
		if (r < 0)
			return -r;
	}
	/* also when it is connected at once: `done` is not called from within the start */
	r = handler == on_again ? 0 : sd_event_add_io(l->loop, &l->io, l->fd, EPOLLOUT, on_connected, l);
	return r < 0 ? -r : 0;
}

/* `why` the one before was none. */
static void try_next(struct peer_link *l, int why)
{
	struct error err = ERROR_INIT;

	while (l->next < l->n_addresses) {
		stop_attempt(l);
		why = attempt(l, &l->addresses[l->next++]);
		if (why == 0)
			return;
	}
	error_errno(&err, why, "connect");
	fail(l, &err);
}

/* ---- names ---- */

/* In a child. */
static int look_up(struct buf *result, void *userdata, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	const struct peer_uri *uri = userdata;
	struct addrinfo *found;
	unsigned n = 0;
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", uri->port);
	r = getaddrinfo(uri->host, port, &hints, &found);
	if (r != 0)
		return error_set(err, ERROR_OPERATION_FAILED, "look up the host's name: %s",
			r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	for (const struct addrinfo *i = found; i && n < ADDRESSES_MAX; i = i->ai_next) {
		struct address a = {.len = i->ai_addrlen, .protocol = i->ai_protocol};

		if (i->ai_addrlen > sizeof(a.socket))
			continue;
		memcpy(&a.socket, i->ai_addr, i->ai_addrlen);
		buf_add(result, &a, sizeof(a));
		n++;
	}
	freeaddrinfo(found);
	return 0;
}

static void on_looked_up(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct peer_link *l = userdata;

	if (err) {
		fail(l, err);
		return;
	}
	l->n_addresses = len / sizeof(struct address);
	memcpy(l->addresses, result, l->n_addresses * sizeof(struct address));
	try_next(l, EADDRNOTAVAIL);
}

static void on_lookup_ended(struct process *p, int status, void *userdata)
{
	struct peer_link *l = userdata;

	l->lookup = NULL;
	process_free(p);
}

static int start_tcp(struct peer_link *l, struct error *err)
{
	return process_start(l->loop,
		&(struct process_options){.stdin_fd = -1,
			.stdout_fd = -1,
			.stderr_fd = -1,
			.dies_with_daemon = true,
			.work = look_up,
			.work_userdata = (void *)l->uri,
			.worked = on_looked_up},
		on_lookup_ended, l, &l->lookup, err);
}

/* ---- UNIX sockets ---- */

/* Where libvirt's clients look: the scheme's own daemon, then the one for all. Caller frees. */
static char *find_socket(const struct peer_uri *uri)
{
	const char *driver = strncmp(uri->name, "godwit", 6) == 0 ? "godwit" : "qemu";
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *directory =
		uri->is_session && runtime ? xasprintf("%s/libvirt", runtime) : xstrdup("/run/libvirt");
	char *path = xasprintf("%s/virt%sd-sock", directory, driver);

	if (access(path, F_OK) < 0) {
		free(path);
		path = xasprintf("%s/libvirt-sock", directory);
	}
	return path;
}

static int on_start_unix(sd_event_source *s, uint64_t usec, void *userdata)
{
	try_next(userdata, EADDRNOTAVAIL);
	return 0;
}

static int start_unix(struct peer_link *l, struct error *err)
{
	_cleanup_free_ char *path = l->uri->socket ? xstrdup(l->uri->socket) : find_socket(l->uri);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"the socket's path is longer than %zu bytes: %s", sizeof(address.sun_path) - 1, path);
	memcpy(address.sun_path, path, strlen(path));
	l->addresses[0].len = sizeof(address);
	memcpy(&l->addresses[0].socket, &address, sizeof(address));
	l->n_addresses = 1;
	r = sd_event_add_time_relative(l->loop, &l->timer, CLOCK_MONOTONIC, 0, 0, on_start_unix, l);
	return r < 0 ? error_errno(err, -r, "connect") : 0;
}

/* ---- ssh ---- */

static void on_ssh_ended(struct process *p, int status, void *userdata)
{
	struct peer_link *l = userdata;

	/* the connection ends by itself */
	l->ssh = NULL;
	process_free(p);
}

static int on_start_ssh(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct peer_link *l = userdata;
	int fd = take_fd(&l->fd);

	stop_attempt(l);
	l->done(fd, NULL, l->userdata);
	return 0;
}

static int start_ssh(struct peer_link *l, struct error *err)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	_cleanup_close_ int theirs = -1;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return error_errno(err, errno, "start ssh");
	l->fd = fds[0];
	theirs = fds[1];
	l->words_fd = memfd_create("ssh", MFD_CLOEXEC);
	peer_ssh_command(l->uri, &argv);
	if (process_start(l->loop,
		    &(struct process_options){.argv = &argv,
			    .stdin_fd = theirs,
			    .stdout_fd = theirs,
			    .stderr_fd = l->words_fd,
			    .new_session = true,
			    .dies_with_daemon = true},
		    on_ssh_ended, l, &l->ssh, err) < 0)
		return -1;
	r = sd_event_add_time_relative(l->loop, &l->timer, CLOCK_MONOTONIC, 0, 0, on_start_ssh, l);
	return r < 0 ? error_errno(err, -r, "start ssh") : 0;
}

void peer_link_explain(const struct peer_link *l, struct error *err)
{
	char text[WORDS_MAX + 1], *line;
	ssize_t n;
	off_t size;

	if (l->words_fd < 0)
		return;
	size = lseek(l->words_fd, 0, SEEK_END);
	n = pread(l->words_fd, text, WORDS_MAX, size > WORDS_MAX ? size - WORDS_MAX : 0);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	line = strrchr(text, '\n');
	error_set(err, ERROR_OPERATION_FAILED, "ssh: %s", line ? line + 1 : text);
}

int peer_link_start(sd_event *loop, const struct peer_uri *uri, peer_linked_fn done, void *userdata,
	struct peer_link **ret, struct error *err)
{
	struct peer_link *l = NEW(struct peer_link);
	int r = -1;

	*l = (struct peer_link){
		.loop = loop, .uri = uri, .done = done, .userdata = userdata, .fd = -1, .words_fd = -1};
	switch (uri->transport) {
	case PEER_UNIX:
		r = start_unix(l, err);
		break;
	case PEER_TCP:
	case PEER_TLS:
		r = start_tcp(l, err);
		break;
	case PEER_SSH:
		r = start_ssh(l, err);
		break;
	}
	if (r < 0) {
		peer_link_free(l);
		return -1;
	}
	*ret = l;
	return 0;
}

void peer_link_free(struct peer_link *l)
{
	if (!l)
		return;
	stop_attempt(l);
	if (l->lookup)
		process_kill(l->lookup, SIGKILL);
	process_free(l->lookup);
	if (l->ssh)
		process_kill_group(l->ssh, SIGTERM);
	process_free(l->ssh);
	close_p(&l->words_fd);
	free(l);
}
