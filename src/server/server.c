/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listening sockets, and the clients that come in through them. */
#include "server.h"

#include <errno.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "alloc.h"
#include "clock.h"
#include "log.h"
#include "session.h"
#include "strv.h"

/* After running out of descriptors: a level-triggered listener would spin. */
#define ACCEPT_PAUSE_USEC (USEC_PER_SEC)

static int accept_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server *server = userdata;

	VEC_FOREACH (l, &server->listeners)
		sd_event_source_set_enabled(l->io, SD_EVENT_ON);
	return 0;
}

static void pause_accepting(struct server *server, int errnum)
{
	log_warning("accept: %s; trying again in a second", strerror(errnum));
	VEC_FOREACH (l, &server->listeners)
		sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
	sd_event_source_set_time_relative(server->accept_again, ACCEPT_PAUSE_USEC);
	sd_event_source_set_enabled(server->accept_again, SD_EVENT_ONESHOT);
}

/* Read-only clients may be anybody: half of the places stay for those who administer. */
static bool is_full(struct server *server, bool read_only)
{
	bool full = server->n_sessions + server->n_arrivals >= server->settings.max_clients ||
		    (read_only && server->n_read_only >= (server->settings.max_clients + 1) / 2);

	if (full && !server->full_logged)
		log_warning("%u clients: no more are let in", server->n_sessions);
	server->full_logged = full;
	return full;
}

static int add_client(struct server *server, int fd, struct client_origin *origin, struct error *err)
{
	if (access_check(server, fd, origin, err) < 0)
		goto fail;
	if (is_full(server, origin->read_only)) {
		error_set(err, ERROR_OPERATION_FAILED, "too many clients");
		goto fail;
	}
	if (origin->way == CLIENT_TLS)
		return network_welcome(server, fd, origin, err);
	return session_open(server, fd, NULL, origin, err);
fail:
	close(fd);
	return -1;
}

int server_add_client(struct server *server, int fd, bool read_only, struct error *err)
{
	return add_client(server, fd, &(struct client_origin){.read_only = read_only}, err);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct server_listener *l = userdata;
	struct error err = ERROR_INIT;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(l->server, errno);
		return 0;
	}
	if (add_client(l->server, client, &(struct client_origin){.way = l->way, .read_only = l->read_only},
		    &err) < 0)
		log_info("client turned away: %s", err.message);
	return 0;
}

static int reap(sd_event_source *source, void *userdata)
{
	struct server *server = userdata;
	struct session *s, *next;

	LIST_FOREACH_SAFE (s, next, &server->sessions, link)
		if (s->doomed)
			session_close(s);
	return 0;
}

static void free_listener(struct server_listener *l)
{
	sd_event_source_disable_unref(l->io);
	if (l->fd >= 0)
		close(l->fd);
	if (l->path) {
		unlink(l->path);
		free(l->path);
	}
	free(l);
}

int server_add_listener(
	struct server *server, int fd, char *path, enum client_way way, bool read_only, struct error *err)
{
	struct server_listener *l = NEW(struct server_listener);
	int r;

	l->server = server;
	l->fd = fd;
	l->path = path;
	l->way = way;
	l->read_only = read_only;
	VEC_ADD(&server->listeners, l);
	r = sd_event_add_io(server->loop, &l->io, fd, EPOLLIN, on_connection, l);
	return r < 0 ? error_errno(err, -r, "listen") : 0;
}

/* A socket file nobody listens on any more is left by a daemon that was killed. */
static int remove_stale(const struct sockaddr_un *address, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_errno(err, errno, "listen on %s", address->sun_path);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
		return error_set(
			err, ERROR_SYSTEM, "listen on %s: another process does already", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return error_errno(err, errno, "remove stale socket %s", address->sun_path);
	return 0;
}

static int bind_socket(int fd, const struct sockaddr_un *address, struct error *err)
{
	/* closed to everybody until mode and group are set */
	mode_t old = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	if (r < 0 && errno == EADDRINUSE) {
		if (remove_stale(address, err) < 0) {
			umask(old);
			return -1;
		}
		r = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	}
	umask(old);
	return r < 0 ? error_errno(err, errno, "listen on %s", address->sun_path) : 0;
}

static int listen_on(struct server *server, const struct server_socket *where, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	size_t len = strlen(where->path);
	mode_t mode;

	if (len >= sizeof(address.sun_path))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"listen on %s: the path is longer than %zu bytes", where->path,
			sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, where->path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, errno, "listen on %s", where->path);
	if (bind_socket(fd, &address, err) < 0)
		return -1;
	mode = where->read_only ? 0777 : server->has_group ? 0770 : 0700;
	if ((server->has_group && chown(where->path, (uid_t)-1, server->group) < 0) ||
		listen(fd, SOMAXCONN) < 0 || chmod(where->path, mode) < 0) {
		error_errno(err, errno, "listen on %s", where->path);
		unlink(where->path);
		return -1;
	}
	return server_add_listener(
		server, take_fd(&fd), xstrdup(where->path), CLIENT_LOCAL, where->read_only, err);
}

