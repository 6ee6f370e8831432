/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon as one object: the registry of VMs and the server in front of it, on one loop. */
#pragma once

#include <systemd/sd-event.h>

#include "config.h"
#include "paths.h"

struct manager;

/* Lock the directories, adopt what runs, listen. ERROR_BUSY when another daemon has them. */
int manager_open(sd_event *loop, const struct paths *paths, const struct config *config, struct manager **ret,
	struct error *err);
/* Stop listening; the VMs run on. Accepts NULL. */
void manager_close(struct manager *m);
