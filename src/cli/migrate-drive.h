/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A migration as its driver sees it. Either this program carries the phases between both daemons, or the source's daemon is told to do it
 * all (peer-to-peer).
 */
#pragma once

#include "cli.h"
#include "migrate-options.h"

#define DRIVE_PARAMS_MAX 64

struct drive_params {
	struct rpc_param items[DRIVE_PARAMS_MAX];
	u_int n;
};

/* Strings are borrowed. An empty NULL is not added. ERROR_INVALID_ARGUMENT: more than the protocol takes. */
int drive_params_add(struct drive_params *p, const char *field, const char *value, struct error *err);
/* In the place of the one that is there; NULL takes it away. */
int drive_params_set(struct drive_params *p, const char *field, const char *value, struct error *err);

struct drive {
	const struct rpc_domain *dom;
	struct client *target;	    /* the other daemon, when this program carries the phases */
	const char *peer;	    /* else its URI, for the source's daemon */
	unsigned flags;		    /* MIGRATE_* */
	struct drive_params params; /* what was asked for */
	/* After so many seconds of moving memory (0: never) stop the guest, or switch to post-copy. */
	unsigned timeout_s;
	bool timeout_postcopy;
	bool postcopy_after_precopy;
	bool show;

	/* results: it runs there, and how long the guest stood still (when that is known) */
	bool has_downtime;
	uint64_t downtime_ms;
};

/*
 * For who says no more than which VM and where to: it moves as a whole, its definition with it, and a VM that runs does so live, over several
 * connections, slowed down when it must be. What was asked for stays.
 */
int drive_choose(struct cli *cli, struct drive *d, struct error *err);

/*
 * Returns when it is over, well or not; -1: the VM is where it was, unless the error says something else. Ctrl-C calls it off while memory
 * moves. Connects `cli` to the source's daemon.
 */
int drive_migration(struct cli *cli, struct drive *d, struct error *err);
