/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands from outside, one a line, answered by one line "R COMMAND ok|bad key=value ...". */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#define CHANNEL_NAME "org.godwit.test.0"

struct channel {
	struct guest *guest;
	int fd;
};

static void check_memory(struct guest *g, struct verdict *ret)
{
	memory_check(&g->memory, ret);
}

static void check_disk(struct guest *g, struct verdict *ret)
{
	disks_check(g, ret);
}

static void check_clock(struct guest *g, struct verdict *ret)
{
	clock_report(&g->clock, ret);
}

static void check_all(struct guest *g, struct verdict *ret)
{
	struct verdict memory, disk, clock;

	memory_check(&g->memory, &memory);
	disks_check(g, &disk);
	clock_report(&g->clock, &clock);
	ret->good = memory.good && (disk.good || disks_missing(g)) && clock.good;
	snprintf(ret->text, sizeof ret->text, "memory=%s disk=%s clock=%s", memory.good ? "ok" : "bad",
		disks_missing(g) ? "none"
		: disk.good	 ? "ok"
				 : "bad",
		clock.good ? "ok" : "bad");
}

static void check_network(struct guest *g, struct verdict *ret)
{
	(void)g;
	network_check(ret);
}

static const struct {
	const char *name;
	void (*run)(struct guest *g, struct verdict *ret);
} queries[] = {
	{"check-memory", check_memory},
	{"check-disk", check_disk},
	{"check-network", check_network},
	{"check", check_all},
	{"status", check_clock},
};

static void crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "c", 1) != 1)
		abort(); /* the end of process 1 is a panic too */
}

static void obey(struct channel *c, const char *command)
{
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
		if (strcmp(command, queries[i].name) == 0) {
			struct verdict v = {0};

			queries[i].run(c->guest, &v);
			say(c->fd, "R %s %s %s", command, v.good ? "ok" : "bad", v.text);
			return;
		}
	if (strcmp(command, "poweroff") == 0) {
		say(c->fd, "R poweroff ok");
		power_off();
	} else if (strcmp(command, "reboot") == 0) {
		say(c->fd, "R reboot ok");
		sync();
		reboot(RB_AUTOBOOT);
	} else if (strncmp(command, "agent-", 6) == 0) {
		agent_set_mode(c->guest, command + 6);
		say(c->fd, "R %s ok", command);
	} else if (strcmp(command, "panic") == 0) {
		say(c->fd, "R panic ok");
		crash();
	} else if (command[0]) {
		say(c->fd, "R %.40s bad unknown=1", command);
	}
}

static void *serve(void *argument)
{
	struct channel *c = argument;
	char line[128];
	size_t used = 0;

	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		char byte;

		if (poll(&p, 1, -1) < 0 || read(c->fd, &byte, 1) != 1) {
			sleep_ms(20); /* nobody at the other end of the port */
			continue;
		}
		if (byte != '\n' && byte != '\r') {
			if (used < sizeof line - 1)
				line[used++] = byte;
			continue;
		}
		line[used] = 0;
		used = 0;
		obey(c, line);
	}
	return NULL;
}

static void open_channel(struct guest *g, const char *path)
{
	struct channel *c = calloc(1, sizeof *c);
	struct termios t;

	c->guest = g;
	c->fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->fd < 0) {
		free(c);
		return;
	}
	if (tcgetattr(c->fd, &t) == 0) {
		cfmakeraw(&t);
		t.c_oflag |= OPOST | ONLCR;
		tcsetattr(c->fd, TCSANOW, &t);
	} else if (strstr(path, "/ttyS")) {
		close(c->fd); /* a port without a chip behind it */
		free(c);
		return;
	}
	start_thread(g, serve, c);
}

void find_port(const char *wanted, char *ret, size_t size)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *e;

	ret[0] = 0;
	while (dir && (e = readdir(dir))) {
		char path[300], name[64] = "";
		FILE *f;

		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(name, sizeof name, f) && strncmp(name, wanted, strlen(wanted)) == 0)
			snprintf(ret, size, "/dev/%.60s", e->d_name);
		fclose(f);
	}
	if (dir)
		closedir(dir);
}

void commands_start(struct guest *g)
{
	char port[80], console[80];

	snprintf(console, sizeof console, "/dev/%s", g->settings.console);
	open_channel(g, console);
	open_channel(g, "/dev/ttyS1");
	find_port(CHANNEL_NAME, port, sizeof port);
	if (port[0])
		open_channel(g, port);
}
