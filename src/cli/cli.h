/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What commands have in common: the connection, finding a VM, printing, and how failures are told. */
#pragma once

#include <stdbool.h>

#include "client.h"
#include "names.h"
#include "report.h"
#include "table.h"

/* The exit status; godwit(1) documents it. */
enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_NOT_FOUND = 3,
	STATUS_NO_DAEMON = 4,
	STATUS_STATE = 5, /* not in this state, or another job holds the VM */
	STATUS_UNSUPPORTED = 6,
	STATUS_DENIED = 7,
	STATUS_TIMEOUT = 8,
	STATUS_INTERRUPTED = 130,
};

/* One run of the program. */
struct cli {
	/* of the command line; borrowed */
	const char *uri, *root, *socket;
	bool read_only, quiet;
	unsigned timeout_s;

	struct client *client;	    /* connected by the first who needs it */
	struct error connect_error; /* why that failed: it needs no mention of what it was needed for */
	const struct command *command;
	char *vm_name; /* the VM the command is about, for advice */
	bool json;
};

void cli_fini(struct cli *cli);

/* Connects when nobody did yet. */
int cli_connect(struct cli *cli, struct error *err);
int cli_call(struct cli *cli, const struct client_call *call, struct error *err);
/* Calls whose arguments are a VM (and flags), with no results. */
int cli_call_domain(struct cli *cli, int procedure, const struct rpc_domain *dom, struct error *err);
int cli_call_domain_flags(
	struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags, struct error *err);
/* ... with a number, or a string (owned by the caller) as the result. */
int cli_ask_domain_int(
	struct cli *cli, int procedure, const struct rpc_domain *dom, int *ret, struct error *err);
int cli_ask_domain_flags_int(struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags,
	int *ret, struct error *err);
int cli_ask_domain_string(struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags,
	char **ret, struct error *err);
/* No arguments, a string as the result. */
int cli_ask_string(struct cli *cli, int procedure, char **ret, struct error *err);

/* How a VM may be named: as virsh does, a number is first taken for an id, then for a UUID, then for a name. */
enum { BY_ID = 1, BY_UUID = 2, BY_NAME = 4, BY_ANY = 7 };

/* The VM of the option "domain". Free with domain_p or rpc_domain_fini. */
int cli_find_domain(struct cli *cli, const struct arguments *args, unsigned by, struct rpc_domain *ret,
	struct error *err);
int cli_find_domain_named(
	struct cli *cli, const char *name, unsigned by, struct rpc_domain *ret, struct error *err);
void rpc_domain_fini(struct rpc_domain *dom);
#define _cleanup_domain_ _cleanup_(rpc_domain_fini)

/* Standard output. _extra: what only people read; not printed with --quiet, and never with --json. */
void cli_print(struct cli *cli, const char *fmt, ...) _printf_(2, 3);
void cli_print_extra(struct cli *cli, const char *fmt, ...) _printf_(2, 3);
/* A last line whose end is the empty line that virsh prints behind every command. */
void cli_print_last(struct cli *cli, const char *text);
void cli_print_list(struct cli *cli, struct list_report *l);
void cli_print_record(struct cli *cli, struct record *r);
void cli_print_json(struct cli *cli, json *o);

/* "error: ..." on one line of standard error, with what can be done about it where that is known. */
void cli_print_error(struct cli *cli, const struct error *err);
enum exit_status cli_exit_status(const struct error *err);

/* A file named on the command line ("-" or /dev/stdin: standard input), at most 4 MiB; owned by the caller. */
int cli_read_file(const char *path, char **ret, struct error *err);
/* The daemon has another working directory; owned by the caller. */
char *cli_absolute_path(const char *path);

/* Ctrl-C as a readable descriptor instead of the end of the program; -1 with *err. Undone by interrupt_fd_close. */
int interrupt_fd_open(struct error *err);
void interrupt_fd_close(int *fd);
#define _cleanup_interrupt_ _cleanup_(interrupt_fd_close)
