/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lease of one image (image-lease.h).
 *
 * With lockd QEMU gets the descriptor under a name made of the alias and the image's node number, since the disk may have come with one of its
 * own (disk-lease.c). Without a descriptor of that name QEMU never got what was to be taken; whatever it holds of this file is another disk's, or
 * was inherited.
 */
#include "image-lease.h"

#include "hotplug.h"
#include "vm-lease-internal.h"

struct image_lease {
	struct vm *vm; /* borrowed */
	struct lease_set *set;
	char *fd_name; /* in QEMU, of what carries it */
	bool only_taken;
	struct lease_request *request;
	image_lease_done_fn done;
	void *userdata;
};

void image_lease_free(struct image_lease *l)
{
	if (!l)
		return;
	if (l->vm->qmp)
		qmp_forget(l->vm->qmp, l);
	lease_request_free(l->request);
	lease_set_free(l->set);
	free(l->fd_name);
	free(l);
}

static void over(struct image_lease *l, const struct error *err)
{
	l->done(err, l->userdata);
}

/* ---- planning ---- */

/* As a disk beside the VM's own. */
static struct disk *as_disk(const struct disk *disk, const struct disk_layer *image)
{
	struct disk *beside = disk_copy(disk);

	beside->source_type = image->source_type;
	replace_string(&beside->source, image->source);
	beside->format = image->format;
	beside->node = image->node;
	replace_string(&beside->info.alias, "");
	return beside;
}

/* What is needed for `image` and for nothing else of the VM. */
static int plan(const struct vm *vm, const struct disk *disk, const struct disk_layer *image,
	struct lease_set **ret, struct error *err)
{
	const struct lease_settings *s = &vm->registry->settings.leases;
	_cleanup_(lease_set_free_p) struct lease_set *with_it = NULL, *without_it = NULL;
	_cleanup_(disk_free_p) struct disk *beside = as_disk(disk, image);
	struct domain view = *vm->live;
	int r = lease_plan(s, &view, &without_it, err);

	view.disks.items = NULL;
	view.disks.n = 0;
	VEC_FOREACH (other, &vm->live->disks)
		VEC_ADD(&view.disks, other);
	VEC_ADD(&view.disks, beside);
	if (r == 0)
		r = lease_plan(s, &view, &with_it, err);
	VEC_FREE(&view.disks);
	if (r == 0)
		*ret = lease_set_subtract(with_it, without_it);
	return r;
}

int image_lease_check(
	const struct vm *vm, const struct disk *disk, const struct disk_layer *image, struct error *err)
{
	_cleanup_(disk_free_p) struct disk *beside = as_disk(disk, image);

	return vm_lease_check_disk(vm, beside, err);
}

/* NULL: nothing is to be done, or err says why it cannot be. */
static struct image_lease *image_lease_new(
	struct vm *vm, const struct disk *disk, const struct disk_layer *image, struct error *err)
{
	_cleanup_(lease_set_free_p) struct lease_set *set = NULL;
	struct image_lease *l;

	/* Without QEMU nobody holds anything. */
	if (!vm->leases || !vm->qmp || plan(vm, disk, image, &set, err) < 0 || set->items.n == 0)
		return NULL;
	l = NEW(struct image_lease);
	l->vm = vm;
	l->set = TAKE_PTR(set);
	l->fd_name = xasprintf("lease-%s-%u", disk->info.alias, image->node);
	return l;
}

static json *name_of_descriptor(const struct image_lease *l)
{
	return json_pack("s:fdname", l->fd_name, NULL);
}

/* ---- take ---- */

static void descriptor_passed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	over(userdata, err);
}

static void taken(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	struct image_lease *l = userdata;

	if (!err && answer->fd >= 0 && l->vm->qmp)
		qmp_command(l->vm->qmp, "getfd", name_of_descriptor(l), answer->fd, 0, descriptor_passed, l);
	else
		over(l, err);
}

int image_lease_take(struct vm *vm, const struct disk *disk, const struct disk_layer *image,
	image_lease_done_fn done, void *userdata, struct image_lease **ret, struct error *err)
{
	struct error failure = ERROR_INIT;
	struct image_lease *l = image_lease_new(vm, disk, image, &failure);

	if (l) {
		l->done = done;
		l->userdata = userdata;
		if (lease_request_start(vm->registry->loop, l->set, LEASE_ADD, vm_get_pid(vm), NULL, taken, l,
			    &l->request, &failure) == 0) {
			*ret = l;
			return 0;
		}
		image_lease_free(l);
	}
	if (failure.code == ERROR_NONE)
		return 1;
	*err = failure;
	return -1;
}

/* ---- give back ---- */

static void given_back(const struct lease_answer *answer, const struct error *err, void *userdata)
{
	over(userdata, err);
}

static int start_removal(struct image_lease *l, struct error *err)
{
	return lease_request_start(l->vm->registry->loop, l->set, LEASE_REMOVE, vm_get_pid(l->vm), NULL,
		given_back, l, &l->request, err);
}

static void descriptor_closed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct image_lease *l = userdata;
	struct error failure = ERROR_INIT;

	if (l->only_taken || !l->vm->qmp)
		over(l, NULL);
	else if (start_removal(l, &failure) < 0)
		over(l, &failure);
}

int image_lease_give(struct vm *vm, const struct disk *disk, const struct disk_layer *image, bool only_taken,
	image_lease_done_fn done, void *userdata, struct image_lease **ret, struct error *err)
{
	struct error failure = ERROR_INIT;
	struct image_lease *l = image_lease_new(vm, disk, image, &failure);

	if (!l)
		goto out;
	l->only_taken = only_taken;
	l->done = done;
	l->userdata = userdata;
	if (vm->lease_kind == LEASE_KIND_LOCKD) {
		qmp_command(vm->qmp, "closefd", name_of_descriptor(l), -1, 0, descriptor_closed, l);
	} else if (start_removal(l, &failure) < 0) {
		image_lease_free(l);
		goto out;
	}
	*ret = l;
	return 0;
out:
	if (failure.code == ERROR_NONE)
		return 1;
	*err = failure;
	return -1;
}