static int take_inherited(struct server *server, struct error *err)
{
	int n = sd_listen_fds(1);

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		struct sockaddr_un address = {0};
		socklen_t len = sizeof(address) - 1;

		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"inherited descriptor %d is not a listening UNIX socket", fd);
		if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
			return error_errno(err, errno, "inherited socket");
		if (server_add_listener(
			    server, fd, NULL, CLIENT_LOCAL, endswith(address.sun_path, "-ro"), err) < 0)
			return -1;
	}
	return 0;
}

static int find_group(struct server *server, const char *name, struct error *err)
{
	struct group *group;

	if (!name)
		return 0;
	errno = 0;
	group = getgrnam(name);
	if (!group)
		return error_set(err, ERROR_INVALID_ARGUMENT, "there is no group \"%s\"", name);
	server->group = group->gr_gid;
	server->has_group = true;
	return 0;
}

static void copy_settings(struct server *server, const struct server_settings *settings)
{
	server->settings = *settings;
	server->settings.sockets = NULL;
	server->settings.n_sockets = 0;
	server->settings.network = (struct server_network){0};
	server->settings.group = NULL;
	server->settings.hostname = xstrdup(settings->hostname ? settings->hostname : "localhost");
	server->settings.uri = xstrdup(settings->uri ? settings->uri : "qemu:///system");
	if (server->settings.max_client_requests == 0)
		server->settings.max_client_requests = 1;
}

int server_open(sd_event *loop, struct registry *registry, const struct server_settings *settings,
	struct server **ret, struct error *err)
{
	struct server *server = NEW(struct server);
	int r;

	server->loop = loop;
	server->registry = registry;
	list_init(&server->sessions);
	list_init(&server->arrivals);
	copy_settings(server, settings);
	r = sd_event_add_defer(loop, &server->reaper, reap, server);
	if (r >= 0)
		r = sd_event_source_set_enabled(server->reaper, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(
			loop, &server->accept_again, CLOCK_MONOTONIC, 0, 0, accept_again, server);
	if (r >= 0)
		r = sd_event_source_set_enabled(server->accept_again, SD_EVENT_OFF);
	if (r < 0) {
		error_errno(err, -r, "set up the server");
		goto fail;
	}
	if (host_open("/", &server->host, err) < 0 || find_group(server, settings->group, err) < 0 ||
		take_inherited(server, err) < 0)
		goto fail;
	/* before the sockets of this host, which say that all is there */
	if (network_listen(server, &settings->network, err) < 0)
		goto fail;
	for (size_t i = 0; i < settings->n_sockets; i++)
		if (listen_on(server, &settings->sockets[i], err) < 0)
			goto fail;
	registry_set_event_handler(registry, event_broadcast, server);
	*ret = server;
	return 0;
fail:
	server_close(server);
	return -1;
}

void server_close(struct server *server)
{
	struct session *s, *next;

	if (!server)
		return;
	registry_set_event_handler(server->registry, NULL, NULL);
	VEC_FOREACH (l, &server->listeners)
		free_listener(l);
	VEC_FREE(&server->listeners);
	network_close(server);
	LIST_FOREACH_SAFE (s, next, &server->sessions, link)
		session_close(s);
	sd_event_source_disable_unref(server->reaper);
	sd_event_source_disable_unref(server->accept_again);
	host_close(server->host);
	free((char *)server->settings.hostname);
	free((char *)server->settings.uri);
	free(server);
}

unsigned server_get_n_clients(const struct server *server)
{
	return server->n_sessions;
}
