/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a save, checked and made exact before anything happens: path, document, format. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "file.h"
#include "save.h"

/*
 * The real place of the image: symlinks are followed once, here, so that they stay what they are. A dangling one is
 * refused rather than filled.
 */
static int resolve_target(struct save_operation *save, const char *path, struct error *err)
{
	_cleanup_free_ char *directory = NULL, *real = NULL;
	char uuid[UUID_TEXT_MAX];
	struct stat st;
	const char *slash;

	if (path[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, "path '%s' is not absolute", path);
	if (lstat(path, &st) == 0) {
		real = realpath(path, NULL);
		if (!real)
			return error_errno(err, errno, "follow '%s'", path);
		if (stat(real, &st) < 0)
			return error_errno(err, errno, "look at '%s'", real);
		if (S_ISDIR(st.st_mode))
			return error_set(
				err, ERROR_OPERATION_FAILED, "cannot save to '%s': it is a directory", path);
		if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
			return error_set(err, ERROR_OPERATION_FAILED,
				"cannot save to '%s': neither a file nor a block device", path);
		save->in_place = S_ISBLK(st.st_mode);
	} else if (errno != ENOENT) {
		return error_errno(err, errno, "look at '%s'", path);
	}
	save->path = real ? TAKE_PTR(real) : xstrdup(path);
	slash = strrchr(save->path, '/');
	if (!slash[1])
		return error_set(err, ERROR_INVALID_ARGUMENT, "path '%s' names no file", path);
	uuid_format(save->op.vm->uuid, uuid);
	if (strlen(slash + 1) > NAME_MAX - strlen("...partial") - strlen(uuid))
		return error_set(err, ERROR_INVALID_ARGUMENT, "file name of '%s' is too long", path);
	directory = xstrndup(save->path, (size_t)(slash - save->path));
	save->partial = xasprintf("%s/.%s.%s.partial", directory, slash + 1, uuid);
	if (stat(*directory ? directory : "/", &st) < 0)
		return error_errno(err, errno, "directory of '%s'", path);
	/* Only this VM's one job writes this name: a leftover is of a daemon whose journal is gone. */
	if (!save->in_place && unlink(save->partial) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove left-over %s", save->partial);
	return 0;
}

static int choose_document(struct save_operation *save, const char *xml, struct error *err)
{
	struct vm *vm = save->op.vm;
	_cleanup_domain_ struct domain *d = NULL;

	if (!xml) {
		save->xml = domain_format(
			vm->live, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE);
		return 0;
	}
	if (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &d, err) < 0 ||
		domain_check_abi_stable(vm->live, d, err) < 0)
		return -1;
	save->xml =
		domain_format(d, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE);
	return 0;
}

static enum image_format default_format(struct vm *vm)
{
	const struct registry_settings *settings = &vm->registry->settings;
	const struct qemu_capabilities *caps =
		capability_cache_get(vm->registry->capabilities, vm->live->emulator);

	if (settings->has_save_format)
		return settings->save_format;
	return caps && capabilities_has_migration(caps, "mapped-ram") ? IMAGE_FORMAT_SPARSE
								      : IMAGE_FORMAT_RAW;
}

static int fill(struct save_operation *save, const struct vm_save_options *options, struct error *err)
{
	struct vm *vm = save->op.vm;
	_cleanup_free_ char *managed = NULL;

	if (!options->path) {
		if (!vm->persistent)
			return error_set(err, ERROR_OPERATION_INVALID,
				"cannot do managed save for transient "
				"domain '%s'",
				vm->name);
		managed = vm_managed_save_path(vm);
	}
	save->was_running = vm->state == VM_RUNNING;
	save->image_running = options->resume_as == VM_SAVE_AS_IS ? save->was_running
								  : options->resume_as == VM_SAVE_RUNNING;
	save->channels = options->channels;
	save->format = options->has_format ? options->format : default_format(vm);
	if (!image_format_is_supported(save->format))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image format '%s' is not supported: use raw, zstd or sparse",
			image_format_name(save->format));
	if (options->channels > 1 && save->format == IMAGE_FORMAT_RAW)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"parallel channels need image format sparse or zstd, not raw");
	return resolve_target(save, options->path ? options->path : managed, err) < 0 ||
			       choose_document(save, options->xml, err) < 0
		       ? -1
		       : 0;
}

int vm_save(struct vm *vm, const struct vm_save_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	struct save_operation *save;

	if (vm_check_verb(vm, VERB_SAVE, err) < 0)
		return -1;
	save = operation_new(&save_operation_type, vm);
	save->file_fd = save->stream_fd = -1;
	if (fill(save, options, err) < 0) {
		error_prefix(err, "save %s", vm->name);
		operation_free(&save->op);
		return -1;
	}
	return operation_begin(&save->op, done, userdata, err);
}
