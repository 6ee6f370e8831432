/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Done again after a crash, a merge writes the same bytes: what goes into the ground is not changed by it, and nobody writes to the ground as
 * long as the VM's disk is above it. When the disk has the ground's name the guest may have written since; then it is not done again.
 */
#include "snapshot-merge.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "block-job.h"
#include "disk.h"
#include "fault.h"
#include "hotplug.h"
#include "qemu-img.h"
#include "snapshot-images.h"
#include "snapshot-store.h"

struct snapshot_merge {
	struct vm *vm; /* a reference */
	const struct image_step *step;
	vm_done_fn done;
	void *userdata;
	bool live;  /* QEMU's block job is at it */
	bool moved; /* the data is */
	struct qemu_img *img;
	struct process *child;
	sd_event_source *deferred;
};

void snapshot_merge_free(struct snapshot_merge *m)
{
	if (!m)
		return;
	if (m->live)
		block_job_forget(m->vm, m);
	qemu_img_free(m->img);
	process_free(m->child);
	sd_event_source_unref(m->deferred);
	vm_unref(m->vm);
	free(m);
}

unsigned snapshot_merge_get_permyriad(const struct snapshot_merge *m)
{
	if (m->moved)
		return 10000;
	if (m->live)
		return block_job_get_permyriad(m->vm, m);
	if (!m->img)
		return 0;
	/* the commit is the first of its commands */
	return qemu_img_get_done(m->img) > 0 ? 10000 : qemu_img_get_permyriad(m->img);
}

static void over(struct snapshot_merge *m, const struct error *err)
{
	struct vm *vm = vm_ref(m->vm);
	vm_done_fn done = m->done;
	void *userdata = m->userdata;
	struct error failure = ERROR_INIT;

	if (err) {
		failure = *err;
		error_prefix(&failure, "merge '%s' into '%s'", m->step->image, m->step->on);
	}
	snapshot_merge_free(m);
	done(vm, err ? &failure : NULL, userdata);
	vm_unref(vm);
}

/* ---- unlink ---- */

/* Block devices stay: they were not made here. */
static int unlink_image(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "look at %s", path);
	if (S_ISREG(st.st_mode) && unlink(path) < 0)
		return error_errno(err, errno, "remove %s", path);
	return 0;
}

static int unlink_work(struct buf *result, void *userdata, struct error *err)
{
	const struct image_step *step = userdata;

	if (unlink_image(step->image, err) < 0)
		return -1;
	for (size_t i = step->between.n; i-- > 0;)
		if (unlink_image(step->between.items[i], err) < 0)
			return -1;
	return 0;
}

static int start_child(struct snapshot_merge *m, int (*work)(struct buf *, void *, struct error *),
	process_worked_fn worked, struct error *err)
{
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = work,
		.work_userdata = (void *)m->step,
		.worked = worked};

	return process_start(m->vm->registry->loop, &options, NULL, m, &m->child, err);
}

static void unlinked(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	over(userdata, err);
}

static void start_unlink(struct snapshot_merge *m)
{
	struct error err = ERROR_INIT;

	fault_point("snapshot-delete/recorded");
	if (start_child(m, unlink_work, unlinked, &err) < 0)
		over(m, &err);
}

/* ---- rename ---- */

static bool is_named_by_snapshots(const struct snapshot_tree *tree, const struct image_step *step)
{
	VEC_FOREACH (s, &tree->all) {
		if (image_merge_is_named_by(step, s->domain) || image_merge_is_named_by(step, s->inactive))
			return true;
	}
	return false;
}

/* What only other images name, as an image that was frozen by a snapshot that is gone, is merged again until it goes: the uppermost first. */
bool snapshot_merge_is_recorded(const struct vm *vm, const struct image_step *step)
{
	if (!step->named)
		return access(step->image, F_OK) < 0 && errno == ENOENT;
	return !image_merge_is_named_by(step, vm->live) && !image_merge_is_named_by(step, vm->persistent) &&
	       !is_named_by_snapshots(&vm->snapshots, step);
}

static int rename_snapshots(struct vm *vm, const struct image_step *step, struct error *err)
{
	VEC_FOREACH (s, &vm->snapshots.all) {
		bool changed = s->domain && image_merge_rename_domain(step, s->domain);

		changed = (s->inactive && image_merge_rename_domain(step, s->inactive)) || changed;
		if (changed && snapshot_store_write(vm, s, err) < 0)
			return -1;
	}
	return 0;
}

static int rename_remembered(struct vm *vm, const struct image_step *step, struct error *err)
{
	struct image_links links = {0};
	int r = image_links_read(vm, &links, err);

	if (r == 0 && image_merge_rename_links(step, &links))
		r = image_links_write(vm, &links, err);
	image_links_fini(&links);
	return r;
}

/* The running one's live definition is its block job's to change. */
static int rename_definition(struct vm *vm, const struct image_step *step, struct error *err)
{
	_cleanup_domain_ struct domain *changed = NULL;

	if (!vm->persistent || !image_merge_is_named_by(step, vm->persistent))
		return 0;
	changed = domain_copy(vm->persistent);
	image_merge_rename_domain(step, changed);
	if (definition_replace(vm, changed, err) < 0)
		return -1;
	TAKE_PTR(changed);
	return 0;
}

/*
 * The definition comes last: as long as a disk of it has the old name, the merge is done again after a crash, and the guest has not written to
 * the ground.
 */
static int rename_all(struct vm *vm, const struct image_step *step, struct error *err)
{
	if (rename_snapshots(vm, step, err) < 0 || rename_remembered(vm, step, err) < 0)
		return -1;
	fault_point("snapshot-delete/renaming");
	return rename_definition(vm, step, err);
}

