/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One call of a client, from its frame to its answer.
 *
 * A handler gets it with decoded arguments, and answers with exactly one of call_reply, call_ok and call_fail: at once
 * or later. That frees the call and its arguments. A call outlives its client: its answer is dropped then.
 */
#pragma once

#include "frame.h"
#include "list.h"
#include "procedure.h"
#include "registry.h"

struct session;
struct server;

struct call {
	struct list link;	 /* in session->calls */
	struct session *session; /* NULL once the client is gone */
	struct server *server;	 /* valid while the session is */
	struct registry *registry;
	const struct procedure *procedure;
	struct rpc_header header;
	void *args;    /* of the procedure's type; NULL when it has none */
	struct vm *vm; /* a reference, when call_find_vm found one */
	void *state;   /* of the handler, freed with free() */
};

/* `ret` is of the procedure's type and stays the caller's. */
void call_reply(struct call *call, const void *ret);
void call_ok(struct call *call); /* for procedures without result */
void call_fail(struct call *call, const struct error *err);
/* With a number of the protocol that no error_code has (RPC_CODE_*, RPC_FROM_*). */
void call_fail_code(struct call *call, int code, int domain, const char *fmt, ...) _printf_(4, 5);

/* For vm_*: answers without result. userdata is the call. */
void call_vm_done(struct vm *vm, const struct error *err, void *userdata);
/* As above; the answer is the VM, as rpc_domain_ret. */
void call_vm_done_domain(struct vm *vm, const struct error *err, void *userdata);
/* For "r = vm_x(..., call_vm_done, call, &err)": answers when it was refused at once. */
void call_check(struct call *call, int r, const struct error *err);

/* By UUID, which is what counts in a handle. Answers with "Domain not found" and returns NULL when there is none. */
struct vm *call_find_vm(struct call *call, const rpc_domain *dom);
/* The same, and it must run: "domain is not running". */
struct vm *call_find_active_vm(struct call *call, const rpc_domain *dom);
/* Answers and returns false when a bit outside `known` is set. */
bool call_check_flags(struct call *call, unsigned flags, unsigned known);

/* Fill a handle; the name is borrowed from the VM. */
void domain_handle(const struct vm *vm, rpc_domain *ret);

/* Everything of an error frame's payload for this error; message and strings are owned by the caller's `text`. */
struct error_texts {
	char *message;
	char *str1;
};
void error_to_rpc(const struct error *err, rpc_error *ret, struct error_texts *texts);
void error_texts_fini(struct error_texts *texts);
