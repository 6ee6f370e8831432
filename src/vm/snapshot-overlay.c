/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disks of a snapshot (snapshot-create.h): their overlays' files and nodes. Files are made by a child, which also syncs the images that will be
 * frozen: QEMU flushes them while the guest stands still, and then finds little to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "argv.h"
#include "chain.h"
#include "file.h"
#include "hotplug.h"
#include "overlay.h"
#include "snapshot-create.h"

char *snapshot_node_name(uint32_t number)
{
	return xasprintf("libvirt-%u-format", number);
}

static struct disk *find_with_source(
	struct domain *d, const struct snapshot_overlay *overlay, const char *source)
{
	struct disk *disk = d ? domain_find_disk(d, overlay->target) : NULL;

	return disk && disk->source && streq(disk->source, source) ? disk : NULL;
}

/* ---- files ---- */

static int make_one(const struct snapshot_overlay *overlay, struct error *err)
{
	const char *name = NULL;
	_cleanup_close_ int dir = dir_open_parent(overlay->path, &name, err);

	if (dir < 0 || overlay_create(dir, name, overlay->base, overlay->base_format, err) < 0)
		return -1;
	if (fsync(dir) < 0) {
		unlinkat(dir, name, 0);
		return error_errno(err, errno, "sync the directory of %s", overlay->path);
	}
	return 0;
}

/* What cannot be synced now is told when it matters. */
static void sync_base(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)fdatasync(fd);
}

static int make_files(struct buf *result, void *userdata, struct error *err)
{
	struct snapshot_operation *o = userdata;

	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[i];

		sync_base(overlay->base);
		if (overlay->reuse || make_one(overlay, err) == 0)
			continue;
		/* Only what was made here: another's file may have appeared under this very name. */
		while (i-- > 0)
			if (!o->overlays.items[i].reuse)
				unlink(o->overlays.items[i].path);
		return -1;
	}
	return 0;
}

static void files_made(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct error failure = ERROR_INIT;

	if (err) {
		failure = *err;
		o->made = false;
	}
	process_free(TAKE_PTR(o->maker));
	operation_step_done(&o->op, err ? &failure : NULL);
}

enum step_result snapshot_make_overlays(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = make_files,
		.work_userdata = o,
		.worked = files_made};

	if (o->overlays.n == 0)
		return STEP_DONE;
	if (process_start(o->op.vm->registry->loop, &options, NULL, o, &o->maker, err) < 0)
		return STEP_FAILED;
	o->made = true;
	return STEP_WAIT;
}

/* It could not be merged, and an earlier daemon has written that down. */
static bool is_kept(const struct vm *vm, const struct snapshot_overlay *overlay)
{
	struct domain *live = vm->process_ended ? NULL : vm->live;

	return find_with_source(live, overlay, overlay->path) ||
	       find_with_source(vm->persistent, overlay, overlay->path);
}

enum step_result snapshot_remove_overlays(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	enum step_result r = STEP_DONE;

	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[i];

		if ((!o->made && !overlay->merged) || is_kept(o->op.vm, overlay))
			continue;
		if (overlay->reuse || unlink(overlay->path) == 0 || errno == ENOENT)
			continue;
		error_errno(err, errno, "remove %s", overlay->path);
		r = STEP_FAILED;
	}
	return r;
}

/* ---- nodes ---- */

void snapshot_replied(struct snapshot_operation *o, const struct error *err)
{
	struct error failure;

	if (err && o->failed.code == ERROR_NONE)
		o->failed = *err;
	if (--o->pending > 0)
		return;
	failure = o->failed;
	operation_step_done(&o->op, failure.code == ERROR_NONE ? NULL : &failure);
}

static void node_added(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	snapshot_replied(userdata, err);
}

/* Pairs of option and JSON, from the bottom up. */
static int add_nodes_of(struct snapshot_operation *o, const struct strv *argv, struct error *err)
{
	for (size_t i = 0; i + 1 < argv->n; i += 2) {
		const char *text = argv->items[i + 1];
		json *arguments;

		if (json_parse(text, strlen(text), &arguments, err) < 0)
			return -1;
		o->pending++;
		qmp_command(o->op.vm->qmp, "blockdev-add", arguments, -1, 0, node_added, o);
	}
	return 0;
}

