/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a restart of the daemon: find the QEMUs of the earlier one, and take up or undo what its journals say.
 *
 * For each directory in run/vm: read the status file, take the process by pid and start time, connect its monitor, ask
 * what the guest does. Only then is the journal looked at, so that its steps work on a VM as they know it. A VM
 * whose QEMU is gone, and a journal without a VM, are recovered at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "block-job-internal.h"
#include "file.h"
#include "hotplug.h"
#include "log.h"
#include "monitor.h"
#include "operation.h"
#include "paging.h"
#include "park.h"
#include "resources.h"
#include "vm-agent-internal.h"
#include "vm-lease-internal.h"

/* ---- jobs ---- */

static int recover_operation(
	struct vm *vm, struct journal *journal, const struct journal_entry *entry, struct error *err)
{
	const struct operation_type *type = operation_find_type(vm->registry, entry->type);
	struct job_progress progress = {0};
	struct operation *op;

	if (!type)
		return error_set(err, ERROR_DAMAGED, "no job is called '%s'", entry->type);
	if (journal_get_progress(entry, &type->job, &progress, err) < 0)
		return -1;
	op = operation_new(type, vm);
	if (type->decode(op, entry->params, err) < 0) {
		operation_free(op);
		return -1;
	}
	operation_recover(op, journal, &progress);
	return 0;
}

/* Its VM's job, if it had one; then the VM settles by itself. */
static void recover_job(struct vm *vm)
{
	struct journal *journal = NULL;
	struct journal_entry entry = {0};
	struct error err = ERROR_INIT;

	if (journal_open(vm->registry->journal_fd, vm->uuid, &journal, &entry, &err) < 0) {
		if (err.code != ERROR_NO_OBJECT)
			log_write(LOG_LEVEL_ERROR, vm->name, NULL, "journal of %s is left alone: %s",
				vm->name, err.message);
	} else if (recover_operation(vm, journal, &entry, &err) < 0) {
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "journal of %s is left alone: %s", vm->name,
			err.message);
		journal_free(journal);
	}
	journal_entry_fini(&entry);
	vm_settle(vm);
}

/* ---- running VMs ---- */

struct adopted_state {
	const char *qemu; /* query-status */
	enum vm_state state;
	int domain_state, reason;
};

/* QEMU's word for what the guest does; the reason is what the status file said if it says the same. */
static void take_state(struct vm *vm, const char *qemu)
{
	static const struct adopted_state table[] = {
		{"running", VM_RUNNING, DOMAIN_RUNNING, RUNNING_UNKNOWN},
		{"paused", VM_PAUSED, DOMAIN_PAUSED, PAUSED_UNKNOWN},
		{"prelaunch", VM_PAUSED, DOMAIN_PAUSED, PAUSED_STARTING_UP},
		{"inmigrate", VM_PAUSED, DOMAIN_PAUSED, PAUSED_STARTING_UP},
		{"postmigrate", VM_PAUSED, DOMAIN_PAUSED, PAUSED_SAVE},
		{"finish-migrate", VM_PAUSED, DOMAIN_PAUSED, PAUSED_SAVE},
		{"save-vm", VM_PAUSED, DOMAIN_PAUSED, PAUSED_SAVE},
		{"restore-vm", VM_PAUSED, DOMAIN_PAUSED, PAUSED_STARTING_UP},
		{"io-error", VM_PAUSED, DOMAIN_PAUSED, PAUSED_IOERROR},
		{"watchdog", VM_PAUSED, DOMAIN_PAUSED, PAUSED_WATCHDOG},
		{"guest-panicked", VM_PAUSED, DOMAIN_CRASHED, CRASHED_PANICKED},
		{"internal-error", VM_PAUSED, DOMAIN_CRASHED, CRASHED_UNKNOWN},
		{"shutdown", VM_STOPPING, DOMAIN_SHUTDOWN, SHUTDOWN_USER},
		{"suspended", VM_PAUSED, DOMAIN_PMSUSPENDED, 0},
	};
	struct vm_status before = vm->status;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct adopted_state *a = &table[i];

		if (!streq(a->qemu, qemu))
			continue;
		vm_set_state(vm, a->state, a->domain_state,
			before.state == a->domain_state ? before.reason : a->reason);
		vm->guest_shut_down = a->state == VM_STOPPING;
		return;
	}
	vm_set_state(vm, VM_PAUSED, DOMAIN_PAUSED, PAUSED_UNKNOWN);
}

/* Disks may have gone while no daemon was there to hear of it, or come just as the last one died. */
static void devices_listed(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	strv_fini(&vm->found_devices);
	if (err)
		return;
	JSON_FOREACH (property, ret) {
		const char *name = json_get_string(property, "name");

		if (name)
			strv_add(&vm->found_devices, name);
	}
	VEC_FOREACH (disk, &vm->live->disks)
		if (disk_is_hotpluggable(disk) && disk->info.alias &&
			!strv_contains(&vm->found_devices, disk->info.alias))
			vm_disk_unplugged(vm, disk->info.alias);
}

static bool has_journal(const struct vm *vm)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	return file_exists(vm->registry->journal_fd, uuid);
}

