/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMs of this host: finding, defining, creating and restoring them, and telling what happens to them.
 * size: what each kind of event tells.
 */
#pragma once

#include <sys/types.h>

#include "capabilities.h"
#include "lease.h"
#include "vm.h"

struct migrations;
struct operation_type;

struct registry_settings {
	/* directories, all absolute, existing or made at start */
	const char *etc_dir, *lib_dir, *run_dir, *log_dir;
	const char *io_program;	      /* godwit-io */
	const char *default_emulator; /* path */
	bool has_save_format;
	enum image_format save_format; /* else: sparse where QEMU has mapped-ram, raw otherwise */
	bool has_snapshot_format;
	enum image_format snapshot_format; /* of a snapshot's memory; else as saves */
	bool restore_eagerly;	   /* load all memory before the guest runs, even where it need not be */
	const char *snapshot_hook; /* path of the program for manual snapshots of disks; NULL: none */
	const char *hooks_dir;	   /* of those programs that came with godwit */
	bool auto_start_bypass_cache;
	bool trust_kvm;		/* use /dev/kvm without having tried a guest under it */
	const char *vnc_listen; /* address */
	const char *hostname;
	uint8_t host_uuid[16];
	struct lease_settings leases;
	/* Of the room above: the kinds of jobs it adds (ends with NULL), and what they work with. NULL: none. */
	const struct operation_type *const *more_jobs;
	struct migrations *migrations;
};

enum vm_event_type {
	VM_EVENT_LIFECYCLE,
	VM_EVENT_REBOOT,
	VM_EVENT_RTC_CHANGE,
	VM_EVENT_WATCHDOG,
	VM_EVENT_IO_ERROR,
	VM_EVENT_GRAPHICS,
	VM_EVENT_BALLOON_CHANGE,
	VM_EVENT_TRAY_CHANGE,
	VM_EVENT_DEVICE_ADDED,
	VM_EVENT_DEVICE_REMOVED,
	VM_EVENT_JOB_COMPLETED,
	VM_EVENT_AGENT_LIFECYCLE,
	VM_EVENT_METADATA_CHANGE,
	VM_EVENT_MIGRATION_ITERATION,
	VM_EVENT_BLOCK_JOB,
	VM_EVENT_MONITOR, /* any QMP event, for qemu-monitor-event */
	VM_EVENT_MAX_,
};

struct vm_graphics_address {
	int family; /* virDomainEventGraphicsAddressType: 0 IPv4, 1 IPv6, 2 UNIX */
	const char *node, *service;
};

struct vm_event {
	enum vm_event_type type;
	struct vm *vm;
	union {
		struct {
			int event, detail; /* virDomainEventType and its details */
		} lifecycle;
		struct {
			int64_t offset;
		} rtc;
		struct {
			int action; /* virDomainEventWatchdogAction */
		} watchdog;
		struct {
			const char *path, *alias, *reason; /* reason "" or "enospc" */
			int action;			   /* virDomainEventIOErrorAction */
		} io_error;
		struct {
			int phase; /* 0 connect, 1 initialise, 2 disconnect */
			struct vm_graphics_address local, remote;
			const char *auth_scheme;
		} graphics;
		struct {
			uint64_t actual_kib;
		} balloon;
		struct {
			const char *alias;
			int reason; /* 0 open, 1 close */
		} tray;
		struct {
			const char *alias;
		} device;
		struct {
			struct vm_job_info info;
		} job;
		struct {
			int number; /* of the pass over the memory */
		} iteration;
		struct {
			int state, reason;
		} agent;
		struct {
			enum vm_metadata what;
			const char *uri;
		} metadata;
		struct {
			const char *path, *target; /* path NULL: the disk is gone */
			int type, status; /* virDomainBlockJobType, virConnectDomainEventBlockJobStatus */
		} block_job;
		struct {
			const char *name;
			int64_t seconds;
			int32_t micros;
			json *data;
		} monitor;
	};
};

typedef void (*registry_event_fn)(const struct vm_event *event, void *userdata);

/* Reads definitions and status files, adopts running QEMUs, recovers journalled jobs. */
int registry_open(
	sd_event *loop, const struct registry_settings *settings, struct registry **ret, struct error *err);
/* Every QEMU of an earlier daemon has been found and every job of it continued or undone. */
bool registry_is_settled(const struct registry *r);
/* Lets every QEMU run on. */
void registry_close(struct registry *r);
void registry_set_event_handler(struct registry *r, registry_event_fn fn, void *userdata);
/* Start what is marked for it, managed saves resumed; failures are logged. */
void registry_autostart(struct registry *r);

struct vm *registry_find_by_name(struct registry *r, const char *name);
struct vm *registry_find_by_uuid(struct registry *r, const uint8_t uuid[16]);
struct vm *registry_find_by_id(struct registry *r, int32_t id);
/* All, sorted by name; borrowed, valid until the loop's next turn. */
void registry_list(struct registry *r, struct vm *const **ret, size_t *ret_n);

struct capability_cache *registry_get_capabilities(struct registry *r);
const struct registry_settings *registry_get_settings(struct registry *r);

/* done gets the VM. `validate`: unknown elements are refused either way; kept for virsh define --validate. */
int registry_define(struct registry *r, const char *xml, bool validate, vm_done_fn done, void *userdata,
	struct error *err);

/* A transient VM (or a transient run of a defined one of the same name and UUID), started. */
int registry_create(struct registry *r, const char *xml, const struct vm_start_options *options,
	vm_done_fn done, void *userdata, struct error *err);

struct vm_restore_options {
	const char *path;
	const char *xml; /* NULL: the image's */
	bool bypass_cache;
	enum { VM_RESTORE_AS_SAVED, VM_RESTORE_RUNNING, VM_RESTORE_PAUSED } resume_as;
	unsigned channels;
	bool reset_nvram;
	bool force, eager; /* as in struct vm_start_options */
};
int registry_restore(struct registry *r, const struct vm_restore_options *options, vm_done_fn done,
	void *userdata, struct error *err);

struct vm_clone_options {
	const char *path, *name;
	bool paused;
	bool verify; /* all of the image's memory first; else only what godwit reads itself */
};
/*
 * A new VM, defined and running, whose memory is that of a sparse image until it is written, and whose disks are overlays over those the
 * image's guest had (docs/clones.md). Interfaces on a network of the host come up with the cable out. The image must not be written to as long
 * as the VM runs.
 */
int registry_clone(struct registry *r, const struct vm_clone_options *options, vm_done_fn done,
	void *userdata, struct error *err);

/* Image files by path (virsh save-image-dumpxml, -define). */
int registry_image_get_xml(
	struct registry *r, const char *path, bool secure, char **ret_xml, struct error *err);
int registry_image_define_xml(
	struct registry *r, const char *path, const char *xml, int running, struct error *err);

/*
 * The command line QEMU would get (virsh domxml-to-native qemu-argv). done via `reply`: exactly one of text, err.
 */
typedef void (*registry_text_fn)(const char *text, const struct error *err, void *userdata);
int registry_xml_to_native(
	struct registry *r, const char *xml, registry_text_fn reply, void *userdata, struct error *err);
