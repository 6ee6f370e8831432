/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share about the server. */
#pragma once

#include <sys/types.h>

#include "host.h"
#include "list.h"
#include "server.h"

/* Whoever has not opened a connection after this long is dropped. */
#define SERVER_OPEN_TIMEOUT_USEC (60 * 1000000ull)

struct server_listener {
	struct server *server;
	sd_event_source *io;
	char *path; /* removed at the end; NULL when inherited */
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
	sd_event_source *reaper;       /* closes sessions that are doomed */
	sd_event_source *accept_again; /* after running out of descriptors */
	bool full_logged;
};

/* May the peer of this socket use it? ERROR_AUTH says why not. */
int access_check(
	const struct server *server, int fd, bool read_only, struct ucred *ret_peer, struct error *err);
