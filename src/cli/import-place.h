/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an import puts things. Until all of it is there and right: in the directory .NAME.import beside the managed saves
 * (manifest.json, domain.xml, state.save, nvram.fd), and each disk as .FILE.import in the directory it will be in.
 */
#pragma once

#include <stdbool.h>

#include "bundle.h"
#include "error.h"
#include "managed-saves.h"

struct domain;

struct import_place {
	const struct managed_saves *where; /* borrowed */
	char *vm, *directory;		   /* .NAME.import, absolute */
	int directory_fd;		   /* locked; -1: not open */
	struct bundle_manifest manifest;
	char *manifest_text;
	char *disk_dir;	       /* NULL: disks go where the definition has them */
	struct domain *domain; /* the definition, with the paths of this host; NULL: not yet there */
	bool verified;	       /* all came and is right: what is left to do is to put it into its places */
};

void import_place_fini(struct import_place *p);

/* What an earlier import of this VM left; *ret_there false when nothing did. ERROR_BUSY: one is under way. */
int import_place_open(const struct managed_saves *where, const char *vm, struct import_place *ret,
	bool *ret_there, struct error *err);
/* Begin: makes the directory and keeps manifest and `disk_dir` (absolute, or NULL) in it. */
int import_place_make(const struct managed_saves *where, const struct bundle_manifest *m, const char *text,
	const char *disk_dir, struct import_place *ret, struct error *err);
/* Remove all that is not in its place yet. */
int import_place_discard(struct import_place *p, struct error *err);

/* Reads domain.xml and says where all goes; the second does nothing as long as it is not whole. */
int import_place_read_definition(struct import_place *p, struct error *err);
int import_place_reread_definition(struct import_place *p, struct error *err);
/* The definition with the paths of this host; owned by the caller. */
char *import_place_format_definition(const struct import_place *p);
/* Is it what `xml`, which the daemon wrote, says? */
bool import_place_is_defined_as(const struct import_place *p, const char *xml);
/* Everything but the state and the definition into its place, durably; disks with their times. */
int import_place_publish(struct import_place *p, bool replace_nvram, struct error *err);
/* The state into its place, by which the VM has a managed save; nothing is left behind then. Fails where disks were written since. */
int import_place_finish(struct import_place *p, struct error *err);

/* For reading and writing, made when it is not there. */
int import_place_open_member(struct import_place *p, size_t i, struct error *err);
/* How many bytes of the bundle are there: a position (bundle.h). Needs the definition read, where it is whole. */
uint64_t import_place_position(struct import_place *p);
/* No file of somebody else is where one of ours goes. */
int import_place_check_free(const struct import_place *p, bool replace_nvram, struct error *err);
