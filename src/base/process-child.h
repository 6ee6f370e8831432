/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The child's half of process_start: from fork to exec. */
#pragma once

#include "process.h"

/*
 * Waits for one byte on go_fd (without it: ends), makes itself what the options say, does the work, runs the program. What it
 * has to say goes to report_fd as whole structs error, one write each: of the work (ERROR_NONE when done, its result
 * behind it), then of an exec that failed. An exec that did not fail closes report_fd.
 */
_Noreturn void process_child_run(const struct process_options *o, pid_t parent, int go_fd, int report_fd);
