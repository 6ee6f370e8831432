/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's side of qemu-ga's protocol, on the port org.qemu.guest_agent.0, with gw.agent=MODE; and its bad manners: README.md has the modes.
 *
 * Freezing means that nothing is written to the disks until they are thawed.
 */
#include "guest.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "org.qemu.guest_agent.0"

enum { LINE = 4096, ANSWER = 8192 };

struct answer {
	char text[ANSWER];
};

static void put(struct answer *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct answer *a, const char *format, ...)
{
	size_t used = strlen(a->text);
	va_list ap;

	va_start(ap, format);
	vsnprintf(a->text + used, sizeof a->text - used, format, ap);
	va_end(ap);
}

/* The value behind "key": in a command; NULL when there is none. */
static const char *find_value(const char *line, const char *key)
{
	char quoted[64];
	const char *p;

	snprintf(quoted, sizeof quoted, "\"%s\":", key);
	p = strstr(line, quoted);
	return p ? p + strlen(quoted) + strspn(p + strlen(quoted), " ") : NULL;
}

static bool get_word(const char *line, const char *key, char *ret, size_t size)
{
	const char *p = find_value(line, key);

	if (!p || *p != '"')
		return false;
	snprintf(ret, size, "%.*s", (int)strcspn(p + 1, "\""), p + 1);
	return true;
}

bool agent_is(struct guest *g, const char *mode)
{
	bool same;

	pthread_mutex_lock(&g->agent.lock);
	same = strcmp(g->agent.mode, mode) == 0;
	pthread_mutex_unlock(&g->agent.lock);
	return same;
}

void agent_set_mode(struct guest *g, const char *mode)
{
	pthread_mutex_lock(&g->agent.lock);
	snprintf(g->agent.mode, sizeof g->agent.mode, "%s", mode);
	pthread_mutex_unlock(&g->agent.lock);
}

/* ---- commands ---- */

static void set_frozen(struct guest *g, bool frozen, struct answer *a)
{
	uint64_t counter = disks_freeze(g, frozen);

	if (frozen)
		sync();
	if (g->agent.frozen != frozen)
		say(g->console, "GW %s counter=%llu", frozen ? "frozen" : "thawed",
			(unsigned long long)counter);
	put(a, "%zu", g->agent.frozen != frozen && !disks_missing(g) ? g->n_disks : 0);
	g->agent.frozen = frozen;
}

static void freeze(struct guest *g, const char *line, struct answer *a)
{
	(void)line;
	set_frozen(g, true, a);
}

static void thaw(struct guest *g, const char *line, struct answer *a)
{
	(void)line;
	set_frozen(g, false, a);
}

static void freeze_status(struct guest *g, const char *line, struct answer *a)
{
	(void)line;
	put(a, "\"%s\"", g->agent.frozen ? "frozen" : "thawed");
}

static void nothing(struct guest *g, const char *line, struct answer *a)
{
	(void)g;
	(void)line;
	put(a, "{}");
}

static void get_time(struct guest *g, const char *line, struct answer *a)
{
	(void)g;
	(void)line;
	put(a, "%llu", (unsigned long long)wall_us() * 1000);
}

static void set_time(struct guest *g, const char *line, struct answer *a)
{
	const char *value = find_value(line, "time");
	long long ns = value ? strtoll(value, NULL, 10) : 0;
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	if (value)
		clock_settime(CLOCK_REALTIME, &t);
	say(g->console, "GW set-time=%lld", ns);
	put(a, "{}");
}

static void shut_down(struct guest *g, const char *line, struct answer *a)
{
	char mode[16] = "powerdown";

	(void)a;
	get_word(line, "mode", mode, sizeof mode);
	say(g->console, "GW agent-shutdown mode=%s", mode);
	if (strcmp(mode, "reboot") != 0)
		power_off();
	sync();
	reboot(RB_AUTOBOOT);
}

