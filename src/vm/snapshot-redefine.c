/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot described by somebody who knows it: after a move from another host, or to change what is said of it. */
#include "snapshot-store.h"
#include "vm-internal.h"
#include "vm-snapshot.h"

/* What the one of this name is must stay what it is. */
static int check_same_kind(struct snapshot *s, const struct snapshot *old, struct error *err)
{
	if (snapshot_is_live(s) != snapshot_is_live(old))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"cannot change between online and offline snapshot state in snapshot %s", s->name);
	if ((s->state == SNAPSHOT_DISK_ONLY) != (old->state == SNAPSHOT_DISK_ONLY))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"cannot change between disk only and full system in snapshot %s", s->name);
	if (s->domain && old->domain)
		return domain_check_abi_stable(old->domain, s->domain, err);
	if (old->domain)
		s->domain = domain_copy(old->domain);
	return 0;
}

/* Of whom it is: a document without a UUID means the VM it is given to. */
static int check_owner(const struct vm *vm, struct snapshot *s, struct error *err)
{
	const uint8_t *uuid = s->domain ? s->domain->uuid : s->uuid;
	char text[UUID_TEXT_MAX];

	if ((s->domain ? s->domain->has_uuid : s->has_uuid) && memcmp(uuid, vm->uuid, 16) != 0) {
		uuid_format(vm->uuid, text);
		return error_set(err, ERROR_INVALID_ARGUMENT, "definition for snapshot %s must use uuid %s",
			s->name, text);
	}
	memcpy(s->uuid, vm->uuid, 16);
	s->has_uuid = true;
	if (s->domain) {
		memcpy(s->domain->uuid, vm->uuid, 16);
		s->domain->has_uuid = true;
		replace_string(&s->domain->name, vm->name);
	}
	if (s->inactive)
		replace_string(&s->inactive->name, vm->name);
	return 0;
}

/* An internal snapshot is of all disks that can be written to; where the files of others would be, nobody can know. */
static void add_internal_disks(struct snapshot *s)
{
	VEC_FOREACH (disk, &s->domain->disks) {
		bool is_written = disk->source && !disk->readonly;
		struct snapshot_disk added = {.location = is_written ? SNAPSHOT_INTERNAL : SNAPSHOT_NO};

		if (snapshot_find_disk(s, disk->target))
			continue;
		added.target = xstrdup(disk->target);
		VEC_ADD(&s->disks, added);
	}
}

/* Where a disk's state is when that was not said: where the others are. */
static int complete_disks(struct snapshot *s, struct error *err)
{
	bool external = s->state == SNAPSHOT_DISK_ONLY || snapshot_is_external(s);

	if (s->domain && snapshot_resolve_disks(s, s->domain, err) < 0)
		return -1;
	if (s->domain && !external)
		add_internal_disks(s);
	for (size_t i = 0; i < s->disks.n; i++) {
		struct snapshot_disk *disk = &s->disks.items[i];

		if (disk->location == SNAPSHOT_DEFAULT)
			disk->location = external ? SNAPSHOT_EXTERNAL : SNAPSHOT_INTERNAL;
		if (disk->location == SNAPSHOT_EXTERNAL && !disk->source)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"snapshot %s: no file is named for external disk '%s'", s->name,
				disk->target);
		if (s->state == SNAPSHOT_DISK_ONLY && disk->location == SNAPSHOT_INTERNAL)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"snapshot %s: disk '%s' of a disk-only snapshot cannot be internal", s->name,
				disk->target);
	}
	return 0;
}

int vm_snapshot_redefine(
	struct vm *vm, const char *xml, bool current, const char **ret_name, struct error *err)
{
	_cleanup_(snapshot_free_p) struct snapshot *s = NULL;
	const struct snapshot *old, *added;

	if (vm_check_verb(vm, VERB_SNAPSHOT_METADATA, err) < 0 ||
		snapshot_parse(xml, strlen(xml), SNAPSHOT_PARSE_REDEFINE, &s, NULL, err) < 0)
		return -1;
	old = snapshot_tree_find(&vm->snapshots, s->name);
	if (check_owner(vm, s, err) < 0 || (old && check_same_kind(s, old, err) < 0) ||
		complete_disks(s, err) < 0 ||
		snapshot_store_add(vm, s, old || vm_snapshot_is_unreadable(vm, s->name), err) < 0)
		return -1;
	added = TAKE_PTR(s);
	if (current && snapshot_store_set_current(vm, added->name, err) < 0)
		return -1;
	*ret_name = added->name;
	return 0;
}
