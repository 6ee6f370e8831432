/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why an operation failed: a code, an errno, and one line for the person who asked for it. */
#pragma once

#include <stddef.h>

#include "cleanup.h"

/* Each code maps to one error number of libvirt's protocol (server/reply.c holds the table). */
enum error_code {
	ERROR_NONE = 0,
	ERROR_INTERNAL, /* a bug, or something the system should never do */
	ERROR_SYSTEM,	/* a system call failed; errnum says how */
	ERROR_NO_MEMORY,
	ERROR_INVALID_ARGUMENT,	    /* the caller's argument makes no sense */
	ERROR_XML,		    /* not well-formed, or not what the document must hold */
	ERROR_UNSUPPORTED_CONFIG,   /* understood, but this host or program cannot do it */
	ERROR_UNSUPPORTED,	    /* the operation does not exist here */
	ERROR_ARGUMENT_UNSUPPORTED, /* a flag or parameter that is not known */
	ERROR_OPERATION_INVALID,    /* not in this state: "domain is not running" */
	ERROR_OPERATION_FAILED,
	ERROR_OPERATION_ABORTED, /* somebody asked for it to stop */
	ERROR_OPERATION_DENIED,	 /* access right missing */
	ERROR_TIMEOUT,
	ERROR_BUSY,   /* another job holds the object */
	ERROR_EXISTS, /* name or UUID already taken */
	ERROR_NO_DOMAIN,
	ERROR_NO_SNAPSHOT,
	ERROR_NO_METADATA,
	ERROR_NO_SAVED_IMAGE,
	ERROR_DAMAGED, /* a file's contents are not what was written */
	ERROR_RPC,     /* the peer broke the protocol */
	ERROR_UNKNOWN_PROCEDURE,
	ERROR_AUTH,
	ERROR_QEMU,		 /* QEMU refused; the message has its words */
	ERROR_NO_OBJECT,	 /* network, pool, volume, secret ...: none is known here */
	ERROR_IN_USE,		 /* somebody else holds the lease of what is needed */
	ERROR_AGENT,		 /* the agent in the guest cannot be talked to */
	ERROR_AGENT_TIMEOUT,	 /* it did not answer this command in time */
	ERROR_AGENT_REFUSED,	 /* it refused; the message has its words */
	ERROR_REVERT_RISKY,	 /* going back to a snapshot that may not be what it seems, without force */
	ERROR_MIGRATE_UNSAFE,	 /* the disks may be damaged, unless the caller knows better */
	ERROR_MIGRATE_FINISH_OK, /* it was called off, as asked: the VM does not run here */
	ERROR_MIGRATE_PERSIST_FAILED, /* it runs here, and its definition could not be kept */
	ERROR_CPU_INCOMPATIBLE,	      /* this host cannot give the guest its processor */
	ERROR_CODE_MAX_,
};

/* Longer than one line of 80 because start failures quote the last lines of QEMU's log. */
#define ERROR_MESSAGE_MAX 1024

struct error {
	enum error_code code;
	int errnum; /* 0 when no errno belongs to it */
	char message[ERROR_MESSAGE_MAX];
};

/* clang-format off */
#define ERROR_INIT {.code = ERROR_NONE}
/* clang-format on */

/* All return -1, so that `return error_set(...)` reads well. `err` may be NULL. Text too long is cut. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...) _printf_(3, 4);

/* As error_set, with ": strerror(errnum)" appended and ERROR_SYSTEM (ENOMEM: ERROR_NO_MEMORY). */
int error_errno(struct error *err, int errnum, const char *fmt, ...) _printf_(3, 4);

/* Put "text: " before the message; code and errno stay. */
int error_prefix(struct error *err, const char *fmt, ...) _printf_(2, 3);

/* Copy; src with ERROR_NONE clears. Returns -1. */
int error_copy(struct error *dst, const struct error *src);

void error_clear(struct error *err);