/* "/dev/vda" is at the last PCI address on the way to it in /sys. */
static void put_disk(struct answer *a, const char *device)
{
	unsigned at[4] = {0}, found[4];
	char path[64], link[512];
	ssize_t n;

	snprintf(path, sizeof path, "/sys/block/%s", device);
	n = readlink(path, link, sizeof link - 1);
	link[n < 0 ? 0 : n] = 0;
	for (char *rest = link, *part; (part = strsep(&rest, "/"));)
		if (sscanf(part, "%4x:%2x:%2x.%1x", &found[0], &found[1], &found[2], &found[3]) == 4)
			memcpy(at, found, sizeof at);
	put(a,
		"{\"bus-type\": \"virtio\", \"bus\": 0, \"target\": 0, \"unit\": 0, \"dev\": \"/dev/%s\", "
		"\"pci-controller\": "
		"{\"domain\": %u, \"bus\": %u, \"slot\": %u, \"function\": %u}}",
		device, at[0], at[1], at[2], at[3]);
}

static void get_fsinfo(struct guest *g, const char *line, struct answer *a)
{
	(void)line;
	put(a, "[");
	for (size_t i = 0; i < g->n_disks; i++) {
		const char *device = g->disks[i].path + strlen("/dev/");

		put(a,
			"%s{\"name\": \"%s\", \"mountpoint\": \"/disk%zu\", \"type\": \"ring\", "
			"\"total-bytes\": 1048576, "
			"\"used-bytes\": 1048576, \"disk\": [",
			i ? ", " : "", device, i);
		put_disk(a, device);
		put(a, "]}");
	}
	put(a, "]");
}

static void get_name(struct guest *g, const char *line, struct answer *a)
{
	(void)g;
	(void)line;
	put(a, "{\"host-name\": \"counting-guest\"}");
}

static void get_os(struct guest *g, const char *line, struct answer *a)
{
	(void)g;
	(void)line;
	put(a, "{\"id\": \"counting\", \"name\": \"Counting Linux\", \"machine\": \"x86_64\"}");
}

static void get_interfaces(struct guest *g, const char *line, struct answer *a)
{
	(void)line;
	put(a,
		"[{\"name\": \"eth0\", \"hardware-address\": \"52:54:00:12:34:56\", \"ip-addresses\": "
		"[{\"ip-address-type\": "
		"\"ipv4\", \"ip-address\": \"%s\", \"prefix\": 24}]}]",
		g->settings.address);
}

/* The kernel lets a CPU be taken off line when it has this file. */
static void cpu_path(char *ret, size_t size, unsigned cpu)
{
	snprintf(ret, size, "/sys/devices/system/cpu/cpu%u/online", cpu);
}

static bool is_online(const char *path)
{
	FILE *f = fopen(path, "re");
	int c = f ? fgetc(f) : '1';

	if (f)
		fclose(f);
	return c == '1';
}

static void get_vcpus(struct guest *g, const char *line, struct answer *a)
{
	(void)g;
	(void)line;
	put(a, "[");
	for (unsigned cpu = 0; cpu < (unsigned)sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		char path[64];

		cpu_path(path, sizeof path, cpu);
		put(a, "%s{\"logical-id\": %u, \"online\": %s, \"can-offline\": %s}", cpu ? ", " : "", cpu,
			is_online(path) ? "true" : "false", access(path, F_OK) == 0 ? "true" : "false");
	}
	put(a, "]");
}

/* One at a time, as a guest may: the host has to say the rest again. */
static void set_vcpus(struct guest *g, const char *line, struct answer *a)
{
	const char *id = find_value(line, "logical-id"), *online = find_value(line, "online");
	char path[64];
	FILE *f;

	(void)g;
	cpu_path(path, sizeof path, id ? (unsigned)strtoul(id, NULL, 10) : 0);
	f = fopen(path, "we");
	if (f)
		fputc(online && *online == 't' ? '1' : '0', f);
	put(a, "%d", f && fclose(f) == 0);
}

