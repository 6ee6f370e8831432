/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the exploration in test-lease-model.c: two hosts that want the same VM, and all that can happen to them.
 *
 * A host is its daemon (lease-state.h and the rules of vm/vm-lease.c), one QEMU, and what is under way between them. What is
 * under way has steps of its own, because anything may die in between. A hand-over needs none: it is these actions, on both hosts,
 * in some order, and all orders are explored, also those that no migration would choose.
 */
#pragma once

#include "lease-state.h"

#include <stddef.h>
#include <stdint.h>

enum { HOSTS = 2, COMMANDS_MAX = 3 };

enum model_qemu {
	QEMU_NONE,
	QEMU_CHILD,	 /* its work, taking the lease, is not done */
	QEMU_CHILD_DONE, /* but it is not QEMU yet */
	QEMU_STOPPED,
	QEMU_RUNNING, /* its CPUs: it writes */
};

/* What the child told of its work; on its way to the daemon. */
enum model_report { REPORT_NONE, REPORT_DONE, REPORT_REFUSED };

/* What a helper process does for the daemon with a living QEMU's lease ... */
enum model_request { REQUEST_NONE, REQUEST_RELEASE, REQUEST_ACQUIRE };
/* ... and how far it is. Done: the lock has changed (or not), and the daemon has not heard of it. */
enum model_phase { PHASE_ISSUED, PHASE_DONE, PHASE_FAILED };

/* QMP, unread in the monitor's socket. */
enum model_command { COMMAND_NONE, COMMAND_CONT, COMMAND_STOP };

/* sanlock's daemon. */
enum model_keeper {
	KEEPER_WORKS,
	KEEPER_FAILS, /* cannot write to its storage */
	KEEPER_DEAD,
};

/* Bytes only: worlds are compared and hashed as such. What means nothing in a state is zero there. */
struct host {
	uint8_t daemon_is_up;
	uint8_t lease; /* enum lease_state: what the daemon believes */
	uint8_t qemu;
	uint8_t takes_later; /* the child was started as the target of a hand-over */
	uint8_t report;
	uint8_t request, phase, runs_after; /* runs_after: "cont" when it is granted */
	uint8_t commands[COMMANDS_MAX];
	uint8_t stray; /* sanlock: a request whose helper died, and which it may still carry out */
	uint8_t keeper;
};

struct world {
	struct host hosts[HOSTS];
	uint8_t owner;	       /* 0: nobody has the lock; h + 1: the QEMU of host h ... */
	uint8_t owner_is_gone; /* ... that was: sanlock, until it expires */
	uint8_t is_impossible; /* a daemon met an event that cannot be */
	uint8_t padding_[3];
};

/* Where a world is not as it should be: the exploration must notice. */
enum model_mutant {
	MUTANT_NONE,
	MUTANT_RUNS_RELEASED,	 /* a guest may run while its lease is released */
	MUTANT_NEVER_RUNS,	 /* it may not even while it is held */
	MUTANT_ADOPTED_AS_HELD,	 /* a stopped QEMU of an earlier daemon */
	MUTANT_RELEASES_RUNNING, /* the guest need not stand still */
	MUTANT_REFUSED_IS_GRANTED,
	MUTANT_LOCK_OUTLIVES_QEMU,
	MUTANT_DEAF,	       /* that QEMU is gone is not heard of when its lease is released */
	MUTANT_NO_WATCHDOG,    /* sanlock: a lease expires, whether its host was reset or not */
	MUTANT_STRAY_REQUESTS, /* sanlock: it answers about a QEMU that it is still at work for */
	MUTANT_MAX_,
};

struct rules {
	bool sanlock; /* otherwise lockd */
	enum model_mutant mutant;
	bool (*moves)[LEASE_EVENT_MAX_]; /* by state: which were made; may be NULL */
};

enum action_kind {
	ACTION_ORDERLY,
	ACTION_MISHAP, /* nothing may depend on its happening */
};

struct action {
	const char *name;
	enum action_kind kind;
	bool needs_sanlock;
	/* False: not here; then *w may have changed. */
	bool (*act)(const struct rules *r, struct world *w, unsigned h);
};
extern const struct action actions[];
extern const size_t n_actions;

/* Its VM is off, and the lock free for it. */
bool host_may_start(const struct rules *r, const struct world *w, unsigned h);
bool host_holds(const struct world *w, unsigned h);
