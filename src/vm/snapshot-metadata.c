/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Forgetting snapshots: what they froze stays where it is. */
#include "snapshot-store.h"
#include "vm-internal.h"
#include "vm-snapshot.h"

/* Somebody below `name` who has nobody below; NULL when there is none. */
static const struct snapshot *find_leaf(const struct snapshot_tree *t, const char *name)
{
	VEC_FOREACH (s, &t->all) {
		if (snapshot_tree_is_below(t, s->name, name) && !streq(s->name, name) &&
			snapshot_tree_count_children(t, s->name) == 0)
			return s;
	}
	return NULL;
}

int vm_snapshot_forget(struct vm *vm, const char *name, bool children, bool children_only, struct error *err)
{
	const struct snapshot *leaf;

	if (!snapshot_tree_find(&vm->snapshots, name) && !vm_snapshot_is_unreadable(vm, name))
		return error_set(err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", name);
	if (vm_check_verb(vm, VERB_SNAPSHOT_METADATA, err) < 0)
		return -1;
	/* From the leaves, so that what is left is a tree however far it comes. */
	while ((children || children_only) && (leaf = find_leaf(&vm->snapshots, name))) {
		_cleanup_free_ char *gone = xstrdup(leaf->name);

		if (snapshot_store_remove(vm, gone, err) < 0)
			return -1;
	}
	return children_only ? 0 : snapshot_store_remove(vm, name, err);
}
