/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table says everything about a procedure: its number, types, rights, and who answers it. */
#pragma once

#include <stdint.h>

#include "frame.h"

struct call;

enum procedure_access {
	ACCESS_ALWAYS, /* before the connection is opened, too */
	ACCESS_READ,   /* changes nothing and shows no secrets: also read-only */
	ACCESS_WRITE,
};

struct procedure {
	uint16_t number;
	uint16_t args_size;
	enum procedure_access access;
	const char *name;    /* "RPC_DOMAIN_CREATE" */
	xdrproc_t args, ret; /* NULL: none */
	/* Answers now or later, by exactly one of call_reply, call_fail (call.h). */
	void (*handle)(struct call *call);
};

/* NULL when the program (any version) is not served here. */
const struct procedure *procedure_table(uint32_t program, size_t *ret_n);
const struct procedure *procedure_find(uint32_t program, int number);

/* Name of the function in libvirt's API: "virDomainCreate". For messages; `text` holds 80 bytes. */
void procedure_api_name(const struct procedure *p, char text[80]);
