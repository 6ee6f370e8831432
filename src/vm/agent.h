/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One conversation with the agent in a guest (QEMU's docs/interop/qemu-ga and qga/qapi-schema.json): commands, one at a time, each
 * behind a guest-sync-delimited that tells its reply from whatever the guest said before.
 *
 * The guest is not trusted: a line over AGENT_LINE_MAX, and what is no JSON, ends the connection with an error for the command that
 * waits; what nobody asked for is not read. Nothing here blocks. The connection is made when it is needed and kept.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "error.h"
#include "json.h"

/* As long as a string of the protocol may be (RPC_STRING_MAX): a longer answer could be given to nobody. */
#define AGENT_LINE_MAX (4u << 20)
/* How long the agent may take to say that it is there; libvirt gives as much. */
#define AGENT_SYNC_SECONDS 5
/* How long a command waits for those before it; as libvirt's for its agent job. */
#define AGENT_QUEUE_SECONDS 30

/* Time for the command itself, in seconds; these are libvirt's (virDomainAgentResponseTimeoutValues). */
enum { AGENT_BLOCK = -2, AGENT_DEFAULT = -1, AGENT_NOWAIT = 0 };

struct agent;

/* A connected non-blocking stream socket, owned by the agent from then on. */
typedef int (*agent_connect_fn)(void *userdata, int *ret_fd, struct error *err);

/*
 * Exactly one of ret and err is set (neither for a command that ended its guest); `ret` is the value of "return", borrowed. ERROR_AGENT: there is no answer to be had;
 * ERROR_AGENT_TIMEOUT: none to this command; ERROR_AGENT_REFUSED: the agent's own words.
 */
typedef void (*agent_reply_fn)(json *ret, const struct error *err, void *userdata);

struct agent_command {
	const char *name;
	json *arguments; /* taken; NULL for none */
	int timeout;
	bool ends_guest; /* may have no reply: agent_guest_ended() is one */
	agent_reply_fn reply;
	void *userdata;
};

struct agent *agent_new(sd_event *loop, agent_connect_fn connect, void *userdata);
/* Pending replies are not called any more. Accepts NULL. */
void agent_free(struct agent *a);

/* `reply` is called exactly once, from the loop or from agent_qemu_ended, unless agent_free comes first. */
void agent_command(struct agent *a, const struct agent_command *command);
/* Nobody waits with this userdata any more; what was sent goes on. */
void agent_forget(struct agent *a, void *userdata);

/* The guest shut down, was reset, or closed its end: the command at work has no other reply. */
void agent_guest_ended(struct agent *a);
/* All that wait are answered. Their replies must not give it another command. */
void agent_qemu_ended(struct agent *a);
