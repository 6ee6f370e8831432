/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Child processes and processes of an earlier daemon, watched through pidfds.
 *
 * A process is identified by pid and start time (field 22 of /proc/PID/stat, clock ticks since boot,
 * proc(5)), so that a recycled pid is never taken for it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "buf.h"
#include "error.h"
#include "strv.h"

struct process;

/*
 * `status` as from waitpid, or -1 when it was adopted and only its end is known. Called once, from the loop, after
 * what the process last wrote to sockets watched at normal priority. May free p.
 */
typedef void (*process_exit_fn)(struct process *p, int status, void *userdata);

/*
 * The work of a child is over: err NULL and what it put into its result, at most 1 MiB (borrowed; for a program: that it
 * runs), or why it failed. Called once, from the loop, unless the process was freed before; the end of the process is told
 * later, by on_exit. May free p.
 */
typedef void (*process_worked_fn)(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata);

struct process_options {
	const struct strv *argv; /* argv->items[0] is an absolute path; NULL: only the work, then exit */
	const int *fds;		 /* kept open in the child under the same numbers */
	size_t n_fds;
	int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null */
	bool new_session;		    /* setsid: outlives the daemon's terminal */
	bool dies_with_daemon;		    /* for helpers whose work is worth nothing without us */
	/*
	 * Called, if set, between fork and exec: the program does not run before this returned 0, nor ever when it fails or
	 * the daemon dies in it. What it writes down (pid, start time) is therefore enough to find every child again.
	 */
	int (*forked)(pid_t pid, uint64_t start_time, void *userdata, struct error *err);
	/*
	 * What may block, or what only that very process can do before it becomes the program. Runs in the child, which has no
	 * other descriptors than `fds`; those it opens without O_CLOEXEC go on into the program. With it process_start does
	 * not wait for the exec: `worked` tells. When it fails, no program is run. A child whose daemon died ends at the
	 * latest when its work is done.
	 */
	int (*work)(struct buf *result, void *work_userdata, struct error *err);
	void *work_userdata;
	process_worked_fn worked;
};

/*
 * Fork and exec. Signals are reset, every descriptor but the named ones is closed; those in fds must be above 2
 * and may be O_CLOEXEC here. That the program cannot be executed is
 * an error here (or, with work, of `worked`), not an exit status.
 */
int process_start(sd_event *loop, const struct process_options *options, process_exit_fn on_exit,
	void *userdata, struct process **ret, struct error *err);

/* ERROR_OPERATION_FAILED when no such process lives any more (or the pid is another's now). */
int process_adopt(sd_event *loop, pid_t pid, uint64_t start_time, process_exit_fn on_exit, void *userdata,
	struct process **ret, struct error *err);

/* Of any process; -1 with errno when there is none. */
int process_find_start_time(pid_t pid, uint64_t *ret);

/* Another hears of its end from now on; `on_exit` must not have been called yet. */
void process_set_owner(struct process *p, process_exit_fn on_exit, void *userdata);

pid_t process_get_pid(const struct process *p);
uint64_t process_get_start_time(const struct process *p);
bool process_is_running(const struct process *p);

/* Through the pidfd, so never to a stranger. No effect when it is gone. */
void process_kill(struct process *p, int signal);

/* With all that it has started, but for those that have left its process group: for one with new_session. No effect when it is gone. */
void process_kill_group(struct process *p, int signal);

/* Stops watching; does not touch the process, but a child is still reaped when it ends. Accepts NULL. */
void process_free(struct process *p);

/* "exited with status 1", "killed by signal 9 (Killed)", "ended". */
void process_status_format(int status, char text[64]);
