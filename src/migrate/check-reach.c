/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Can the other host be reached by its name, and at its ports? Nobody listens there before a migration, so what is wanted is a refusal: that comes
 * from the host itself. Silence, or a router's word, means that something is in between. For a child process.
 */
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
#include "clock.h"
#include "strv.h"

enum { PORTS_MAX = 256, PORTS_WAIT_MS = 3000 };

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

struct tries {
	struct pollfd fds[PORTS_MAX];
	unsigned first, n, pending, n_bad;
	unsigned first_bad;
	int reason; /* of it; 0: silence */
};

static void note_end(struct tries *t, unsigned i, int error)
{
	close(t->fds[i].fd);
	t->fds[i].fd = -1;
	t->pending--;
	if (error == ECONNREFUSED || error == 0)
		return;
	if (t->n_bad++ == 0) {
		t->first_bad = t->first + i;
		t->reason = error;
	}
}

static void begin(struct tries *t, unsigned i, const struct addrinfo *to)
{
	struct sockaddr_storage address = {0};

	memcpy(&address, to->ai_addr, to->ai_addrlen);
	if (to->ai_family == AF_INET6)
		((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)(t->first + i));
	else
		((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)(t->first + i));
	t->fds[i] = (struct pollfd){
		socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), POLLOUT, 0};
	t->pending++;
	if (t->fds[i].fd < 0)
		note_end(t, i, errno);
	else if (connect(t->fds[i].fd, (struct sockaddr *)&address, to->ai_addrlen) == 0)
		note_end(t, i, 0);
	else if (errno != EINPROGRESS)
		note_end(t, i, errno);
}

static void wait_for_all(struct tries *t)
{
	uint64_t until = clock_now() + PORTS_WAIT_MS * USEC_PER_MSEC, now;

	while (t->pending > 0 && (now = clock_now()) < until) {
		if (poll(t->fds, t->n, (int)((until - now) / USEC_PER_MSEC) + 1) <= 0)
			continue;
		for (unsigned i = 0; i < t->n; i++) {
			int error = 0;
			socklen_t len = sizeof(error);

			if (t->fds[i].fd < 0 || !t->fds[i].revents)
				continue;
			getsockopt(t->fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
			note_end(t, i, error);
		}
	}
	for (unsigned i = 0; i < t->n; i++)
		if (t->fds[i].fd >= 0)
			note_end(t, i, ETIMEDOUT);
}

void check_ports(json *rows, const char *host, unsigned first, unsigned last)
{
	struct tries *t;
	const char *why = NULL;
	struct addrinfo *found = look_up(host, "0", &why);

	if (!found || first == 0 || last < first) {
		freeaddrinfo(found);
		check_add(rows, CHECK_FAILURE, 0, "ports", "make the other host's name known",
			"not tried: '%s' cannot be looked up", host);
		return;
	}
	t = NEW(struct tries);
	t->first = first;
	t->n = last - first + 1 < PORTS_MAX ? last - first + 1 : PORTS_MAX;
	for (unsigned i = 0; i < t->n; i++)
		begin(t, i, found);
	wait_for_all(t);
	if (t->n_bad)
		check_add(rows, CHECK_FAILURE, 0, "ports",
			"open them in the destination's firewall, and those between",
			"%u of %u ports of %s cannot be reached, the first is %u: %s", t->n_bad, t->n, host,
			t->first_bad, strerror(t->reason));
	else
		check_add(rows, CHECK_OK, 0, "ports", NULL, "%s can be reached at %u to %u", host, first,
			first + t->n - 1);
	freeaddrinfo(found);
	free(t);
}
