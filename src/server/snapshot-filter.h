/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which snapshots a client asks for: the filter flags of the SNAPSHOT_NUM and _LIST calls. */
#pragma once

#include "constants.h"
#include "snapshot-tree.h"

typedef VEC(const struct snapshot *) snapshot_list;

/*
 * All that pass: of the whole tree (`from` NULL), or of what is below `from`, its children or with DESCENDANTS all. By name, or parents
 * first with TOPOLOGICAL. The flags form groups; of each group that has one set, one must hold. Borrowed; release with VEC_FREE.
 */
void snapshot_filter(
	const struct snapshot_tree *t, const struct snapshot *from, unsigned flags, snapshot_list *ret);
