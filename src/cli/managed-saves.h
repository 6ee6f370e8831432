/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the daemon keeps managed saves, for commands that read or bring one themselves. */
#pragma once

#include "error.h"

struct cli;

struct managed_saves {
	char *directory, *nvram;
};

/*
 * Asks the daemon and checks that the directory is the same here: of this host, and of the user who asks (or root's
 * own). ERROR_UNSUPPORTED or ERROR_OPERATION_DENIED otherwise.
 */
int managed_saves_find(struct cli *cli, struct managed_saves *ret, struct error *err);
void managed_saves_fini(struct managed_saves *m);
char *managed_saves_path(const struct managed_saves *m, const char *vm); /* owned by the caller */
