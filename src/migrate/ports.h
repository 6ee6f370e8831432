/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of the migration range (migration_port_min to migration_port_max), one holder each. */
#pragma once

#include <stdint.h>

#include "migrate.h"

/* One that nobody listens on now, for somebody else (QEMU) to listen on; ports_give when done. */
int ports_take(struct migrations *m, uint16_t *ret, struct error *err);
void ports_give(struct migrations *m, uint16_t port); /* 0: nothing */
