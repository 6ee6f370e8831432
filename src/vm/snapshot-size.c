/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of the host's storage snapshots hold. A child looks: storage may take its time. */
#include <inttypes.h>
#include <sys/stat.h>

#include "process.h"
#include "vm-internal.h"
#include "vm-snapshot.h"

struct measurement {
	struct vm *vm;
	struct process *process;
	vm_snapshot_sizes_fn done;
	void *userdata;
};

/* ---- in the child ---- */

/* Bytes that the file takes; -1: it cannot be seen. */
static int64_t measure(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : (int64_t)st.st_blocks * 512;
}

/* What the guest had written until then: nobody writes to it any more. */
static int64_t measure_disks(const struct snapshot *s)
{
	int64_t sum = 0;

	for (size_t i = 0; s->domain && i < s->domain->disks.n; i++) {
		const struct disk *disk = s->domain->disks.items[i];
		const struct snapshot_disk *frozen = snapshot_find_disk(s, disk->target);
		int64_t bytes;

		if (!frozen || frozen->location != SNAPSHOT_EXTERNAL || !disk->source)
			continue;
		bytes = measure(disk->source);
		if (bytes < 0)
			return -1;
		sum += bytes;
	}
	return sum;
}

static int measure_all(struct buf *result, void *userdata, struct error *err)
{
	const struct measurement *m = userdata;

	VEC_FOREACH (s, &m->vm->snapshots.all) {
		int64_t memory = s->memory_file ? measure(s->memory_file) : 0;

		buf_addf(result, "%" PRId64 " %" PRId64 " %s\n", memory, measure_disks(s), s->name);
	}
	return 0;
}

/* ---- in the daemon ---- */

/* A line: two numbers and a name, which holds no control characters. */
static const char *parse_line(const char *line, struct vm_snapshot_size *ret)
{
	const char *end = strchr(line, '\n');
	char *rest;

	ret->memory = strtoll(line, &rest, 10);
	ret->disks = strtoll(rest, &rest, 10);
	ret->name = xstrndup(rest + 1, (size_t)(end - rest - 1));
	return end + 1;
}

static void measured(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct measurement *m = userdata;
	VEC(struct vm_snapshot_size) sizes = {0};
	_cleanup_free_ char *text = err ? NULL : xstrndup(result, len);

	for (const char *line = text; line && *line;) {
		struct vm_snapshot_size size;

		line = parse_line(line, &size);
		VEC_ADD(&sizes, size);
	}
	m->done(m->vm, sizes.items, sizes.n, err, m->userdata);
	VEC_FOREACH (size, &sizes) {
		free(size.name);
	}
	VEC_FREE(&sizes);
	process_free(p);
	vm_unref(m->vm);
	free(m);
}

int vm_snapshot_measure(struct vm *vm, vm_snapshot_sizes_fn done, void *userdata, struct error *err)
{
	struct measurement *m = NEW(struct measurement);

	*m = (struct measurement){.vm = vm_ref(vm), .done = done, .userdata = userdata};
	if (process_start(vm->registry->loop,
		    &(struct process_options){.stdin_fd = -1,
			    .stdout_fd = -1,
			    .stderr_fd = -1,
			    .dies_with_daemon = true,
			    .work = measure_all,
			    .work_userdata = m,
			    .worked = measured},
		    NULL, m, &m->process, err) == 0)
		return 0;
	vm_unref(m->vm);
	free(m);
	return -1;
}
