/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's network: an address given by hand, and echo over TCP and UDP on port 7. */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO_PORT = 7, CLIENTS = 16, FIRST_CLIENT = 2 };

static struct sockaddr_in ip_address(const char *text, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, text, &a.sin_addr);
	return a;
}

static bool set_up(int s, const char *name, const struct settings *settings)
{
	struct sockaddr_in a = ip_address(settings->address, 0), m = ip_address(settings->netmask, 0);
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	memcpy(&request.ifr_addr, &a, sizeof a);
	if (ioctl(s, SIOCSIFADDR, &request) < 0)
		return false;
	memcpy(&request.ifr_netmask, &m, sizeof m);
	if (ioctl(s, SIOCSIFNETMASK, &request) < 0)
		return false;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(s, SIOCSIFFLAGS, &request) == 0;
}

void network_configure(const struct settings *s, int console)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in gateway = ip_address(s->gateway, 0), all = ip_address("0.0.0.0", 0);
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	if (!set_up(fd, "eth0", s)) {
		say(console, "GW network=none errno=%d", errno);
		close(fd);
		return;
	}
	memcpy(&route.rt_gateway, &gateway, sizeof gateway);
	memcpy(&route.rt_dst, &all, sizeof all);
	memcpy(&route.rt_genmask, &all, sizeof all);
	if (gateway.sin_addr.s_addr && ioctl(fd, SIOCADDRT, &route) < 0)
		say(console, "E route errno=%d", errno);
	close(fd);
	say(console, "GW network=%s", s->address);
}

void network_check(struct verdict *ret)
{
	FILE *f = fopen("/sys/class/net/eth0/carrier", "re");
	int carrier = 0;

	if (f && fscanf(f, "%d", &carrier) != 1)
		carrier = 0;
	if (f)
		fclose(f);
	ret->good = carrier == 1;
	snprintf(ret->text, sizeof ret->text, "carrier=%d", carrier);
}

static void echo_datagram(int fd)
{
	char buffer[2048];
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);

	if (n >= 0)
		sendto(fd, buffer, (size_t)n, 0, (struct sockaddr *)&from, length);
}

/* false: the client is gone. Small pieces come back whole, so a blocking send is no danger here. */
static bool echo_stream(int fd)
{
	char buffer[2048];
	ssize_t n = recv(fd, buffer, sizeof buffer, 0);

	return n > 0 && send(fd, buffer, (size_t)n, MSG_NOSIGNAL) == n;
}

static void accept_client(int listener, struct pollfd *p)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	for (int i = FIRST_CLIENT; fd >= 0 && i < FIRST_CLIENT + CLIENTS; i++)
		if (p[i].fd < 0) {
			p[i].fd = fd;
			return;
		}
	if (fd >= 0)
		close(fd);
}

void *echo_run(void *argument)
{
	struct guest *g = argument;
	struct sockaddr_in any = ip_address("0.0.0.0", ECHO_PORT);
	struct pollfd p[FIRST_CLIENT + CLIENTS];

	for (int i = 0; i < FIRST_CLIENT + CLIENTS; i++)
		p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	p[0].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	p[1].fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(p[0].fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(p[0].fd, CLIENTS) < 0 ||
		bind(p[1].fd, (struct sockaddr *)&any, sizeof any) < 0) {
		say(g->console, "E echo errno=%d", errno);
		return NULL;
	}
	while (poll(p, FIRST_CLIENT + CLIENTS, -1) >= 0) {
		if (p[0].revents)
			accept_client(p[0].fd, p);
		if (p[1].revents)
			echo_datagram(p[1].fd);
		for (int i = FIRST_CLIENT; i < FIRST_CLIENT + CLIENTS; i++)
			if (p[i].fd >= 0 && p[i].revents && !echo_stream(p[i].fd)) {
				close(p[i].fd);
				p[i].fd = -1;
			}
	}
	return NULL;
}
