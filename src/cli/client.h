/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One conversation with godwitd over its socket: calls, several in flight if wanted, events and one stream.
 *
 * Blocking, one thread: whoever waits for one thing handles whatever else arrives meanwhile, so keepalive is
 * answered and events are delivered while a call is in flight. Failures of the conversation itself are ERROR_RPC;
 * what the daemon refuses has the code it sent, except that its "invalid argument" comes as ERROR_OPERATION_FAILED
 * (in this program ERROR_INVALID_ARGUMENT means: mistyped).
 */
#pragma once

#include <poll.h>
#include <stdbool.h>

#include "error.h"
#include "godwit.h"

struct client;
struct client_request;

struct client_call {
	unsigned program; /* 0: RPC_PROGRAM_REMOTE */
	int procedure;
	xdrproc_t encode; /* NULL: no arguments */
	const void *args;
	xdrproc_t decode; /* NULL: no results */
	void *ret;	  /* zeroed by the caller, who frees it with payload_free */
};

/* Both halves of a direction at once: {.procedure = N, CLIENT_ARGS(rpc_domain_args, &args), CLIENT_RET(...)} */
#define CLIENT_ARGS(type, p) .encode = (xdrproc_t)xdr_##type, .args = (p)
#define CLIENT_RET(type, p)  .decode = (xdrproc_t)xdr_##type, .ret = (p)

/* `payload` is what stands behind the header, valid during the call; callbacks must not send anything themselves. */
typedef void (*client_event_fn)(
	unsigned program, int procedure, const void *payload, size_t len, void *userdata);
/* A packet of the stream that call `serial` opened: RPC_CONTINUE with data, RPC_OK at its end, RPC_ERROR with *err. */
typedef void (*client_stream_fn)(
	int status, const void *data, size_t len, const struct error *err, void *userdata);

/* Takes `fd` over, also on failure. Says hello: authentication and OPEN with `uri` (NULL: the daemon's own). */
int client_open(
	int fd, const char *uri, bool read_only, unsigned timeout_s, struct client **ret, struct error *err);
void client_close(struct client *c); /* says goodbye; accepts NULL */

void client_set_event_handler(struct client *c, client_event_fn fn, void *userdata);

/* One call, waited for. */
int client_call(struct client *c, const struct client_call *call, struct error *err);

/* The same in two halves. `call` and what it points to must live until the second. */
int client_start(
	struct client *c, const struct client_call *call, struct client_request **ret, struct error *err);
bool client_is_answered(const struct client_request *r);
unsigned client_get_serial(const struct client_request *r);
/* Waits for the answer unless it is there; frees the request. */
int client_finish(struct client *c, struct client_request *r, struct error *err);
/* Stop caring about the answer; frees the request. Accepts NULL. */
void client_forget(struct client *c, struct client_request *r);

/*
 * Wait until something arrives from the daemon, one of `extra` (poll's rules; may be NULL) is ready, or
 * `timeout_ms` (-1: no limit) pass. A signal ends the wait, too. Everything that arrived is handled.
 */
int client_wait(struct client *c, struct pollfd *extra, size_t n, int timeout_ms, struct error *err);

/* The stream opened by a call of procedure `procedure` and `serial`. One at a time. */
void client_open_stream(
	struct client *c, int procedure, unsigned serial, client_stream_fn fn, void *userdata);
int client_send_stream(struct client *c, const void *data, size_t len, struct error *err);
void client_close_stream(struct client *c); /* tells the daemon that no more will come */

/* A wire error number as this program's code. */
enum error_code client_error_code(int wire_code);
