/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The images of a VM's disks and of its snapshots: who stands on whom, and who needs them. Pure data, no I/O.
 *
 *	snapshot F1   snapshot F2        the present
 *	    |             |                   |            F1 froze base, F2 froze a; the VM went back to F1 and writes b.
 *	   base <-------- a <------ (gone)    |            c was made for F2, and nobody needs it.
 *	     ^                                |
 *	     +-------------------------------b
 */
#pragma once

#include "snapshot-tree.h"

/* An overlay that a snapshot, or going back to one, made, and what it stands on. */
struct image_link {
	char *target;	  /* of the disk, for messages */
	char *image, *on; /* NULL: on nothing */
	enum disk_source on_type;
	enum disk_format on_format;
	uint64_t bytes; /* that the image takes on the storage; 0 not known */
};

struct image_links {
	VEC(struct image_link) items;
};

/* Copies the strings; an image that is there already gets a new ground. */
void image_links_add(struct image_links *links, const struct image_link *link);
void image_links_fini(struct image_links *links);

#define NO_IMAGE SIZE_MAX

struct image_node {
	char *path;
	char *target; /* of a disk it is, or was, a part of */
	enum disk_source type;
	enum disk_format format; /* NONE: not known */
	size_t on;		 /* index; NO_IMAGE: nothing, or not known */
	uint64_t bytes;		 /* that it takes on the storage; 0 not known */
	bool linked;		 /* `on` is known */
	bool looked;		 /* from its header: it is there */
	bool made;		 /* by a snapshot or by going back to one, so that it may go */
	bool ground;  /* a snapshot froze it once, so that it may be written when nobody needs it as it is */
	bool frozen;  /* by a snapshot that stays */
	bool left;    /* named by a snapshot that goes and did not freeze it */
	bool named;   /* by a snapshot that stays, or by a definition */
	bool top;     /* the VM writes it, or will */
	bool present; /* a part of what the running VM has open */
	bool pinned; /* has states inside that stay, or is a detached disk: may not become a part of another */
	bool held;   /* so may nothing beneath it: a storage snapshot has its file */
	bool foreign; /* other VMs use it: may neither be written nor go */
	bool gone;    /* has become a part of another, in a plan */
};

struct image_graph {
	VEC(struct image_node) nodes;
};

struct image_graph_input {
	const struct snapshot_tree *tree;
	const struct strv *leaving;		/* names of snapshots that are to go */
	const struct domain *live, *persistent; /* NULL: there is none */
	const struct image_links
		*looked; /* what images' headers say: overrules whatever else is said of these */
	const struct image_links *remembered; /* of snapshots that are gone */
	const struct strv *foreign;	      /* paths of images that other VMs use */
};

void image_graph_build(const struct image_graph_input *input, struct image_graph *ret);
void image_graph_fini(struct image_graph *g);
size_t image_graph_find(const struct image_graph *g, const char *path); /* NO_IMAGE: there is none */
