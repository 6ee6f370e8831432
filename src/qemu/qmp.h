/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One QMP conversation (QEMU's docs/interop/qmp-spec): commands with their replies in order, and events.
 *
 * Nothing here blocks. A connection is negotiated first (greeting, qmp_capabilities); commands given before
 * that wait their turn. Replies are matched by id. A line over QMP_LINE_MAX, garbage, or a greeting that
 * does not come within QMP_GREETING_USEC closes the connection with an error.
 */
#pragma once

#include <systemd/sd-event.h>

#include "error.h"
#include "json.h"

struct qmp;

#define QMP_LINE_MAX	  (64u << 20)
#define QMP_GREETING_USEC (30 * 1000000ull)

struct qmp_ops {
	/* Greeting and capabilities done; commands flow. */
	void (*ready)(struct qmp *q, void *userdata);
	/* `data` is borrowed and may be NULL. */
	void (*event)(
		struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata);
	/*
	 * The peer is gone or broke the protocol; every pending command has been answered with an error before.
	 * Called at most once and never from within qmp_open or qmp_close; the owner then calls qmp_close.
	 */
	void (*closed)(struct qmp *q, const struct error *why, void *userdata);
};

/* Exactly one of ret and err is set; ret is borrowed. QEMU's refusal is ERROR_QEMU with its text. */
typedef void (*qmp_reply_fn)(struct qmp *q, json *ret, const struct error *err, void *userdata);

/* `fd` is a connected stream socket, owned from here on, also on failure. `ops` must outlive the connection. */
int qmp_open(sd_event *loop, int fd, const struct qmp_ops *ops, void *userdata, struct qmp **ret,
	struct error *err);

/* Another hears of events and of the end from now on. Who waits for a reply still gets it. `ops` must outlive the connection. */
void qmp_set_owner(struct qmp *q, const struct qmp_ops *ops, void *userdata);

/*
 * End the conversation as if QEMU had: what it already wrote is still heard, pending commands are answered with an error, then
 * `closed` is called, all from the loop.
 */
void qmp_hang_up(struct qmp *q);

/* Drops the connection; pending replies are not called any more. Safe inside any callback. Accepts NULL. */
void qmp_close(struct qmp *q);

/*
 * Send a command. `arguments` is taken (NULL for none). `fd` (-1 for none) is sent along and stays the
 * caller's. `reply` is called exactly once unless qmp_close comes first; it may be NULL. `timeout_usec` 0 means
 * no limit; when it passes, the command is answered with ERROR_TIMEOUT and a late reply is ignored.
 */
void qmp_command(struct qmp *q, const char *name, json *arguments, int fd, uint64_t timeout_usec,
	qmp_reply_fn reply, void *userdata);

/*
 * The same for a command that cannot wait until QEMU's main loop is free (QMP's "out-of-band execution"): it is sent before those that
 * wait here. QEMU takes only few commands so; where it takes none, this is qmp_command.
 */
void qmp_command_urgent(struct qmp *q, const char *name, json *arguments, qmp_reply_fn reply, void *userdata);

/*
 * Forget who waits: every pending reply with this userdata is dropped silently. For owners that go away before
 * the connection does.
 */
void qmp_forget(struct qmp *q, void *userdata);

/* For pass-through (virsh qemu-monitor-command): a whole command object, its reply as text with "id" kept. */
typedef void (*qmp_raw_fn)(struct qmp *q, const char *reply, const struct error *err, void *userdata);
int qmp_command_raw(struct qmp *q, const char *text, qmp_raw_fn reply, void *userdata, struct error *err);
