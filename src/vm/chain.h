/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The images a disk consists of, while they change under a VM: which there are, a new one on top, some of them merged.
 *
 * disk->source is what the guest writes, disk->backing what that stands on. The live definition, the status file and QEMU's block nodes always
 * name the same images; so do the persistent definition and the images' headers.
 */
#pragma once

#include "disk.h"
#include "vm-internal.h"

/*
 * Fill `backing` of every disk where it is not known, by the images' headers. Blocks as long as the storage does: for a child process.
 * ERROR_OPERATION_FAILED names the image that cannot be opened, is no image of its format, or stands on itself.
 */
int chain_look(struct domain *d, struct error *err);

/* `disk` gets a new top of its chain, an empty overlay; what was its source becomes the nearest backing image. The node number is given anew. */
void chain_push(struct domain *d, struct disk *disk, enum disk_source type, const char *source,
	enum disk_format format);
/* The images [first, last] leave the chain: 0 is the source itself, 1 the nearest backing image. */
void chain_drop(struct disk *disk, size_t first, size_t last);
/* 0: the source; n: n-th backing image; -1: there is none. `image` is a path, "vda[2]" by node number, or NULL: the source. */
int chain_find(const struct disk *disk, const char *image);
/* The image at `position`, as a layer; borrowed strings. */
struct disk_layer chain_get(const struct disk *disk, size_t position);