enum step_result snapshot_add_nodes(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;
	const struct qemu_capabilities *caps =
		vm->live ? capability_cache_get(vm->registry->capabilities, vm->live->emulator) : NULL;
	_cleanup_domain_ struct domain *after = NULL;

	if (o->was_off || o->overlays.n == 0)
		return STEP_DONE;
	if (!vm->qmp || !caps || vm->process_ended) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	error_clear(&o->failed);
	o->pending = 0;
	after = domain_copy(vm->live);
	snapshot_push_overlays(o, after);
	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct disk *disk = domain_find_disk(after, o->overlays.items[i].target);
		struct strv argv = {0};
		int r = argv_build_overlay(after, disk, caps, &argv, err);

		if (r == 0)
			r = add_nodes_of(o, &argv, err);
		strv_fini(&argv);
		if (r < 0)
			return STEP_FAILED;
	}
	return o->pending > 0 ? STEP_WAIT : STEP_DONE;
}

/* Not there is fine. What is in use could not be merged before: its file stays. */
static void node_deleted(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;

	if (err && strstr(err->message, "in use")) {
		o->made = false;
		snapshot_replied(o, err);
	} else {
		snapshot_replied(o, NULL);
	}
}

enum step_result snapshot_delete_nodes(struct job *job, void *context, struct error *err)
{
	static const char *const kinds[] = {"format", "storage"};
	struct snapshot_operation *o = context;
	struct vm *vm = o->op.vm;

	error_clear(&o->failed);
	o->pending = 0;
	for (size_t i = 0; vm->qmp && !vm->process_ended && i < o->overlays.n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			_cleanup_free_ char *node =
				xasprintf("libvirt-%u-%s", o->overlays.items[i].node, kinds[k]);

			o->pending++;
			qmp_command(vm->qmp, "blockdev-del", json_pack("s:node-name", node, NULL), -1, 0,
				node_deleted, o);
		}
	return o->pending > 0 ? STEP_WAIT : STEP_DONE;
}

json *snapshot_switch_arguments(const struct snapshot_operation *o)
{
	json *actions = json_object_new_array();

	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[i];
		_cleanup_free_ char *node = snapshot_node_name(overlay->base_node),
				    *top = snapshot_node_name(overlay->node);

		json_object_array_add(
			actions, json_pack("s:type", "blockdev-snapshot", "o:data",
					 json_pack("s:node", node, "s:overlay", top, NULL), NULL));
	}
	return json_pack("o:actions", actions, NULL);
}

/* ---- definitions ---- */

bool snapshot_push_overlays(const struct snapshot_operation *o, struct domain *d)
{
	bool changed = false;

	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[i];
		struct disk *disk = find_with_source(d, overlay, overlay->base);
		bool has_nodes = disk && disk->node;

		if (!disk || overlay->merged)
			continue;
		chain_push(d, disk, overlay->type, overlay->path, overlay->format);
		disk->node = has_nodes ? overlay->node : 0;
		changed = true;
	}
	return changed;
}

/* A definition that was read back names no image below. */
static void drop_overlay(struct disk *disk, const struct snapshot_overlay *overlay)
{
	if (disk->backing.n > 0) {
		chain_drop(disk, 0, 0);
		return;
	}
	replace_string(&disk->source, overlay->base);
	disk->source_type = overlay->base_type;
	disk->format = overlay->base_format;
}

bool snapshot_drop_overlays(const struct snapshot_operation *o, struct domain *d)
{
	bool changed = false;

	for (size_t i = 0; i < o->overlays.n; i++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[i];
		struct disk *disk = find_with_source(d, overlay, overlay->path);

		if (!disk)
			continue;
		drop_overlay(disk, overlay);
		changed = true;
	}
	return changed;
}

int snapshot_define_persistent(const struct snapshot_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;
	struct domain *before = vm->persistent;
	_cleanup_domain_ struct domain *after = before ? domain_copy(before) : NULL;

	if (!after || !snapshot_push_overlays(o, after))
		return 0;
	vm->persistent = after;
	if (definition_write(vm, err) < 0) {
		vm->persistent = before;
		return -1;
	}
	after = before;
	return 0;
}

/* Also when it cannot be written: the overlays go, and a start that misses one is better than one with what it held once. */
int snapshot_undefine_persistent(const struct snapshot_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;

	return vm->persistent && snapshot_drop_overlays(o, vm->persistent) ? definition_write(vm, err) : 0;
}

int snapshot_define_overlays(const struct snapshot_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;

	if (vm->live && !vm->process_ended) {
		snapshot_push_overlays(o, vm->live);
		if (vm_write_live(vm, err) < 0)
			return -1;
	}
	return snapshot_define_persistent(o, err);
}
