/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time: monotonic for intervals, wall clock only for what people read. */
#pragma once

#include <stdint.h>

#define USEC_PER_SEC  1000000ull
#define USEC_PER_MSEC 1000ull

uint64_t clock_now(void);  /* CLOCK_MONOTONIC, microseconds */
uint64_t clock_wall(void); /* CLOCK_REALTIME, microseconds since 1970 */
