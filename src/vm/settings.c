/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small, immediate changes: autostart, name, title, description, metadata. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "fault.h"
#include "file.h"
#include "operation.h"
#include "snapshot-store.h"
#include "xml.h"

/* ---- autostart: a symlink in etc/autostart, as libvirt has it ---- */

static int set_link(struct vm *vm, const char *suffix, bool on, bool *state, struct error *err)
{
	_cleanup_free_ char *link = vm_file_name(vm, suffix),
			    *target = xasprintf("../domains/%s.xml", vm->name);

	if (!vm->persistent)
		return error_set(err, ERROR_OPERATION_INVALID,
			"cannot set autostart for transient domain '%s'", vm->name);
	if (on && symlinkat(target, vm->registry->autostart_fd, link) < 0 && errno != EEXIST)
		return error_errno(err, errno, "create autostart link of %s", vm->name);
	if (on && fsync(vm->registry->autostart_fd) < 0)
		return error_errno(err, errno, "sync autostart link of %s", vm->name);
	if (!on && file_remove(vm->registry->autostart_fd, link, true, err) < 0)
		return -1;
	*state = on;
	return 0;
}

int vm_set_autostart(struct vm *vm, bool on, struct error *err)
{
	return set_link(vm, ".xml", on, &vm->autostart, err);
}

int vm_set_autostart_once(struct vm *vm, bool on, struct error *err)
{
	return set_link(vm, ".xml.once", on, &vm->autostart_once, err);
}

/* ---- rename ---- */

static int move_file(int dirfd, const char *old, const char *new, const char *suffix, struct error *err)
{
	_cleanup_free_ char *from = xasprintf("%s%s", old, suffix), *to = xasprintf("%s%s", new, suffix);

	if (renameat(dirfd, from, dirfd, to) < 0 && errno != ENOENT)
		return error_errno(err, errno, "rename %s to %s", from, to);
	return 0;
}

int vm_rename(struct vm *vm, const char *name, struct error *err)
{
	struct registry *r = vm->registry;
	struct vm *other = registry_find_by_name(r, name);
	_cleanup_free_ char *old = xstrdup(vm->name), *file = NULL;
	bool autostart = vm->autostart;

	if (domain_check_name(name, err) < 0 || vm_check_verb(vm, VERB_RENAME, err) < 0)
		return -1;
	if (other)
		return error_set(err, ERROR_EXISTS, "domain with name '%s' already exists", name);
	if (vm_has_managed_save(vm))
		return error_set(err, ERROR_OPERATION_INVALID,
			"domain '%s' with a managed saved state can't be "
			"renamed",
			vm->name);
	if (autostart && vm_set_autostart(vm, false, err) < 0)
		return -1;
	/* One rename moves the definition; its contents name the VM, so they are brought up to date behind it. */
	replace_string(&vm->persistent->name, name);
	if (definition_write(vm, err) < 0) {
		replace_string(&vm->persistent->name, old);
		return -1;
	}
	file = xasprintf("%s.xml", old);
	if (file_remove(r->domains_fd, file, true, err) < 0 || snapshot_store_rename(vm, name, err) < 0 ||
		move_file(r->log_fd, old, name, ".log", err) < 0)
		return -1;
	vm_ref(vm);
	registry_remove(r, vm);
	replace_string(&vm->name, name);
	registry_add(r, vm);
	vm_unref(vm);
	if (autostart && vm_set_autostart(vm, true, err) < 0)
		return -1;
	vm_emit_lifecycle(vm, EVENT_UNDEFINED, UNDEFINED_RENAMED);
	vm_emit_lifecycle(vm, EVENT_DEFINED, DEFINED_RENAMED);
	return 0;
}

/* ---- title, description, metadata ---- */

int vm_resolve_affect(const struct vm *vm, unsigned *affect, struct error *err)
{
	if (*affect == VM_AFFECT_CURRENT)
		*affect = vm->live ? VM_AFFECT_LIVE : VM_AFFECT_CONFIG;
	if ((*affect & VM_AFFECT_LIVE) && !vm->live)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	if ((*affect & VM_AFFECT_CONFIG) && !vm->persistent)
		return error_set(err, ERROR_OPERATION_INVALID,
			"transient domain '%s' has no persistent "
			"configuration",
			vm->name);
	return 0;
}

static bool is_of_namespace(const xmlNode *node, const char *uri)
{
	return node->ns && node->ns->href && streq((const char *)node->ns->href, uri);
}

/* `element` in place of the one with that namespace; NULL takes it away. */
static int replace_element(
	struct domain *d, const char *uri, const char *key, const char *element, struct error *err)
{
	struct buf out = {0};
	bool any = element;

