/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Process 1 of the test guest: loads the modules, starts the parts, waits for the power button. README.md has the rest. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

void say(int fd, const char *format, ...)
{
	char line[320];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof line - 1, format, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof line - 1)
		n = sizeof line - 2;
	line[n++] = '\n';
	if (write(fd, line, (size_t)n) < 0)
		return; /* nobody listens */
}

void start_thread(struct guest *g, void *(*fn)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, argument) != 0) {
		say(g->console, "E thread errno=%d", errno);
		power_off();
	}
	pthread_detach(thread);
}

static void set_word(char *target, size_t size, const char *value, size_t length)
{
	snprintf(target, size, "%.*s", (int)length, value);
}

void settings_read(struct settings *s)
{
	char line[2048] = "";
	FILE *f = fopen("/proc/cmdline", "re");

	*s = (struct settings){.console = "ttyS0",
		.address = "10.0.2.15",
		.netmask = "255.255.255.0",
		.gateway = "10.0.2.2",
		.tick_ms = 10,
		.memory_mib = 16,
		.rate_mib = 1,
		.disk_ms = 20};
	if (f && !fgets(line, sizeof line, f))
		line[0] = 0;
	if (f)
		fclose(f);
	for (const char *p = line; *p; p += strspn(p, " \n")) {
		size_t length = strcspn(p, " \n"), name = strcspn(p, "= \n");
		const char *value = p + name + (name < length);
		size_t rest = length - (size_t)(value - p);
		struct {
			const char *name;
			uint64_t *number;
			char *word;
		} known[] = {{"gw.console", NULL, s->console}, {"gw.disk", NULL, s->disks},
			{"gw.address", NULL, s->address}, {"gw.netmask", NULL, s->netmask},
			{"gw.gateway", NULL, s->gateway}, {"gw.agent", NULL, s->agent},
			{"gw.tick", &s->tick_ms, NULL}, {"gw.mem", &s->memory_mib, NULL},
			{"gw.rate", &s->rate_mib, NULL}, {"gw.disk_ms", &s->disk_ms, NULL}};

		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (strlen(known[i].name) == name && memcmp(p, known[i].name, name) == 0) {
				if (known[i].number)
					*known[i].number = strtoull(value, NULL, 10);
				else
					set_word(known[i].word, 32, value, rest);
			}
		if (length >= 19 && memcmp(p, "gw.incompressible=1", 19) == 0)
			s->incompressible = true;
		p += length;
	}
}

static void mount_all(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
}

/* "/modules/list" names them in the order of their dependencies. Returns the number that failed. */
static unsigned load_modules(void)
{
	FILE *f = fopen("/modules/list", "re");
	char name[128];
	unsigned failed = 0;

	while (f && fgets(name, sizeof name, f)) {
		char path[160];
		int fd;

		name[strcspn(name, "\n")] = 0;
		snprintf(path, sizeof path, "/modules/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 ||
			(syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV))
			failed++;
		if (fd >= 0)
			close(fd);
	}
	if (f)
		fclose(f);
	return failed;
}

static int open_console(const char *name)
{
	char path[64];
	struct termios t;
	int fd;

	snprintf(path, sizeof path, "/dev/%.40s", name);
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && tcgetattr(fd, &t) == 0) {
		cfmakeraw(&t);
		t.c_oflag |= OPOST | ONLCR;
		cfsetspeed(&t, B115200);
		tcsetattr(fd, TCSANOW, &t);
	}
	return fd;
}

void power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
}

void *power_run(void *argument)
{
	struct guest *g = argument;
	struct pollfd p[8];
	nfds_t n = 0;

	for (int i = 0; i < 8; i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof path, "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			p[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	while (n && poll(p, n, -1) > 0)
		for (nfds_t i = 0; i < n; i++) {
			struct input_event e;

			if (p[i].revents && read(p[i].fd, &e, sizeof e) == sizeof e && e.type == EV_KEY &&
				e.code == KEY_POWER && e.value == 1) {
				say(g->console, "GW power-button");
				power_off();
			}
		}
	return NULL;
}

int main(void)
{
	static struct guest guest; /* zeroed, and alive as long as any thread */
	struct guest *g = &guest;
	uint64_t boot_id = 0;
	unsigned failed;

	pthread_mutex_init(&g->clock.lock, NULL);
	mount_all();
	settings_read(&g->settings);
	failed = load_modules();
	g->console = open_console(g->settings.console);
	if (getrandom(&boot_id, sizeof boot_id, GRND_NONBLOCK) != sizeof boot_id)
		boot_id = mix64(wall_us() ^ monotonic_us());
	say(g->console, "GW boot id=%016llx modules_failed=%u", (unsigned long long)boot_id, failed);
	disks_init(g, boot_id);
	network_configure(&g->settings, g->console);
	if (!memory_init(&g->memory, &g->settings, boot_id)) {
		say(g->console, "E memory mib=%llu", (unsigned long long)g->settings.memory_mib);
		power_off();
	}
	start_thread(g, power_run, g);
	start_thread(g, echo_run, g);
	commands_start(g);
	start_thread(g, memory_run, g);
	disks_start(g);
	agent_start(g);
	say(g->console, "GW ready pages=%llu monotonic_us=%llu", (unsigned long long)g->memory.pages,
		(unsigned long long)monotonic_us());
	clock_run(g);
}
