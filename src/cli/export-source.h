/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `godwit image export` puts into a bundle: a definition, a state, and the files that belong to them, held open. */
#pragma once

#include <stdbool.h>

#include "bundle.h"
#include "error.h"

struct domain;

struct export_source {
	char *xml, *state_path;
	struct domain *domain;
	struct bundle_manifest manifest;
	VEC(struct bundle_source) sources; /* one for each member; paths owned */
};

void export_source_fini(struct export_source *x);
/* Definition and state of a VM; or the saved file `path`, which has its definition in it. */
int export_source_use_vm(struct export_source *x, const char *xml, const char *state_path, struct error *err);
int export_source_use_image(struct export_source *x, const char *path, struct error *err);
/*
 * Open and measure all of it. What a bundle cannot carry is refused by name. From here on until export_source_fini no QEMU opens
 * one of the disks for writing, where the file system has locks; ERROR_IN_USE when one has it open.
 */
int export_source_add_files(struct export_source *x, bool with_disks, struct error *err);
/* The paths still name what was opened: nobody has saved the VM anew meanwhile. */
int export_source_check_current(const struct export_source *x, struct error *err);
