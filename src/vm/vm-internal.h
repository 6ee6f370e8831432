/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this room share about a VM and the registry it lives in.
 * size: the numbers of libvirt's states and events, and two structs that every file of the room knows.
 *
 * registry.c  the set of VMs, lookup, events          vm.c        run states, the table of verbs, getters
 * define.c    definitions on disk                     undefine.c  taking them away      settings.c  small changes
 * operation.c a VM's one job: engine, journal, done   launch.c    from definition to answering monitor
 * resources.c what a VM takes of the host             tpm-emulator.c  its software TPM
 * start.c     the tables of starting                  restore.c   from a file, create   load.c  state into QEMU
 * disk-check.c  does a saved state fit its disks      disk-look.c, disk-note.c  what is known of them
 * clone.c     the same, many times                    clone-files.c  what each of them has for itself
 * save-verb.c what is asked of a save                 save.c      the save              managed.c  images as documents
 * control.c   suspend, resume, reset, destroy ...     monitor.c   QEMU's events, the end    adopt.c  after a restart
 * status.c    how the next daemon finds a running VM  console.c, stats.c, native.c  what can be looked at
 * vm-lease.c  what a VM must hold to run              lease-loss.c  and when it is lost
 * paging*.c   memory that comes in while the guest runs (paging.h)
 * park.c      a QEMU put aside while another takes its place
 * agent.c, vm-agent.c  the agent in the guest        quiesce.c   a guest frozen for a job
 * snapshot-*  what is known of its snapshots, and making, taking and leaving them (vm-snapshot.h)
 * block-job*.c  images of a disk are merged while it runs
 * plug.c      devices come and go, on disk            attach.c, detach.c, disk-lease.c  and in a running QEMU
 */
#pragma once

#include <systemd/sd-event.h>

#include "defaults.h"
#include "job.h"
#include "journal.h"
#include "process.h"
#include "quiesce-internal.h"
#include "registry.h"
#include "snapshot-tree.h"
#include "vm.h"

/* Numbers of libvirt's public API (libvirt-domain.h): virDomainState, its reasons, lifecycle events and details. */
enum {
	DOMAIN_NOSTATE,
	DOMAIN_RUNNING,
	DOMAIN_BLOCKED,
	DOMAIN_PAUSED,
	DOMAIN_SHUTDOWN,
	DOMAIN_SHUTOFF,
	DOMAIN_CRASHED,
	DOMAIN_PMSUSPENDED
};
enum {
	RUNNING_UNKNOWN,
	RUNNING_BOOTED,
	RUNNING_MIGRATED,
	RUNNING_RESTORED,
	RUNNING_FROM_SNAPSHOT,
	RUNNING_UNPAUSED,
	RUNNING_MIGRATION_CANCELED,
	RUNNING_SAVE_CANCELED,
	RUNNING_WAKEUP,
	RUNNING_CRASHED
};
enum {
	PAUSED_UNKNOWN,
	PAUSED_USER,
	PAUSED_MIGRATION,
	PAUSED_SAVE,
	PAUSED_DUMP,
	PAUSED_IOERROR,
	PAUSED_WATCHDOG,
	PAUSED_FROM_SNAPSHOT,
	PAUSED_SHUTTING_DOWN,
	PAUSED_SNAPSHOT,
	PAUSED_CRASHED,
	PAUSED_STARTING_UP
};
enum { SHUTDOWN_UNKNOWN, SHUTDOWN_USER };
enum {
	SHUTOFF_UNKNOWN,
	SHUTOFF_SHUTDOWN,
	SHUTOFF_DESTROYED,
	SHUTOFF_CRASHED,
	SHUTOFF_MIGRATED,
	SHUTOFF_SAVED,
	SHUTOFF_FAILED,
	SHUTOFF_FROM_SNAPSHOT
};
enum { CRASHED_UNKNOWN, CRASHED_PANICKED };

