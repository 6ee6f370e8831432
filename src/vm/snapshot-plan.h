/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of images when snapshots go. Pure data, no I/O.
 *
 * Of an image that no snapshot freezes any more:
 *	nobody needs it          it is removed, if snapshots made it; a user's first image stays
 *	one image stands on it   both become one, in the place of the lower (a run of them at once)
 *	several do               it stays as it is, nobody's, and is remembered until all but one are gone
 *
 * It is neither written nor removed while another VM uses it, and stays as well when the one above has states inside, is a storage
 * snapshot's, or was the disk of this VM and is detached.
 */
#pragma once

#include "json.h"
#include "snapshot-graph.h"
#include "strv.h"

struct image_above {
	char *path;
	enum disk_format format;
	bool present; /* the running VM has it open: its QEMU writes its header */
};

/* Of a merge, or of an image that is to be removed: there only what is said. */
struct image_step {
	char *target;		 /* of the disk */
	char *image;		 /* the highest of those that go; or the one that does */
	enum disk_source type;	 /* of it */
	enum disk_format format; /* of it */
	char *on; /* what they become a part of; or what the one's header says that it stands on, NULL nothing */
	enum disk_source on_type;
	enum disk_format on_format;
	uint64_t bytes;		       /* that those which go take on the storage, as far as that is known */
	struct strv between;	       /* they go too, the lowest first */
	VEC(struct image_above) above; /* stood on `image`, and will on `on` */
	bool present;		       /* the running VM has them open: its QEMU does it */
	bool named; /* a definition or a snapshot says that a disk consists of one of them */
	bool top;   /* `image` is what a definition's disk writes */
};

struct image_plan {
	VEC(struct image_step) merges; /* in this order */
	VEC(struct image_step) removals;
	struct image_links remembered; /* afterwards: all of them */
};

void image_plan_make(const struct image_graph_input *input, struct image_plan *ret);
void image_plan_fini(struct image_plan *plan);

/* ---- what a merge does to names ---- */
/* Is this image one of those that it takes away? */
bool image_merge_takes(const struct image_step *merge, const char *path);
bool image_merge_is_named_by(
	const struct image_step *merge, const struct domain *d); /* one of them; NULL: no */
/* Those who named one of them name what it became. True: something has changed. */
bool image_merge_rename_domain(const struct image_step *merge, struct domain *d);
bool image_merge_rename_links(const struct image_step *merge, struct image_links *links);

/* ---- snapshot-plan-json.c ---- */
json *image_links_encode(const struct image_links *links);
/* ERROR_DAMAGED: it is not what encode made. */
int image_links_decode(json *o, struct image_links *ret, struct error *err);
json *image_plan_encode(const struct image_plan *plan);
int image_plan_decode(json *o, struct image_plan *ret, struct error *err);
