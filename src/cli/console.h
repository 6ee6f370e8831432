/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal as the guest's console. */
#pragma once

#include "cli.h"

/*
 * Connects standard input and output to a console of the VM (`device`: an alias; NULL: the first) until ^] is typed,
 * input ends, or the guest's end closes. The terminal is raw meanwhile. `resume`: let a paused guest run once connected.
 */
int console_run(struct cli *cli, const struct rpc_domain *dom, const char *device, unsigned flags,
	bool resume, struct error *err);
