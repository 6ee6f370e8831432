/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of the limit (downtime.h). */
#include "downtime.h"

#include <sys/param.h>

#include "strv.h"

/* The first one sends everything; what the next leaves over shows how fast the guest writes. */
enum { PASSES_IN_VAIN = 2 };

void downtime_begin(struct downtime *d)
{
	*d = (struct downtime){.limit_ms = DOWNTIME_FIRST_MS, .passes = 1};
}

bool downtime_raise(struct downtime *d, json *answer)
{
	uint64_t passes = json_get_uint(json_get(answer, "ram"), "dirty-sync-count", 0);

	if (!streq(json_get_string(answer, "status"), "active") || d->limit_ms >= DOWNTIME_MOST_MS ||
		passes < d->passes + PASSES_IN_VAIN)
		return false;
	d->passes = passes;
	d->limit_ms = MIN(2 * d->limit_ms, (uint64_t)DOWNTIME_MOST_MS);
	return true;
}
