/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The images a snapshot is inside of, and the two ways to change them: a job of the QEMU that has them open, or qemu-img. */
#include "snapshot-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "qemu-img.h"
#include "qemu-job.h"

#define NVRAM_NODE "libvirt-pflash1-format"

struct internal_work {
	struct vm *vm; /* a reference */
	enum internal_action action;
	char *name;
	struct strv
		images; /* their paths, or their nodes in a running QEMU; what is left to do with qemu-img */
	size_t at;
	char *id;     /* APPLY: of the snapshot in the image at work, once that was looked at */
	bool checked; /* LOAD: no image has another snapshot that QEMU would take for it */
	struct qemu_job *job;
	struct qemu_img *img;
	json *arguments; /* of QEMU's job, which waits for an earlier one */
	vm_done_fn done;
	void *userdata;
};

static const struct {
	const char *command; /* QEMU's */
	const char *option;  /* of "qemu-img snapshot", or another command of it */
} actions[] = {
	[INTERNAL_LOOK] = {"query-named-block-nodes", "info"},
	[INTERNAL_TAKE] = {"snapshot-save", "-c"},
	[INTERNAL_DROP] = {"snapshot-delete", "-d"},
	[INTERNAL_LOAD] = {"snapshot-load", NULL},
	[INTERNAL_APPLY] = {NULL, "-a"},
};

void internal_forget(struct internal_work *w)
{
	if (!w)
		return;
	qemu_job_forget(w->job);
	if (w->vm->qmp)
		qmp_forget(w->vm->qmp, w);
	qemu_img_free(w->img);
	json_object_put(w->arguments);
	strv_fini(&w->images);
	free(w->name);
	free(w->id);
	vm_unref(w->vm);
	free(w);
}

static void end(struct internal_work *w, const struct error *err)
{
	struct vm *vm = vm_ref(w->vm);
	struct error outcome = ERROR_INIT;
	vm_done_fn done = w->done;
	void *userdata = w->userdata;

	if (err)
		outcome = *err;
	internal_forget(w);
	done(vm, outcome.code != ERROR_NONE ? &outcome : NULL, userdata);
	vm_unref(vm);
}

/* ---- which images ---- */

/* The image that holds it now: of one that is to be taken the present one, else the one it was taken of. */
static const char *image_of(const struct snapshot *s, const struct disk *now)
{
	const struct disk *then = s->domain ? domain_find_disk(s->domain, now->target) : NULL;

	return then ? then->source : now->source;
}

/* The disk has been detached. Where its image has gone as well there is nothing to delete. */
static int add_image_of_then(const struct vm *vm, const struct snapshot *s, const struct snapshot_disk *disk,
	struct strv *ret, struct error *err)
{
	const struct disk *then = s->domain ? domain_find_disk(s->domain, disk->target) : NULL;

	if (!then || !then->source)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' has no disk '%s' now", vm->name,
			disk->target);
	if (vm->qmp)
		return error_set(err, ERROR_OPERATION_INVALID,
			"snapshot '%s' is inside image %s of disk %s, which the running VM does not have: "
			"shut it down first",
			s->name, then->source, disk->target);
	if (access(then->source, F_OK) == 0 || errno != ENOENT)
		strv_add(ret, then->source);
	return 0;
}

/* In a running QEMU only the image that is written to can be changed. */
static int add_image(const struct vm *vm, enum internal_action action, const struct snapshot *s,
	const struct snapshot_disk *disk, struct strv *ret, struct error *err)
{
	const struct domain *d = vm_get_domain(vm);
	const struct disk *now = domain_find_disk(d, disk->target);
	const char *path;

	if ((!now || !now->source) && action == INTERNAL_DROP)
		return add_image_of_then(vm, s, disk, ret, err);
	if (!now || !now->source)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' has no disk '%s' now", vm->name,
			disk->target);
	path = image_of(s, now);
	if (now->format != DISK_FORMAT_QCOW2 && streq(path, now->source))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"internal snapshot for disk %s unsupported for storage type %s: its image must be "
			"qcow2",
			disk->target,
			now->format == DISK_FORMAT_NONE ? "raw" : disk_format_name(now->format));
	if (!vm->qmp)
		strv_add(ret, path);
	else if (streq(path, now->source))
		strv_addf(ret, "libvirt-%u-format", now->node);
	else
		return error_set(err, ERROR_OPERATION_INVALID,
			"snapshot '%s' is inside image %s of disk %s, which the running VM does not write "
			"to: "
			"shut it down first",
			s->name, path, disk->target);
	return 0;
}

