/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share about the server. */
#pragma once

#include <sys/types.h>

#include "host.h"
#include "list.h"
#include "server.h"

/* Whoever has not opened a connection after this long is dropped. */
#define SERVER_OPEN_TIMEOUT_USEC (60 * 1000000ull)

enum client_way { CLIENT_LOCAL, CLIENT_TCP, CLIENT_TLS };

/* Who has come in, as far as it is known. */
struct client_origin {
	enum client_way way;
	bool read_only;
	char name[256]; /* in messages: "process 123", "10.0.0.1:4444", "10.0.0.1:4444, CN=host2" */
};

struct server_listener {
	struct server *server;
	sd_event_source *io;
	char *path; /* removed at the end; NULL when inherited, and of a network */
	enum client_way way;
	bool read_only;
	int fd;
};

struct server {
	sd_event *loop;
	struct registry *registry;
	struct host *host;
	struct server_settings settings; /* strings owned */
	gid_t group;
	bool has_group;
	VEC(struct server_listener *) listeners;
	struct list sessions;
	unsigned n_sessions, n_read_only;
	struct tls_context *tls; /* NULL: no TLS */
	struct list arrivals;	 /* handshakes */
	unsigned n_arrivals;
	sd_event_source *reaper;       /* closes sessions that are doomed */
	sd_event_source *accept_again; /* after running out of descriptors */
	bool full_logged;
};

/* May the peer of this socket use it? ERROR_AUTH says why not. Fills in the name. */
int access_check(const struct server *server, int fd, struct client_origin *o, struct error *err);

/* `fd` and `path` (may be NULL) are taken, also on failure. */
int server_add_listener(
	struct server *server, int fd, char *path, enum client_way way, bool read_only, struct error *err);

/* On every address that there is. */
int network_listen(struct server *server, const struct server_network *n, struct error *err);
/* Somebody of CLIENT_TLS: once hands are shaken he has a session. `fd` is owned from here on, also on failure. */
int network_welcome(struct server *server, int fd, const struct client_origin *o, struct error *err);
void network_close(struct server *server);
