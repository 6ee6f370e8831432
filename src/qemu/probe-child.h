/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QEMU started to be asked something: its process, its monitor, its standard error, a limit in time. */
#pragma once

#include "process.h"
#include "qmp.h"

struct probe_child;

#define PROBE_CHILD_LIMIT_USEC (20 * 1000000ull)

struct probe_child_ops {
	/* May be NULL. */
	void (*event)(const char *name, void *userdata);
	/*
	 * The process is gone; every pending command was answered with an error before. `why` says how and quotes the
	 * last line of its standard error. Called at most once, from the loop.
	 */
	void (*ended)(const struct error *why, void *userdata);
};

/*
 * Runs `binary` with `args` behind what every probe has (no configuration, no defaults, no display, a monitor).
 * `fds` stay open in it under their numbers, at most PROBE_CHILD_FDS. `ops` must live as long.
 */
#define PROBE_CHILD_FDS 4
int probe_child_start(sd_event *loop, const char *binary, const struct strv *args, const int *fds,
	size_t n_fds, const struct probe_child_ops *ops, void *userdata, struct probe_child **ret,
	struct error *err);

/* Kills it; nothing is called any more. Safe inside any callback. Accepts NULL. */
void probe_child_free(struct probe_child *c);

/* Commands may be given at once. */
struct qmp *probe_child_get_qmp(struct probe_child *c);
pid_t probe_child_get_pid(const struct probe_child *c);
