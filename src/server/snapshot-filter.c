/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filters of snapshot lists (snapshot-filter.h). */
#include "snapshot-filter.h"

#define STATES (RPC_SNAPSHOTS_INACTIVE | RPC_SNAPSHOTS_ACTIVE | RPC_SNAPSHOTS_DISK_ONLY)

#define EITHER(yes, no, is) (!(flags & ((yes) | (no))) || flags & ((is) ? (yes) : (no)))

static bool state_matches(const struct snapshot *s, unsigned flags)
{
	if (!(flags & STATES))
		return true;
	if (s->state == SNAPSHOT_SHUTOFF)
		return flags & RPC_SNAPSHOTS_INACTIVE;
	if (s->state == SNAPSHOT_DISK_ONLY)
		return flags & RPC_SNAPSHOTS_DISK_ONLY;
	return flags & RPC_SNAPSHOTS_ACTIVE;
}

static bool matches(const struct snapshot_tree *t, const struct snapshot *s, unsigned flags)
{
	return EITHER(RPC_SNAPSHOTS_LEAVES, RPC_SNAPSHOTS_NO_LEAVES,
		       snapshot_tree_count_children(t, s->name) == 0) &&
	       EITHER(RPC_SNAPSHOTS_EXTERNAL, RPC_SNAPSHOTS_INTERNAL, snapshot_is_external(s)) &&
	       EITHER(RPC_SNAPSHOTS_METADATA, RPC_SNAPSHOTS_NO_METADATA, true) && state_matches(s, flags);
}

/* Bit 0 is ROOTS of a tree and DESCENDANTS of a snapshot: what it says is how far below `from` to look. */
static bool is_in_reach(
	const struct snapshot_tree *t, const struct snapshot *s, const struct snapshot *from, unsigned flags)
{
	if (!from)
		return !(flags & RPC_SNAPSHOTS_ROOTS) || snapshot_tree_is_child(t, s, NULL);
	if (flags & RPC_SNAPSHOTS_DESCENDANTS)
		return snapshot_tree_is_below(t, s->name, from->name);
	return snapshot_tree_is_child(t, s, from->name);
}

static void sort_by_depth(const struct snapshot_tree *t, const snapshot_list *from, snapshot_list *ret)
{
	struct {
		const struct snapshot *s;
		size_t depth;
	} *all = xcalloc(from->n + 1, sizeof(*all));
	size_t deepest = 0;

	for (size_t i = 0; i < from->n; i++) {
		const struct snapshot *above = all[i].s = from->items[i];

		while ((above = snapshot_tree_get_parent(t, above)))
			all[i].depth++;
		if (all[i].depth > deepest)
			deepest = all[i].depth;
	}
	for (size_t depth = 0; depth <= deepest; depth++)
		for (size_t i = 0; i < from->n; i++)
			if (all[i].depth == depth)
				VEC_ADD(ret, all[i].s);
	free(all);
}

void snapshot_filter(
	const struct snapshot_tree *t, const struct snapshot *from, unsigned flags, snapshot_list *ret)
{
	snapshot_list found = {0};

	for (size_t i = 0; i < t->all.n; i++)
		if (is_in_reach(t, t->all.items[i], from, flags) && matches(t, t->all.items[i], flags))
			VEC_ADD(&found, t->all.items[i]);
	if (!(flags & RPC_SNAPSHOTS_TOPOLOGICAL)) {
		*ret = found;
		return;
	}
	sort_by_depth(t, &found, ret);
	VEC_FREE(&found);
}
