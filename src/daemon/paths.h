/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a daemon keeps its things: of the system, of a user, or all under one directory. */
#pragma once

#include <stdbool.h>

#include "error.h"

struct paths {
	char *etc, *lib, *run, *log;	      /* absolute */
	char *config;			      /* etc/godwit.conf */
	char *socket, *socket_ro;	      /* socket_ro NULL for a user's daemon */
	char *alias_socket, *alias_socket_ro; /* where libvirt's client looks for godwit:///system; NULL */
	/* godwit-io and godwit: beside the daemon's own binary, else where they were installed */
	char *io_program, *command;
	char *hooks; /* directory of those that came with godwit, found likewise */
	bool is_system;
};

/*
 * `root` NULL: as root /etc/godwit, /var/lib/godwit, /run/godwit, /var/log/godwit; with `session` (or as an ordinary
 * user) the XDG base directories. Makes the directories.
 */
int paths_init(struct paths *p, const char *root, bool session, struct error *err);
void paths_fini(struct paths *p);
