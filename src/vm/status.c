/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run/vm/UUID/status.json: who a running QEMU is, so that the next daemon finds it (docs/formats/status.md).
 * Written without syncing: it means nothing once the host has gone down.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "agent.h"
#include "block-job-internal.h"
#include "disk.h"
#include "file.h"
#include "log.h"
#include "paging.h"
#include "snapshot-store.h"

#define STATUS_FILE    "status.json"
#define STATUS_VERSION 1
#define STATUS_MAX     (16u << 20)

/* By alias, the numbers of the disks' block nodes. */
static json *encode_nodes(const struct domain *d)
{
	json *nodes = json_object_new_object();

	VEC_FOREACH (disk, &d->disks)
		if (disk->info.alias)
			json_object_object_add(nodes, disk->info.alias, json_object_new_uint64(disk->node));
	return nodes;
}

/* By alias, the disks whose chain a user has written. */
static json *encode_given(const struct domain *d)
{
	json *given = json_object_new_object();

	VEC_FOREACH (disk, &d->disks)
		if (disk->info.alias && disk->backing_given)
			json_object_object_add(given, disk->info.alias, json_object_new_boolean(true));
	return given;
}

static void decode_given(struct domain *d, json *given)
{
	VEC_FOREACH (disk, &d->disks)
		if (disk->info.alias)
			disk->backing_given = json_get_bool(given, disk->info.alias, false);
}

/* An earlier version, which could not plug disks in, did not write them down: then they are as they were at the start. */
static void decode_nodes(struct domain *d, json *nodes, uint64_t last)
{
	d->last_node = (uint32_t)last;
	VEC_FOREACH (disk, &d->disks)
		if (disk->info.alias)
			disk->node = (uint32_t)json_get_uint(nodes, disk->info.alias, 0);
	domain_number_disks(d);
}

int status_write_process(struct vm *vm, pid_t pid, uint64_t start_time, struct error *err)
{
	_cleanup_free_ char *xml = domain_format(vm->live, DOMAIN_FORMAT_SECURE);
	_cleanup_json_ json *o = json_pack("i:version", (int64_t)STATUS_VERSION, "s:name", vm->name, "i:id",
		(int64_t)vm->id, "i:pid", (int64_t)pid, "u:start_time", start_time, "i:state",
		(int64_t)vm->status.state, "i:reason", (int64_t)vm->status.reason, "b:reboot_requested",
		vm->reboot_requested, "s:lock_manager", lease_kind_name(vm->lease_kind), "u:leases",
		(uint64_t)vm->n_leases, "b:leases_given", vm->leases_given, "s:lease_version",
		vm->lease_version, "b:restored_lazily", vm->restored_lazily, "s:restored_why",
		vm->restored_why, "o:paging", paging_encode(vm->paging), "b:frozen", vm->quiesce.is_frozen,
		"i:agent_timeout", (int64_t)vm->agent_timeout, "o:nodes", encode_nodes(vm->live),
		"u:last_node", (uint64_t)vm->live->last_node, "o:chains_given", encode_given(vm->live),
		"o:block_jobs", block_jobs_encode(vm), "s:domain", xml, NULL);
	_cleanup_free_ char *text = json_format(o);

	return file_replace_volatile(vm->run_fd, STATUS_FILE, text, strlen(text), 0600, err);
}

int status_write(struct vm *vm, struct error *err)
{
	struct error ignored = ERROR_INIT;

	if (!vm->live || vm->run_fd < 0)
		return 0;
	if (status_write_process(vm, vm_get_pid(vm), vm->process ? process_get_start_time(vm->process) : 0,
		    err ? err : &ignored) == 0)
		return 0;
	if (!err)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", ignored.message);
	return -1;
}

void status_remove(struct vm *vm)
{
	struct error err = ERROR_INIT;
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	close_p(&vm->run_fd);
	vm->run_fd = -1;
	if (dir_remove(vm->registry->run_fd, uuid, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
}

bool status_exists(const struct registry *r, const char *directory)
{
	_cleanup_free_ char *path = xasprintf("%s/" STATUS_FILE, directory);

	return file_exists(r->run_fd, path);
}

static int decode(struct registry *r, json *o, const char *directory, struct vm **ret, struct error *err)
{
	_cleanup_free_ char *uuid_text = xstrndup(directory, strcspn(directory, "."));
	const char *xml = json_get_string(o, "domain"), *name = json_get_string(o, "name"),
		   *lock_manager = json_get_string(o, "lock_manager");
	_cleanup_domain_ struct domain *live = NULL;
	uint8_t uuid[16];
	struct vm *vm;

	if (json_get_int(o, "version", 0) != STATUS_VERSION || !xml || !name || !uuid_parse(uuid_text, uuid))
		return error_set(
			err, ERROR_DAMAGED, "status of VM %s: not what this version writes", directory);
	if (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &live, err) < 0)
		return error_prefix(err, "status of VM %s", name);
	vm = registry_find_by_uuid(r, uuid);
	if (!vm) {
		vm = vm_new(r, name, uuid);
		snapshot_store_load(vm);
		registry_add(r, vm);
		vm_unref(vm);
	}
	decode_nodes(live, json_get(o, "nodes"), json_get_uint(o, "last_node", 0));
	decode_given(live, json_get(o, "chains_given"));
	vm->live = TAKE_PTR(live);
	vm->id = vm->live->id = (int32_t)json_get_int(o, "id", -1);
	if (lock_manager)
		lease_kind_parse(lock_manager, &vm->lease_kind);
	vm->n_leases = (size_t)json_get_uint(o, "leases", 0);
	vm->leases_given = json_get_bool(o, "leases_given", false);
	replace_string(&vm->lease_version, json_get_string(o, "lease_version"));
	vm->restored_lazily = json_get_bool(o, "restored_lazily", false);
	replace_string(&vm->restored_why, json_get_string(o, "restored_why"));
	vm->paging = paging_decode(vm, json_get(o, "paging"));
	vm->quiesce.is_frozen = json_get_bool(o, "frozen", false);
	vm->agent_timeout = (int)json_get_int(o, "agent_timeout", AGENT_BLOCK);
	block_jobs_decode(vm, json_get(o, "block_jobs"));
	vm->reboot_requested = json_get_bool(o, "reboot_requested", false);
	vm->status = (struct vm_status){
		(int)json_get_int(o, "state", DOMAIN_NOSTATE), (int)json_get_int(o, "reason", 0)};
	*ret = vm;
	return 0;
}

int status_read(struct registry *r, const char *directory, struct vm **ret, pid_t *ret_pid,
	uint64_t *ret_start_time, struct error *err)
{
	_cleanup_close_ int dir =
		openat(r->run_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json *o = NULL;
	size_t len;

	if (dir < 0)
		return error_errno(err, errno, "open %s/vm/%s", r->settings.run_dir, directory);
	if (file_read(dir, STATUS_FILE, STATUS_MAX, &text, &len, err) < 0 ||
		json_parse(text, len, &o, err) < 0 || decode(r, o, directory, ret, err) < 0)
		return -1;
	(*ret)->run_fd = take_fd(&dir);
	*ret_pid = (pid_t)json_get_int(o, "pid", 0);
	*ret_start_time = json_get_uint(o, "start_time", 0);
	return 0;
}