	buf_adds(&out, "<metadata>");
	if (d->metadata) {
		_cleanup_xml_ xmlDoc *doc = NULL;

		if (xml_parse(d->metadata, strlen(d->metadata), "metadata", &doc, err) < 0) {
			buf_fini(&out);
			return -1;
		}
		XML_FOREACH (child, xmlDocGetRootElement(doc)) {
			_cleanup_free_ char *text = xml_serialise(child);

			if (is_of_namespace(child, uri))
				continue;
			buf_addf(&out, "\n    %s", text);
			any = true;
		}
	}
	if (element)
		buf_addf(&out, "\n    %s", element);
	buf_adds(&out, "\n  </metadata>");
	free(d->metadata);
	d->metadata = any ? buf_take(&out) : NULL;
	buf_fini(&out);
	return 0;
}

/* The caller's element, with the namespace `key` = `uri` as libvirt writes it. */
static int qualify(const char *text, const char *key, const char *uri, char **ret, struct error *err)
{
	_cleanup_xml_ xmlDoc *doc = NULL;
	xmlNode *root;

	if (xml_parse(text, strlen(text), NULL, &doc, err) < 0)
		return error_prefix(err, "metadata");
	root = xmlDocGetRootElement(doc);
	if (!root->ns)
		xmlSetNs(root, xmlNewNs(root, (const xmlChar *)uri, (const xmlChar *)key));
	*ret = xml_serialise(root);
	return 0;
}

static int set_in(struct domain *d, enum vm_metadata what, const char *text, const char *key, const char *uri,
	struct error *err)
{
	_cleanup_free_ char *element = NULL;

	switch (what) {
	case VM_METADATA_TITLE:
		if (text && strchr(text, '\n'))
			return error_set(err, ERROR_INVALID_ARGUMENT, "Domain title can't contain newlines");
		replace_string(&d->title, text && *text ? text : NULL);
		return 0;
	case VM_METADATA_DESCRIPTION:
		replace_string(&d->description, text && *text ? text : NULL);
		return 0;
	case VM_METADATA_ELEMENT:
		if (text && qualify(text, key, uri, &element, err) < 0)
			return -1;
		return replace_element(d, uri, key, element, err);
	}
	return error_set(err, ERROR_INVALID_ARGUMENT, "unknown metadata type %d", (int)what);
}

int vm_set_metadata(struct vm *vm, enum vm_metadata what, const char *text, const char *key, const char *uri,
	unsigned affect, struct error *err)
{
	if (vm_resolve_affect(vm, &affect, err) < 0)
		return -1;
	if (what == VM_METADATA_ELEMENT && (!uri || (text && !key)))
		return error_set(err, ERROR_INVALID_ARGUMENT, "metadata needs a namespace URI and a key");
	if ((affect & VM_AFFECT_LIVE) &&
		(set_in(vm->live, what, text, key, uri, err) < 0 || status_write(vm, err) < 0))
		return -1;
	if ((affect & VM_AFFECT_CONFIG) &&
		(set_in(vm->persistent, what, text, key, uri, err) < 0 || definition_write(vm, err) < 0))
		return -1;
	registry_emit(vm->registry,
		&(struct vm_event){
			.type = VM_EVENT_METADATA_CHANGE, .vm = vm, .metadata = {.what = what, .uri = uri}});
	return 0;
}

static char *find_element(const struct domain *d, const char *uri)
{
	_cleanup_xml_ xmlDoc *doc = NULL;

	if (!d->metadata || xml_parse(d->metadata, strlen(d->metadata), "metadata", &doc, NULL) < 0)
		return NULL;
	XML_FOREACH (child, xmlDocGetRootElement(doc)) {
		if (is_of_namespace(child, uri))
			return xml_serialise(child);
	}
	return NULL;
}

int vm_get_metadata(const struct vm *vm, enum vm_metadata what, const char *uri, unsigned affect, char **ret,
	struct error *err)
{
	static const char *const names[] = {"description", "title", "metadata"};
	const struct domain *d;
	char *text = NULL;

	if (vm_resolve_affect(vm, &affect, err) < 0)
		return -1;
	d = affect & VM_AFFECT_LIVE ? vm->live : vm->persistent;
	if (what == VM_METADATA_DESCRIPTION)
		text = xstrdup(d->description);
	else if (what == VM_METADATA_TITLE)
		text = xstrdup(d->title);
	else if (uri)
		text = find_element(d, uri);
	if (!text)
		return error_set(err, ERROR_NO_METADATA, "Requested %s element is not present", names[what]);
	*ret = text;
	return 0;
}
