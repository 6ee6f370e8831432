/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that claims to be a bundle: what is taken is whole, gives the same bundle again, and went only where it belongs. */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "bundle.h"
#include "file.h"

#define FILES_MAX 8
/* Holes cost time and nothing else; no need to find that out. */
#define TOTAL_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
	int fds[FILES_MAX];
	struct bundle_manifest manifest;
	uint64_t position;
};

static int begin(const struct bundle_manifest *m, const char *text, uint64_t position, void *userdata,
	struct error *err)
{
	struct target *t = userdata;

	assert(m->members.n >= 2 && position <= bundle_manifest_total(m));
	if (m->members.n > FILES_MAX || bundle_manifest_total(m) > TOTAL_MAX)
		return error_set(err, ERROR_OPERATION_FAILED, "too large for a test");
	t->position = position;
	return bundle_manifest_parse(text, strlen(text), "B", &t->manifest, err);
}

static int open_member(size_t i, void *userdata, struct error *err)
{
	struct target *t = userdata;

	assert(i < t->manifest.members.n && !strstr(t->manifest.members.items[i].name, ".."));
	return dup(t->fds[i]);
}

static int filled(size_t i, int fd, void *userdata, struct error *err)
{
	struct target *t = userdata;
	struct stat st;

	assert(fstat(fd, &st) == 0 && (uint64_t)st.st_size == t->manifest.members.items[i].size);
	return 0;
}

static int append(const void *data, size_t len, void *userdata, struct error *err)
{
	buf_add(userdata, data, len);
	return 0;
}

/* A bundle that begins at its beginning is what its files give; a map of holes may be finer than one that is found. */
static void write_again(const struct target *t, const uint8_t *data, size_t size)
{
	struct bundle_source sources[FILES_MAX];
	struct bundle_write_options o = {.manifest = &t->manifest, .sources = sources, .write = append};
	_cleanup_(buf_fini) struct buf out = {0};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < t->manifest.members.n; i++) {
		const struct bundle_member *m = &t->manifest.members.items[i];
		const struct timespec times[2] = {{.tv_sec = 1}, {m->mtime_s, m->mtime_ns}};

		if (m->sparse)
			return;
		sources[i] = (struct bundle_source){t->fds[i], m->name};
		futimens(t->fds[i], times);
	}
	o.userdata = &out;
	if (bundle_write(&o, &err) == 0)
		assert(out.len == size && memcmp(out.data, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bundle_read_ops ops = {begin, open_member, filled};
	_cleanup_close_ int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct error err = ERROR_INIT;
	struct target t = {0};
	int r;

	for (size_t i = 0; i < FILES_MAX; i++)
		t.fds[i] = memfd_create("member", MFD_CLOEXEC);
	assert(fd >= 0 && pwrite_full(fd, data, size, 0) == 0);
	r = bundle_read(fd, "B", &ops, &t, &err);
	assert(r == 0 || (r == -1 && err.code != ERROR_NONE));
	if (r == 0 && t.position == 0)
		write_again(&t, data, size);
	bundle_manifest_fini(&t.manifest);
	for (size_t i = 0; i < FILES_MAX; i++)
		close(t.fds[i]);
	return 0;
}
