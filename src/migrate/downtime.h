/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the guest may stand still for the last part of its memory: QEMU's "downtime-limit", in milliseconds. It is as short at first as what comes
 * with it anyhow, and doubled as long as the guest writes faster than that; what QEMU and libvirt allow from the start is the most.
 */
#pragma once

#include "json.h"

enum {
	DOWNTIME_FIRST_MS = 20,
	DOWNTIME_MOST_MS = 300, /* QEMU's default */
};

struct downtime {
	uint64_t limit_ms;
	uint64_t passes; /* over memory that QEMU had made when it was set */
};

void downtime_begin(struct downtime *d);
/* `answer`: of query-migrate. true: d->limit_ms is another one now, of which QEMU is to be told. */
bool downtime_raise(struct downtime *d, json *answer);
