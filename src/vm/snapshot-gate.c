/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate (snapshot-gate.h). */
#include "snapshot-gate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "file.h"
#include "monitor.h"

#define GATE_FIFO   "gate"
#define GATE_EVENT  "migration_thread_setup_complete"
#define PIPE_BYTES  4096
#define BLOCK_BYTES 512 /* less than a FIFO writes at once or not at all (pipe(7)) */
enum { GATE_FDSET = 3 };

void gate_init(struct snapshot_gate *g)
{
	*g = (struct snapshot_gate){.fifo = -1};
}

void gate_fini(struct snapshot_gate *g)
{
	close_p(&g->fifo);
	g->fifo = -1;
}

static void drain(const struct snapshot_gate *g)
{
	char bytes[PIPE_BYTES];

	while (read(g->fifo, bytes, sizeof(bytes)) > 0)
		;
}

/* To the last byte: QEMU's line is short. */
static void fill(const struct snapshot_gate *g)
{
	static const char bytes[BLOCK_BYTES];

	for (size_t n = sizeof(bytes); n > 0; n /= 2)
		while (write(g->fifo, bytes, n) > 0)
			;
}

static int make_fifo(struct snapshot_gate *g, struct vm *vm, struct error *err)
{
	unlinkat(vm->run_fd, GATE_FIFO, 0);
	if (mkfifoat(vm->run_fd, GATE_FIFO, 0600) < 0)
		return error_errno(err, errno, "make a FIFO in the run directory");
	g->fifo = openat(vm->run_fd, GATE_FIFO, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (g->fifo < 0 || fcntl(g->fifo, F_SETPIPE_SZ, PIPE_BYTES) < 0)
		return error_errno(err, errno, "open the FIFO in the run directory");
	fill(g);
	return 0;
}

static json *monitor_line(const char *line)
{
	return json_pack("s:command-line", line, NULL);
}

static json *event_state(bool enable)
{
	return json_pack("s:name", GATE_EVENT, "b:enable", enable, NULL);
}

static void event_set(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_gate *g = userdata;

	g->done(g->vm, err, g->userdata);
}

/* A human's command has no errors, only words. */
static void log_file_set(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_gate *g = userdata;
	struct error failure = ERROR_INIT;
	const char *words = json_object_get_string(ret);

	if (!err && words && *words) {
		error_set(&failure, ERROR_QEMU, "QEMU cannot log into a FIFO: %.100s", words);
		err = &failure;
	}
	if (err)
		g->done(g->vm, err, g->userdata);
	else
		qmp_command(q, "trace-event-set-state", event_state(true), -1, 0, event_set, g);
}

/* By descriptor: the path may have characters that mean something to a human's command. */
static void directory_added(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_gate *g = userdata;
	_cleanup_free_ char *line = NULL;

	if (err) {
		g->done(g->vm, err, g->userdata);
		return;
	}
	line = xasprintf("logfile /proc/self/fd/%" PRIi64 "/" GATE_FIFO, json_get_int(ret, "fd", -1));
	qmp_command(q, "human-monitor-command", monitor_line(line), -1, 0, log_file_set, g);
	qmp_command(q, "remove-fd", json_pack("i:fdset-id", (int64_t)GATE_FDSET, NULL), -1, 0, NULL, NULL);
}

int gate_shut(struct snapshot_gate *g, struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	if (make_fifo(g, vm, err) < 0)
		return -1;
	g->vm = vm;
	g->done = done;
	g->userdata = userdata;
	g->used = true;
	qmp_command(vm->qmp, "add-fd", json_pack("i:fdset-id", (int64_t)GATE_FDSET, NULL), vm->run_fd, 0,
		directory_added, g);
	return 0;
}

void gate_open(struct snapshot_gate *g)
{
	if (g->fifo >= 0)
		drain(g);
}

bool gate_remove(struct snapshot_gate *g, struct vm *vm, vm_done_fn done, void *userdata)
{
	bool is_there = vm->qmp && vm->run_fd >= 0 && (g->used || file_exists(vm->run_fd, GATE_FIFO));

	gate_open(g);
	if (is_there) {
		qmp_forget(vm->qmp, g);
		qmp_command(vm->qmp, "trace-event-set-state", event_state(false), -1, 0, NULL, NULL);
		vm_command(vm, "human-monitor-command", monitor_line("logfile /dev/null"), done, userdata);
		unlinkat(vm->run_fd, GATE_FIFO, 0);
	}
	gate_fini(g);
	g->used = false;
	return is_there;
}
