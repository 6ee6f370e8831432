/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A second machine out of one's description: what must be its own becomes so, and what the guest has in its memory stays. For a clone of a
 * saved guest (docs/clones.md).
 */
#pragma once

#include "domain.h"

/* What the new machine needs before it can start: a file in its directory. */
struct clone_file {
	char *name;		 /* in the directory */
	char *from;		 /* path of what it begins as */
	bool is_overlay;	 /* qcow2 over `from`; else a copy of it */
	enum disk_format format; /* of `from`, for an overlay */
};

struct clone_files {
	VEC(struct clone_file) items;
};

void clone_files_fini(struct clone_files *files);

/*
 * `d`, as it is defined and not as it runs, becomes a machine called `name` with a new UUID and new MAC addresses. Its writable disks and its
 * firmware variables are files of their own in `directory` (a path). Files and sockets it makes on the host have its name in theirs; displays
 * choose their ports. ERROR_UNSUPPORTED_CONFIG names what exists but once; `d` is not to be used then.
 */
int domain_make_clone(struct domain *d, const char *name, const char *directory, struct clone_files *ret,
	struct error *err);

/*
 * Take the cable out of every interface on a network of the host: the guest goes on with the MAC address of its original until
 * its driver is loaded anew. How many there were.
 */
unsigned domain_unplug_networks(struct domain *d);

/* How many interfaces of `live` have the cable out that `defined` has in. */
unsigned domain_count_unplugged(const struct domain *live, const struct domain *defined);