static int add_nvram(const struct vm *vm, struct strv *ret, struct error *err)
{
	const struct domain_os *os = &vm_get_domain(vm)->os;

	if (!os->nvram)
		return 0;
	if (!streq(os->nvram_format, "qcow2"))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"internal snapshots of a VM with pflash based firmware require QCOW2 nvram format: "
			"the variables of domain '%s' are %s",
			vm->name, os->nvram_format ? os->nvram_format : "raw");
	strv_add(ret, vm->qmp ? NVRAM_NODE : os->nvram);
	return 0;
}

/* The first is a disk's: the guest's state goes into it. */
static int find_images(const struct vm *vm, enum internal_action action, const struct snapshot *s,
	struct strv *ret, struct error *err)
{
	VEC_FOREACH (disk, &s->disks) {
		if (disk.location == SNAPSHOT_INTERNAL && add_image(vm, action, s, &disk, ret, err) < 0)
			return -1;
	}
	if (ret->n == 0 && action == INTERNAL_DROP)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the images that snapshot '%s' of domain '%s' was inside of are gone: delete its "
			"metadata",
			s->name, vm->name);
	if (ret->n == 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"no disk of domain '%s' is selected for an internal snapshot", vm->name);
	return add_nvram(vm, ret, err);
}

int internal_check(
	const struct vm *vm, enum internal_action action, const struct snapshot *s, struct error *err)
{
	struct strv images = {0};
	int r = find_images(vm, action, s, &images, err);

	strv_fini(&images);
	if (r == 0 && vm->qmp && !actions[action].command)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is running", vm->name);
	if (r == 0 && !vm->qmp && !actions[action].option)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	return r;
}

/* ---- is the name taken? ---- */

/* `image`: an ImageInfo of QEMU's, or what "qemu-img info" says. */
static int look_into(const struct internal_work *w, json *image, const char *path, struct error *err)
{
	JSON_FOREACH (taken, json_get(image, "snapshots")) {
		if (streq(json_get_string(taken, "name"), w->name))
			return error_set(err, ERROR_OPERATION_INVALID,
				"image %s has a snapshot '%s' inside already: take another name", path,
				w->name);
	}
	return 0;
}

/* QEMU's functions that go back take the name for an ID first, and IDs are small numbers. */
static int check_ambiguous(const struct internal_work *w, json *image, const char *path, struct error *err)
{
	JSON_FOREACH (other, json_get(image, "snapshots")) {
		if (streq(json_get_string(other, "id"), w->name) &&
			!streq(json_get_string(other, "name"), w->name))
			return error_set(err, ERROR_OPERATION_INVALID,
				"in image %s the name '%s' is the ID of another snapshot, '%.60s', which "
				"QEMU would go back to; it can be "
				"gone back to while the VM is off",
				path, w->name, json_get_string(other, "name"));
	}
	return 0;
}

static bool is_one_of(const struct internal_work *w, const char *node)
{
	for (size_t i = 0; i < w->images.n; i++)
		if (streq(w->images.items[i], node))
			return true;
	return false;
}

static void start_in_qemu(struct internal_work *w);

static void nodes_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct internal_work *w = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	JSON_FOREACH (node, ret) {
		int (*look)(const struct internal_work *, json *, const char *, struct error *) =
			w->action == INTERNAL_LOAD ? check_ambiguous : look_into;

		if (is_one_of(w, json_get_string(node, "node-name")) &&
			look(w, json_get(node, "image"), json_get_string(node, "file"), &failure) < 0)
			break;
	}
	if (w->action == INTERNAL_LOAD && failure.code == ERROR_NONE && w->vm->qmp) {
		w->checked = true;
		start_in_qemu(w);
		return;
	}
	end(w, failure.code != ERROR_NONE ? &failure : NULL);
}

/* ---- in QEMU ---- */

static void job_ended(struct vm *vm, const struct error *err, void *userdata)
{
	struct internal_work *w = userdata;

	w->job = NULL;
	end(w, err);
}

static void earlier_ended(struct vm *vm, const struct error *err, void *userdata)
{
	struct internal_work *w = userdata;

	/* How it ended does not matter: what is done now is done whatever it left. */
	w->job = NULL;
	if (vm->qmp)
		w->job = qemu_job_start(vm, actions[w->action].command, TAKE_PTR(w->arguments), job_ended, w);
	else
		end(w, err);
}

static void start_in_qemu(struct internal_work *w)
{
	json *devices = json_object_new_array();
	char uuid[UUID_TEXT_MAX];
	_cleanup_free_ char *id = NULL;

	if (w->action == INTERNAL_LOOK || (w->action == INTERNAL_LOAD && !w->checked)) {
		json_object_put(devices);
		qmp_command(w->vm->qmp, actions[INTERNAL_LOOK].command, json_pack("b:flat", true, NULL), -1,
			0, nodes_listed, w);
		return;
	}
	uuid_format(w->vm->uuid, uuid);
	id = xasprintf("internal-snapshot-%s", uuid);
	for (size_t i = 0; i < w->images.n; i++)
		json_object_array_add(devices, json_object_new_string(w->images.items[i]));
	w->arguments = json_pack("s:job-id", id, "s:tag", w->name, "o:devices", devices, NULL);
	if (w->action != INTERNAL_DROP)
		json_object_object_add(w->arguments, "vmstate", json_object_new_string(w->images.items[0]));
	w->job = qemu_job_await(w->vm, id, earlier_ended, w);
}

