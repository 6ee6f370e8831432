/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual machine: its definitions, its run state, its QEMU and its one job.
 *
 *            start, restore            cpus run            suspend, I/O error, watchdog
 *     OFF -------------------> STARTING -------> RUNNING <------------------------------> PAUSED
 *      ^                          |                 |               resume                   |
 *      |        QEMU is gone      v                 v                                        |
 *      +----------------------- STOPPING <---------------------------------------------------+
 *
 * STARTING may also end in PAUSED (start --paused). Which operation is allowed in which state is a table in
 * vm.c. Operations are asynchronous: they return -1 with *err when refused at once (done is not called), and otherwise
 * call done exactly once, later, from the loop.
 *
 * size: all that can be done with a VM, and asked of it, by other rooms.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "domain.h"
#include "error.h"
#include "image.h"
#include "json.h"
#include "qmp.h"

struct vm;
struct registry;

enum vm_state { VM_OFF, VM_STARTING, VM_RUNNING, VM_PAUSED, VM_STOPPING, VM_STATE_MAX_ };

/* virDomainState and its reasons as the protocol has them (libvirt-domain.h). */
struct vm_status {
	int state;
	int reason;
};

/* `vm` may be NULL when err is set and no VM came of it. Both are borrowed. */
typedef void (*vm_done_fn)(struct vm *vm, const struct error *err, void *userdata);

struct vm *vm_ref(struct vm *vm);
struct vm *vm_unref(struct vm *vm);

/* ---- what is known without asking anybody; all borrowed ---- */
const char *vm_get_name(const struct vm *vm);
const uint8_t *vm_get_uuid(const struct vm *vm);
int32_t vm_get_id(const struct vm *vm); /* -1 when off */
enum vm_state vm_get_state(const struct vm *vm);
void vm_get_status(const struct vm *vm, struct vm_status *ret);
bool vm_is_active(const struct vm *vm); /* has a QEMU */
bool vm_is_persistent(const struct vm *vm);
bool vm_get_autostart(const struct vm *vm);
bool vm_get_autostart_once(const struct vm *vm);
bool vm_has_managed_save(const struct vm *vm);
/* The live definition when active, else the persistent one. */
const struct domain *vm_get_domain(const struct vm *vm);
/* NULL when there is none. */
const struct domain *vm_get_live(const struct vm *vm);
const struct domain *vm_get_persistent(const struct vm *vm);
uint64_t vm_get_cpu_time_ns(const struct vm *vm); /* of the QEMU process, /proc/PID/stat */
pid_t vm_get_pid(const struct vm *vm);		  /* 0 when off */
uint64_t vm_get_balloon_kib(const struct vm *vm); /* memory the guest has now */

/* QEMU's monitor for statistics and pass-through; NULL unless one is connected. Borrowed, valid until the loop's next turn. */
struct qmp *vm_get_qmp(struct vm *vm);

/* ---- the current job ---- */
enum vm_job_operation {
	VM_JOB_NONE,
	VM_JOB_START,
	VM_JOB_SAVE,
	VM_JOB_RESTORE,
	VM_JOB_SNAPSHOT,
	VM_JOB_SNAPSHOT_DELETE,
	VM_JOB_REVERT,
	VM_JOB_MIGRATION_IN,
	VM_JOB_MIGRATION_OUT,
	VM_JOB_OTHER
};

/* Of a migration only; 0 where not known. What QEMU says to query-migrate. */
struct vm_job_migration {
	bool has_downtime; /* the guest has stood still: for how long; or is expected to */
	bool downtime_is_expected;
	uint64_t downtime_ms, setup_ms;
	bool has_delta; /* both clocks are known: what of the times is theirs, not the network's */
	int64_t delta_ms;
	uint64_t constant_pages, normal_pages, normal_bytes, page_size;
	uint64_t iteration, dirty_rate; /* passes over the memory; pages a second */
	uint64_t postcopy_requests;
	bool has_xbzrle;
	uint64_t xbzrle_cache, xbzrle_bytes, xbzrle_pages, xbzrle_misses, xbzrle_overflow;
	unsigned throttle; /* per cent of its time that the guest may not run */
};

