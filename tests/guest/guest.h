/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The test guest's parts and what they share: settings from the kernel command line, checks, lines on the console. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GUEST_PAGE = 4096, DISKS_MAX = 3 };

/* From the kernel command line, "gw.NAME=VALUE"; README.md has the list. */
struct settings {
	char console[32];
	char disks[32]; /* separated by commas; empty: the default */
	char address[32], netmask[32], gateway[32];
	char agent[32]; /* its mode; empty: there is none */
	uint64_t tick_ms;
	uint64_t memory_mib;
	uint64_t rate_mib; /* a second */
	uint64_t disk_ms;
	bool incompressible;
};

/* The verdict of a check, as it is sent back: "key=value key=value". */
struct verdict {
	bool good;
	char text[200];
};

/* Known contents: page p holds generation (writes made + pages - 1 - p) / pages of the pattern, so `writes` says it all. */
struct memory {
	pthread_mutex_t lock;
	uint64_t *words;
	uint64_t pages, writes, seed, rate_pages;
	bool incompressible;
};

/* A ring of records on the disk; `counter` is the last one written and read back. */
struct disk {
	pthread_mutex_t lock;
	int fd; /* -1: no disk */
	int console;
	unsigned char *buffer;
	uint64_t boot_id, base, counter, errors, interval_ms;
	char path[32];
	bool frozen; /* nothing is written */
};

/* agent.c */
struct agent {
	pthread_mutex_t lock;
	int fd;
	char mode[32];
	bool frozen; /* of its own thread alone */
};

struct clock_watch {
	pthread_mutex_t lock;
	uint64_t ticks, backwards, max_gap_us;
	uint64_t monotonic_us, wall_us; /* of the last tick */
};

struct guest {
	struct settings settings;
	int console; /* fd */
	struct memory memory;
	struct disk disks[DISKS_MAX];
	size_t n_disks; /* at least one, though it may be missing */
	struct clock_watch clock;
	struct agent agent;
};

void settings_read(struct settings *s);

uint64_t monotonic_us(void);
uint64_t wall_us(void);
void sleep_ms(uint64_t ms);
uint64_t mix64(uint64_t x); /* splitmix64's finaliser */

/* One line, in one write. */
void say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* pthread_create that ends the guest with a message when it fails. */
void start_thread(struct guest *g, void *(*fn)(void *), void *argument);

/* Fills the area; false when there is not enough memory. */
bool memory_init(struct memory *m, const struct settings *s, uint64_t seed);
void *memory_run(void *guest);
void memory_check(struct memory *m, struct verdict *ret);

/* Opens the disks and continues behind the records they hold. */
void disks_init(struct guest *g, uint64_t boot_id);
/* A thread for each. */
void disks_start(struct guest *g);
bool disks_missing(const struct guest *g);
/* Of all together: sums, and good when each is. */
void disks_check(struct guest *g, struct verdict *ret);

/* Stops or resumes writing; the sum of their counters, which then stands still. */
uint64_t disks_freeze(struct guest *g, bool frozen);

void *clock_run(void *guest);
void clock_report(struct clock_watch *c, struct verdict *ret);

/* Serves commands on every channel there is; each in its own thread. */
void commands_start(struct guest *g);

/* The virtio-serial port of that name, "/dev/vport0p1"; empty when there is none. */
void find_port(const char *name, char *ret, size_t size);

/* Answers as qemu-ga does, when it is to. */
void agent_start(struct guest *g);
bool agent_is(struct guest *g, const char *mode);
void agent_set_mode(struct guest *g, const char *mode);

void network_configure(const struct settings *s, int console);
/* Good when the cable is in. */
void network_check(struct verdict *ret);
void *echo_run(void *guest);

/* Waits for the power button and powers off. */
void *power_run(void *guest);
void power_off(void);
