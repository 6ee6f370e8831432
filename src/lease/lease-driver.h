/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a lock manager is to this room. Only `check` runs in the daemon; everything else may block and runs in a child. */
#pragma once

#include "buf.h"
#include "lease.h"

struct lease_driver {
	/* Where `item` is to be found: file, is_own, lockspace, resource. Of a disk by its path ... */
	int (*plan_disk)(
		const struct lease_settings *s, const char *path, struct lease_item *item, struct error *err);
	/* ... and of a <lease>. */
	int (*plan_element)(const struct lease_settings *s, const struct lease_element *e,
		struct lease_item *item, struct error *err);
	/* Can this set be honoured? May be NULL. */
	int (*check)(const struct lease_set *set, struct error *err);

	/* Make this very process able to hold the set. */
	int (*prepare)(struct lease_set *set, struct error *err);
	/* Give it to the process `pid`, which was prepared; 0: this one. */
	int (*acquire)(struct lease_set *set, pid_t pid, const char *state, struct error *err);
	int (*release)(struct lease_set *set, pid_t pid, struct buf *ret_state, struct error *err);
	int (*inquire)(
		struct lease_set *set, pid_t pid, size_t *ret_held, struct buf *ret_state, struct error *err);
	/*
	 * One item, of the living process `pid`, which holds others. add: what carries the lease and must get into that process
	 * is then item->fd, open in this one; -1: nothing, it has it. remove: idempotent.
	 */
	int (*add)(struct lease_set *set, pid_t pid, struct error *err);
	int (*remove)(struct lease_set *set, pid_t pid, struct error *err);
	int (*join)(const struct lease_settings *s, struct error *err); /* may be NULL */
	int (*watch)(const struct lease_set *set, struct error *err);	/* may be NULL */
};

/* NULL: built without it. */
extern const struct lease_driver *const lease_driver_lockd, *const lease_driver_sanlock;
