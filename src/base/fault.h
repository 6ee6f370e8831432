/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named places where a test may kill or stop the process, so that every crash can be tried. */
#pragma once

#include <stdbool.h>

/*
 * With GODWIT_FAULT=NAME in the environment the process kills itself (SIGKILL) on reaching the point of
 * that name; with GODWIT_FAULT=NAME=stop it stops (SIGSTOP), so that a test can act at that very moment
 * and continue it. Otherwise does nothing. tests/crash takes the list of names from the source.
 */
void fault_point(const char *name);

/* The same for computed names "job/step/moment"; builds no string when no fault is asked for. */
void fault_point3(const char *a, const char *b, const char *c);

/*
 * With GODWIT_FAULT=NAME=hold:PATH: does PATH exist? For work that a test wants to stand still while the rest of the process
 * goes on: ask again as long as it is true. False otherwise, and fault_point() does nothing then. For one thread only.
 */
bool fault_held(const char *name);
