/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reasons against a migration that lie in the VM itself (allowed.h). */
#include "allowed.h"

#include "disk.h"
#include "vm-internal.h"

static int check_disk(const struct vm *vm, const struct disk *disk, struct error *err)
{
	if (disk->transient)
		return error_set(err, ERROR_OPERATION_INVALID,
			"disk '%s' of domain '%s' is transient: what it holds would be lost", disk->target,
			vm->name);
	return 0;
}

int migrate_check_possible(const struct migrate_options *o, struct error *err)
{
	if (o->flags & MIGRATE_TLS || o->tls_destination)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"TLS for the state itself (VIR_MIGRATE_TLS) is not there yet; --tunnelled goes "
			"through the "
			"daemons' own connection");
	if (o->flags & MIGRATE_POSTCOPY_RESUME)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"going on with a post-copy that was interrupted (VIR_MIGRATE_POSTCOPY_RESUME) is not "
			"there yet");
	if (o->disks_uri)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"a URI for disks ('%s') is not there yet; "
			"--disks-port is",
			o->disks_uri);
	return 0;
}

int migrate_check_allowed(const struct vm *vm, const struct migrate_options *o, struct error *err)
{
	const struct domain *d = vm->live ? vm->live : vm->persistent;

	if (vm->paging)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the memory of domain '%s' is still coming in from its saved state: wait, or hurry "
			"it "
			"('godwit domjobinfo %s')",
			vm->name, vm->name);
	VEC_FOREACH (disk, &d->disks)
		if (check_disk(vm, disk, err) < 0)
			return -1;
	/* A target that nobody has would be copied by nobody. */
	for (size_t i = 0; i < o->disks.n; i++)
		if (!domain_find_disk(d, o->disks.items[i]))
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"disk '%s' to be copied is not one of domain '%s'", o->disks.items[i],
				vm->name);
	return 0;
}
