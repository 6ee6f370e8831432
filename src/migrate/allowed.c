/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reasons against a migration that lie in the VM itself (allowed.h). */
#include "allowed.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include "copy.h"
#include "disk.h"
#include "vm-internal.h"

/* By linux/magic.h, and what their drivers call themselves in statfs(2). */
bool is_shared_storage(const char *path)
{
	static const uint32_t shared[] = {
		0x00006969, /* NFS */
		0x0000517b, /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB 2 and later */
		0x00c36400, /* Ceph */
		0x01161970, /* GFS2 */
		0x7461636f, /* OCFS2 */
		0x6b414653, /* AFS */
		0x47504653, /* GPFS */
		0x19830326, /* BeeGFS */
	};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if ((uint32_t)fs.f_type == shared[i])
			return true;
	return false;
}

/* A file of the same name over there would be taken for this one. */
static int check_storage(const struct migrate_options *o, const struct disk *disk, struct error *err)
{
	struct stat st;

	if (o->flags & (MIGRATE_UNSAFE | MIGRATE_OFFLINE) || !disk->source || disk->readonly ||
		copy_includes(o, disk) || stat(disk->source, &st) < 0 || !S_ISREG(st.st_mode) ||
		is_shared_storage(disk->source))
		return 0;
	return error_set(err, ERROR_MIGRATE_UNSAFE,
		"Migration without shared storage is unsafe: '%s' of disk '%s' is on a file system of this "
		"host "
		"(--copy-storage-all copies it; --unsafe: the other host has the very same file)",
		disk->source, disk->target);
}

static int check_disk(
	const struct vm *vm, const struct migrate_options *o, const struct disk *disk, struct error *err)
{
	if (disk->transient)
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s' of domain '%s' is transient: what it holds would be lost", disk->target,
			vm->name);
	return check_storage(o, disk, err);
}

int migrate_check_possible(const struct migrate_options *o, struct error *err)
{
	if (o->flags & MIGRATE_TLS || o->tls_destination)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"TLS for the state itself (VIR_MIGRATE_TLS) is not there yet; --tunnelled goes "
			"through the daemons' "
			"own connection");
	if (o->flags & MIGRATE_POSTCOPY_RESUME)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"going on with a post-copy that was interrupted (VIR_MIGRATE_POSTCOPY_RESUME) is not "
			"there yet");
	if (o->disks_uri)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"a URI for disks ('%s') is not there yet; --disks-port is", o->disks_uri);
	return 0;
}

int migrate_check_allowed(const struct vm *vm, const struct migrate_options *o, struct error *err)
{
	const struct domain *d = vm->live ? vm->live : vm->persistent;

	if (vm->paging)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the memory of domain '%s' is still coming in from its saved state: wait, or hurry "
			"it ('godwit "
			"domjobinfo %s')",
			vm->name, vm->name);
	VEC_FOREACH (disk, &d->disks)
		if (check_disk(vm, o, disk, err) < 0)
			return -1;
	/* A target that nobody has would be copied by nobody. */
	for (size_t i = 0; i < o->disks.n; i++)
		if (!domain_find_disk(d, o->disks.items[i]))
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"disk '%s' to be copied is not one of domain '%s'", o->disks.items[i],
				vm->name);
	return 0;
}
