/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a daemon knows of the lease of one of its VMs, and what that lets it do.
 *
 *            start           granted
 *     FREE --------> TAKING ---------> HELD <-------------------------+
 *      ^               |                | |  lost                     | granted
 *      |               | refused        | +-------> LOST              |
 *      +---------------+        release |            | release        |
 *      |                                v            v                |
 *      |                             RELEASING <-----+                |
 *      |                                |                             |
 *      |                                | released, or who knows      |
 *      |                                v           take              |
 *      |                             RELEASED -----------------> RETAKING
 *      |                                ^       refused               |
 *      |                                +-----------------------------+
 *      +--- QEMU is gone, from anywhere
 *
 * One rule stands above all: a guest's CPUs run only where lease_may_run() says so. RELEASED does not claim that the
 * lease is free, only that it must be taken before the guest runs; a daemon that finds a paused QEMU after a restart knows no more.
 * What the lease itself promises (one holder; gone with its process) is the kernel's or sanlock's work. test-lease-model.c
 * explores all of it together.
 */
#pragma once

#include <stdbool.h>

enum lease_state {
	LEASE_FREE,	 /* no QEMU, no lease */
	LEASE_TAKING,	 /* the child that becomes QEMU is at it */
	LEASE_HELD,	 /* by QEMU */
	LEASE_LOST,	 /* QEMU lives, and holds it no longer: it must not write */
	LEASE_RELEASING, /* being handed over; the guest stands still */
	LEASE_RELEASED,
	LEASE_RETAKING, /* a living QEMU is to have it again, or for the first time */
	LEASE_STATE_MAX_,
};

enum lease_event {
	LEASE_EVENT_START,
	LEASE_EVENT_GRANTED,
	LEASE_EVENT_REFUSED,
	LEASE_EVENT_RELEASE,
	LEASE_EVENT_RELEASED, /* or it is not known: the one who did it died */
	LEASE_EVENT_TAKE,
	LEASE_EVENT_LOST,
	LEASE_EVENT_GONE, /* QEMU, or the child that was to become it */
	LEASE_EVENT_FOUND_RUNNING,
	LEASE_EVENT_FOUND_STOPPED, /* a QEMU of an earlier daemon */
	LEASE_EVENT_MAX_,
};

/* True and *state moved, or false: such an event cannot be in this state, and nothing has changed. */
bool lease_state_move(enum lease_state *state, enum lease_event event);

/* May the guest's CPUs run? */
bool lease_may_run(enum lease_state state);

/* "held", for people. */
const char *lease_state_name(enum lease_state state);