enum {
	EVENT_DEFINED,
	EVENT_UNDEFINED,
	EVENT_STARTED,
	EVENT_SUSPENDED,
	EVENT_RESUMED,
	EVENT_STOPPED,
	EVENT_SHUTDOWN,
	EVENT_PMSUSPENDED,
	EVENT_CRASHED
};
enum { DEFINED_ADDED, DEFINED_UPDATED, DEFINED_RENAMED, DEFINED_FROM_SNAPSHOT };
enum { UNDEFINED_REMOVED, UNDEFINED_RENAMED };
enum { STARTED_BOOTED, STARTED_MIGRATED, STARTED_RESTORED, STARTED_FROM_SNAPSHOT, STARTED_WAKEUP };
enum {
	SUSPENDED_PAUSED,
	SUSPENDED_MIGRATED,
	SUSPENDED_IOERROR,
	SUSPENDED_WATCHDOG,
	SUSPENDED_RESTORED,
	SUSPENDED_FROM_SNAPSHOT
};
enum { RESUMED_UNPAUSED };
enum {
	STOPPED_SHUTDOWN,
	STOPPED_DESTROYED,
	STOPPED_CRASHED,
	STOPPED_MIGRATED,
	STOPPED_SAVED,
	STOPPED_FAILED,
	STOPPED_FROM_SNAPSHOT
};
enum { SHUTDOWN_FINISHED, SHUTDOWN_GUEST, SHUTDOWN_HOST };

struct agent;
struct block_job;
struct operation;
struct paging;
struct parked;
struct lease_work;
struct lease_inquiry;

/* Who waits for the VM to be off (virsh destroy). */
struct stop_waiter {
	vm_done_fn done;
	void *userdata;
};

/* A snapshot whose metadata are there and cannot be read, so that nobody knows which files it needs. */
struct unreadable_snapshot {
	char *name; /* NULL: none can */
	char *why;
};

struct vm {
	unsigned refs;
	struct registry *registry; /* NULL once forgotten */
	char *name;
	uint8_t uuid[16];
	struct domain *persistent; /* NULL: transient */
	struct domain *live;	   /* from the start of STARTING until OFF */
	struct snapshot_tree snapshots;
	VEC(struct unreadable_snapshot) unreadable_snapshots;
	bool autostart, autostart_once;

	enum vm_state state;
	struct vm_status status;
	int32_t id;

	struct process *process;
	struct qmp *qmp;
	int run_fd; /* directory run/vm/UUID */
	bool process_ended, monitor_ended;
	int exit_status;
	struct vm_status stop_as;	 /* what it will have been when QEMU is gone */
	int stop_detail;		 /* detail of the STOPPED event */
	bool reboot_requested;		 /* power button pressed for a reboot: reset instead of stopping */
	bool guest_shut_down;		 /* QEMU waits in its "shutdown" state */
	bool stopping;			 /* we are ending QEMU: its own SHUTDOWN event is no news */
	int pause_reason, resume_reason; /* for the next STOP and RESUME event */
	void (*on_monitor_ready)(struct vm *vm); /* adoption; else the operation hears of it */
	struct vm_resources *resources;

	struct operation *operation; /* the one job; NULL */
	struct vm_job_info last_job;
	VEC(struct stop_waiter) stop_waiters;
	sd_event_source *end_timer; /* QEMU exited, its monitor has not said goodbye yet */

	struct strv
		found_devices; /* by alias, what an earlier daemon's QEMU has; adopt.c asks before it recovers its job */
	VEC(struct block_job *) block_jobs; /* at most one for a disk; block-job-internal.h */
	json *found_jobs;      /* an earlier daemon's QEMU's, as query-jobs lists them; adopt.c asks */
	struct strv unplugged; /* aliases of disks that are gone from QEMU and still in `live` (hotplug.h) */

	struct paging *paging; /* restored lazily, and memory is still coming in; else NULL */
	bool restored_lazily;  /* this run began so */
	char *restored_why;    /* why it was restored eagerly; NULL: lazily, or booted */

	struct parked *parked; /* the QEMU put aside (park.h); NULL: none */

	struct agent *agent; /* vm-agent.h; NULL until it is asked something */
	int agent_timeout;   /* AGENT_BLOCK ... */
	/* Of migrate_set_limit, while this daemon lives; 0: none. The downtime is this run's only, as it is QEMU's. */
	uint64_t migrate_speed_mib, migrate_postcopy_speed_mib, migrate_downtime_ms;
	struct quiesce quiesce;

	/* vm-lease.h */
	struct lease_set *leases; /* NULL when off, or started under another lock manager */
	enum lease_kind lease_kind;
	size_t n_leases;     /* that QEMU must hold */
	bool leases_given;   /* QEMU was made to give them back, and has not had them again since */
	char *lease_version; /* what the lock manager said then, for whoever has them next; "" nothing */
	enum lease_state lease_state;
	struct lease_work *lease_work; /* NULL: nothing is being done about them */
	bool restart_when_off;
	sd_event_source *restart_timer;
};

