/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may use a socket: the kernel's word about the peer decides. */
#include <errno.h>
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

int access_check(
	const struct server *server, int fd, bool read_only, struct ucred *ret_peer, struct error *err)
{
	socklen_t len = sizeof(*ret_peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &len) < 0)
		return error_errno(err, errno, "find out who connects");
	if (read_only || ret_peer->uid == 0 || ret_peer->uid == geteuid())
		return 0;
	if (server->has_group && peer_in_group(fd, ret_peer, server->group))
		return 0;
	return error_set(err, ERROR_AUTH, "user %u (process %d) may not use this socket", ret_peer->uid,
		ret_peer->pid);
}
