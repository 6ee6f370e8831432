/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What cannot be migrated, known before anything is asked of anybody. */
#pragma once

#include "migrate.h"

/* What this version cannot do, on either side: never taken for something less. ERROR_UNSUPPORTED_CONFIG. */
int migrate_check_possible(const struct migrate_options *o, struct error *err);
/* ERROR_OPERATION_INVALID, or ERROR_MIGRATE_UNSAFE where MIGRATE_UNSAFE says that the caller knows. */
int migrate_check_allowed(const struct vm *vm, const struct migrate_options *o, struct error *err);
/* Is the file on a file system that several hosts see? May block. */
bool is_shared_storage(const char *path);