struct vm_job_info {
	enum vm_job_operation operation; /* NONE: no job */
	bool completed;			 /* figures of the last finished one */
	const char *name;		 /* "save", borrowed */
	uint64_t elapsed_ms;
	uint64_t memory_total, memory_processed, memory_remaining; /* bytes */
	uint64_t memory_bps;					   /* bytes a second, 0 unknown */
	uint64_t file_written;					   /* bytes */
	/* of disks that are copied by a migration, or merged; bytes, bytes a second */
	uint64_t disk_total, disk_processed, disk_remaining, disk_bps;
	bool succeeded;
	struct vm_job_migration migration;
};

/* How this run of the VM came out of an image. Pointers are borrowed. */
struct vm_restore_info {
	bool lazily;
	const char *why; /* eagerly, and why; NULL with `lazily` false: it was booted */
	bool is_coming_in;
	uint64_t memory_total, memory_in; /* bytes, while it is coming in */
	const char *trouble;		  /* what keeps it from coming in; NULL nothing */
};
void vm_get_restore_info(const struct vm *vm, struct vm_restore_info *ret);
/* Let what is still missing come in as fast as it can, whatever the guest says to it. */
int vm_hurry_restore(struct vm *vm, struct error *err);

void vm_get_job_info(const struct vm *vm, bool completed, struct vm_job_info *ret);
int vm_abort_job(struct vm *vm, struct error *err);

/* ---- operations ---- */
struct vm_start_options {
	bool paused;
	bool force_boot; /* throw a managed save away */
	bool bypass_cache;
	bool reset_nvram;
	bool force; /* the caller knows that the disks have changed since the state was saved */
	bool eager; /* all memory is loaded before the guest runs */
};
int vm_start(struct vm *vm, const struct vm_start_options *options, vm_done_fn done, void *userdata,
	struct error *err);

int vm_destroy(struct vm *vm, bool graceful, vm_done_fn done, void *userdata, struct error *err);
/* ACPI power button; done when QEMU took the request. */
int vm_shutdown(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int vm_reboot(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int vm_reset(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int vm_suspend(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int vm_resume(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
int vm_inject_nmi(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);

struct vm_save_options {
	const char *path; /* NULL: managed save */
	const char *xml;  /* NULL: the live definition */
	bool bypass_cache;
	enum { VM_SAVE_AS_IS, VM_SAVE_RUNNING, VM_SAVE_PAUSED } resume_as;
	bool has_format;
	enum image_format format;
	unsigned channels; /* 0: default */
};
int vm_save(struct vm *vm, const struct vm_save_options *options, vm_done_fn done, void *userdata,
	struct error *err);

struct vm_undefine_options {
	bool managed_save; /* remove it too; else its existence refuses */
	bool nvram;	   /* remove it */
	bool keep_nvram;
	bool snapshots_metadata; /* forget its snapshots; else they refuse it when it is off */
};
int vm_undefine(struct vm *vm, const struct vm_undefine_options *options, vm_done_fn done, void *userdata,
	struct error *err);

/* ---- small and immediate ---- */
int vm_set_autostart(struct vm *vm, bool on, struct error *err);
int vm_set_autostart_once(struct vm *vm, bool on, struct error *err);
int vm_managed_save_remove(struct vm *vm, struct error *err);
int vm_managed_save_get_xml(struct vm *vm, bool secure, char **ret_xml, struct error *err);
int vm_managed_save_define_xml(
	struct vm *vm, const char *xml, int running, struct error *err); /* running: 1, 0, -1 as is */
int vm_rename(struct vm *vm, const char *name, struct error *err);
/* DOMAIN_FORMAT_* flags; INACTIVE gives the persistent definition of an active VM. */
char *vm_format_xml(const struct vm *vm, unsigned flags);

enum vm_metadata { VM_METADATA_DESCRIPTION, VM_METADATA_TITLE, VM_METADATA_ELEMENT };
enum { VM_AFFECT_CURRENT = 0, VM_AFFECT_LIVE = 1, VM_AFFECT_CONFIG = 2 };
int vm_set_metadata(struct vm *vm, enum vm_metadata what, const char *text, const char *key, const char *uri,
	unsigned affect, struct error *err);
int vm_get_metadata(const struct vm *vm, enum vm_metadata what, const char *uri, unsigned affect, char **ret,
	struct error *err);

/*
 * A connected, non-blocking descriptor to a serial port, console or channel ("serial0", its alias; NULL: the first
 * console).
 */
int vm_open_console(struct vm *vm, const char *device, int *ret_fd, struct error *err);