static const struct {
	const char *name;
	void (*run)(struct guest *g, const char *line, struct answer *a);
	bool while_frozen;
} commands[] = {
	{"guest-ping", nothing, true},
	{"guest-info", nothing, true},
	{"guest-fsfreeze-freeze", freeze, false},
	{"guest-fsfreeze-freeze-list", freeze, false},
	{"guest-fsfreeze-thaw", thaw, true},
	{"guest-fsfreeze-status", freeze_status, true},
	{"guest-fstrim", nothing, false},
	{"guest-get-time", get_time, true},
	{"guest-set-time", set_time, false},
	{"guest-shutdown", shut_down, false},
	{"guest-get-fsinfo", get_fsinfo, false},
	{"guest-get-host-name", get_name, false},
	{"guest-get-osinfo", get_os, false},
	{"guest-get-vcpus", get_vcpus, false},
	{"guest-set-vcpus", set_vcpus, false},
	{"guest-network-get-interfaces", get_interfaces, false},
	{"guest-set-user-password", nothing, false},
};

static void answer(struct guest *g, const char *name, const char *line, struct answer *a)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		if (g->agent.frozen && !commands[i].while_frozen)
			break;
		put(a, "{\"return\": ");
		commands[i].run(g, line, a);
		put(a, "}\n");
		return;
	}
	put(a, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Command %.64s %s\"}}\n", name,
		g->agent.frozen ? "has been disabled: the agent is in frozen state" : "not found");
}

/* ---- manners ---- */

static void send_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n <= 0)
			return; /* nobody listens */
		text += n;
		length -= (size_t)n;
	}
}

static void talk_without_end(struct guest *g, int fd, const char *mode)
{
	char block[LINE];

	memset(block, 'x', sizeof block);
	while (agent_is(g, mode))
		if (write(fd, block, sizeof block) <= 0)
			sleep_ms(20);
	send_all(fd, "\n", 1);
}

static void obey(struct guest *g, int fd, const char *line)
{
	struct answer a = {""};
	const char *id = find_value(line, "id");
	char name[64] = "";

	if (!get_word(line, "execute", name, sizeof name) || agent_is(g, "silent"))
		return;
	if (strncmp(name, "guest-sync", 10) == 0) {
		if (agent_is(g, "noise"))
			talk_without_end(g, fd, "noise");
		if (agent_is(g, "stale"))
			put(&a, "{\"return\": \"half an old one\xff{\"return\": 7}\n\xff\xff{\"error\": "
				"{}}\n");
		put(&a, "%s{\"return\": %lld}\n", strcmp(name, "guest-sync") == 0 ? "" : "\xff",
			id ? strtoll(id, NULL, 10) : 0);
		send_all(fd, a.text, strlen(a.text));
		return;
	}
	if (agent_is(g, "mute")) {
		say(g->console, "GW agent-mute command=%s", name);
		return;
	}
	if (agent_is(g, "endless"))
		talk_without_end(g, fd, "endless");
	if (agent_is(g, "garbage"))
		put(&a, "\x1b[2Jwhat?\n");
	else
		answer(g, name, line, &a);
	if (agent_is(g, "stale"))
		put(&a, "{\"return\": \"nobody asked\"}\n");
	send_all(fd, a.text, strlen(a.text));
}

static void *serve(void *argument)
{
	struct guest *g = argument;
	char line[LINE];
	size_t used = 0;

	for (;;) {
		struct pollfd p = {.fd = g->agent.fd, .events = POLLIN};
		unsigned char byte;

		if (poll(&p, 1, -1) < 0 || read(p.fd, &byte, 1) != 1) {
			sleep_ms(20); /* nobody at the other end of the port */
			continue;
		}
		if (byte == 0xff) {
			used = 0;
		} else if (byte != '\n') {
			if (used < sizeof line - 1)
				line[used++] = (char)byte;
		} else {
			line[used] = 0;
			used = 0;
			obey(g, p.fd, line);
		}
	}
	return NULL;
}

void agent_start(struct guest *g)
{
	char port[80];

	pthread_mutex_init(&g->agent.lock, NULL);
	agent_set_mode(g, g->settings.agent);
	if (!g->settings.agent[0])
		return;
	find_port(PORT_NAME, port, sizeof port);
	g->agent.fd = port[0] ? open(port, O_RDWR | O_CLOEXEC) : -1;
	say(g->console, "GW agent=%s", g->agent.fd < 0 ? "none" : g->settings.agent);
	if (g->agent.fd >= 0)
		start_thread(g, serve, g);
}
