/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All snapshots of a VM, and who came from whom. Plain data. */
#pragma once

#include "snapshot.h"

struct snapshot_tree {
	VEC(struct snapshot *) all; /* sorted by name; owned */
	char *current;		    /* name; NULL: none, or the one that was is gone */
};

void snapshot_tree_fini(struct snapshot_tree *t);
struct snapshot *snapshot_tree_find(const struct snapshot_tree *t, const char *name); /* NULL: none */
struct snapshot *snapshot_tree_get_current(const struct snapshot_tree *t);	      /* NULL: none */
size_t snapshot_tree_count_children(const struct snapshot_tree *t, const char *name); /* NULL: roots */
struct snapshot *snapshot_tree_get_parent(const struct snapshot_tree *t,
	const struct snapshot *s); /* NULL: a root, or its parent is not there */
/* Is `s` a child of the one called `name` (NULL: a root)? */
bool snapshot_tree_is_child(const struct snapshot_tree *t, const struct snapshot *s, const char *name);
/*
 * One that froze the image at `path`, so that nobody may write to it: it is gone back to as it is. NULL: there is none. What lies inside an image
 * freezes nothing.
 */
const struct snapshot *snapshot_tree_find_ground(const struct snapshot_tree *t, const char *path);
bool snapshot_tree_is_below(const struct snapshot_tree *t, const char *name, const char *ancestor);
/*
 * ERROR_OPERATION_INVALID when the name is taken, ERROR_INVALID_ARGUMENT when the parent is not there or it would become its
 * own ancestor. `replace`: one of this name may give way, and its children stay.
 */
int snapshot_tree_check(
	const struct snapshot_tree *t, const struct snapshot *s, bool replace, struct error *err);
/* Takes `s` when it succeeds; fails as the check does. A parent that is not there fails too: add parents first. */
int snapshot_tree_add(struct snapshot_tree *t, struct snapshot *s, bool replace, struct error *err);
/* As snapshot_tree_add with `replace`, of what was read and must be taken as it is: nothing is checked. */
void snapshot_tree_put(struct snapshot_tree *t, struct snapshot *s);
/* Its children become its parent's; the current one becomes its parent. Frees it. */
void snapshot_tree_remove(struct snapshot_tree *t, struct snapshot *s);
