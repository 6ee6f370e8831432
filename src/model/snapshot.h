/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot as its user describes it and as it is kept: libvirt's <domainsnapshot> (docs/formatsnapshot). Plain data.
 *
 * What it froze is in `domain`: the disks it names there are those the VM had then, and whatever `disks` and `memory` say lies
 * beside them. An external snapshot's disk therefore has two files: domain's source, never written again as long as somebody stands on
 * it, and the overlay in `disks`, which the VM wrote to from then on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "domain.h"

enum snapshot_state {
	SNAPSHOT_STATE_NONE, /* not said; "nostate" */
	SNAPSHOT_RUNNING,
	SNAPSHOT_BLOCKED,
	SNAPSHOT_PAUSED,
	SNAPSHOT_SHUTDOWN,
	SNAPSHOT_SHUTOFF,
	SNAPSHOT_CRASHED,
	SNAPSHOT_PMSUSPENDED,
	SNAPSHOT_DISK_ONLY, /* "disk-snapshot": of a running guest's disks alone */
	SNAPSHOT_STATE_MAX_
};

enum snapshot_location {
	SNAPSHOT_DEFAULT, /* not said */
	SNAPSHOT_NO,
	SNAPSHOT_INTERNAL,
	SNAPSHOT_EXTERNAL,
	SNAPSHOT_MANUAL,
	SNAPSHOT_LOCATION_MAX_
};

struct snapshot_disk {
	char *target; /* or, until snapshot_resolve_disks, the path of its source */
	enum snapshot_location location;
	enum disk_source source_type;
	char *source;		 /* EXTERNAL: the overlay; NULL: godwit chooses */
	enum disk_format format; /* of the overlay; NONE: qcow2 */
	bool delete_begun;	 /* <snapshotDeleteInProgress>: its file may hold only part of what it held */
};

struct snapshot {
	char *name; /* a file name, as domain_check_name has it */
	char *description;
	char *parent;	   /* NULL: a root */
	int64_t created_s; /* since 1970 */
	enum snapshot_state state;
	enum snapshot_location memory;
	char *memory_file; /* memory EXTERNAL: absolute path */
	VEC(struct snapshot_disk) disks;
	/* <revertDisks>: the overlays the VM writes to since it was last taken back to this one; libvirt 9.9 has the element */
	VEC(struct snapshot_disk) revert_disks;
	/* what ran, or what was defined when nothing did; NULL: a redefinition without one */
	struct domain *domain;
	struct domain *inactive; /* <inactiveDomain>: the persistent definition beside a running one; NULL */
	uint8_t uuid[16];	 /* of the VM, when there is no `domain` that says it */
	bool has_uuid;
	char *cookie; /* <cookie>: what libvirt noted for itself, as it was given; NULL */
};

struct snapshot *snapshot_new(void);
void snapshot_free(struct snapshot *s); /* accepts NULL */
struct snapshot *snapshot_copy(const struct snapshot *s);
DEFINE_CLEANUP(struct snapshot *, snapshot_free);

/*
 * SNAPSHOT_PARSE_REDEFINE: as snapshot_format wrote it. Without it, what only a snapshot that exists can say (state, creationTime, parent,
 * domain, ...) is passed over, as libvirt does: a document from snapshot-dumpxml asks for another one like it. Its name is then the
 * time in seconds when it was given none. DISK_ONLY: memory is refused, and the state is SNAPSHOT_DISK_ONLY.
 * SNAPSHOT_PARSE_INTERNAL: a metadata file, which says <active>.
 */
enum {
	SNAPSHOT_PARSE_REDEFINE = 1 << 0,
	SNAPSHOT_PARSE_DISK_ONLY = 1 << 1,
	SNAPSHOT_PARSE_INTERNAL = 1 << 2, /* and REDEFINE */
};
/*
 * ERROR_XML, ERROR_UNSUPPORTED_CONFIG: as domain_parse. What was not said (memory, location of disks) stays DEFAULT.
 * `ret_current`: <active>; may be NULL.
 */
int snapshot_parse(const char *xml, size_t len, unsigned flags, struct snapshot **ret, bool *ret_current,
	struct error *err);

/* SECURE: with passwords. Domains as inactive XML. INTERNAL: as a metadata file has it, with <active> saying `current`. */
enum { SNAPSHOT_FORMAT_SECURE = 1 << 0, SNAPSHOT_FORMAT_INTERNAL = 1 << 1 };
char *snapshot_format(const struct snapshot *s, unsigned flags, bool current);

/*
 * Every disk by its target in `d`. ERROR_UNSUPPORTED_CONFIG: no such disk, or named twice. Disks of `d` that `s` does not name stay
 * unnamed.
 */
int snapshot_resolve_disks(struct snapshot *s, const struct domain *d, struct error *err);

/* A snapshot's name is a file name: ERROR_XML unless domain_check_name has it. */
int snapshot_check_name(const char *name, struct error *err);

/* "running", "disk-snapshot", ...; "external", ... */
const char *snapshot_state_name(enum snapshot_state v);
const char *snapshot_location_name(enum snapshot_location v);

void snapshot_clear_revert_disks(struct snapshot *s);
struct snapshot_disk *snapshot_find_disk(const struct snapshot *s, const char *target); /* NULL: none */
/* Has a memory image or state, disks inside images, files beside them. */
bool snapshot_has_memory(const struct snapshot *s);
bool snapshot_is_internal(const struct snapshot *s); /* memory or any disk */
bool snapshot_is_external(const struct snapshot *s); /* memory or any disk */
bool snapshot_is_live(const struct snapshot *s); /* of a machine that ran, or stood still, with its memory */