static void status_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;

	/* Without an answer its end is on the way, and everything follows from that. */
	if (!err)
		take_state(vm, json_get_string(ret, "status"));
	vm_lease_adopt(vm);
	block_jobs_adopt(vm);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "vm %s adopted: pid %d, %s", vm->name, (int)vm_get_pid(vm),
		err ? err->message : json_get_string(ret, "status"));
	if (vm->paging && !err)
		paging_adopt(vm->paging);
	status_write(vm, NULL);
	recover_job(vm);
	/* All of it is in, and the last daemon died before it could remove the file. */
	if (!vm->paging && !vm->operation && !has_journal(vm))
		paging_remove_leftover(vm);
}

static void monitor_ready(struct vm *vm)
{
	vm->on_monitor_ready = NULL;
	vm_ask_balloon(vm);
	vm_agent_adopt(vm);
	qmp_command(vm->qmp, "qom-list", json_pack("s:path", "/machine/peripheral", NULL), -1, 0,
		devices_listed, vm);
	block_jobs_look(vm);
	qmp_command(vm->qmp, "query-status", NULL, -1, 0, status_replied, vm);
}

static void give_up(struct vm *vm)
{
	vm->process_ended = vm->monitor_ended = true;
	recover_job(vm);
}

/* What it will have been when it turns out to be gone, or goes before it can be asked. */
static void expect_end(struct vm *vm)
{
	bool shut_down = vm->status.state == DOMAIN_SHUTDOWN;

	vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, shut_down ? SHUTOFF_SHUTDOWN : SHUTOFF_CRASHED};
	vm->stop_detail = shut_down ? STOPPED_SHUTDOWN : STOPPED_FAILED;
}

static void adopt(struct registry *r, const char *directory)
{
	struct error err = ERROR_INIT;
	uint64_t start_time;
	struct vm *vm;
	pid_t pid;

	if (status_read(r, directory, &vm, &pid, &start_time, &err) < 0) {
		/* Its daemon died before it wrote one: then there is no QEMU either. */
		log_warning("%s/vm/%s: %s", r->settings.run_dir, directory, err.message);
		dir_remove(r->run_fd, directory, NULL);
		return;
	}
	if (vm->id > r->last_id)
		r->last_id = vm->id;
	vm->state = VM_STARTING;
	expect_end(vm);
	resources_adopt(vm);
	if (process_adopt(r->loop, pid, start_time, vm_on_process_exit, vm, &vm->process, &err) < 0) {
		give_up(vm);
		return;
	}
	vm->on_monitor_ready = monitor_ready;
	if (vm_connect_monitor(vm, &err) < 0) {
		/* Most likely it is just ending. */
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
		vm->monitor_ended = true;
		vm_kill_later(vm);
		recover_job(vm);
	}
}

static void adopt_all(struct registry *r)
{
	int fd = openat(r->run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !endswith(entry->d_name, PARKED_SUFFIX))
			adopt(r, entry->d_name);
	if (dir)
		closedir(dir);
}

/* The VM of a journal whose definition is gone, or that never had one: known by name again until its job is over. */
static struct vm *find_nameless(struct registry *r, const uint8_t uuid[16])
{
	struct journal *journal = NULL;
	struct journal_entry entry = {0};
	struct vm *vm = NULL;
	const char *name;

	if (journal_open(r->journal_fd, uuid, &journal, &entry, NULL) == 0) {
		name = json_get_string(entry.params, "name");
		if (name && !registry_find_by_name(r, name)) {
			vm = vm_new(r, name, uuid);
			registry_add(r, vm);
			vm_unref(vm);
		}
	}
	journal_free(journal);
	journal_entry_fini(&entry);
	return vm;
}

/* Journals whose VM did not run: of an undefine, of a start before its QEMU, of a save behind it. */
static void recover_the_rest(struct registry *r)
{
	struct strv uuids = {0};
	struct error err = ERROR_INIT;

	if (journal_list(r->journal_fd, &uuids, &err) < 0)
		log_error("%s", err.message);
	for (size_t i = 0; i < uuids.n; i++) {
		uint8_t uuid[16];
		struct vm *vm;

		if (!uuid_parse(uuids.items[i], uuid))
			continue;
		vm = registry_find_by_uuid(r, uuid);
		if (!vm)
			vm = find_nameless(r, uuid);
		if (vm && !vm->operation && !vm->process)
			recover_job(vm);
	}
	strv_fini(&uuids);
}

/* Does anybody still need what belongs to the VM of that name? A journal that could not be read may be about it. */
static bool is_needed(struct registry *r, const char *name)
{
	struct vm *vm = registry_find_by_name(r, name);

	return vm && (vm->state != VM_OFF || vm->operation || has_journal(vm));
}

static void remove_unneeded(struct registry *r, const char *file, const char *suffix)
{
	size_t len = strlen(file), end = strlen(suffix);
	_cleanup_free_ char *name = len > end ? xstrndup(file, len - end) : NULL;

	if (!name || !streq(file + len - end, suffix) || is_needed(r, name))
		return;
	log_info("%s/save/%s is of a guest that has run and is gone: removed", r->settings.lib_dir, file);
	unlinkat(r->save_fd, file, 0);
}

/*
 * The host went down while a guest's memory came in from its managed save: the guest had run, and is gone. Its VM may have been undefined
 * since.
 */
static void remove_leftovers(struct registry *r)
{
	int fd = openat(r->save_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		remove_unneeded(r, entry->d_name, ".save.used");
		remove_unneeded(r, entry->d_name, HOT_LIST_SUFFIX);
	}
	if (dir)
		closedir(dir);
}

void registry_adopt(struct registry *r)
{
	registry_adopt_parked(r);
	adopt_all(r);
	recover_the_rest(r);
	remove_leftovers(r);
}