struct registry {
	sd_event *loop;
	struct registry_settings settings;
	struct registry_strings *strings; /* what settings point to */
	struct capability_cache *capabilities;
	VEC(struct vm *) vms;			      /* sorted by name; each holds a reference */
	int domains_fd, autostart_fd;		      /* etc/domains, etc/autostart */
	int save_fd, journal_fd, nvram_fd, clones_fd; /* lib/... */
	int snapshot_fd;
	int run_fd; /* run/vm */
	int log_fd;
	int32_t last_id;
	struct lease_request *lease_join, *lease_watch; /* lease-loss.c; NULL: not at work */
	sd_event_source *watch_timer;			/* the watch ended too soon to begin again at once */
	uint64_t watch_began, watch_pause_usec;
	VEC(struct lease_inquiry *) lease_inquiries;
	registry_event_fn on_event;
	void *event_userdata;
};

/* ---- registry.c ---- */
void registry_add(struct registry *r, struct vm *vm);
void registry_remove(struct registry *r, struct vm *vm);
void registry_emit(struct registry *r, const struct vm_event *event);
void vm_emit_lifecycle(struct vm *vm, int event, int detail);
/* Name and UUID must both belong to `same` (may be NULL) or to nobody. */
int registry_check_free(struct registry *r, const struct domain *d, const struct vm *same, struct error *err);

/* ---- vm.c ---- */
struct vm *vm_new(struct registry *r, const char *name, const uint8_t uuid[16]);
void vm_set_state(struct vm *vm, enum vm_state state, int domain_state, int reason);

enum vm_verb {
	VERB_START,
	VERB_DESTROY,
	VERB_SHUTDOWN,
	VERB_RESET,
	VERB_SUSPEND,
	VERB_RESUME,
	VERB_SAVE,
	VERB_UNDEFINE,
	VERB_QUERY, /* needs a monitor that answers */
	VERB_RENAME,
	VERB_ATTACH,
	VERB_DETACH,
	VERB_BLOCK_JOB,
	VERB_AGENT,
	VERB_SNAPSHOT,
	VERB_SNAPSHOT_METADATA,
	VERB_REVERT,
	VERB_SNAPSHOT_DELETE,
	VERB_MIGRATE,
	VERB_MAX_,
};
/* Is the verb allowed in this state, and no job in its way? */
int vm_check_verb(const struct vm *vm, enum vm_verb verb, struct error *err);

/* ---- settings.c ---- */
/* Live, config or both; `current` becomes whichever the VM runs on. */
int vm_resolve_affect(const struct vm *vm, unsigned *affect, struct error *err);

/* ---- define.c ---- */
int definition_write(struct vm *vm, struct error *err);
/* What a client gave, with the UUID and emulator it may have left out. */
int definition_parse(struct registry *r, const char *xml, struct domain **ret, struct error *err);
/* Fill defaults and addresses for this host; `caps` is of d->emulator. */
int definition_complete(
	struct registry *r, struct domain *d, const struct qemu_capabilities *caps, struct error *err);
void registry_load_definitions(struct registry *r);
/* The VM, whether it runs or not, is defined by this from now on, under the name that it has; durable. Idempotent. */
int vm_take_definition(struct vm *vm, const char *xml, struct error *err);
/* undefine.c: it is defined no longer, nor are its snapshots known; its other files stay. Idempotent, durable. */
int vm_remove_definition(struct vm *vm, struct error *err);
/* "NAME.xml", "NAME.save" ...; caller frees. */
char *vm_file_name(const struct vm *vm, const char *suffix);
char *vm_managed_save_path(const struct vm *vm);

/* ---- status.c ---- */
/* err NULL: a failure is logged. */
int status_write(struct vm *vm, struct error *err);
/* Before the process object exists. */
int status_write_process(struct vm *vm, pid_t pid, uint64_t start_time, struct error *err);
void status_remove(struct vm *vm);
bool status_exists(const struct registry *r, const char *directory);
/* The VM of directory run/vm/NAME (a UUID, and PARKED_SUFFIX where it is parked); made and added to the registry when it is transient. */
int status_read(struct registry *r, const char *directory, struct vm **ret, pid_t *ret_pid,
	uint64_t *ret_start_time, struct error *err);

/* ---- adopt.c ---- */
void registry_adopt(struct registry *r);
