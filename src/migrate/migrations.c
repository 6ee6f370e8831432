/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports, and the directory of what must be known after a restart. */
#include "migrations.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "file.h"
#include "ports.h"

enum { LISTEN_BACKLOG = 16 };

const struct migrations_settings *migrations_get_settings(const struct migrations *m)
{
	return &m->settings;
}

int migrations_open(
	sd_event *loop, const struct migrations_settings *s, struct migrations **ret, struct error *err)
{
	struct migrations *m = NEW(struct migrations);
	_cleanup_free_ char *path = xasprintf("%s/migration", s->lib_dir);

	m->loop = sd_event_ref(loop);
	m->settings = *s;
	m->settings.lib_dir = xstrdup(s->lib_dir);
	m->settings.migration_host = xstrdup(s->migration_host);
	m->settings.migration_address = xstrdup(s->migration_address);
	m->dir_fd = dir_open_or_make(path, 0700, err);
	if (m->dir_fd < 0 || verdicts_open_place(m, err) < 0 || verdicts_load(m, err) < 0) {
		migrations_close(m);
		return -1;
	}
	*ret = m;
	return 0;
}

void migrations_close(struct migrations *m)
{
	if (!m)
		return;
	target_forget_offline(m, NULL);
	check_shut_all(m);
	verdicts_close(m);
	sd_event_source_disable_unref(m->retry);
	VEC_FREE(&m->ports);
	close_p(&m->dir_fd);
	free(m->place);
	free((char *)m->settings.lib_dir);
	free((char *)m->settings.migration_host);
	free((char *)m->settings.migration_address);
	sd_event_unref(m->loop);
	free(m);
}

/* ---- ports ---- */

/* A numeric address: nothing is looked up. */
static int open_address(const struct migrations *m, uint16_t port, int *ret_family,
	struct sockaddr_storage *ret, socklen_t *ret_len, struct error *err)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
		.ai_family = m->settings.migration_address ? AF_UNSPEC : AF_INET6};
	struct addrinfo *found = NULL;
	char service[8];
	int r;

	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(m->settings.migration_address, service, &hints, &found);
	if (r != 0)
		return error_set(err, ERROR_OPERATION_FAILED, "migration_address '%s': %s",
			m->settings.migration_address ? m->settings.migration_address : "", gai_strerror(r));
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	*ret_family = found->ai_family;
	freeaddrinfo(found);
	return 0;
}

/* A host without IPv6 has no sockets of it. */
static int bind_any4(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int bind_port(const struct migrations *m, uint16_t port, struct error *err)
{
	struct sockaddr_storage address;
	int family = AF_UNSPEC, one = 1, zero = 0;
	_cleanup_close_ int fd = -1;
	socklen_t len = 0;

	if (open_address(m, port, &family, &address, &len, err) < 0)
		return -1;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && !m->settings.migration_address)
		return bind_any4(port);
	if (fd < 0)
		return error_errno(err, errno, "create a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6 && !m->settings.migration_address)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&address, len) < 0)
		return error_errno(err, errno, "bind port %u", port);
	return take_fd(&fd);
}

static bool is_taken(const struct migrations *m, uint16_t port)
{
	for (size_t i = 0; i < m->ports.n; i++)
		if (m->ports.items[i] == port)
			return true;
	return false;
}

static int listen_on(struct migrations *m, uint16_t port, struct error *err)
{
	_cleanup_close_ int fd = bind_port(m, port, err);

	if (fd < 0)
		return -1;
	/* Also that of somebody who has bound it and not listened yet is refused here. */
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return error_errno(err, errno, "listen on port %u", port);
	return take_fd(&fd);
}

int migrations_listen(struct migrations *m, uint16_t port, int *ret_fd, uint16_t *ret_port, struct error *err)
{
	unsigned first = port ? port : m->settings.port_min, last = port ? port : m->settings.port_max;
	struct error why = ERROR_INIT;

	for (unsigned p = first; p <= last; p++) {
		int fd = is_taken(m, (uint16_t)p) ? -1 : listen_on(m, (uint16_t)p, &why);

		if (fd < 0)
			continue;
		VEC_ADD(&m->ports, (uint16_t)p);
		*ret_fd = fd;
		*ret_port = (uint16_t)p;
		return 0;
	}
	return error_set(err, ERROR_OPERATION_FAILED, "no port from %u to %u is free for a migration%s%s",
		first, last, why.code != ERROR_NONE ? ": " : "", why.message);
}

int ports_take(struct migrations *m, uint16_t *ret, struct error *err)
{
	int fd;

	if (migrations_listen(m, 0, &fd, ret, err) < 0)
		return -1;
	close(fd);
	return 0;
}

void ports_give(struct migrations *m, uint16_t port)
{
	for (size_t i = 0; i < m->ports.n; i++) {
		if (m->ports.items[i] == port) {
			VEC_REMOVE(&m->ports, i);
			return;
		}
	}
}
