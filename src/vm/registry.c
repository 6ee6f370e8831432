/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of VMs, sorted by name, and the directories it lives in. */
#include "vm-internal.h"

#include <assert.h>

#include "capability-cache.h"
#include "file.h"
#include "log.h"
#include "operation.h"
#include "vm-lease-internal.h"

/* What registry_settings points to, owned. */
struct registry_strings {
	char *etc_dir, *lib_dir, *run_dir, *log_dir, *io_program, *default_emulator, *snapshot_hook,
		*hooks_dir, *vnc_listen, *hostname;
	char *file_lockspace_dir, *disk_lease_dir, *lost_program, *lost_socket;
};

static const char *keep(char **slot, const char *s)
{
	*slot = xstrdup(s);
	return *slot;
}

static void copy_settings(struct registry *r, const struct registry_settings *s)
{
	struct registry_strings *strings = NEW(struct registry_strings);

	r->strings = strings;
	r->settings = *s;
	r->settings.etc_dir = keep(&strings->etc_dir, s->etc_dir);
	r->settings.lib_dir = keep(&strings->lib_dir, s->lib_dir);
	r->settings.run_dir = keep(&strings->run_dir, s->run_dir);
	r->settings.log_dir = keep(&strings->log_dir, s->log_dir);
	r->settings.io_program = keep(&strings->io_program, s->io_program);
	r->settings.default_emulator = keep(&strings->default_emulator, s->default_emulator);
	r->settings.snapshot_hook = keep(&strings->snapshot_hook, s->snapshot_hook);
	r->settings.hooks_dir = keep(&strings->hooks_dir, s->hooks_dir);
	r->settings.vnc_listen = keep(&strings->vnc_listen, s->vnc_listen);
	r->settings.hostname = keep(&strings->hostname, s->hostname);
	r->settings.leases.hostname = r->settings.hostname;
	r->settings.leases.file_lockspace_dir =
		keep(&strings->file_lockspace_dir, s->leases.file_lockspace_dir);
	r->settings.leases.disk_lease_dir = keep(&strings->disk_lease_dir, s->leases.disk_lease_dir);
	r->settings.leases.lost_program = keep(&strings->lost_program, s->leases.lost_program);
	r->settings.leases.lost_socket = keep(&strings->lost_socket, s->leases.lost_socket);
}

static void free_strings(struct registry_strings *s)
{
	if (!s)
		return;
	free(s->etc_dir);
	free(s->lib_dir);
	free(s->run_dir);
	free(s->log_dir);
	free(s->io_program);
	free(s->default_emulator);
	free(s->snapshot_hook);
	free(s->hooks_dir);
	free(s->vnc_listen);
	free(s->hostname);
	free(s->file_lockspace_dir);
	free(s->disk_lease_dir);
	free(s->lost_program);
	free(s->lost_socket);
	free(s);
}

static int open_directories(struct registry *r, struct error *err)
{
	const struct {
		int *fd;
		const char *parent, *name;
		mode_t mode;
	} directories[] = {
		{&r->domains_fd, r->settings.etc_dir, "domains", 0700},
		{&r->autostart_fd, r->settings.etc_dir, "autostart", 0700},
		{&r->save_fd, r->settings.lib_dir, "save", 0700},
		{&r->journal_fd, r->settings.lib_dir, "journal", 0700},
		{&r->nvram_fd, r->settings.lib_dir, "nvram", 0700},
		{&r->clones_fd, r->settings.lib_dir, "clones", 0700},
		{&r->snapshot_fd, r->settings.lib_dir, "snapshot", 0700},
		{&r->run_fd, r->settings.run_dir, "vm", 0700},
		{&r->log_fd, r->settings.log_dir, NULL, 0700},
	};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *name = directories[i].name;
		_cleanup_free_ char *path =
			xasprintf("%s%s%s", directories[i].parent, name ? "/" : "", name ? name : "");

		*directories[i].fd = dir_open_or_make(path, directories[i].mode, err);
		if (*directories[i].fd < 0)
			return -1;
	}
	return 0;
}

int registry_open(
	sd_event *loop, const struct registry_settings *settings, struct registry **ret, struct error *err)
{
	struct registry *r = NEW(struct registry);
	_cleanup_free_ char *cache = xasprintf("%s/capabilities", settings->lib_dir);
	int cache_fd;

	r->loop = loop;
	r->domains_fd = r->autostart_fd = r->save_fd = r->journal_fd = r->nvram_fd = r->clones_fd =
		r->snapshot_fd = r->run_fd = r->log_fd = -1;
	copy_settings(r, settings);
	if (open_directories(r, err) < 0)
		goto fail;
	cache_fd = dir_open_or_make(cache, 0700, err);
	if (cache_fd < 0)
		goto fail;
	r->capabilities = capability_cache_new(loop, cache_fd);
	if (r->settings.trust_kvm)
		capability_cache_trust_kvm(r->capabilities);
	registry_load_definitions(r);
	registry_adopt(r);
	registry_join_lockspace(r);
	*ret = r;
	return 0;
fail:
	registry_close(r);
	return -1;
}

