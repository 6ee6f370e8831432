/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named places where a test may kill or stop the process, so that every crash can be tried. */
#pragma once

/*
 * With GODWIT_FAULT=NAME in the environment the process kills itself (SIGKILL) on reaching the point of
 * that name; with GODWIT_FAULT=NAME=stop it stops (SIGSTOP), so that a test can act at that very moment
 * and continue it. Otherwise does nothing. tests/crash takes the list of names from the source.
 */
void fault_point(const char *name);

/* The same for computed names "job/step/moment"; builds no string when no fault is asked for. */
void fault_point3(const char *a, const char *b, const char *c);
