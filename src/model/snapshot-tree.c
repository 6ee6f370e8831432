/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots by name, and the relations between them, which are the names of their parents. */
#include "snapshot-tree.h"

#include "disk.h"

#include "strv.h"

void snapshot_tree_fini(struct snapshot_tree *t)
{
	VEC_FOREACH (s, &t->all) {
		snapshot_free(s);
	}
	VEC_FREE(&t->all);
	replace_string(&t->current, NULL);
}

/* Index of the first one whose name is not below `name`. */
static size_t lower_bound(const struct snapshot_tree *t, const char *name)
{
	size_t low = 0, high = t->all.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(t->all.items[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct snapshot *snapshot_tree_find(const struct snapshot_tree *t, const char *name)
{
	size_t at = name ? lower_bound(t, name) : t->all.n;

	return at < t->all.n && streq(t->all.items[at]->name, name) ? t->all.items[at] : NULL;
}

struct snapshot *snapshot_tree_get_current(const struct snapshot_tree *t)
{
	return snapshot_tree_find(t, t->current);
}

struct snapshot *snapshot_tree_get_parent(const struct snapshot_tree *t, const struct snapshot *s)
{
	return snapshot_tree_find(t, s->parent);
}

bool snapshot_tree_is_child(const struct snapshot_tree *t, const struct snapshot *s, const char *name)
{
	return name ? streq(s->parent, name) : !snapshot_tree_get_parent(t, s);
}

size_t snapshot_tree_count_children(const struct snapshot_tree *t, const char *name)
{
	size_t n = 0;

	VEC_FOREACH (s, &t->all) {
		n += snapshot_tree_is_child(t, s, name);
	}
	return n;
}

/* Steps are counted, so that a circle in files that somebody edited ends the walk. */
static bool froze(const struct snapshot *s, const char *path)
{
	VEC_FOREACH (disk, &s->disks) {
		const struct disk *then = s->domain ? domain_find_disk(s->domain, disk.target) : NULL;

		if (then && disk.location == SNAPSHOT_EXTERNAL && streq(then->source, path))
			return true;
	}
	return false;
}

const struct snapshot *snapshot_tree_find_ground(const struct snapshot_tree *t, const char *path)
{
	VEC_FOREACH (s, &t->all) {
		if (path && froze(s, path))
			return s;
	}
	return NULL;
}

bool snapshot_tree_is_below(const struct snapshot_tree *t, const char *name, const char *ancestor)
{
	const struct snapshot *s = snapshot_tree_find(t, name);

	for (size_t steps = 0; s && steps <= t->all.n; steps++) {
		if (streq(s->parent, ancestor))
			return true;
		s = snapshot_tree_get_parent(t, s);
	}
	return false;
}

int snapshot_tree_check(
	const struct snapshot_tree *t, const struct snapshot *s, bool replace, struct error *err)
{
	if (!replace && snapshot_tree_find(t, s->name))
		return error_set(err, ERROR_OPERATION_INVALID, "domain snapshot %s already exists", s->name);
	if (!s->parent)
		return 0;
	if (streq(s->parent, s->name))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "cannot set snapshot %s as its own parent", s->name);
	if (!snapshot_tree_find(t, s->parent))
		return error_set(err, ERROR_INVALID_ARGUMENT, "parent %s for snapshot %s not found",
			s->parent, s->name);
	if (snapshot_tree_is_below(t, s->parent, s->name))
		return error_set(err, ERROR_INVALID_ARGUMENT, "parent %s would create cycle to %s", s->parent,
			s->name);
	return 0;
}

int snapshot_tree_add(struct snapshot_tree *t, struct snapshot *s, bool replace, struct error *err)
{
	if (snapshot_tree_check(t, s, replace, err) < 0)
		return -1;
	snapshot_tree_put(t, s);
	return 0;
}

void snapshot_tree_put(struct snapshot_tree *t, struct snapshot *s)
{
	size_t at = lower_bound(t, s->name);

	if (at < t->all.n && streq(t->all.items[at]->name, s->name)) {
		if (t->all.items[at] != s)
			snapshot_free(t->all.items[at]);
		t->all.items[at] = s;
		return;
	}
	VEC_ADD(&t->all, NULL);
	memmove(&t->all.items[at + 1], &t->all.items[at], (t->all.n - 1 - at) * sizeof(t->all.items[0]));
	t->all.items[at] = s;
}

void snapshot_tree_remove(struct snapshot_tree *t, struct snapshot *s)
{
	size_t at = lower_bound(t, s->name);

	for (size_t i = 0; i < t->all.n; i++)
		if (streq(t->all.items[i]->parent, s->name))
			replace_string(&t->all.items[i]->parent, s->parent);
	if (streq(t->current, s->name))
		replace_string(&t->current, s->parent);
	VEC_REMOVE(&t->all, at);
	snapshot_free(s);
}
