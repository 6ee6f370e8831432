/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another program run to its end for what it does or says. */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "error.h"
#include "strv.h"

struct program;

#define PROGRAM_OUTPUT_MAX (1u << 20) /* bytes */

/*
 * Called once, from the loop. `output`: the first PROGRAM_OUTPUT_MAX bytes of its standard output, borrowed; NULL with err.
 * ERROR_OPERATION_FAILED: it failed, and the first line of its standard error, or how it ended; ERROR_TIMEOUT: it was killed,
 * with all that it had started. May free it.
 */
typedef void (*program_done_fn)(const char *output, const struct error *err, void *userdata);

/* argv->items[0] is an absolute path. It ends with this process. `timeout_usec` 0: none. */
int program_start(sd_event *loop, const struct strv *argv, uint64_t timeout_usec, program_done_fn done,
	void *userdata, struct program **ret, struct error *err);

/* What it has written to its standard output last, at most `size` - 1 bytes of it and a zero. It may still run. */
void program_read_last(const struct program *p, char *ret, size_t size);

/* Kills it with all that it has started; nothing is called any more. Accepts NULL. */
void program_free(struct program *p);