/* ---- sync ---- */

static int sync_image(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fsync(fd) < 0)
		return error_errno(err, errno, "sync %s", path);
	return 0;
}

static int sync_work(struct buf *result, void *userdata, struct error *err)
{
	const struct image_step *step = userdata;

	if (sync_image(step->on, err) < 0)
		return -1;
	VEC_FOREACH (above, &step->above) {
		if (sync_image(above.path, err) < 0)
			return -1;
	}
	return 0;
}

static void synced(struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct snapshot_merge *m = userdata;
	struct error failure = ERROR_INIT;

	process_free(TAKE_PTR(m->child));
	if (err) {
		over(m, err);
		return;
	}
	fault_point("snapshot-delete/merged");
	if (rename_all(m->vm, m->step, &failure) < 0)
		over(m, &failure);
	else
		start_unlink(m);
}

static void start_sync(struct snapshot_merge *m)
{
	struct error err = ERROR_INIT;

	m->moved = true;
	if (start_child(m, sync_work, synced, &err) < 0)
		over(m, &err);
}

/* ---- merge ---- */

static const char *format_of(enum disk_format format)
{
	return format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw";
}

static void add_commit(struct strv *argv, const struct image_step *step)
{
	/* -d: what is merged stays whole, so that it can be done again. */
	static const char *const words[] = {"commit", "-p", "-d", "-t", "writeback", "-f"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		strv_add(argv, words[i]);
	strv_add(argv, format_of(step->format));
	strv_add(argv, "-b");
	strv_add(argv, step->on);
	strv_add(argv, step->image);
}

static void add_rebase(struct strv *argv, const struct image_step *step, const struct image_above *above)
{
	const char *const words[] = {"rebase", "-q", "-u", "-f", format_of(above->format), "-b", step->on,
		"-F", format_of(step->on_format), above->path};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		strv_add(argv, words[i]);
}

static void images_done(const char *output, const struct error *err, void *userdata)
{
	struct snapshot_merge *m = userdata;

	qemu_img_free(TAKE_PTR(m->img));
	if (err)
		over(m, err);
	else
		start_sync(m);
}

/* Of images that the running QEMU has, it changes the header itself. */
static int start_images(struct snapshot_merge *m, bool commit, struct error *err)
{
	const struct image_step *step = m->step;
	struct strv *commands = xcalloc(step->above.n + 1, sizeof(*commands));
	size_t n = 0;
	int r = 0;

	m->moved = !commit;
	if (commit)
		add_commit(&commands[n++], step);
	VEC_FOREACH (above, &step->above) {
		if (!above.present || !vm_is_active(m->vm))
			add_rebase(&commands[n++], step, &above);
	}
	if (n == 0)
		start_sync(m);
	else
		r = qemu_img_start(m->vm->registry->loop, commands, n, images_done, m, &m->img, err);
	for (size_t i = 0; i < n; i++)
		strv_fini(&commands[i]);
	free(commands);
	return r;
}

static void block_job_ended(struct vm *vm, const struct error *err, void *userdata)
{
	struct snapshot_merge *m = userdata;
	struct error failure = ERROR_INIT;

	m->live = false;
	if (err)
		over(m, err);
	else if (start_images(m, false, &failure) < 0)
		over(m, &failure);
}

static int start_block_job(struct snapshot_merge *m, struct error *err)
{
	struct vm *vm = m->vm;

	VEC_FOREACH (disk, &vm->live->disks) {
		const struct vm_block_commit_options options = {.disk = disk->target,
			.base = m->step->on,
			.top = m->step->image,
			.active = streq(disk->source, m->step->image)};
		bool is_it = options.active;

		VEC_FOREACH (layer, &disk->backing)
			is_it = is_it || streq(layer.source, m->step->image);
		if (!is_it)
			continue;
		m->live = true;
		return block_job_merge(vm, &options, block_job_ended, m, err);
	}
	return error_set(err, ERROR_OPERATION_FAILED, "no disk consists of it");
}

/* Has the VM's disk, which it was, the ground's name already? */
static bool is_merged(const struct vm *vm, const struct image_step *step)
{
	const struct domain *d = vm->persistent;

	if (vm_is_active(vm) && step->present)
		return !image_merge_is_named_by(step, vm->live);
	for (size_t i = 0; step->top && d && i < d->disks.n; i++)
		if (image_merge_takes(step, d->disks.items[i]->source))
			return false;
	return step->top;
}

static int begin(sd_event_source *s, void *userdata)
{
	struct snapshot_merge *m = userdata;
	struct error err = ERROR_INIT;
	bool merged = is_merged(m->vm, m->step);
	int r;

	m->deferred = sd_event_source_unref(m->deferred);
	if (snapshot_merge_is_recorded(m->vm, m->step)) {
		m->moved = true;
		start_unlink(m);
		return 0;
	}
	if (!merged && m->step->present && vm_is_active(m->vm))
		r = start_block_job(m, &err);
	else
		r = start_images(m, !merged, &err);
	if (r < 0) {
		m->live = false;
		over(m, &err);
	}
	return 0;
}

int snapshot_merge_start(struct vm *vm, const struct image_step *step, vm_done_fn done, void *userdata,
	struct snapshot_merge **ret, struct error *err)
{
	struct snapshot_merge *m = NEW(struct snapshot_merge);
	int r;

	*m = (struct snapshot_merge){.vm = vm_ref(vm), .step = step, .done = done, .userdata = userdata};
	r = sd_event_add_defer(vm->registry->loop, &m->deferred, begin, m);
	if (r < 0) {
		snapshot_merge_free(m);
		return error_errno(err, -r, "merge '%s'", step->image);
	}
	*ret = m;
	return 0;
}
