/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding godwit-io for tests (fixture-io.h). */
#include "fixture-io.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *fixture_io_program(void)
{
	static char path[PATH_MAX];
	const char *env = getenv("GODWIT_IO");
	ssize_t n;

	if (env)
		return env;
	/* build/src/test-... -> build/godwit-io */
	n = readlink("/proc/self/exe", path, sizeof(path) - 20);
	for (int i = 0; i < 2 && n > 0; i++)
		while (n > 0 && path[--n] != '/')
			;
	snprintf(path + n, sizeof(path) - (size_t)n, "/godwit-io");
	return path;
}