void registry_close(struct registry *r)
{
	int *fds[] = {&r->domains_fd, &r->autostart_fd, &r->save_fd, &r->journal_fd, &r->nvram_fd,
		&r->clones_fd, &r->snapshot_fd, &r->run_fd, &r->log_fd};

	registry_close_leases(r);
	VEC_FOREACH (vm, &r->vms) {
		struct operation *op = vm->operation;

		/* A job that still runs stays in its journal: the next daemon continues it. */
		vm->operation = NULL;
		operation_free(op);
		vm_unref(vm);
	}
	VEC_FREE(&r->vms);
	capability_cache_free(r->capabilities);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_p(fds[i]);
	free_strings(r->strings);
	free(r);
}

void registry_set_event_handler(struct registry *r, registry_event_fn fn, void *userdata)
{
	r->on_event = fn;
	r->event_userdata = userdata;
}

void registry_emit(struct registry *r, const struct vm_event *event)
{
	if (r->on_event)
		r->on_event(event, r->event_userdata);
}

void vm_emit_lifecycle(struct vm *vm, int event, int detail)
{
	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_LIFECYCLE,
					    .vm = vm,
					    .lifecycle = {.event = event, .detail = detail}});
}

/* Index of the first VM whose name is not below `name`. */
static size_t lower_bound(const struct registry *r, const char *name)
{
	size_t low = 0, high = r->vms.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(r->vms.items[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void registry_add(struct registry *r, struct vm *vm)
{
	size_t at = lower_bound(r, vm->name);

	VEC_ADD(&r->vms, NULL);
	memmove(&r->vms.items[at + 1], &r->vms.items[at], (r->vms.n - 1 - at) * sizeof(r->vms.items[0]));
	r->vms.items[at] = vm_ref(vm);
}

void registry_remove(struct registry *r, struct vm *vm)
{
	size_t at = lower_bound(r, vm->name);

	assert(at < r->vms.n && r->vms.items[at] == vm);
	VEC_REMOVE(&r->vms, at);
	vm_unref(vm);
}

struct vm *registry_find_by_name(struct registry *r, const char *name)
{
	size_t at = lower_bound(r, name);

	return at < r->vms.n && streq(r->vms.items[at]->name, name) ? r->vms.items[at] : NULL;
}

struct vm *registry_find_by_uuid(struct registry *r, const uint8_t uuid[16])
{
	for (size_t i = 0; i < r->vms.n; i++)
		if (memcmp(r->vms.items[i]->uuid, uuid, 16) == 0)
			return r->vms.items[i];
	return NULL;
}

struct vm *registry_find_by_id(struct registry *r, int32_t id)
{
	for (size_t i = 0; i < r->vms.n; i++)
		if (id >= 0 && r->vms.items[i]->id == id)
			return r->vms.items[i];
	return NULL;
}

void registry_list(struct registry *r, struct vm *const **ret, size_t *ret_n)
{
	*ret = r->vms.items;
	*ret_n = r->vms.n;
}

struct capability_cache *registry_get_capabilities(struct registry *r)
{
	return r->capabilities;
}

const struct registry_settings *registry_get_settings(struct registry *r)
{
	return &r->settings;
}

int registry_check_free(struct registry *r, const struct domain *d, const struct vm *same, struct error *err)
{
	struct vm *named = registry_find_by_name(r, d->name);
	struct vm *identified = d->has_uuid ? registry_find_by_uuid(r, d->uuid) : NULL;
	char uuid[UUID_TEXT_MAX];

	if (named && named != same) {
		uuid_format(named->uuid, uuid);
		return error_set(err, ERROR_EXISTS, "domain '%s' already exists with uuid %s", d->name, uuid);
	}
	if (identified && identified != same) {
		uuid_format(identified->uuid, uuid);
		return error_set(err, ERROR_EXISTS, "domain '%s' is already defined with uuid %s",
			identified->name, uuid);
	}
	return 0;
}

bool registry_is_settled(const struct registry *r)
{
	VEC_FOREACH (vm, &r->vms) {
		if (vm->operation || vm->state == VM_STARTING)
			return false;
	}
	return true;
}

void registry_autostart(struct registry *r)
{
	VEC_FOREACH (vm, &r->vms) {
		struct error err = ERROR_INIT;
		bool once = vm->autostart_once;

		if (!(vm->autostart || once) || vm->state != VM_OFF || vm->operation)
			continue;
		if (once && vm_set_autostart_once(vm, false, &err) < 0)
			log_write(LOG_LEVEL_WARNING, vm->name, "autostart", "%s", err.message);
		if (vm_start(vm,
			    &(struct vm_start_options){.bypass_cache = r->settings.auto_start_bypass_cache},
			    NULL, NULL, &err) < 0)
			log_write(LOG_LEVEL_ERROR, vm->name, "autostart", "%s", err.message);
	}
}
