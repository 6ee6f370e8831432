/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over its corpus as an ordinary test: every input must pass without a crash. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>

#include "buf.h"
#include "file.h"
#include "strv.h"
#include "tap.h"

#define INPUT_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int no_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	_cleanup_(strv_fini) struct strv names = {0};
	struct error err = ERROR_INIT;
	struct dirent **entries = NULL;
	int n, dir;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n = scandir(argv[1], &entries, no_hidden, NULL);
	for (int i = 0; i < n; i++) {
		strv_add(&names, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (names.n > 0)
		qsort(names.items, names.n, sizeof(char *), compare);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *data = NULL;
		_cleanup_free_ uint8_t *exact = NULL;
		size_t size = 0;

		if (file_read(dir, names.items[i], INPUT_MAX, &data, &size, &err) < 0) {
			ok(false, names.items[i]);
			continue;
		}
		/* Of the exact size, so that the address sanitizer sees a read behind its end. */
		exact = malloc(size ? size : 1);
		memcpy(exact, data, size);
		printf("# %s\n", names.items[i]); /* who it was, should it crash */
		fflush(stdout);
		LLVMFuzzerTestOneInput(exact, size);
		ok(true, names.items[i]);
	}
	if (dir >= 0)
		close(dir);
	return done_testing();
}
