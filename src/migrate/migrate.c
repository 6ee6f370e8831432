/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is not there yet, and is refused: the way from daemon to daemon, and post-copy on demand. */
#include "migrate.h"

int migrate_to_peer(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_done_fn done,
	void *userdata, struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED, "migration from daemon to daemon is not there yet");
}

int migrate_start_postcopy(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "post-copy can only be started while the VM migrates");
}

int migrate_pause_postcopy(struct vm *vm, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "the VM is not in post-copy");
}
