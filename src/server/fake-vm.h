/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For this room's tests: VMs without QEMU behind the same functions as the real ones, and a client at the other end of
 * a socket pair.
 */
#pragma once

#include "server.h"

#include "frame.h"
#include "vm.h"

struct registry;

struct registry *fake_registry_new(sd_event *loop);
void fake_registry_free(struct registry *r);
struct vm *fake_vm_add(struct registry *r, const char *name, enum vm_state state);
/* Operations do not finish until fake_finish is called for the oldest of them; otherwise at once, from the loop. */
void fake_hold_operations(struct registry *r, bool hold);
unsigned fake_count_operations(const struct registry *r);
/* The oldest (or newest) held operation ends; err NULL: well. */
void fake_finish(struct registry *r, bool newest, const struct error *err);
void fake_emit(struct registry *r, const struct vm_event *event);
/* The other end of the next console that is opened. */
int fake_console_take(struct registry *r);
unsigned fake_count_destroyed(const struct registry *r);
/* What the last vm_save was asked for: "path format channels resume_as bypass" */
const char *fake_last_save(const struct registry *r);
/* The same of vm_start, "paused force eager", or registry_restore, "path force eager". */
const char *fake_last_start(const struct registry *r);

/* ---- a client ---- */
struct client {
	sd_event *loop;
	int fd;
	uint32_t serial;
	uint32_t program; /* of its calls; 0: RPC_PROGRAM_REMOTE */
	struct buf in;
	bool gone; /* the server closed it */
};

struct client client_connect(sd_event *loop, struct server *server, bool read_only);
void client_close(struct client *c);
void client_run(sd_event *loop);
/* Handshake up to CONNECT_OPEN. */
struct client client_open(sd_event *loop, struct server *server, bool read_only);

/* Send a call and do not wait. Its serial. */
uint32_t client_call(struct client *c, int procedure, xdrproc_t coder, const void *args);
void client_send(struct client *c, const struct rpc_header *header, const void *payload, size_t len);
/* The next frame, as long as one is there after the loop has nothing more to do. The payload is allocated. */
bool client_receive(struct client *c, struct rpc_header *ret, struct buf *payload);
/* Call and wait for its reply, decoded into ret. The error's code, 0 when it went well, -1 when no answer came. */
int client_ask(struct client *c, int procedure, xdrproc_t args_coder, const void *args, xdrproc_t ret_coder,
	void *ret);
/* The message of the last error client_ask met. */
const char *client_message(void);

#define ASK(c, proc, args_type, args, ret_type, ret)                                                         \
	client_ask(c, proc, (xdrproc_t)xdr_##args_type, args, (xdrproc_t)xdr_##ret_type, ret)
#define ASK_ONLY(c, proc, args_type, args) client_ask(c, proc, (xdrproc_t)xdr_##args_type, args, NULL, NULL)
