/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions: from XML to a VM of this host, on disk in etc/domains/NAME.xml. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fault.h"
#include "file.h"
#include "log.h"
#include "operation.h"
#include "snapshot-store.h"
#include "xml.h"

#define DEFINITION_MAX XML_TEXT_MAX

/* ---- what the model wants to know of the host ---- */

static const char *canonical_machine(void *userdata, const char *machine)
{
	const struct qemu_machine *m = capabilities_find_machine(userdata, machine);

	return m ? m->name : NULL;
}

static bool has_device(void *userdata, const char *device)
{
	return capabilities_has_device(userdata, device);
}

static const char *first_existing(const char *const *paths)
{
	for (; *paths; paths++)
		if (access(*paths, R_OK) == 0)
			return *paths;
	return NULL;
}

int definition_parse(struct registry *r, const char *xml, struct domain **ret, struct error *err)
{
	struct domain *d;

	if (domain_parse(xml, strlen(xml), 0, &d, err) < 0)
		return -1;
	if (!d->has_uuid) {
		uuid_generate(d->uuid);
		d->has_uuid = true;
	}
	if (!d->emulator)
		d->emulator = xstrdup(r->settings.default_emulator);
	*ret = d;
	return 0;
}

int definition_complete(
	struct registry *r, struct domain *d, const struct qemu_capabilities *caps, struct error *err)
{
	/* Debian's ovmf package; the 2 MiB variant is of Debian 11 and older images. */
	static const char *const code[] = {
		"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd", NULL};
	static const char *const secure[] = {
		"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_CODE.secboot.fd", NULL};
	static const char *const vars[] = {
		"/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS.fd", NULL};
	static const char *const secure_vars[] = {
		"/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd", NULL};
	_cleanup_free_ char *nvram_dir = xasprintf("%s/nvram", r->settings.lib_dir);
	const struct domain_host host = {
		.default_emulator = r->settings.default_emulator,
		.arch = "x86_64",
		.canonical_machine = canonical_machine,
		.has_device = has_device,
		.userdata = (void *)caps,
		.nvram_dir = nvram_dir,
		.efi_code = first_existing(code),
		.efi_code_secure = first_existing(secure),
		.efi_vars = first_existing(vars),
		.efi_vars_secure = first_existing(secure_vars),
	};

	if (d->type == DOMAIN_TYPE_KVM && !caps->kvm_usable)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"domain '%s' has type 'kvm', but KVM cannot run guests on "
			"this host; use type='qemu'",
			d->name);
	return domain_fill_defaults(d, &host, err) < 0 || domain_assign_addresses(d, err) < 0 ? -1 : 0;
}

/* ---- on disk ---- */

