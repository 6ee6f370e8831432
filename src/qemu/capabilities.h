/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one QEMU binary can do, asked of it over QMP once and cached on disk (docs/formats/capabilities.md) by
 * path, size, mtime and by the state of /dev/kvm. Features are asked for, never inferred from the version.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "error.h"
#include "json.h"
#include "strv.h"

struct qemu_machine {
	char *name;  /* canonical */
	char *alias; /* "q35"; NULL */
	uint32_t max_cpus;
	bool is_default;
	char *default_cpu;    /* typename without "-x86_64-cpu", NULL */
	char *default_ram_id; /* "pc.ram" */
	bool hotpluggable_cpus;
};

struct qemu_capabilities {
	char *binary;	  /* absolute path */
	uint32_t version; /* major * 1000000 + minor * 1000 + micro, for display only */
	char *package;
	char *arch;
	bool kvm_usable; /* a guest really ran under it: see docs/decisions/ */
	VEC(struct qemu_machine) machines;
	struct strv cpu_models;
	struct strv
		usable_cpu_models; /* those of them that lack nothing on this host (KVM's view when usable, else TCG's) */
	struct strv devices;		    /* types of qom-list-types "device" without CPUs, sorted */
	struct strv objects;		    /* types that object-add takes, sorted */
	struct strv commands;		    /* QMP commands, sorted */
	struct strv migration_capabilities; /* "mapped-ram", "background-snapshot", ... */
	struct strv migration_parameters;   /* "direct-io", ... */
	struct strv features;		    /* names for what needs more than a list, see below; sorted */
};

/*
 * Features, each there when this QEMU has it:
 *   netdev-TYPE, chardev-TYPE, display-TYPE, tpm-TYPE   back ends as -netdev, -chardev, -display, -tpmdev take them
 *   vnc, spice                 spice: the whole of it, also when it lives in a module
 *   aio-io_uring               for file block devices
 *   device-json, object-json   -device and -object take JSON
 *   migrate-file               "file:" as the other end of a migration
 *   fdset-direct-io            ... through an fdset with a second descriptor for O_DIRECT
 *   memory-file-copy-on-write  memory-backend-file maps part of a file that it only reads, for memory that is written
 *   blockdev-set-active        images can be given up and taken back without migrating
 *   sandbox                    -sandbox
 */
bool capabilities_has_feature(const struct qemu_capabilities *caps, const char *feature);

struct capability_cache;

/* `dirfd` is where the files are kept; it stays the caller's and must live as long. */
struct capability_cache *capability_cache_new(sd_event *loop, int dirfd);
/* Stops probes under way; their askers hear nothing any more. Accepts NULL. */
void capability_cache_free(struct capability_cache *c);

/*
 * Find what `binary` can do: at once from memory or disk, else by running it. Exactly one of caps and err is
 * set; caps lives as long as the cache. Several askers share one probe. done is never called from within.
 */
typedef void (*capability_done_fn)(
	const struct qemu_capabilities *caps, const struct error *err, void *userdata);
void capability_cache_find(
	struct capability_cache *c, const char *binary, capability_done_fn done, void *userdata);

/* Only what is in memory, or on disk and still true; NULL otherwise. */
const struct qemu_capabilities *capability_cache_get(struct capability_cache *c, const char *binary);

const struct qemu_machine *capabilities_find_machine(
	const struct qemu_capabilities *caps, const char *name_or_alias);
bool capabilities_has_device(const struct qemu_capabilities *caps, const char *device);
bool capabilities_has_migration(const struct qemu_capabilities *caps, const char *capability);

bool capabilities_has_command(const struct qemu_capabilities *caps, const char *command);

/* As in the cache file (docs/formats/capabilities.md). */
json *capabilities_encode(const struct qemu_capabilities *caps);
int capabilities_decode(json *o, struct qemu_capabilities **ret, struct error *err);
void capabilities_free(struct qemu_capabilities *caps);
DEFINE_CLEANUP(struct qemu_capabilities *, capabilities_free);
