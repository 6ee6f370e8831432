/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The check before a migration, as the command asks for it and shows it. */
#pragma once

#include "migrate-drive.h"

struct migrate_table {
	json *rows; /* owned */
	size_t n_warnings, n_failures;
	size_t n_storage_failures; /* those of the failures that --unsafe passes over */
	bool same_storage;	   /* every disk is known to be the same there */
};

/* ERROR_UNSUPPORTED: the source's daemon is no godwit that knows this. `uri`: the destination's, as the source's daemon reaches it. */
int migrate_table_get(struct cli *cli, const struct drive *d, const char *uri, struct migrate_table *ret,
	struct error *err);
void migrate_table_fini(struct migrate_table *t);
/* `all`: also the rows that are ok. */
void migrate_table_print(struct cli *cli, const struct migrate_table *t, bool all);
