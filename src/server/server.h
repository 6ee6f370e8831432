/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The side of the daemon that clients see: sockets, who may use them, and libvirt's protocol on them.
 *
 * Who may connect: to a read-write socket root, the daemon's own user, and members of `group`; to a read-only one
 * everybody that the file's mode lets in. Calls that change anything are refused on a read-only socket. By TCP, if that is asked for,
 * everybody: nobody there says who he is. By TLS whoever has a certificate that tls_settings accept.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "registry.h"
#include "tls.h"

struct server;

struct server_socket {
	const char *path; /* absolute; shorter than 108 bytes (unix(7)) */
	bool read_only;
};

/* Where clients of other hosts come in. */
struct server_network {
	const char *address;  /* of this host, or a name of it; NULL: every address */
	const char *tcp_port; /* NULL: no TCP */
	const char *tls_port; /* NULL: no TLS */
	struct tls_settings tls;
};

struct server_settings {
	const struct server_socket *sockets; /* besides those that systemd hands over */
	size_t n_sockets;
	struct server_network network;
	const char *group;	      /* NULL: none */
	unsigned max_clients;	      /* more are turned away */
	unsigned max_client_requests; /* at work for one client; more wait */
	unsigned keepalive_interval;  /* seconds; 0: clients are never asked */
	unsigned keepalive_count;     /* unanswered before the client counts as gone */
	const char *hostname;
	const char *uri; /* answer to CONNECT_GET_URI: "qemu:///system" */
};

/* clang-format off */
#define SERVER_SETTINGS_DEFAULT \
	{.max_clients = 5000, .max_client_requests = 5, .keepalive_interval = 5, .keepalive_count = 5, \
		.uri = "qemu:///system"}
/* clang-format on */

/* Listen. Settings are copied. Takes the registry's event handler; the registry must outlive the server. */
int server_open(sd_event *loop, struct registry *registry, const struct server_settings *settings,
	struct server **ret, struct error *err);
/* Stop listening, drop every client. Sockets that this server made are removed. Accepts NULL. */
void server_close(struct server *server);

unsigned server_get_n_clients(const struct server *server);

/* Serve one connected socket as if it had been accepted; for tests. `fd` is owned from here on. */
int server_add_client(struct server *server, int fd, bool read_only, struct error *err);
