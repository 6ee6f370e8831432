/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The check before a migration: what would keep it from coming about, known before anything is touched.
 *
 *	client          source                                        destination
 *	  check -------> looks at files, asks QEMU
 *	                 description ---------------------------------> compare: looks at its files and itself
 *	                 tries names and ports  <---------------------- rows, and where it is to be reached
 *	  rows  <-------
 *
 * Whatever may block is done in children (check-look.c, check-reach.c). The documents are those of docs/protocol.md.
 */
#pragma once

#include "json.h"
#include "migrate.h"

/* `text` is JSON, borrowed; NULL with err. */
typedef void (*migrate_check_fn)(const char *text, const struct error *err, void *userdata);

/* At the source: `done` gets all rows, an array. `uri` is the other daemon's. Refused at once, or `done` once, from the loop. */
int migrate_check(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_check_fn done,
	void *userdata, struct error *err);
/* At the destination: `done` gets {"rows", "host", "port", "same_host"}. */
int migrate_compare(struct registry *r, const char *description, migrate_check_fn done, void *userdata,
	struct error *err);

/* ---- rows (check-rows.c) ---- */
enum check_status { CHECK_OK, CHECK_WARNING, CHECK_FAILURE };
enum {
	CHECK_STORAGE = 1 << 0, /* flag: --unsafe passes over it */
};

/* {"what", "status", "found", "storage", "advice"}; advice is left out where all is well. */
void check_add(json *rows, enum check_status status, unsigned flags, const char *what, const char *advice,
	const char *fmt, ...) _printf_(6, 7);
/* The rows of another array, in their order. */
void check_add_all(json *rows, json *more);

/* ---- files (check-file.c) ---- */
/* What is known of the file, for check_same_file; {"error"} where it cannot be seen. May block. */
json *check_file_look(const char *path);
/*
 * Are both, seen from two hosts, the same? `same_kernel`: the hosts are one (containers). *ret_why is constant. CHECK_WARNING: cannot be told.
 */
enum check_status check_same_file(json *here, json *there, bool same_kernel, const char **ret_why);

/* ---- children ---- */
/* check-look.c: adds what only looking tells: "boot", "network", "cpu_flags", "files" (each {"disk", "path", ...}). */
void check_look(json *description, const struct domain *d, const struct migrate_options *o);
/* check-look.c: rows for what is described, seen from here; `d` is its domain. True: both daemons are on one host. */
bool check_look_here(json *description, const struct domain *d, json *rows);
/* check-reach.c: host names, and a port that the other side listens at. */
void check_name(json *rows, const char *what, const char *host, bool loopback_will_do, enum check_status bad);
void check_port(json *rows, const char *host, uint16_t port);

/* ---- check-listen.c: for check_port, until somebody has come, or for 10 s ---- */
int check_listen(struct migrations *m, uint16_t *ret_port, struct error *err);
void check_shut_all(struct migrations *m);
