/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names for the protocol's numbers, as virsh prints them: scripts compare with them. */
#include "names.h"

#include <stddef.h>

#include "cleanup.h"

/* Indexed by the protocol's number; NULL behind the last one. */
struct name_list {
	const char *names[32];
};

#define NAMES(...)                                                                                           \
	{                                                                                                    \
		{                                                                                            \
			__VA_ARGS__                                                                          \
		}                                                                                            \
	}

static const char *name_in(
	const struct name_list *lists, size_t n, int list, int index, const char *otherwise)
{
	if (list < 0 || (size_t)list >= n || index < 0 || (size_t)index >= ARRAY_SIZE(lists[list].names))
		return otherwise;
	return lists[list].names[index] ? lists[list].names[index] : otherwise;
}

const char *domain_state_name(int state)
{
	static const struct name_list states = NAMES(
		"no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended");

	return name_in(&states, 1, 0, state, "no state");
}

const char *domain_reason_name(int state, int reason)
{
	static const struct name_list reasons[] = {
		NAMES("unknown"),
		NAMES("unknown", "booted", "migrated", "restored", "from snapshot", "unpaused",
			"migration canceled", "save canceled", "event wakeup", "crashed", "post-copy",
			"post-copy failed"),
		NAMES("unknown"),
		NAMES("unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog",
			"from snapshot", "shutting down", "creating snapshot", "crashed", "starting up",
			"post-copy", "post-copy failed", "api error"),
		NAMES("unknown", "user"),
		NAMES("unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
			"from snapshot", "daemon"),
		NAMES("unknown", "panicked"),
		NAMES("unknown"),
	};

	return name_in(reasons, ARRAY_SIZE(reasons), state, reason, "unknown");
}

const char *vcpu_state_name(int state)
{
	static const struct name_list states = NAMES("offline", "running", "blocked");

	return name_in(&states, 1, 0, state, "no state");
}

const char *lifecycle_event_name(int event)
{
	static const struct name_list events = NAMES("Defined", "Undefined", "Started", "Suspended",
		"Resumed", "Stopped", "Shutdown", "PMSuspended", "Crashed");

	return name_in(&events, 1, 0, event, "unknown");
}

const char *lifecycle_detail_name(int event, int detail)
{
	static const struct name_list details[] = {
		NAMES("Added", "Updated", "Renamed", "Snapshot"),
		NAMES("Removed", "Renamed"),
		NAMES("Booted", "Migrated", "Restored", "Snapshot", "Event wakeup", "Recovered"),
		NAMES("Paused", "Migrated", "I/O Error", "Watchdog", "Restored", "Snapshot", "API error",
			"Post-copy", "Post-copy Error"),
		NAMES("Unpaused", "Migrated", "Snapshot", "Post-copy", "Post-copy Error"),
		NAMES("Shutdown", "Destroyed", "Crashed", "Migrated", "Saved", "Failed", "Snapshot",
			"Recreated"),
		NAMES("Finished", "Finished after guest request", "Finished after host request"),
		NAMES("Memory", "Disk"),
		NAMES("Panicked", "Crashloaded"),
	};

	return name_in(details, ARRAY_SIZE(details), event, detail, "unknown");
}

const char *watchdog_outcome_name(int action)
{
	static const struct name_list actions =
		NAMES("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi");

	return name_in(&actions, 1, 0, action, "unknown");
}

const char *io_error_action_name(int action)
{
	static const struct name_list actions = NAMES("none", "pause", "report");

	return name_in(&actions, 1, 0, action, "unknown");
}

const char *graphics_phase_name(int phase)
{
	static const struct name_list phases = NAMES("connect", "initialize", "disconnect");

	return name_in(&phases, 1, 0, phase, "unknown");
}

const char *graphics_family_name(int family)
{
	static const struct name_list families = NAMES("IPv4", "IPv6", "unix");

	return name_in(&families, 1, 0, family, "unknown");
}

const char *agent_state_name(int state)
{
	static const struct name_list states = NAMES("unknown", "connected", "disconnected");

	return name_in(&states, 1, 0, state, "unknown");
}

const char *agent_reason_name(int reason)
{
	static const struct name_list reasons = NAMES("unknown", "domain started", "channel event");

	return name_in(&reasons, 1, 0, reason, "unknown");
}

const char *metadata_type_name(int type)
{
	static const struct name_list types = NAMES("description", "title", "element");

	return name_in(&types, 1, 0, type, "unknown");
}

const char *job_type_name(int type)
{
	static const struct name_list types =
		NAMES("None", "Bounded", "Unbounded", "Completed", "Failed", "Cancelled");

	return name_in(&types, 1, 0, type, "unknown");
}

const char *job_operation_name(int operation)
{
	static const struct name_list operations =
		NAMES("Unknown", "Start", "Save", "Restore", "Incoming migration", "Outgoing migration",
			"Snapshot", "Snapshot revert", "Dump", "Backup", "Snapshot delete");

	return name_in(&operations, 1, 0, operation, "unknown");
}

const char *control_state_name(int state)
{
	static const struct name_list states = NAMES("ok", "background job", "occupied", "error");

	return name_in(&states, 1, 0, state, "unknown");
}

const char *disk_error_name(int error)
{
	static const struct name_list errors = NAMES("no error", "unspecified error", "no space");

	return name_in(&errors, 1, 0, error, "unknown error");
}

const char *memory_stat_name(int tag)
{
	static const struct name_list tags =
		NAMES("swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", "actual",
			"rss", "usable", "last_update", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail");

	return name_in(&tags, 1, 0, tag, NULL);
}

/* The event ids of the protocol, in their order. */
static const struct name_list event_types = NAMES("lifecycle", "reboot", "rtc-change", "watchdog", "io-error",
	"graphics", "io-error-reason", "control-error", "block-job", "disk-change", "tray-change",
	"pm-wakeup", "pm-suspend", "balloon-change", "pm-suspend-disk", "device-removed", "block-job-2",
	"tunable", "agent-lifecycle", "device-added", "migration-iteration", "job-completed",
	"device-removal-failed", "metadata-change", "block-threshold", "memory-failure",
	"memory-device-size-change", "nic-mac-change");

const char *event_type_name(int id)
{
	return name_in(&event_types, 1, 0, id, NULL);
}
