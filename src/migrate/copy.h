/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that the destination cannot reach are copied to it while the guest runs: QEMU here mirrors each into an export of QEMU there (NBD), and goes on
 * mirroring what the guest writes until it stands still.
 *
 *	ADDING -----> MIRRORING -----> READY -----> ENDING -----> CLEARING -----> GONE
 *	  nodes          all is over there  |  guest stands still    nodes, job
 *	  |               |                 |
 *	  +---------------+-----------------+---> ENDING, forced: given up, or failed
 */
#pragma once

#include "migrate-options.h"
#include "vm-internal.h"

/* Is anything copied? */
bool copy_is_asked(const struct migrate_options *o);
/* Is this disk? One of those that the options name, else every one that can be written and is not shared. */
bool copy_includes(const struct migrate_options *o, const struct disk *disk);
/* "drive-virtio-disk0": what libvirt calls its export. Caller frees. */
char *copy_export_name(const struct disk *disk);

struct copies;
typedef void (*copies_done_fn)(const struct error *err, void *userdata);

/*
 * Begin all of them. done, from the loop: every one is ready, or one has failed; those are dropped by copies_drop.
 */
struct copies *copies_start(struct vm *vm, const struct migrate_options *o, const char *host, uint16_t port,
	copies_done_fn done, void *userdata);
/* The guest stands still: done when the other side has everything and nothing is left here. */
void copies_finish(struct copies *c, copies_done_fn done, void *userdata);
/* Give up: done when nothing is left here, without an error. */
void copies_drop(struct copies *c, copies_done_fn done, void *userdata);
/* Those that an earlier daemon may have begun, for copies_drop alone. */
struct copies *copies_adopt(struct vm *vm);
bool copies_is_empty(const struct copies *c);
/* Nobody is told any more; QEMU goes on. Accepts NULL. */
void copies_free(struct copies *c);

/* QEMU's JOB_STATUS_CHANGE. */
void copies_hear(struct copies *c, const char *job, const char *status);
/* Bytes; of the last time that they were asked for, which this does again. */
void copies_get_progress(struct copies *c, uint64_t *ret_done, uint64_t *ret_total);
