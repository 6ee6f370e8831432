/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bundle: a saved VM (definition, state, firmware variables, disks) as one tar file that can be verified, streamed and
 * continued (docs/formats/bundle.md has the bytes).
 *
 * A position counts the bytes of all members one after the other, holes included: 0 is the first byte of the definition.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "error.h"
#include "strv.h"

#define BUNDLE_MANIFEST_MAX (1u << 20)
#define BUNDLE_MEMBERS_MAX  1024u
#define BUNDLE_ID_SIZE	    33u /* 32 hexadecimal digits and NUL */

enum bundle_kind { BUNDLE_DEFINITION, BUNDLE_STATE, BUNDLE_NVRAM, BUNDLE_DISK, BUNDLE_KIND_MAX_ };

struct bundle_member {
	enum bundle_kind kind;
	char *target;	 /* of a disk: "vda"; else NULL */
	char *name;	 /* in the tar; follows from kind and target */
	uint64_t size;	 /* of the file, holes included */
	uint64_t stored; /* bytes in the tar: less than the size when it has holes */
	bool sparse;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

struct bundle_manifest {
	char *vm;
	char uuid[UUID_TEXT_MAX];
	VEC(struct bundle_member) members; /* definition, state, firmware variables if any, disks */
};

void bundle_manifest_fini(struct bundle_manifest *m);
/* Gives it its name; `target` (NULL: no disk) is copied. The rest is zero. The member is valid until the next one. */
struct bundle_member *bundle_add_member(struct bundle_manifest *m, enum bundle_kind kind, const char *target);
/* The text that stands in the bundle: the same for the same members. Owned by the caller. */
char *bundle_manifest_format(const struct bundle_manifest *m);
/* Refuses what no bundle of ours has. `bundle` is for messages. */
int bundle_manifest_parse(
	const char *text, size_t len, const char *bundle, struct bundle_manifest *ret, struct error *err);
/* Tells bundles apart: it changes with the VM, and with the size and the last write of each member. */
void bundle_manifest_id(const char *text, char ret[BUNDLE_ID_SIZE]);
uint64_t bundle_manifest_total(const struct bundle_manifest *m);

/* ---- writing ---- */

struct bundle_source {
	int fd;		  /* a regular file or memfd, borrowed */
	const char *path; /* for messages */
};

/* Fill in size, holes and last write of the file. */
int bundle_member_measure(struct bundle_member *m, const struct bundle_source *source, struct error *err);

struct bundle_write_options {
	const struct bundle_manifest *manifest;
	const struct bundle_source *sources; /* one for each member */
	uint64_t position;		     /* what lies before is left out; it is read all the same */
	int (*write)(const void *data, size_t len, void *userdata, struct error *err);
	/* All was read, the sums are about to be written: whoever fails here leaves a bundle that nobody takes. */
	int (*confirm)(void *userdata, struct error *err);
	void *userdata;
};

/* The same bytes for the same files and position. A source that is not as it was measured is ERROR_OPERATION_FAILED. */
int bundle_write(const struct bundle_write_options *options, struct error *err);

/* ---- reading ---- */

struct bundle_read_ops {
	/*
	 * The manifest is there, and where the stream begins: what lies before must be in the files already. 1: all is
	 * here, no more needs to be read, and bundle_read returns 1.
	 */
	int (*begin)(const struct bundle_manifest *m, const char *text, uint64_t position, void *userdata,
		struct error *err);
	/*
	 * A descriptor for reading and writing member i's file, closed by the reader; the file may hold what an earlier
	 * stream brought. Called once for each member, in their order, also for those that lie before the position.
	 */
	int (*open)(size_t i, void *userdata, struct error *err);
	/* The file has all its bytes; whether they are right is known when bundle_read returns. */
	int (*filled)(size_t i, int fd, void *userdata, struct error *err);
};

/*
 * Read a bundle from `fd` (also a pipe) to its end. 0 (or what begin said): every byte of every file is what was exported; nothing was synced.
 * ERROR_DAMAGED: it is not a whole bundle; the files keep what came, so that another stream may go on there.
 */
int bundle_read(
	int fd, const char *name, const struct bundle_read_ops *ops, void *userdata, struct error *err);