static int write_document(struct registry *r, const struct domain *d, struct error *err)
{
	_cleanup_free_ char *xml = domain_format(d, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
	_cleanup_free_ char *name = xasprintf("%s.xml", d->name);

	return file_replace(r->domains_fd, name, xml, strlen(xml), 0600, err);
}

int definition_write(struct vm *vm, struct error *err)
{
	return write_document(vm->registry, vm->persistent, err);
}

static bool autostart_exists(const struct registry *r, const char *name, const char *suffix)
{
	_cleanup_free_ char *link = xasprintf("%s%s", name, suffix);
	struct stat st;

	return fstatat(r->autostart_fd, link, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int load_definition(struct registry *r, const char *file, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	_cleanup_free_ char *xml = NULL, *expected = NULL;
	struct vm *vm;
	size_t len;

	if (file_read(r->domains_fd, file, DEFINITION_MAX, &xml, &len, err) < 0 ||
		domain_parse(xml, len, 0, &d, err) < 0)
		return -1;
	expected = xasprintf("%s.xml", d->name);
	if (!streq(expected, file) || !d->has_uuid)
		return error_set(err, ERROR_DAMAGED, "it defines domain '%s'", d->name);
	if (registry_check_free(r, d, NULL, err) < 0)
		return -1;
	vm = vm_new(r, d->name, d->uuid);
	vm->autostart = autostart_exists(r, d->name, ".xml");
	vm->autostart_once = autostart_exists(r, d->name, ".xml.once");
	vm->persistent = TAKE_PTR(d);
	snapshot_store_load(vm);
	registry_add(r, vm);
	vm_unref(vm);
	return 0;
}

void registry_load_definitions(struct registry *r)
{
	int fd = openat(r->domains_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct error err = ERROR_INIT;

		if (entry->d_name[0] == '.' || !endswith(entry->d_name, ".xml"))
			continue;
		if (load_definition(r, entry->d_name, &err) < 0)
			log_error("definition %s/domains/%s is left alone: %s", r->settings.etc_dir,
				entry->d_name, err.message);
	}
	if (dir)
		closedir(dir);
}

/* ---- define ---- */

struct definition {
	struct registry *registry;
	struct domain *domain;
	vm_done_fn done;
	void *userdata;
};

static void definition_free(struct definition *def)
{
	domain_free(def->domain);
	free(def);
}

static int install(
	struct definition *def, const struct qemu_capabilities *caps, struct vm **ret, struct error *err)
{
	struct registry *r = def->registry;
	struct domain *d = def->domain;
	struct vm *vm;
	bool is_new;

	if (definition_complete(r, d, caps, err) < 0)
		return -1;
	/* Once more: others may have come while the emulator was asked. */
	vm = registry_find_by_uuid(r, d->uuid);
	if (registry_check_free(r, d, vm, err) < 0)
		return -1;
	if (vm && !streq(vm->name, d->name))
		return error_set(
			err, ERROR_EXISTS, "domain '%s' is already defined with this uuid", vm->name);
	fault_point("define/begun");
	if (write_document(r, d, err) < 0)
		return -1;
	fault_point("define/done");
	is_new = !vm || !vm->persistent;
	if (!vm) {
		vm = vm_new(r, d->name, d->uuid);
		registry_add(r, vm);
		vm_unref(vm);
	}
	domain_free(vm->persistent);
	vm->persistent = TAKE_PTR(def->domain);
	vm_emit_lifecycle(vm, EVENT_DEFINED, is_new ? DEFINED_ADDED : DEFINED_UPDATED);
	*ret = vm;
	return 0;
}

static void probed(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct definition *def = userdata;
	struct error failure = ERROR_INIT;
	struct vm *vm = NULL;

	if (!caps)
		failure = *err;
	else
		install(def, caps, &vm, &failure);
	if (failure.code != ERROR_NONE)
		error_prefix(&failure, "define %s", def->domain->name);
	if (def->done)
		def->done(vm, vm ? NULL : &failure, def->userdata);
	definition_free(def);
}

int registry_define(struct registry *r, const char *xml, bool validate, vm_done_fn done, void *userdata,
	struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	struct definition *def;
	struct vm *same;

	if (definition_parse(r, xml, &d, err) < 0)
		return -1;
	same = registry_find_by_uuid(r, d->uuid);
	if (registry_check_free(r, d, same, err) < 0)
		return -1;
	if (same && !streq(same->name, d->name))
		return registry_check_free(r, d, NULL, err);
	if (same && same->operation && same->operation->type == &undefine_operation_type)
		return error_set(err, ERROR_BUSY, "cannot define %s: job 'undefine' is in progress", d->name);
	def = NEW(struct definition);
	def->registry = r;
	def->domain = TAKE_PTR(d);
	def->done = done;
	def->userdata = userdata;
	capability_cache_find(r->capabilities, def->domain->emulator, probed, def);
	return 0;
}

int vm_take_definition(struct vm *vm, const char *xml, struct error *err)
{
	_cleanup_domain_ struct domain *d = NULL;
	const struct qemu_capabilities *caps;
	bool is_new = !vm->persistent;

	if (definition_parse(vm->registry, xml, &d, err) < 0)
		return -1;
	replace_string(&d->name, vm->name);
	memcpy(d->uuid, vm->uuid, 16);
	caps = capability_cache_get(vm->registry->capabilities, d->emulator);
	if ((caps && definition_complete(vm->registry, d, caps, err) < 0) ||
		write_document(vm->registry, d, err) < 0)
		return -1;
	domain_free(vm->persistent);
	vm->persistent = TAKE_PTR(d);
	vm_emit_lifecycle(vm, EVENT_DEFINED, is_new ? DEFINED_ADDED : DEFINED_UPDATED);
	return 0;
}
