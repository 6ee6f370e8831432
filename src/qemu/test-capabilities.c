/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probing, decoding and caching what QEMU can do. "dump BINARY" prints the answers of a real one. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capability-cache.h"
#include "capability-probe.h"
#include "clock.h"
#include "file.h"
#include "kvm-probe.h"
#include "tap.h"

struct asked {
	unsigned calls;
	const struct qemu_capabilities *caps;
	struct error err;
};

static void on_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct asked *a = userdata;

	a->calls++;
	a->caps = caps;
	if (err)
		a->err = *err;
}

static void wait_for(sd_event *loop, const unsigned *calls, unsigned n)
{
	for (int i = 0; i < 3000 && *calls < n; i++)
		sd_event_run(loop, 10000);
}

/* Once cold, once from memory, once from the file; times go to stderr. */
static int dump(const char *binary)
{
	static const char *const from[] = {"probe", "memory", "file"};
	char directory[] = "/tmp/capabilities-XXXXXX";
	_cleanup_close_ int dirfd = open(mkdtemp(directory), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	struct capability_cache *cache = NULL;
	struct asked a = {0};
	sd_event *loop;

	if (dirfd < 0 || sd_event_new(&loop) < 0)
		return 1;
	cache = capability_cache_new(loop, dirfd);
	for (unsigned i = 0; i < ARRAY_SIZE(from); i++) {
		uint64_t start = clock_now();

		if (i == 2) {
			capability_cache_free(cache);
			cache = capability_cache_new(loop, dirfd);
		}
		capability_cache_find(cache, binary, on_found, &a);
		wait_for(loop, &a.calls, i + 1);
		fprintf(stderr, "%s: %llu us\n", from[i], (unsigned long long)(clock_now() - start));
	}
	if (a.caps) {
		_cleanup_json_ json *o = capabilities_encode(a.caps);

		puts(json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		fprintf(stderr, "%s\n", a.err.message);
	}
	capability_cache_free(cache);
	sd_event_unref(loop);
	dir_remove(AT_FDCWD, directory, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "dump") == 0)
		return dump(argv[2]);
	return done_testing();
}
