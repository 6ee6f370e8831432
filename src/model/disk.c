/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One disk at a time. */
#include "disk.h"

#include "defaults.h"
#include "schema.h"
#include "strv.h"

static int parse_document(const char *xml, const char *doing, xmlDoc **ret, struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	const xmlNode *root;

	if (xml_parse(xml, strlen(xml), NULL, &doc, err) < 0)
		return -1;
	root = xmlDocGetRootElement(doc);
	if (!xml_is(root, "disk"))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "%s <%.80s> is not supported, only <disk>",
			doing, (const char *)root->name);
	*ret = TAKE_PTR(doc);
	return 0;
}

int disk_parse(const char *xml, unsigned flags, const char *doing, struct disk **ret, struct error *err)
{
	struct parse_context c = {.flags = flags, .err = err};
	_cleanup_xml_ xmlDoc *doc = NULL;
	_cleanup_(disk_free_p) struct disk *disk = NULL;

	if (parse_document(xml, doing, &doc, err) < 0)
		return -1;
	disk = NEW(struct disk);
	table_init(&disk_table, disk);
	if (table_parse(&c, &disk_table, xmlDocGetRootElement(doc), disk) < 0)
		return -1;
	*ret = TAKE_PTR(disk);
	return 0;
}

int disk_parse_target(const char *xml, const char *doing, char **ret, struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	char *target;

	if (parse_document(xml, doing, &doc, err) < 0)
		return -1;
	target = xml_child_attr(xmlDocGetRootElement(doc), "target", "dev");
	if (!target)
		return error_set(err, ERROR_XML, "<disk> has no <target dev=...>");
	*ret = target;
	return 0;
}

char *disk_format(const struct disk *disk, unsigned flags)
{
	struct buf out = {0};
	struct xml_writer w = {.out = &out};
	struct format_context c = {.w = &w, .flags = flags};

	xml_begin(&w, "disk");
	table_format(&c, &disk_table, disk);
	xml_end(&w, "disk");
	return buf_take(&out);
}

struct disk *disk_copy(const struct disk *disk)
{
	struct disk *copy = NEW(struct disk);

	table_copy(&disk_table, copy, disk);
	return copy;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	table_fini(&disk_table, disk);
	free(disk);
}

struct disk *domain_find_disk(const struct domain *d, const char *target)
{
	VEC_FOREACH (disk, &d->disks)
		if (streq(disk->target, target))
			return disk;
	return NULL;
}

struct disk *domain_find_disk_by_alias(const struct domain *d, const char *alias)
{
	VEC_FOREACH (disk, &d->disks)
		if (disk->info.alias && streq(disk->info.alias, alias))
			return disk;
	return NULL;
}

/* Out of the domain; the caller's again. */
static void take_out(struct domain *d, const struct disk *disk)
{
	for (size_t i = 0; i < d->disks.n; i++)
		if (d->disks.items[i] == disk) {
			VEC_REMOVE(&d->disks, i);
			return;
		}
}

int domain_add_disk(struct domain *d, struct disk *disk, struct error *err)
{
	struct parse_context c = {.err = err};

	if (domain_find_disk(d, disk->target))
		return error_set(err, ERROR_OPERATION_FAILED, "target %s already exists", disk->target);
	if (d->disks.n >= FIELD_LIST_MAX)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "domain '%s' has %zu disks already", d->name,
			d->disks.n);
	VEC_ADD(&d->disks, disk);
	if (domain_check(&c, NULL, d) < 0) {
		take_out(d, disk);
		return -1;
	}
	domain_sort_disks(d);
	return 0;
}

void domain_remove_disk(struct domain *d, struct disk *disk)
{
	take_out(d, disk);
	disk_free(disk);
}

void disk_clear_backing(struct disk *disk)
{
	VEC_FOREACH (layer, &disk->backing)
		free(layer.source);
	VEC_FREE(&disk->backing);
	disk->backing_known = disk->backing_given = false;
}

void domain_give_chains(struct domain *d)
{
	VEC_FOREACH (disk, &d->disks)
		disk->backing_given = disk->backing_known || disk->backing.n > 0;
}

void domain_keep_given_chains(const struct domain *before, struct domain *d)
{
	domain_give_chains(d);
	VEC_FOREACH (disk, &d->disks) {
		const struct disk *same = domain_find_disk(before, disk->target);

		disk->backing_given = disk->backing_given && same && same->backing_given;
	}
}

void domain_clear_nodes(struct domain *d)
{
	d->last_node = 0;
	VEC_FOREACH (disk, &d->disks) {
		disk->node = 0;
		for (size_t i = 0; i < disk->backing.n; i++)
			disk->backing.items[i].node = 0;
	}
}

static uint32_t highest_node(const struct domain *d)
{
	uint32_t highest = 0;

	VEC_FOREACH (disk, &d->disks) {
		if (disk->node > highest)
			highest = disk->node;
		VEC_FOREACH (layer, &disk->backing)
			if (layer.node > highest)
				highest = layer.node;
	}
	return highest;
}

void domain_number_disks(struct domain *d)
{
	uint32_t highest = highest_node(d);

	if (d->last_node < highest)
		d->last_node = highest;
	for (size_t i = d->disks.n; i-- > 0;)
		if (d->disks.items[i]->node == 0)
			d->disks.items[i]->node = ++d->last_node;
	for (size_t i = d->disks.n; i-- > 0;) {
		struct disk *disk = d->disks.items[i];

		for (size_t j = 0; j < disk->backing.n; j++)
			if (disk->backing.items[j].node == 0)
				disk->backing.items[j].node = ++d->last_node;
	}
}
