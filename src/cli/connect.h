/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Getting a connected socket to the daemon; an ordinary user's own daemon is started when it is not there. */
#pragma once

#include "daemon-address.h"

/* Fails with ERROR_RPC and what to do about it. */
int connect_to_daemon(const struct address *address, int *ret_fd, struct error *err);

/* One try; -1 with errno. */
int connect_socket(const char *path);
