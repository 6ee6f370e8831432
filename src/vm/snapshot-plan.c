/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan is made on the graph: whoever is merged or removed is marked as gone, and what stood on it stands on what it became. Runs of
 * images that all become one are merged at once: every byte is written once, and the VM changes its disk once.
 */
#include "snapshot-plan.h"

static void mark_needed(const struct image_graph *g, bool *needed)
{
	memset(needed, 0, g->nodes.n * sizeof(*needed));
	for (size_t i = 0; i < g->nodes.n; i++)
		for (size_t at = g->nodes.items[i].named && !g->nodes.items[i].gone ? i : NO_IMAGE;
			at != NO_IMAGE && !needed[at]; at = g->nodes.items[at].on)
			needed[at] = true;
}

/* The only one that stands on `ground`; NO_IMAGE: nobody, or several. */
static size_t only_user(const struct image_graph *g, const bool *needed, size_t ground)
{
	size_t user = NO_IMAGE;

	for (size_t i = 0; i < g->nodes.n; i++) {
		if (!needed[i] || g->nodes.items[i].gone || g->nodes.items[i].on != ground)
			continue;
		if (user != NO_IMAGE)
			return NO_IMAGE;
		user = i;
	}
	return user;
}

/* Who becomes a part of `ground`; NO_IMAGE: nobody. `above_all`: the highest so far of those that do. */
static size_t find_mergeable(const struct image_graph *g, const bool *needed, size_t ground, size_t above_all)
{
	const struct image_node *f = &g->nodes.items[ground], *last = &g->nodes.items[above_all];
	size_t user = only_user(g, needed, above_all);
	const struct image_node *x = user != NO_IMAGE ? &g->nodes.items[user] : NULL;

	if (f->gone || !f->ground || f->foreign || !x || !x->made || x->pinned || x->foreign)
		return NO_IMAGE;
	/* Nobody may need the last one as it is. */
	return last->frozen || last->top ? NO_IMAGE : user;
}

static void add_above(struct image_step *step, const struct image_graph *g, const bool *needed, size_t top)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		const struct image_node *node = &g->nodes.items[i];

		if (needed[i] && !node->gone && node->on == top)
			VEC_ADD(&step->above, ((struct image_above){.path = xstrdup(node->path),
						      .format = node->format,
						      .present = node->present}));
	}
}

/* What was true of `upper` is true of `lower` now. */
static void unite(struct image_graph *g, size_t lower, size_t upper)
{
	struct image_node *f = &g->nodes.items[lower], *x = &g->nodes.items[upper];

	for (size_t i = 0; i < g->nodes.n; i++)
		if (g->nodes.items[i].on == upper)
			g->nodes.items[i].on = lower;
	f->frozen |= x->frozen;
	f->named |= x->named;
	f->top |= x->top;
	x->gone = true;
}

/* Begins with the lowest that others become a part of: else what was merged would be merged again. */
static bool is_lowest(const struct image_graph *g, const bool *needed, size_t i)
{
	size_t on = g->nodes.items[i].on;

	return on == NO_IMAGE || find_mergeable(g, needed, on, on) != i;
}

static bool is_named(const struct image_graph_input *input, const struct image_step *merge)
{
	VEC_FOREACH (s, &input->tree->all) {
		if (image_merge_is_named_by(merge, s->domain) || image_merge_is_named_by(merge, s->inactive))
			return true;
	}
	return image_merge_is_named_by(merge, input->live) ||
	       image_merge_is_named_by(merge, input->persistent);
}

static void merge_into(struct image_graph *g, const bool *needed, size_t ground,
	const struct image_graph_input *input, struct image_plan *plan)
{
	struct image_step step = {0};
	VEC(size_t) run = {0};
	size_t at = ground, next;

	while ((next = find_mergeable(g, needed, ground, at)) != NO_IMAGE) {
		VEC_ADD(&run, next);
		at = next;
	}
	if (run.n == 0)
		return;
	step.target = xstrdup(g->nodes.items[ground].target);
	step.image = xstrdup(g->nodes.items[at].path);
	step.type = g->nodes.items[at].type;
	step.format = g->nodes.items[at].format;
	step.present = g->nodes.items[at].present;
	step.top = g->nodes.items[at].top;
	step.on = xstrdup(g->nodes.items[ground].path);
	step.on_type = g->nodes.items[ground].type;
	step.on_format = g->nodes.items[ground].format;
	add_above(&step, g, needed, at);
	for (size_t i = 0; i < run.n; i++) {
		if (i + 1 < run.n)
			strv_add(&step.between, g->nodes.items[run.items[i]].path);
		step.bytes += g->nodes.items[run.items[i]].bytes;
		unite(g, ground, run.items[i]);
	}
	step.named = is_named(input, &step);
	VEC_ADD(&plan->merges, step);
	VEC_FREE(&run);
}

