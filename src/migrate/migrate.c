/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is not there yet, and is refused: post-copy on demand. */
#include "migrate.h"

int migrate_start_postcopy(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "post-copy can only be started while the VM migrates");
}

int migrate_pause_postcopy(struct vm *vm, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "the VM is not in post-copy");
}
