/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The images a disk consists of, while they change under a VM: which there are, a new one on top, some of them merged.
 *
 * disk->source is what the guest writes, disk->backing what that stands on. The live definition, the status file and QEMU's block nodes always
 * name the same images; so do the persistent definition and the images' headers.
 */
#pragma once

#include "buf.h"
#include "disk.h"
#include "process.h"
#include "vm-internal.h"

/*
 * Fill `backing` of every disk where it is not known, by the images' headers. Blocks as long as the storage does: for a child process.
 * ERROR_OPERATION_FAILED names the disk, the image that cannot be opened, is no image of its format, stands on itself or does not say what
 * format its backing image has, and the image that names it; ERROR_UNSUPPORTED_CONFIG what is no file or of another format.
 */
int chain_look(struct domain *d, struct error *err);
/* Has chain_look something to open? What needs no looking (raw images) is known when this returns. */
bool chain_is_asked(struct domain *d);
/* For the next QEMU: what headers have said, and all numbers. What a user has written stays. */
void chain_forget(struct domain *d);

/* chain_look in a child, which disk_check_end ends; chain_take puts the result that `worked` gets into the parent's domain. */
int chain_look_start(sd_event *loop, struct domain *d, process_worked_fn worked, void *userdata,
	struct process **ret, struct error *err);
/* The child's work; `domain` is a struct domain. */
int chain_look_work(struct buf *result, void *domain, struct error *err);
int chain_take(struct domain *d, const char *result, size_t len, struct error *err);

/* `disk` gets a new top of its chain, an empty overlay; what was its source becomes the nearest backing image. It gets a node
 * number when that has one. */
void chain_push(struct domain *d, struct disk *disk, enum disk_source type, const char *source,
	enum disk_format format);
/* The images [first, last] leave the chain: 0 is the source itself, 1 the nearest backing image. */
void chain_drop(struct disk *disk, size_t first, size_t last);
/* 0: the source; n: n-th backing image; -1: there is none. `image` is a path, "vda[2]" by node number, or NULL: the source. */
int chain_find(const struct disk *disk, const char *image);
/* The image at `position`, as a layer; borrowed strings. */
struct disk_layer chain_get(const struct disk *disk, size_t position);
