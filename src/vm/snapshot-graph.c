/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who stands on whom is taken from where it is surest: an image's header, then what the definition says of the chain, then what was
 * remembered, then the snapshots. What a snapshot says may be old: going back to it again makes another overlay.
 */
#include "snapshot-graph.h"

#include "strv.h"

void image_links_add(struct image_links *links, const struct image_link *new)
{
	struct image_link *link = NULL;

	for (size_t i = 0; i < links->items.n; i++)
		if (streq(links->items.items[i].image, new->image))
			link = &links->items.items[i];
	if (!link) {
		VEC_ADD(&links->items, ((struct image_link){.image = xstrdup(new->image)}));
		link = &links->items.items[links->items.n - 1];
	}
	replace_string(&link->target, new->target);
	replace_string(&link->on, new->on);
	link->on_type = new->on_type;
	link->on_format = new->on_format;
	link->bytes = new->bytes;
}

void image_links_fini(struct image_links *links)
{
	VEC_FOREACH (link, &links->items) {
		free(link.target);
		free(link.image);
		free(link.on);
	}
	VEC_FREE(&links->items);
}

size_t image_graph_find(const struct image_graph *g, const char *path)
{
	for (size_t i = 0; path && i < g->nodes.n; i++)
		if (!g->nodes.items[i].gone && streq(g->nodes.items[i].path, path))
			return i;
	return NO_IMAGE;
}

void image_graph_fini(struct image_graph *g)
{
	VEC_FOREACH (node, &g->nodes) {
		free(node.path);
		free(node.target);
	}
	VEC_FREE(&g->nodes);
}

/* Borrowed until the next one is made. */
static struct image_node *node_at(
	struct image_graph *g, const char *path, const char *target, enum disk_format format)
{
	size_t i = image_graph_find(g, path);

	if (i == NO_IMAGE) {
		i = g->nodes.n;
		VEC_ADD(&g->nodes, ((struct image_node){.path = xstrdup(path), .on = NO_IMAGE}));
	}
	if (!g->nodes.items[i].target)
		g->nodes.items[i].target = xstrdup(target);
	if (g->nodes.items[i].format == DISK_FORMAT_NONE)
		g->nodes.items[i].format = format;
	return &g->nodes.items[i];
}

/* The first who says it is right. */
static void stand(struct image_graph *g, const struct image_link *link)
{
	size_t ground = NO_IMAGE;
	struct image_node *node;

	if (link->on) {
		node_at(g, link->on, link->target, link->on_format)->type = link->on_type;
		ground = image_graph_find(g, link->on);
	}
	node = node_at(g, link->image, link->target, DISK_FORMAT_NONE);
	if (node->linked)
		return;
	node->linked = true;
	node->on = ground;
}

static void add_looked(struct image_graph *g, const struct image_links *links)
{
	VEC_FOREACH (link, &links->items) {
		struct image_node *node;

		stand(g, &link);
		node = node_at(g, link.image, NULL, DISK_FORMAT_NONE);
		node->looked = true;
		node->bytes = link.bytes;
	}
}

static void add_definition(struct image_graph *g, const struct domain *d, bool is_live)
{
	VEC_FOREACH (disk, &d->disks) {
		const char *above = disk->source;
		struct image_node *node;

		if (!disk->source)
			continue;
		node = node_at(g, disk->source, disk->target, disk->format);
		node->type = disk->source_type;
		node->top = node->named = true;
		VEC_FOREACH (layer, &disk->backing) {
			stand(g, &(struct image_link){.target = disk->target,
					 .image = (char *)above,
					 .on = layer.source,
					 .on_type = layer.source_type,
					 .on_format = layer.format});
			above = layer.source;
		}
		for (size_t i = image_graph_find(g, disk->source), n = 0;
			is_live && i != NO_IMAGE && n < g->nodes.n; i = g->nodes.items[i].on, n++)
			g->nodes.items[i].present = true;
	}
}

/* `ground`: NULL, it is not known. */
static void add_overlay(struct image_graph *g, const struct snapshot_disk *overlay, const struct disk *ground)
{
	struct image_node *node;

	if (overlay->location != SNAPSHOT_EXTERNAL || !overlay->source)
		return;
	node = node_at(g, overlay->source, overlay->target,
		overlay->format == DISK_FORMAT_NONE ? DISK_FORMAT_QCOW2 : overlay->format);
	node->type = overlay->source_type;
	node->made = true;
	if (ground && !streq(ground->source, overlay->source))
		stand(g, &(struct image_link){.target = overlay->target,
				 .image = overlay->source,
				 .on = ground->source,
				 .on_type = ground->source_type,
				 .on_format = ground->format});
}

/* What a snapshot's disk was, whatever it did to it. */
static void name_image(struct image_node *node, enum snapshot_location location, bool stays)
{
	if (location == SNAPSHOT_EXTERNAL)
		node->ground = true;
	if (!stays) {
		node->left |= location != SNAPSHOT_EXTERNAL;
		return;
	}
	node->named = true;
	node->frozen |= location == SNAPSHOT_EXTERNAL;
	node->pinned |= location == SNAPSHOT_INTERNAL || location == SNAPSHOT_MANUAL;
	node->held |= location == SNAPSHOT_MANUAL;
}

