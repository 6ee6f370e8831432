/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cloning: the request made exact, and the steps around the files of a clone (clone.h). */
#include "clone.h"

#include "file.h"
#include "start.h"

void clone_plan_free(struct clone_plan *plan)
{
	if (!plan)
		return;
	process_free(plan->maker);
	domain_free(plan->saved);
	domain_free(plan->definition);
	clone_files_fini(&plan->files);
	free(plan);
}

/* ---- check ---- */

static int check_emulator(
	const struct start_operation *start, const struct qemu_capabilities *caps, struct error *err)
{
	const struct domain *d = start->op.vm->live;
	const struct qemu_machine *machine = capabilities_find_machine(caps, d->os.machine);

	if (!capabilities_has_feature(caps, "memory-file-copy-on-write"))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"%s cannot map memory from an image (QEMU 8.2 and later can)", caps->binary);
	if (machine && machine->default_ram_id && !streq(machine->default_ram_id, IMAGE_MAIN_MEMORY))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"memory of machine '%s' is called '%s', and only '%s' can be mapped", d->os.machine,
			machine->default_ram_id, IMAGE_MAIN_MEMORY);
	return 0;
}

static void verified(struct transfer *t, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err; /* it is the transfer's */
	transfer_free(t);
	start->transfer = NULL;
	operation_step_done(&start->op, err ? &failure : NULL);
}

static const struct transfer_ops verify_callbacks = {.done = verified};

static int start_verifying(struct start_operation *start, struct error *err)
{
	const struct transfer_options options = {
		.kind = TRANSFER_VERIFY,
		.program = start->op.vm->registry->settings.io_program,
		.name = start->image_path,
		.file_fd = start->image_fd,
		.stream_fd = -1,
	};

	return transfer_start(
		start->op.vm->registry->loop, &options, &verify_callbacks, start, &start->transfer, err);
}

static void emulator_known(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;
	struct error failure = ERROR_INIT;

	start->probing = false;
	if (!caps)
		failure = *err;
	else if (check_emulator(start, caps, &failure) == 0 && start->clone->verify &&
		 start_verifying(start, &failure) == 0)
		return;
	operation_step_done(&start->op, failure.code != ERROR_NONE ? &failure : NULL);
}

enum step_result clone_check(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	start->probing = true;
	capability_cache_find(
		start->op.vm->registry->capabilities, start->op.vm->live->emulator, emulator_known, start);
	return STEP_WAIT;
}

/* ---- define ---- */

enum step_result clone_define(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;

	vm->persistent = TAKE_PTR(start->clone->definition);
	if (definition_write(vm, err) < 0)
		return STEP_FAILED;
	vm_emit_lifecycle(vm, EVENT_DEFINED, DEFINED_ADDED);
	return STEP_DONE;
}

enum step_result clone_undefine(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".xml");

	if (file_remove(vm->registry->domains_fd, name, true, err) < 0)
		return STEP_FAILED;
	if (!vm->persistent)
		return STEP_DONE;
	domain_free(vm->persistent);
	vm->persistent = NULL;
	vm_emit_lifecycle(vm, EVENT_UNDEFINED, UNDEFINED_REMOVED);
	return STEP_DONE;
}

void clone_explain_lock(struct error *err)
{
	struct error why = *err;

	/* Its overlays are new: nobody has those. */
	if (strstr(why.message, "\"write\" lock"))
		error_set(err, ERROR_IN_USE,
			"a disk of the saved VM, over which it has an overlay, is being written to (%s): end "
			"that VM first",
			why.message);
}

/* ---- the verb ---- */

/* The image's description as it would be defined: without what belonged to that one run. */
static struct domain *defined_form(const struct domain *live, struct error *err)
{
	_cleanup_free_ char *xml = domain_format(live, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	struct domain *d = NULL;

	return domain_parse(xml, strlen(xml), 0, &d, err) < 0 ? NULL : d;
}

static int check_memory(const struct start_operation *start, const struct clone_plan *plan, struct error *err)
{
	/* As on QEMU's command line. */
	uint64_t described = (start->domain->memory_kib + 1023) / 1024 * 1024 * 1024;

	if (described == plan->memory.length)
		return 0;
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"image %s has %llu MiB of memory, and its description says %llu MiB", start->image_path,
		(unsigned long long)plan->memory.length >> 20, (unsigned long long)described >> 20);
}

static int plan_clone(struct registry *r, const struct vm_clone_options *options,
	struct start_operation *scratch, struct clone_plan *plan, struct error *err)
{
	_cleanup_free_ char *directory = NULL;
	struct domain *d;

	if (domain_check_name(options->name, err) < 0 || start_open_image(scratch, err) < 0 ||
		image_find_memory(scratch->image_fd, options->path, &scratch->header, &plan->memory, err) <
			0 ||
		start_take_image_domain(scratch, NULL, err) < 0 || check_memory(scratch, plan, err) < 0)
		return -1;
	d = plan->definition = defined_form(scratch->domain, err);
	if (!d)
		return -1;
	uuid_generate(d->uuid);
	d->has_uuid = true;
	if (!d->emulator)
		d->emulator = xstrdup(r->settings.default_emulator);
	if (registry_check_free(r, &(struct domain){.name = (char *)options->name}, NULL, err) < 0)
		return -1;
	directory = clone_directory_path(r, d->uuid);
	if (domain_make_clone(d, options->name, directory, &plan->files, err) < 0)
		return -1;
	plan->saved = TAKE_PTR(scratch->domain);
	scratch->domain = domain_copy(d);
	domain_unplug_networks(scratch->domain);
	return 0;
}

int registry_clone(struct registry *r, const struct vm_clone_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct start_operation scratch = {
		.image_fd = -1, .monitor_fd = -1, .image_path = xstrdup(options->path)};
	struct clone_plan *plan = NEW(struct clone_plan);
	struct start_operation *start;
	struct vm *vm;
	int result = -1;

	if (plan_clone(r, options, &scratch, plan, err) < 0) {
		error_prefix(err, "clone %s", options->name);
		clone_plan_free(plan);
		goto out;
	}
	vm = vm_new(r, options->name, plan->definition->uuid);
	registry_add(r, vm);
	start = start_operation_new(&clone_operation_type, vm);
	start->image_path = TAKE_PTR(scratch.image_path);
	start->image_fd = take_fd(&scratch.image_fd);
	start->header = scratch.header;
	scratch.header = (struct image_header){0};
	start->domain = TAKE_PTR(scratch.domain);
	start->paused = options->paused || !start->header.was_running;
	start->clone = plan;
	plan->verify = options->verify;
	launch_announce(start);
	result = operation_begin(&start->op, done, userdata, err);
	if (result < 0)
		registry_remove(r, vm);
	vm_unref(vm);
out:
	start_operation_release(&scratch.op);
	return result;
}
