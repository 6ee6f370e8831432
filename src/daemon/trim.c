/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Only executable mappings of files are dropped: nobody writes to them, so nothing is lost. */
#include "trim.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"

void trim_memory(void)
{
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], mode[8], path[8];
	uintptr_t from, to;

	malloc_trim(0);
	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s %*s %*s %*s %7s", &from, &to, mode, path) ==
				4 &&
			strcmp(mode, "r-xp") == 0 && path[0] == '/')
			madvise((void *)from, to - from,
				MADV_DONTNEED); /* NOLINT: an address is what /proc has */
}
