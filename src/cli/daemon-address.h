/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the daemon listens: from options, the environment, or who asks. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "error.h"

/* What the choice depends on; strings are borrowed and may be NULL. The first that is given wins, in this order. */
struct address_request {
	const char *root;	 /* --root DIR */
	const char *socket;	 /* --socket PATH */
	const char *uri;	 /* --connect URI */
	const char *env_socket;	 /* GODWIT_SOCKET */
	const char *env_root;	 /* GODWIT_ROOT */
	const char *runtime_dir; /* XDG_RUNTIME_DIR */
	uid_t uid;		 /* root: the host's daemon; anybody else: their own */
	bool read_only;
};

struct address {
	char *socket;
	char *uri;	   /* to be said in OPEN; NULL: whatever the daemon is */
	char *root;	   /* NULL: not by --root */
	char *session_dir; /* of the user's own daemon, which may be started on demand; NULL: another one is meant */
};

#define ADDRESS_SYSTEM_SOCKET "/run/godwit/godwit-sock"

int address_resolve(const struct address_request *request, struct address *ret, struct error *err);
void address_fini(struct address *a);
