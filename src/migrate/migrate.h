/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving a VM to another host: libvirt's five phases as they arrive at this daemon, whichever side it is.
 *
 *	client, or the source's daemon (p2p)      source            destination
 *	  begin     ------------------------------> job begins
 *	  prepare   ------------------------------------------------> job begins, QEMU listens
 *	  perform   ------------------------------> memory moves ----> ...
 *	  finish    ------------------------------------------------> guest runs, job ends
 *	  confirm   ------------------------------> QEMU ends, job ends
 *
 * Which side runs when is handover.h's; what each job does step by step stands at the top of source.c and target.c.
 * Cookies travel between the phases (cookie.h). Functions return -1 with *err when they refuse at once, and otherwise call `done` exactly once,
 * later, from the loop.
 */
#pragma once

#include "migrate-options.h"
#include "vm.h"

struct migrations; /* what this daemon has for all of them: ports, verdicts (verdict.h) */
struct operation_type;

struct migrations_settings {
	const char *lib_dir; /* verdicts are kept in lib_dir/migration */
	const char *
		migration_host; /* name or address that other hosts reach this one by; NULL: the host's name */
	const char *migration_address; /* where to listen; NULL: all addresses */
	uint16_t port_min, port_max;   /* both included */
};

int migrations_open(
	sd_event *loop, const struct migrations_settings *s, struct migrations **ret, struct error *err);
void migrations_close(struct migrations *m); /* accepts NULL */

/* The jobs of this room for registry_settings.more_jobs; ends with NULL. */
extern const struct operation_type *const migrate_operation_types[];

/* What a phase answers. Strings are borrowed. */
struct migrate_reply {
	const char *cookie; /* NULL: none */
	const char *xml;    /* begin: the domain for the other host */
	const char *uri;    /* prepare: where its QEMU listens; NULL: the caller knows */
};

/* `vm`: finish: the VM that runs here now. NULL with err. */
typedef void (*migrate_done_fn)(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata);

/* `client`: whoever carries the phases; when it goes away before the hand-over, the migration is undone (migrate_client_gone). */
int migrate_begin(struct vm *vm, const struct migrate_options *o, const void *client, migrate_done_fn done,
	void *userdata, struct error *err);
/* `stream_fd`: tunnelled: what arrives by the stream comes out of here; owned, also on failure; -1: QEMU listens. */
int migrate_prepare(struct registry *r, const struct migrate_options *o, const char *cookie, int stream_fd,
	const void *client, migrate_done_fn done, void *userdata, struct error *err);
int migrate_perform(struct vm *vm, const struct migrate_options *o, const char *cookie, const void *client,
	migrate_done_fn done, void *userdata, struct error *err);
/* `name`: the VM's name here. Cancelled, and it does not run here: ERROR_MIGRATE_FINISH_OK, as libvirt does. */
int migrate_finish(struct registry *r, const char *name, const struct migrate_options *o, const char *cookie,
	bool cancelled, migrate_done_fn done, void *userdata, struct error *err);
int migrate_confirm(struct vm *vm, const struct migrate_options *o, const char *cookie, bool cancelled,
	migrate_done_fn done, void *userdata, struct error *err);

/* All phases, from here (MIGRATE_PEER2PEER): `uri` is the other daemon's. */
int migrate_to_peer(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_done_fn done,
	void *userdata, struct error *err);

void migrate_client_gone(struct registry *r, const void *client);

/* ---- while it is on its way ---- */
int migrate_start_postcopy(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
/*
 * It waits to hear from the destination, which is lost: it goes on here, as if that had been the answer. Who says so must know that it does not run there.
 * The destination is asked once more: ERROR_OPERATION_INVALID: it says that it runs there, or can be reached and has not decided; nobody is waited for.
 */
int migrate_resolve_here(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int migrate_pause_postcopy(struct vm *vm, struct error *err); /* domjobabort --postcopy */

/* ---- limits that stay with the VM's QEMU; for a VM that is off: the ones it will be migrated with ---- */
enum migrate_limit {
	MIGRATE_LIMIT_DOWNTIME_MS,
	MIGRATE_LIMIT_SPEED_MIB,
	MIGRATE_LIMIT_POSTCOPY_SPEED_MIB,
	MIGRATE_LIMIT_XBZRLE_BYTES
};
/* The speeds that were set for the VM, where `o` asks for no other. */
void migrate_apply_limits(const struct vm *vm, struct migrate_options *o);
typedef void (*migrate_limit_fn)(struct vm *vm, uint64_t value, const struct error *err, void *userdata);
int migrate_set_limit(struct vm *vm, enum migrate_limit limit, uint64_t value, vm_done_fn done,
	void *userdata, struct error *err);
int migrate_get_limit(
	struct vm *vm, enum migrate_limit limit, migrate_limit_fn done, void *userdata, struct error *err);
