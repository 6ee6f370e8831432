/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filter flags of LIST_ALL_DOMAINS and GET_ALL_DOMAIN_STATS. */
#include "domain-filter.h"

#include "vm-snapshot.h"

#define STATES (RPC_LIST_RUNNING | RPC_LIST_PAUSED | RPC_LIST_SHUTOFF | RPC_LIST_OTHER)

/* A macro, so that what is not asked for is not found out. */
#define EITHER(yes, no, is) (!(flags & ((yes) | (no))) || flags & ((is) ? (yes) : (no)))

static bool state_matches(const struct vm *vm, unsigned flags)
{
	struct vm_status status;

	if (!(flags & STATES))
		return true;
	vm_get_status(vm, &status);
	switch (status.state) {
	case RPC_STATE_RUNNING:
		return flags & RPC_LIST_RUNNING;
	case RPC_STATE_PAUSED:
		return flags & RPC_LIST_PAUSED;
	case RPC_STATE_SHUTOFF:
		return flags & RPC_LIST_SHUTOFF;
	default:
		return flags & RPC_LIST_OTHER;
	}
}

bool domain_filter_matches(const struct vm *vm, unsigned flags)
{
	return EITHER(RPC_LIST_ACTIVE, RPC_LIST_INACTIVE, vm_is_active(vm)) &&
	       EITHER(RPC_LIST_PERSISTENT, RPC_LIST_TRANSIENT, vm_is_persistent(vm)) &&
	       EITHER(RPC_LIST_MANAGED_SAVE, RPC_LIST_NO_MANAGED_SAVE, vm_has_managed_save(vm)) &&
	       EITHER(RPC_LIST_AUTOSTART, RPC_LIST_NO_AUTOSTART,
		       vm_get_autostart(vm) || vm_get_autostart_once(vm)) &&
	       EITHER(RPC_LIST_HAS_SNAPSHOT, RPC_LIST_NO_SNAPSHOT, vm_get_snapshots(vm)->all.n > 0) &&
	       /* there are no checkpoints here */
	       EITHER(RPC_LIST_HAS_CHECKPOINT, RPC_LIST_NO_CHECKPOINT, false) && state_matches(vm, flags);
}
