/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways into running that bring their own description: restore from an image file, and create. */
#include "start.h"

int start_find_or_make(struct registry *r, struct domain *d, struct vm **ret, struct error *err)
{
	struct vm *vm;

	vm = registry_find_by_uuid(r, d->uuid);
	if (vm && !streq(vm->name, d->name))
		return registry_check_free(r, d, NULL, err);
	if (registry_check_free(r, d, vm, err) < 0)
		return -1;
	if (vm && vm->state != VM_OFF)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is already active", vm->name);
	if (vm && vm_check_verb(vm, VERB_START, err) < 0)
		return -1;
	if (!vm) {
		vm = vm_new(r, d->name, d->uuid);
		registry_add(r, vm);
		vm_unref(vm);
	}
	*ret = vm;
	return 0;
}

int start_begin(struct start_operation *start, vm_done_fn done, void *userdata, struct error *err)
{
	struct vm *vm = vm_ref(start->op.vm);
	int r;

	/* It has no definition otherwise, until its first step, and may be asked for it before. */
	if (!vm->persistent)
		launch_announce(start);
	r = operation_begin(&start->op, done, userdata, err);
	if (r < 0 && !vm->persistent)
		registry_remove(vm->registry, vm);
	vm_unref(vm);
	return r;
}

int registry_create(struct registry *r, const char *xml, const struct vm_start_options *options,
	vm_done_fn done, void *userdata, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	struct start_operation *start;
	struct vm *vm;

	if (definition_parse(r, xml, &d, err) < 0 || start_find_or_make(r, d, &vm, err) < 0)
		return -1;
	if (vm->persistent && vm_has_managed_save(vm))
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' has a managed save; 'start' resumes "
			"it, 'managedsave-remove' discards it",
			vm->name);
	start = start_operation_new(&start_operation_type, vm);
	start->domain = TAKE_PTR(d);
	start->paused = options->paused;
	start->reset_nvram = options->reset_nvram;
	return start_begin(start, done, userdata, err);
}

/* Until the image is read nobody knows which VM it belongs to; this one belongs to nobody. */
static int read_image(struct registry *r, const struct vm_restore_options *options,
	struct start_operation *scratch, struct error *err)
{
	scratch->image_fd = scratch->monitor_fd = -1;
	scratch->image_path = xstrdup(options->path);
	return start_open_image(scratch, err) < 0 || start_take_image_domain(scratch, options->xml, err) < 0
		       ? -1
		       : 0;
}

int registry_restore(struct registry *r, const struct vm_restore_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct start_operation scratch = {0}, *start;
	struct vm *vm;
	int result = -1;

	if (read_image(r, options, &scratch, err) < 0 ||
		start_find_or_make(r, scratch.domain, &vm, err) < 0) {
		error_prefix(err, "restore %s", options->path);
		goto out;
	}
	start = start_operation_new(&restore_operation_type, vm);
	start->image_path = TAKE_PTR(scratch.image_path);
	start->image_fd = take_fd(&scratch.image_fd);
	start->header = scratch.header;
	scratch.header = (struct image_header){0};
	start->domain = TAKE_PTR(scratch.domain);
	start->channels = options->channels;
	start->bypass_cache = options->bypass_cache;
	start->force = options->force;
	start->eager = options->eager;
	start->reset_nvram = options->reset_nvram;
	start->paused = options->resume_as == VM_RESTORE_AS_SAVED ? !start->header.was_running
								  : options->resume_as == VM_RESTORE_PAUSED;
	result = start_begin(start, done, userdata, err);
out:
	start_operation_release(&scratch.op);
	return result;
}