static void remove_unneeded(struct image_graph *g, const bool *needed, struct image_plan *plan)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		struct image_node *node = &g->nodes.items[i];
		struct image_step step = {0};

		if (needed[i] || node->gone || !node->made || (!node->ground && !node->left) ||
			node->foreign || node->type != DISK_SOURCE_FILE)
			continue;
		step.target = xstrdup(node->target);
		step.image = xstrdup(node->path);
		step.format = node->format;
		step.on = node->on != NO_IMAGE ? xstrdup(g->nodes.items[node->on].path) : NULL;
		VEC_ADD(&plan->removals, step);
	}
}

/* What the snapshots that stay will not tell. */
static void remember(const struct image_graph *g, const bool *needed, struct image_links *ret)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		const struct image_node *node = &g->nodes.items[i];
		const struct image_node *ground = node->on != NO_IMAGE ? &g->nodes.items[node->on] : NULL;

		if (needed[i] && !node->gone && node->made && ground && ground->ground && !ground->frozen)
			image_links_add(ret, &(struct image_link){.target = node->target,
						     .image = node->path,
						     .on = ground->path,
						     .on_type = ground->type,
						     .on_format = ground->format});
	}
}

void image_plan_make(const struct image_graph_input *input, struct image_plan *ret)
{
	struct image_graph g;
	bool *needed;

	*ret = (struct image_plan){0};
	image_graph_build(input, &g);
	needed = xcalloc(g.nodes.n + 1, sizeof(*needed));
	mark_needed(&g, needed);
	/* Before the merges: what goes is looked at once more, and its header knows the names of today. */
	remove_unneeded(&g, needed, ret);
	for (size_t i = 0; i < g.nodes.n; i++)
		if (needed[i] && is_lowest(&g, needed, i))
			merge_into(&g, needed, i, input, ret);
	remember(&g, needed, &ret->remembered);
	image_graph_fini(&g);
	free(needed);
}

static void step_fini(struct image_step *step)
{
	free(step->target);
	free(step->image);
	free(step->on);
	strv_fini(&step->between);
	VEC_FOREACH (above, &step->above)
		free(above.path);
	VEC_FREE(&step->above);
}

void image_plan_fini(struct image_plan *plan)
{
	for (size_t i = 0; i < plan->merges.n; i++)
		step_fini(&plan->merges.items[i]);
	for (size_t i = 0; i < plan->removals.n; i++)
		step_fini(&plan->removals.items[i]);
	VEC_FREE(&plan->merges);
	VEC_FREE(&plan->removals);
	image_links_fini(&plan->remembered);
}

/* ---- new names ---- */

bool image_merge_takes(const struct image_step *merge, const char *path)
{
	return path && (streq(merge->image, path) || strv_contains(&merge->between, path));
}

static void drop_layer(struct disk *disk, size_t i)
{
	free(disk->backing.items[i].source);
	VEC_REMOVE(&disk->backing, i);
}

static bool rename_disk(const struct image_step *merge, struct disk *disk)
{
	bool changed = image_merge_takes(merge, disk->source);
	const char *above;

	if (changed) {
		replace_string(&disk->source, merge->on);
		disk->source_type = merge->on_type;
		disk->format = merge->on_format;
	}
	above = disk->source;
	for (size_t i = 0; i < disk->backing.n;) {
		struct disk_layer *layer = &disk->backing.items[i];

		if (image_merge_takes(merge, layer->source)) {
			replace_string(&layer->source, merge->on);
			layer->source_type = merge->on_type;
			layer->format = merge->on_format;
			changed = true;
		}
		if (streq(layer->source, above)) {
			drop_layer(disk, i);
			continue;
		}
		above = layer->source;
		i++;
	}
	return changed;
}

bool image_merge_rename_domain(const struct image_step *merge, struct domain *d)
{
	bool changed = false;

	VEC_FOREACH (disk, &d->disks)
		changed |= rename_disk(merge, disk);
	return changed;
}

bool image_merge_rename_links(const struct image_step *merge, struct image_links *links)
{
	bool changed = false;

	for (size_t i = 0; i < links->items.n;) {
		struct image_link *link = &links->items.items[i];

		if (image_merge_takes(merge, link->on)) {
			replace_string(&link->on, merge->on);
			link->on_type = merge->on_type;
			link->on_format = merge->on_format;
			changed = true;
		}
		if (!image_merge_takes(merge, link->image)) {
			i++;
			continue;
		}
		free(link->target);
		free(link->image);
		free(link->on);
		VEC_REMOVE(&links->items, i);
		changed = true;
	}
	return changed;
}

bool image_merge_is_named_by(const struct image_step *merge, const struct domain *d)
{
	for (size_t i = 0; d && i < d->disks.n; i++) {
		const struct disk *disk = d->disks.items[i];

		if (image_merge_takes(merge, disk->source))
			return true;
		VEC_FOREACH (layer, &disk->backing) {
			if (image_merge_takes(merge, layer.source))
				return true;
		}
	}
	return false;
}
