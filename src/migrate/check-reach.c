/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Can the other host be reached by its name, and at a port that it listens on for this (check-listen.c)? For a child process. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "check.h"

enum { WAIT_MS = 3000 };

/* Without brackets. NULL, and *ret_why, when it cannot be found; freeaddrinfo. */
static struct addrinfo *look_up(const char *host, const char *port, const char **ret_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
	_cleanup_free_ char *bare = xstrndup(host + (*host == '['), strlen(host) - (*host == '[' ? 2 : 0));
	int r = getaddrinfo(bare, port, &hints, &found);

	if (r == 0)
		return found;
	*ret_why = r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
	return NULL;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24) == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

void check_name(json *rows, const char *what, const char *host, bool loopback_will_do, enum check_status bad)
{
	char address[NI_MAXHOST] = "?";
	const char *why = NULL;
	struct addrinfo *found = look_up(host, "0", &why);
	bool is_bad = false;

	if (!found) {
		check_add(rows, bad, 0, what, "make the name known (DNS, /etc/hosts)",
			"'%s' cannot be looked up: %s", host, why);
		return;
	}
	for (const struct addrinfo *i = found; i && !loopback_will_do; i = i->ai_next)
		is_bad |= is_loopback(i->ai_addr);
	getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST);
	check_add(rows, is_bad ? bad : CHECK_OK, 0, what,
		"let it mean an address that other hosts reach (/etc/hosts), or set migration_host",
		"'%s' is %s%s", host, address, is_bad ? ", and loopback leads back to the host itself" : "");
	freeaddrinfo(found);
}

/* ---- ports ---- */

/* 0, or why not. */
static int try_to_connect(const struct addrinfo *to)
{
	_cleanup_close_ int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd poller = {fd, POLLOUT, 0};
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return errno;
	if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (poll(&poller, 1, WAIT_MS) <= 0)
		return ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

void check_port(json *rows, const char *host, uint16_t port)
{
	_cleanup_free_ char *service = xasprintf("%u", port);
	const char *why = NULL;
	struct addrinfo *found = look_up(host, service, &why);
	int error = EHOSTUNREACH;

	for (const struct addrinfo *i = found; i && error; i = i->ai_next)
		error = try_to_connect(i);
	check_add(rows, error ? CHECK_FAILURE : CHECK_OK, 0, "ports",
		"open migration_port_min to migration_port_max in the destination's firewall, and in those "
		"between",
		"port %u of %s, for all of the range: %s", port, host,
		error ? (found ? strerror(error) : why) : "can be reached");
	if (found)
		freeaddrinfo(found);
}
