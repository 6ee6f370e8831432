/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The moves of a lease, as one table. */
#include "lease-state.h"

#include <stddef.h>

#include "cleanup.h"

/* Where each event leads from each state; what is not written here (FREE, to FREE) cannot happen, but for GONE. */
static const enum lease_state moves[LEASE_STATE_MAX_][LEASE_EVENT_MAX_] = {
	[LEASE_FREE] =
		{
			[LEASE_EVENT_START] = LEASE_TAKING,
			[LEASE_EVENT_FOUND_RUNNING] = LEASE_HELD,
			[LEASE_EVENT_FOUND_STOPPED] = LEASE_RELEASED,
		},
	[LEASE_TAKING] =
		{
			[LEASE_EVENT_GRANTED] = LEASE_HELD,
			[LEASE_EVENT_RELEASED] = LEASE_RELEASED, /* started to take it over later */
		},
	[LEASE_HELD] =
		{
			[LEASE_EVENT_RELEASE] = LEASE_RELEASING,
			[LEASE_EVENT_LOST] = LEASE_LOST,
		},
	[LEASE_LOST] =
		{
			[LEASE_EVENT_RELEASE] = LEASE_RELEASING,
		},
	[LEASE_RELEASING] =
		{
			[LEASE_EVENT_RELEASED] = LEASE_RELEASED,
		},
	[LEASE_RELEASED] =
		{
			[LEASE_EVENT_TAKE] = LEASE_RETAKING,
		},
	[LEASE_RETAKING] =
		{
			[LEASE_EVENT_GRANTED] = LEASE_HELD,
			[LEASE_EVENT_REFUSED] = LEASE_RELEASED,
		},
};

bool lease_state_move(enum lease_state *state, enum lease_event event)
{
	enum lease_state next = moves[*state][event];
	bool ends = event == LEASE_EVENT_GONE || (event == LEASE_EVENT_REFUSED && *state == LEASE_TAKING);

	if (next == LEASE_FREE && !ends)
		return false;
	*state = next;
	return true;
}

bool lease_may_run(enum lease_state state)
{
	return state == LEASE_HELD;
}

const char *lease_state_name(enum lease_state state)
{
	static const char *const names[] = {
		[LEASE_FREE] = "free",
		[LEASE_TAKING] = "taking",
		[LEASE_HELD] = "held",
		[LEASE_LOST] = "lost",
		[LEASE_RELEASING] = "releasing",
		[LEASE_RELEASED] = "released",
		[LEASE_RETAKING] = "taking",
	};

	_Static_assert(ARRAY_SIZE(names) == LEASE_STATE_MAX_, "a state without a name");
	return names[state];
}
