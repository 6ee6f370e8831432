/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that takes, brings back and forgets what storage holds, for the manual disks of a snapshot (hooks/README.md). */
#pragma once

#include "snapshot.h"
#include "vm-internal.h"

struct snapshot_hook;

/* A guest may stand still while it works. */
#define SNAPSHOT_HOOK_SECONDS 60

/* Under this name the present is kept while another one is tried. */
#define SNAPSHOT_HOOK_PRESENT "godwit-present"

enum snapshot_hook_action {
	SNAPSHOT_HOOK_CREATE,
	SNAPSHOT_HOOK_REVERT,
	SNAPSHOT_HOOK_DELETE,
	SNAPSHOT_HOOK_CHECK, /* "exists": fails, with ERROR_OPERATION_INVALID, when something has the name */
};

/* Has any manual disk. */
bool snapshot_is_manual(const struct snapshot *s);

/*
 * The program that somebody named: an absolute path, or one of those that came with godwit. It runs with the daemon's rights, so it must be
 * there and nobody but root and the daemon's user may write to it. Caller frees.
 */
int snapshot_hook_resolve(const struct vm *vm, const char *given, char **ret, struct error *err);

/* The program of a snapshot: the one it was taken with, when it was named then; else the configured one; NULL: none. Caller frees. */
int snapshot_hook_find(const struct vm *vm, const char *snapshot, char **ret, struct error *err);
/* The name it was given (docs/formats/snapshot-hook.md); NULL: none any more. Durable on return. */
int snapshot_hook_remember(const struct vm *vm, const char *snapshot, const char *given, struct error *err);

/*
 * Run `program` for the manual disks of `s` under `name`; they are those the VM had then (s->domain), or those it has when there is none yet. done once, from
 * the loop; ERROR_OPERATION_FAILED with its words, ERROR_TIMEOUT.
 */
int snapshot_hook_start(struct vm *vm, const char *program, enum snapshot_hook_action action,
	const struct snapshot *s, const char *name, vm_done_fn done, void *userdata,
	struct snapshot_hook **ret, struct error *err);

/* Kills it; nobody is told any more. Accepts NULL. Not needed once done was called. */
void snapshot_hook_free(struct snapshot_hook *h);
