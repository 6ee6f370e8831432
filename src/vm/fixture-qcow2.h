/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files in the directory `dir` that look like images, for tests. They end the test when they cannot be written. */
#pragma once

#include <stddef.h>

void fixture_write_file(int dir, const char *name, const void *data, size_t len);
/* A header and nothing else; NULL leaves out what it would name. */
void fixture_write_qcow2(
	int dir, const char *name, const char *backing, const char *format, const char *data);
