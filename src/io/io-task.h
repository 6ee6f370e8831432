/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside godwit-io: what START brought, and the two kinds of work. Each returns when it is done, having told the daemon. */
#pragma once

#include "io-protocol.h"

struct io_task {
	struct io_message start;
	int file_fd, third_fd; /* third: -1 none */
	char *text;	       /* name, XML, cookie; owned */
	const char *name, *xml, *cookie;
};

/* An image into QEMU, or out of it, or only checked. */
void io_move(const struct io_task *task);
/* An image's pages to a running guest; goes on without a daemon. */
void io_serve(const struct io_task *task);

/* For what the daemon would never do, and what this process cannot live without. */
_Noreturn void io_give_up(const char *why);
