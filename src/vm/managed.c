/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images as documents: what an image file or a managed save says of its domain, and changing it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "disk.h"
#include "file.h"
#include "image.h"
#include "operation.h"

/*
 * A header that another program has edited is shown and may be defined anew: that is how it becomes acceptable again. Only starting
 * from it is refused (start.c).
 */
static int open_image(const char *path, int flags, struct image_header *ret_header, struct error *err)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool altered;

	if (fd < 0)
		return error_errno(err, errno, "open image %s", path);
	if (image_peek_header(fd, path, ret_header, &altered, err) < 0)
		return -1;
	return take_fd(&fd);
}

int registry_image_get_xml(
	struct registry *r, const char *path, bool secure, char **ret_xml, struct error *err)
{
	struct image_header header = {0};
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_close_ int fd = open_image(path, O_RDONLY, &header, err);

	if (fd < 0)
		return -1;
	if (domain_parse(header.xml, strlen(header.xml), DOMAIN_PARSE_LIVE, &d, err) == 0) {
		domain_give_chains(d);
		*ret_xml = domain_format(d, DOMAIN_FORMAT_INACTIVE | (secure ? DOMAIN_FORMAT_SECURE : 0));
	} else {
		error_prefix(err, "image %s", path);
	}
	image_header_fini(&header);
	return d ? 0 : -1;
}

int registry_image_define_xml(
	struct registry *r, const char *path, const char *xml, int running, struct error *err)
{
	struct image_header header = {0};
	_cleanup_domain_ struct domain *saved = NULL, *changed = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = open_image(path, O_RDWR, &header, err);
	int result = -1;

	if (fd < 0)
		return -1;
	if (domain_parse(header.xml, strlen(header.xml), DOMAIN_PARSE_LIVE, &saved, err) < 0) {
		error_prefix(err, "image %s", path);
		goto out;
	}
	domain_give_chains(saved);
	if (xml && (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &changed, err) < 0 ||
			   domain_check_abi_stable(saved, changed, err) < 0))
		goto out;
	if (changed)
		domain_keep_given_chains(saved, changed);
	text = domain_format(changed ? changed : saved,
		DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_MIGRATABLE);
	result = image_write_header(fd, path, text, running < 0 ? header.was_running : running, err);
out:
	image_header_fini(&header);
	return result;
}

static int need_managed_save(struct vm *vm, struct error *err)
{
	if (vm_has_managed_save(vm))
		return 0;
	return error_set(err, ERROR_NO_SAVED_IMAGE, "domain '%s' does not have managed save image", vm->name);
}

int vm_managed_save_get_xml(struct vm *vm, bool secure, char **ret_xml, struct error *err)
{
	_cleanup_free_ char *path = vm_managed_save_path(vm);

	return need_managed_save(vm, err) < 0
		       ? -1
		       : registry_image_get_xml(vm->registry, path, secure, ret_xml, err);
}

int vm_managed_save_define_xml(struct vm *vm, const char *xml, int running, struct error *err)
{
	_cleanup_free_ char *path = vm_managed_save_path(vm);

	if (need_managed_save(vm, err) < 0)
		return -1;
	if (vm->operation)
		return error_set(err, ERROR_BUSY,
			"cannot change the managed save of %s: job '%s' is in progress", vm->name,
			vm->operation->type->job.name);
	return registry_image_define_xml(vm->registry, path, xml, running, err);
}

int vm_managed_save_remove(struct vm *vm, struct error *err)
{
	_cleanup_free_ char *name = vm_file_name(vm, ".save");

	if (vm->operation)
		return error_set(err, ERROR_BUSY,
			"cannot remove the managed save of %s: job '%s' is in progress", vm->name,
			vm->operation->type->job.name);
	return file_remove(vm->registry->save_fd, name, true, err);
}
