/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listening for clients of other hosts. Done once, before anybody is served: looking up our own address may block. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "alloc.h"
#include "log.h"
#include "session.h"

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
	if (n->tcp_port) {
		if (listen_on_port(server, n->address, n->tcp_port, CLIENT_TCP, err) < 0)
			return -1;
		log_warning(
			"TCP port %s: unencrypted, and whoever can connect may do everything", n->tcp_port);
	}
	if (!n->tls_port)
		return 0;
	if (tls_context_open(&n->tls, &server->tls, err) < 0 ||
		listen_on_port(server, n->address, n->tls_port, CLIENT_TLS, err) < 0)
		return -1;
	if (n->tls.no_verify)
		log_warning(
			"TLS port %s: no certificate is asked for, and whoever can connect may do everything",
			n->tls_port);
	return 0;
}

/* ---- handshakes ---- */

struct arrival {
	struct list link; /* in server->arrivals */
	struct server *server;
	struct tls_handshake *handshake;
	struct client_origin origin;
};

static void free_arrival(struct arrival *a)
{
	list_remove(&a->link);
	a->server->n_arrivals--;
	tls_handshake_free(a->handshake);
	free(a);
}

static void on_shaken(struct transport *t, const char *dn, const struct error *why, void *userdata)
{
	struct arrival *a = userdata;
	struct error err = ERROR_INIT;
	size_t len = strlen(a->origin.name);

	if (why) {
		log_warning("client (%s) turned away: %s", a->origin.name, why->message);
		free_arrival(a);
		return;
	}
	if (dn)
		snprintf(a->origin.name + len, sizeof(a->origin.name) - len, ", %s", dn);
	if (session_open(a->server, -1, t, &a->origin, &err) < 0)
		log_info("client (%s) turned away: %s", a->origin.name, err.message);
	free_arrival(a);
}

int network_welcome(struct server *server, int fd, const struct client_origin *o, struct error *err)
{
	struct arrival *a = NEW(struct arrival);

	a->server = server;
	a->origin = *o;
	if (tls_handshake_start(server->loop, server->tls, fd, NULL, on_shaken, a, &a->handshake, err) < 0) {
		free(a);
		return -1;
	}
	list_add_tail(&server->arrivals, &a->link);
	server->n_arrivals++;
	return 0;
}

void network_close(struct server *server)
{
	while (!list_empty(&server->arrivals))
		free_arrival(container_of(server->arrivals.next, struct arrival, link));
	tls_context_close(TAKE_PTR(server->tls));
}
