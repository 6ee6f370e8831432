/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may use a socket: the kernel's word about the peer decides. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "server-internal.h"

#define GROUPS_FIRST 64

/* Is the peer's process in the group, first or supplementary? */
static bool peer_in_group(int fd, const struct ucred *peer, gid_t group)
{
	socklen_t len = GROUPS_FIRST * sizeof(gid_t);
	_cleanup_free_ gid_t *groups = xcalloc(1, len);
	int r;

	if (peer->gid == group)
		return true;
	r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	if (r < 0 && errno == ERANGE) { /* len is what it needs now; the kernel allows 65536 groups */
		free(groups);
		groups = xcalloc(1, len);
		r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	}
	if (r < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static int name_address(int fd, struct client_origin *o, struct error *err)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[64], port[8];

	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
		return error_errno(err, errno, "find out who connects");
	if (getnameinfo((const struct sockaddr *)&address, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return error_set(err, ERROR_INTERNAL, "find out who connects");
	snprintf(o->name, sizeof(o->name), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

int access_check(const struct server *server, int fd, struct client_origin *o, struct error *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (o->way != CLIENT_LOCAL)
		return name_address(fd, o, err);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return error_errno(err, errno, "find out who connects");
	snprintf(o->name, sizeof(o->name), "process %d", peer.pid);
	if (o->read_only || peer.uid == 0 || peer.uid == geteuid())
		return 0;
	if (server->has_group && peer_in_group(fd, &peer, server->group))
		return 0;
	return error_set(err, ERROR_AUTH, "user %u (process %d) may not use this socket", peer.uid, peer.pid);
}
