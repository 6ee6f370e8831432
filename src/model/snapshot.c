/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be asked of a snapshot without looking at a host. */
#include "snapshot.h"

#include "strv.h"

void snapshot_clear_revert_disks(struct snapshot *s)
{
	VEC_FOREACH (disk, &s->revert_disks) {
		free(disk.target);
		free(disk.source);
	}
	VEC_FREE(&s->revert_disks);
}

struct snapshot_disk *snapshot_find_disk(const struct snapshot *s, const char *target)
{
	for (size_t i = 0; i < s->disks.n; i++)
		if (streq(s->disks.items[i].target, target))
			return &s->disks.items[i];
	return NULL;
}

bool snapshot_has_memory(const struct snapshot *s)
{
	return s->memory == SNAPSHOT_INTERNAL || s->memory == SNAPSHOT_EXTERNAL;
}

static bool has_location(const struct snapshot *s, enum snapshot_location location)
{
	for (size_t i = 0; i < s->disks.n; i++)
		if (s->disks.items[i].location == location)
			return true;
	return s->memory == location;
}

bool snapshot_is_internal(const struct snapshot *s)
{
	return has_location(s, SNAPSHOT_INTERNAL);
}

bool snapshot_is_external(const struct snapshot *s)
{
	return has_location(s, SNAPSHOT_EXTERNAL);
}

bool snapshot_is_live(const struct snapshot *s)
{
	return s->state == SNAPSHOT_RUNNING || s->state == SNAPSHOT_PAUSED;
}

static const struct disk *find_named(const struct domain *d, const char *name)
{
	VEC_FOREACH (disk, &d->disks) {
		if (streq(disk->target, name))
			return disk;
	}
	VEC_FOREACH (disk, &d->disks) {
		if (disk->source && streq(disk->source, name))
			return disk;
	}
	return NULL;
}

int snapshot_resolve_disks(struct snapshot *s, const struct domain *d, struct error *err)
{
	for (size_t i = 0; i < s->disks.n; i++) {
		const char *name = s->disks.items[i].target;
		const struct disk *disk = find_named(d, name);

		if (!disk)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG, "no disk named '%s'", name);
		for (size_t j = 0; j < i; j++)
			if (streq(s->disks.items[j].target, disk->target))
				return error_set(err, ERROR_UNSUPPORTED_CONFIG, "disk '%s' specified twice",
					disk->target);
		replace_string(&s->disks.items[i].target, disk->target);
	}
	return 0;
}