/* ---- with qemu-img ---- */

static int start_next(struct internal_work *w, struct error *err);

/* "Could not delete snapshot 'a': snapshot not found" */
static bool is_no_failure(const struct internal_work *w, const struct error *err)
{
	return w->action == INTERNAL_DROP && strstr(err->message, "snapshot not found");
}

static int look_into_output(const struct internal_work *w, const char *output, struct error *err)
{
	const char *path = w->images.items[w->at];
	json *image;
	int r;

	if (json_parse(output, strlen(output), &image, err) < 0)
		return error_prefix(err, "look into image %s", path);
	r = look_into(w, image, path, err);
	json_object_put(image);
	return r;
}

static int find_id(struct internal_work *w, const char *output, struct error *err)
{
	_cleanup_json_ json *image = NULL;

	if (json_parse(output, strlen(output), &image, err) < 0)
		return error_prefix(err, "look into image %s", w->images.items[w->at]);
	JSON_FOREACH (s, json_get(image, "snapshots"))
		if (streq(json_get_string(s, "name"), w->name))
			replace_string(&w->id, json_get_string(s, "id"));
	return w->id ? 0
		     : error_set(err, ERROR_OPERATION_FAILED, "image %s: there is no snapshot '%s' inside",
			       w->images.items[w->at], w->name);
}

/* There is one more thing to do with the image. */
static bool has_looked(const struct internal_work *w, const struct error *err)
{
	return !err && w->action == INTERNAL_APPLY && !w->id;
}

static void image_done(const char *output, const struct error *err, void *userdata)
{
	struct internal_work *w = userdata;
	struct error failure = ERROR_INIT;

	bool looked = has_looked(w, err);

	if (!err && w->action == INTERNAL_LOOK)
		look_into_output(w, output, &failure);
	if (looked)
		find_id(w, output, &failure);
	else
		replace_string(&w->id, NULL);
	qemu_img_free(TAKE_PTR(w->img));
	if (err && !is_no_failure(w, err)) {
		failure = *err;
		error_prefix(&failure, "image %s", w->images.items[w->at]);
	} else if (failure.code == ERROR_NONE && (w->at += !looked) < w->images.n &&
		   start_next(w, &failure) == 0) {
		return;
	}
	end(w, failure.code != ERROR_NONE ? &failure : NULL);
}

static int start_next(struct internal_work *w, struct error *err)
{
	bool looks = w->action == INTERNAL_LOOK || (w->action == INTERNAL_APPLY && !w->id);
	struct strv command = {0};
	int r;

	if (!looks)
		strv_add(&command, "snapshot");
	strv_add(&command, actions[looks ? INTERNAL_LOOK : w->action].option);
	strv_add(&command, looks ? "--output=json" : w->id ? w->id : w->name);
	strv_add(&command, w->images.items[w->at]);
	r = qemu_img_start(w->vm->registry->loop, &command, 1, image_done, w, &w->img, err);
	strv_fini(&command);
	return r;
}

static struct internal_work *new_work(
	struct vm *vm, enum internal_action action, const char *name, vm_done_fn done, void *userdata)
{
	struct internal_work *w = NEW(struct internal_work);

	*w = (struct internal_work){.vm = vm_ref(vm),
		.action = action,
		.name = xstrdup(name),
		.done = done,
		.userdata = userdata};
	return w;
}

int internal_start(struct vm *vm, enum internal_action action, const struct snapshot *s, vm_done_fn done,
	void *userdata, struct internal_work **ret, struct error *err)
{
	struct internal_work *w;

	if (internal_check(vm, action, s, err) < 0)
		return -1;
	w = new_work(vm, action, s->name, done, userdata);
	if (find_images(vm, action, s, &w->images, err) < 0)
		goto fail;
	if (vm->qmp)
		start_in_qemu(w);
	else if (start_next(w, err) < 0)
		goto fail;
	*ret = w;
	return 0;
fail:
	internal_forget(w);
	return -1;
}

int internal_start_files(struct vm *vm, enum internal_action action, const char *name,
	const struct strv *paths, vm_done_fn done, void *userdata, struct internal_work **ret,
	struct error *err)
{
	struct internal_work *w = new_work(vm, action, name, done, userdata);

	for (size_t i = 0; i < paths->n; i++)
		strv_add(&w->images, paths->items[i]);
	if (start_next(w, err) < 0) {
		internal_forget(w);
		return -1;
	}
	*ret = w;
	return 0;
}
