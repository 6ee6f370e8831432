/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Post-copy on demand: the guest runs at the destination before all of its memory is there. */
#include "monitor.h"
#include "source.h"

int migrate_start_postcopy(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	const struct source_operation *s = source_find(vm);

	if (!s || !s->op.on_migration || !vm->qmp)
		return error_set(err, ERROR_OPERATION_INVALID,
			"post-copy can only be started while domain '%s' migrates", vm->name);
	if (!(s->options.flags & MIGRATE_POSTCOPY))
		return error_set(err, ERROR_OPERATION_INVALID,
			"the migration of domain '%s' was not begun with --postcopy", vm->name);
	if (s->is_postcopy)
		return error_set(
			err, ERROR_OPERATION_INVALID, "domain '%s' is in post-copy already", vm->name);
	vm_command(vm, "migrate-start-postcopy", NULL, done, userdata);
	return 0;
}

int migrate_pause_postcopy(struct vm *vm, struct error *err)
{
	const struct source_operation *s = source_find(vm);

	if (!s || !s->is_postcopy)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not in post-copy", vm->name);
	return error_set(err, ERROR_UNSUPPORTED,
		"the post-copy of domain '%s' cannot be paused: it could not be gone on with yet", vm->name);
}
