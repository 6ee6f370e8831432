/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The leases of a snapshot's overlays (snapshot-create.h). They are taken before QEMU opens the overlays. The frozen images' are held until the
 * commit point is passed: an undo merges into them. Both ways end with the same step, for whichever of the two images the guest does not write to.
 */
#include "disk.h"
#include "image-lease.h"
#include "snapshot-create.h"

static struct disk_layer overlay_image(const struct snapshot_overlay *v)
{
	return (struct disk_layer){v->type, v->path, v->format, v->node};
}

static struct disk_layer frozen_image(const struct snapshot_overlay *v)
{
	return (struct disk_layer){v->base_type, v->base, v->base_format, v->base_node};
}

int snapshot_check_leases(const struct snapshot_operation *o, struct error *err)
{
	for (size_t i = 0; !o->was_off && i < o->overlays.n; i++) {
		const struct disk_layer image = overlay_image(&o->overlays.items[i]);
		const struct disk *disk = domain_find_disk(o->op.vm->live, o->overlays.items[i].target);

		if (image_lease_check(o->op.vm, disk, &image, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- take ---- */

static void taken(const struct error *err, void *userdata);

static enum step_result take_next(struct snapshot_operation *o, struct error *err)
{
	struct vm *vm = o->op.vm;
	int r = 1;

	for (; o->at < o->overlays.n; o->at++) {
		const struct snapshot_overlay *overlay = &o->overlays.items[o->at];
		const struct disk_layer image = overlay_image(overlay);
		const struct disk *disk = vm->live ? domain_find_disk(vm->live, overlay->target) : NULL;

		if (disk)
			r = image_lease_take(vm, disk, &image, taken, o, &o->lease, err);
		if (r <= 0)
			return r < 0 ? STEP_FAILED : STEP_WAIT;
	}
	return STEP_DONE;
}

static void taken(const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	image_lease_free(TAKE_PTR(o->lease));
	o->at++;
	if (err || take_next(o, &failure) != STEP_WAIT)
		operation_step_done(&o->op, failure.code != ERROR_NONE ? &failure : NULL);
}

enum step_result snapshot_take_leases(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	o->at = 0;
	return o->was_off ? STEP_DONE : take_next(o, err);
}

void snapshot_cancel_lease(struct snapshot_operation *o)
{
	struct error err = ERROR_INIT;

	image_lease_free(TAKE_PTR(o->lease));
	error_set(&err, ERROR_OPERATION_ABORTED, "canceled by client");
	operation_step_done(&o->op, &err);
}

/* ---- give back ---- */

static void given(const struct error *err, void *userdata);

static int give_one(struct snapshot_operation *o, const struct snapshot_overlay *overlay, struct error *err)
{
	struct vm *vm = o->op.vm;
	const struct disk *disk = vm->live ? domain_find_disk(vm->live, overlay->target) : NULL;
	bool is_frozen = disk && streq(disk->source, overlay->path);
	const struct disk_layer image = is_frozen ? frozen_image(overlay) : overlay_image(overlay);

	return disk ? image_lease_give(vm, disk, &image, !is_frozen, given, o, &o->lease, err) : 1;
}

/* One that stays does not keep the others. */
static bool is_giving(struct snapshot_operation *o)
{
	for (; o->at < o->overlays.n; o->at++) {
		struct error err = ERROR_INIT;
		int r = give_one(o, &o->overlays.items[o->at], &err);

		if (r == 0)
			return true;
		if (r < 0)
			o->failed = err;
	}
	return false;
}

static void given(const struct error *err, void *userdata)
{
	struct snapshot_operation *o = userdata;
	struct error failure;

	if (err)
		o->failed = *err;
	image_lease_free(TAKE_PTR(o->lease));
	o->at++;
	if (is_giving(o))
		return;
	failure = o->failed;
	operation_step_done(&o->op, failure.code != ERROR_NONE ? &failure : NULL);
}

enum step_result snapshot_give_leases(struct job *job, void *context, struct error *err)
{
	struct snapshot_operation *o = context;

	o->at = 0;
	error_clear(&o->failed);
	if (o->was_off)
		return STEP_DONE;
	if (is_giving(o))
		return STEP_WAIT;
	*err = o->failed;
	return err->code != ERROR_NONE ? STEP_FAILED : STEP_DONE;
}
