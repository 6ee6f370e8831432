/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listening for clients of other hosts. Done once, before anybody is served: looking up our own address may block. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "server-internal.h"

/* 1, or 0 with errno when this host cannot have such an address, -1 with err. */
static int listen_at(struct server *server, const struct addrinfo *where, enum client_way way,
	const char *what, struct error *err)
{
	_cleanup_close_ int fd =
		socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, where->ai_protocol);
	int on = 1;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : error_errno(err, errno, "listen on %s", what);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* IPv4 has a socket of its own */
	if (where->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, where->ai_addr, where->ai_addrlen) < 0)
		return errno == EADDRNOTAVAIL ? 0 : error_errno(err, errno, "listen on %s", what);
	if (listen(fd, SOMAXCONN) < 0)
		return error_errno(err, errno, "listen on %s", what);
	return server_add_listener(server, take_fd(&fd), NULL, way, false, err) < 0 ? -1 : 1;
}

static int listen_on_port(
	struct server *server, const char *address, const char *port, enum client_way way, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found;
	int r, n = 0, errnum = EADDRNOTAVAIL;
	char what[300];

	snprintf(what, sizeof(what), "%.255s port %s", address ? address : "every address,", port);
	r = getaddrinfo(address, port, &hints, &found);
	if (r != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "listen on %s: %s", what,
			r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	for (const struct addrinfo *i = found; i && r >= 0; i = i->ai_next) {
		r = listen_at(server, i, way, what, err);
		if (r == 0)
			errnum = errno;
		else
			n += r;
	}
	freeaddrinfo(found);
	if (r < 0)
		return -1;
	return n > 0 ? 0 : error_errno(err, errnum, "listen on %s", what);
}

int network_listen(struct server *server, const struct server_network *n, struct error *err)
{
	if (!n->tcp_port)
		return 0;
	if (listen_on_port(server, n->address, n->tcp_port, CLIENT_TCP, err) < 0)
		return -1;
	log_warning("TCP port %s: unencrypted, and whoever can connect may do everything", n->tcp_port);
	return 0;
}