static void add_frozen(struct image_graph *g, const struct snapshot *s, const struct disk *disk, bool stays)
{
	const struct snapshot_disk *own = snapshot_find_disk(s, disk->target);
	struct image_node *node;

	if (!disk->source)
		return;
	node = node_at(g, disk->source, disk->target, disk->format);
	node->type = disk->source_type;
	name_image(node, own ? own->location : SNAPSHOT_NO, stays);
	if (own)
		add_overlay(g, own, disk);
	VEC_FOREACH (overlay, &s->revert_disks) {
		if (streq(overlay.target, disk->target))
			add_overlay(g, &overlay, disk);
	}
}

/* Its domain is not known: an overlay's header says what was frozen. */
static void add_homeless(struct image_graph *g, const struct snapshot *s, bool stays)
{
	VEC_FOREACH (own, &s->disks) {
		size_t i;

		add_overlay(g, &own, NULL);
		i = own.location == SNAPSHOT_EXTERNAL ? image_graph_find(g, own.source) : NO_IMAGE;
		if (i != NO_IMAGE && g->nodes.items[i].on != NO_IMAGE)
			name_image(&g->nodes.items[g->nodes.items[i].on], SNAPSHOT_EXTERNAL, stays);
	}
}

static void add_snapshot(struct image_graph *g, const struct snapshot *s, bool stays)
{
	if (!s->domain) {
		add_homeless(g, s, stays);
		return;
	}
	VEC_FOREACH (disk, &s->domain->disks)
		add_frozen(g, s, disk, stays);
	/* What was defined then may have been other images; they are needed to go back. */
	for (size_t i = 0; s->inactive && stays && i < s->inactive->disks.n; i++) {
		const struct disk *disk = s->inactive->disks.items[i];

		if (disk->source)
			node_at(g, disk->source, disk->target, disk->format)->named = true;
	}
}

static void hold_beneath(struct image_graph *g)
{
	for (size_t i = 0; i < g->nodes.n; i++)
		for (size_t at = g->nodes.items[i].held ? g->nodes.items[i].on : NO_IMAGE, n = 0;
			at != NO_IMAGE && n < g->nodes.n; at = g->nodes.items[at].on, n++)
			g->nodes.items[at].pinned = true;
}

static bool is_beneath_top(const struct image_graph *g, size_t i)
{
	for (size_t top = 0; top < g->nodes.n; top++)
		for (size_t at = g->nodes.items[top].top ? top : NO_IMAGE, n = 0;
			at != NO_IMAGE && n < g->nodes.n; at = g->nodes.items[at].on, n++)
			if (at == i)
				return true;
	return false;
}

/* Does the VM write another image over the same ground? */
static bool has_sibling(const struct image_graph *g, size_t i)
{
	for (size_t at = g->nodes.items[i].on, n = 0; at != NO_IMAGE && n < g->nodes.n;
		at = g->nodes.items[at].on, n++)
		if (is_beneath_top(g, at))
			return true;
	return false;
}

/*
 * An overlay that is there, that no snapshot froze and no definition has: its disk was taken from the VM, and is its user's. Unless a
 * snapshot that goes named it and the VM writes another image over the same ground: then going back left it.
 */
static void keep_detached(struct image_graph *g)
{
	for (size_t i = 0; i < g->nodes.n; i++) {
		struct image_node *node = &g->nodes.items[i];

		if (!node->looked || !node->made || node->ground || node->named)
			continue;
		if (node->left && has_sibling(g, i))
			continue;
		node->named = node->pinned = true;
	}
}

void image_graph_build(const struct image_graph_input *input, struct image_graph *ret)
{
	*ret = (struct image_graph){0};
	if (input->looked)
		add_looked(ret, input->looked);
	if (input->persistent)
		add_definition(ret, input->persistent, false);
	if (input->live)
		add_definition(ret, input->live, true);
	for (size_t i = 0; input->remembered && i < input->remembered->items.n; i++) {
		const struct image_link *link = &input->remembered->items.items[i];

		stand(ret, link);
		node_at(ret, link->image, link->target, DISK_FORMAT_QCOW2)->made = true;
		node_at(ret, link->on, link->target, link->on_format)->ground = true;
	}
	VEC_FOREACH (s, &input->tree->all)
		add_snapshot(ret, s, !strv_contains(input->leaving, s->name));
	/* Whatever stands on a frozen image was made when the VM went on from there. */
	for (size_t i = 0; i < ret->nodes.n; i++)
		if (ret->nodes.items[i].on != NO_IMAGE && ret->nodes.items[ret->nodes.items[i].on].ground)
			ret->nodes.items[i].made = true;
	for (size_t i = 0; input->foreign && i < ret->nodes.n; i++)
		ret->nodes.items[i].foreign = strv_contains(input->foreign, ret->nodes.items[i].path);
	keep_detached(ret);
	hold_beneath(ret);
}
