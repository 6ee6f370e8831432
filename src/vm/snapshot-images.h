/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is of a VM's images before a plan is made for them (snapshot-plan.h): on the storage, and in memory of snapshots that are gone. */
#pragma once

#include "process.h"
#include "snapshot-graph.h"
#include "vm-internal.h"

struct image_look {
	struct image_links
		links; /* of every image that the VM or a snapshot needs, or made: what its header says */
	struct strv foreign; /* those of them that other VMs use */
};

void image_look_fini(struct image_look *l);

struct image_question {
	struct vm *vm;		       /* borrowed */
	struct image_links remembered; /* image_links_read */
};

/*
 * A process_work_fn: userdata is a struct image_question. ERROR_OPERATION_FAILED names an image that is missing or no image, that has two names, or that a running VM
 * should have and the headers do not know.
 */
int image_look_work(struct buf *result, void *question, struct error *err);
int image_look_take(struct image_look *ret, const char *result, size_t len, struct error *err);

/* ---- in a child, before a file is removed ---- */
/* Is it still the image that it was, whose header says that it stands on `on` (NULL: on nothing)? Its name may be another's by now. */
bool image_stands_on(const char *image, const char *on);
/* Does another VM of this daemon have it, or an image that stands on it? */
bool image_is_foreign(struct vm *vm, const char *image);

/* lib/snapshot/NAME/images.json (docs/formats/snapshot-images.md); none is empty. */
int image_links_read(struct vm *vm, struct image_links *ret, struct error *err);
/* Durable on return. No links: no file. */
int image_links_write(struct vm *vm, const struct image_links *links, struct error *err);
