/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU put aside and taken back (park.h).
 *
 * What a struct vm has of its QEMU is exchanged for an empty one, and back: nobody else needs to know that there are two. The directory
 * decides which of them is the VM's. It is renamed last when one is parked, and first when it is taken back; sockets
 * in it are found through descriptors, and connections that are open stay so.
 */
#include "park.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "file.h"
#include "log.h"
#include "monitor.h"
#include "paging.h"
#include "resources.h"
#include "vm-agent-internal.h"
#include "vm-lease-internal.h"

struct parked {
	struct vm *vm;		   /* borrowed: the VM owns this */
	struct operation *waiting; /* a step that waits for its end; NULL */
	bool is_adopted;	   /* found by a new daemon: what it holds is not known */
	bool leases_passed;	   /* the other QEMU had the leases meanwhile */
	bool is_killed;		   /* and is taken back all the same */
	bool has_stand_in;	   /* what the VM has live is a copy, and no QEMU is prepared for it */

	/* as in struct vm */
	struct domain *live;
	enum vm_state state;
	struct vm_status status, stop_as;
	int32_t id;
	struct process *process;
	struct qmp *qmp;
	int run_fd;
	bool process_ended, monitor_ended;
	int exit_status, stop_detail;
	bool reboot_requested, guest_shut_down, stopping;
	struct vm_resources *resources;
	struct strv found_devices, unplugged;
	bool restored_lazily, is_frozen;
	char *restored_why;
	struct lease_set *leases;
	enum lease_kind lease_kind;
	size_t n_leases;
	bool leases_given;
	char *lease_version;
	enum lease_state lease_state;
};

#define EXCHANGE(a, b)                                                                                       \
	do {                                                                                                 \
		__typeof__(a) kept_ = (a);                                                                   \
		(a) = (b);                                                                                   \
		(b) = kept_;                                                                                 \
	} while (0)

static void exchange(struct vm *vm, struct parked *p)
{
	EXCHANGE(vm->live, p->live);
	EXCHANGE(vm->state, p->state);
	EXCHANGE(vm->status, p->status);
	EXCHANGE(vm->stop_as, p->stop_as);
	EXCHANGE(vm->id, p->id);
	EXCHANGE(vm->process, p->process);
	EXCHANGE(vm->qmp, p->qmp);
	EXCHANGE(vm->run_fd, p->run_fd);
	EXCHANGE(vm->process_ended, p->process_ended);
	EXCHANGE(vm->monitor_ended, p->monitor_ended);
	EXCHANGE(vm->exit_status, p->exit_status);
	EXCHANGE(vm->stop_detail, p->stop_detail);
	EXCHANGE(vm->reboot_requested, p->reboot_requested);
	EXCHANGE(vm->guest_shut_down, p->guest_shut_down);
	EXCHANGE(vm->stopping, p->stopping);
	EXCHANGE(vm->resources, p->resources);
	EXCHANGE(vm->found_devices, p->found_devices);
	EXCHANGE(vm->unplugged, p->unplugged);
	EXCHANGE(vm->restored_lazily, p->restored_lazily);
	EXCHANGE(vm->quiesce.is_frozen, p->is_frozen);
	EXCHANGE(vm->restored_why, p->restored_why);
	EXCHANGE(vm->leases, p->leases);
	EXCHANGE(vm->lease_kind, p->lease_kind);
	EXCHANGE(vm->n_leases, p->n_leases);
	EXCHANGE(vm->leases_given, p->leases_given);
	EXCHANGE(vm->lease_version, p->lease_version);
	EXCHANGE(vm->lease_state, p->lease_state);
}

static struct parked *parked_new(struct vm *vm)
{
	struct parked *p = NEW(struct parked);

	p->vm = vm;
	p->id = p->run_fd = -1;
	p->state = VM_OFF;
	p->status = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_UNKNOWN};
	p->process_ended = p->monitor_ended = true;
	p->lease_state = LEASE_FREE;
	return p;
}

void parked_free(struct parked *p)
{
	if (!p)
		return;
	qmp_close(p->qmp);
	process_free(p->process);
	resources_free(p->resources);
	domain_free(p->live);
	lease_set_free(p->leases);
	strv_fini(&p->found_devices);
	strv_fini(&p->unplugged);
	close_p(&p->run_fd);
	free(p->restored_why);
	free(p->lease_version);
	free(p);
}

/* ---- its directory ---- */

struct names {
	char own[UUID_TEXT_MAX], parked[UUID_TEXT_MAX + sizeof(PARKED_SUFFIX)];
};

static void name_directories(const struct vm *vm, struct names *ret)
{
	uuid_format(vm->uuid, ret->own);
	snprintf(ret->parked, sizeof(ret->parked), "%s" PARKED_SUFFIX, ret->own);
}

/* The one in the way is of a QEMU that is gone. */
static int rename_directory(const struct vm *vm, const char *from, const char *to, struct error *err)
{
	int dir = vm->registry->run_fd;

	if (dir_remove(dir, to, err) < 0)
		return -1;
	if (renameat(dir, from, dir, to) < 0)
		return error_errno(
			err, errno, "rename %s/vm/%s to %s", vm->registry->settings.run_dir, from, to);
	return 0;
}

/* ---- its sockets with names of their own ---- */

/* The other QEMU takes the same names, and this one must not lose them. */
static void move_socket(const struct vm *vm, const char *path, bool aside)
{
	_cleanup_free_ char *parked = xasprintf("%s" PARKED_SUFFIX, path);

	if (rename(aside ? path : parked, aside ? parked : path) < 0 && errno != ENOENT)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "rename socket %s: %s", path, strerror(errno));
}

static void forget_socket(const struct vm *vm, const char *path)
{
	_cleanup_free_ char *parked = xasprintf("%s" PARKED_SUFFIX, path);

	unlink(parked);
}

static void each_chardev(
	const struct vm *vm, const struct chardev *c, void (*act)(const struct vm *vm, const char *path))
{
	if (c->backend == CHARDEV_UNIX && c->listen && c->path)
		act(vm, c->path);
}

static void each_socket(
	const struct vm *vm, const struct domain *d, void (*act)(const struct vm *vm, const char *path))
{
	VEC_FOREACH (serial, &d->serials)
		each_chardev(vm, serial, act);
	VEC_FOREACH (console, &d->consoles)
		each_chardev(vm, console, act);
	VEC_FOREACH (channel, &d->channels)
		each_chardev(vm, channel, act);
	VEC_FOREACH (g, &d->graphics) {
		if (g->socket)
			act(vm, g->socket);
	}
}

static void put_socket_aside(const struct vm *vm, const char *path)
{
	move_socket(vm, path, true);
}

static void put_socket_back(const struct vm *vm, const char *path)
{
	move_socket(vm, path, false);
}

/* ---- while it is parked ---- */

static void check_end(struct parked *p);

static void parked_ended(struct process *process, int status, void *userdata)
{
	struct parked *p = userdata;
	char how[64];

	process_status_format(status, how);
	log_write(p->waiting ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, p->vm->name, NULL,
		"the parked QEMU of %s %s", p->vm->name, how);
	p->process_ended = true;
	p->exit_status = status;
	check_end(p);
}

static void parked_closed(struct qmp *q, const struct error *why, void *userdata)
{
	struct parked *p = userdata;

	qmp_close(p->qmp);
	p->qmp = NULL;
	p->monitor_ended = true;
	/* One that cannot be talked to cannot be taken back. */
	if (!p->process_ended)
		process_kill(p->process, SIGKILL);
}

static void parked_ready(struct qmp *q, void *userdata)
{
}

/* It stands still: whatever it has to tell is no news of the VM. */
static void parked_event(
	struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata)
{
}

static const struct qmp_ops parked_ops = {
	.ready = parked_ready, .event = parked_event, .closed = parked_closed};

/* ---- park ---- */

/* Whoever looks at the VM sees the guest that stands still, and finds a definition. */
static void stand_in(struct vm *vm)
{
	struct parked *p = vm->parked;

	vm->live = domain_copy(p->live);
	vm->live->id = vm->id = p->id;
	vm_set_state(vm, VM_STARTING, DOMAIN_PAUSED, PAUSED_FROM_SNAPSHOT);
	p->has_stand_in = true;
}

void vm_end_stand_in(struct vm *vm)
{
	if (!vm->parked || !vm->parked->has_stand_in)
		return;
	vm->parked->has_stand_in = false;
	domain_free(TAKE_PTR(vm->live));
	vm->id = -1;
	vm->state = VM_OFF;
	vm->status = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_UNKNOWN};
}

static void put_aside(struct operation *op)
{
	struct vm *vm = op->vm;
	struct error err = ERROR_INIT;
	struct names names;

	name_directories(vm, &names);
	if (!vm->qmp || vm->process_ended) {
		error_set(&err, ERROR_OPERATION_FAILED, "QEMU is gone");
		operation_step_done(op, &err);
		return;
	}
	if (rename_directory(vm, names.own, names.parked, &err) < 0) {
		operation_step_done(op, &err);
		return;
	}
	each_socket(vm, vm->live, put_socket_aside);
	vm_agent_qemu_ended(vm);
	qmp_forget(vm->qmp, vm);
	vm->end_timer = sd_event_source_disable_unref(vm->end_timer);
	vm->parked = parked_new(vm);
	exchange(vm, vm->parked);
	stand_in(vm);
	process_set_owner(vm->parked->process, parked_ended, vm->parked);
	qmp_set_owner(vm->parked->qmp, &parked_ops, vm->parked);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "QEMU of %s (pid %d) is parked", vm->name,
		(int)process_get_pid(vm->parked->process));
	operation_step_done(op, NULL);
}

static void leases_released(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	struct operation *op = userdata;

	if (err)
		operation_step_done(op, err);
	else
		put_aside(op);
}

static void release_leases(struct operation *op)
{
	struct vm *vm = op->vm;
	struct error err = ERROR_INIT;

	if (!vm_lease_is_needed(vm) || vm->lease_state != LEASE_HELD)
		put_aside(op);
	else if (vm_lease_release(vm, leases_released, op, &err) < 0)
		operation_step_done(op, &err);
}

/* ---- without blockdev-set-active: a migration whose end is that images are given up ---- */

static void stop_migrating(struct operation *op)
{
	op->on_migration = NULL;
	op->on_gone = NULL;
	if (op->vm->qmp)
		qmp_forget(op->vm->qmp, op);
}

static void migration_failed(struct operation *op, const struct error *why)
{
	struct error err = *why;

	stop_migrating(op);
	error_prefix(&err, "make QEMU let go of its disks");
	operation_step_done(op, &err);
}

static void migration_gone(struct operation *op)
{
	struct error err = ERROR_INIT;

	error_set(&err, ERROR_OPERATION_FAILED, "QEMU is gone");
	migration_failed(op, &err);
}

static void migration_changed(struct operation *op, const char *status)
{
	struct error err = ERROR_INIT;

	if (streq(status, "completed")) {
		stop_migrating(op);
		release_leases(op);
	} else if (streq(status, "failed") || streq(status, "cancelled")) {
		error_set(&err, ERROR_QEMU, "its migration %s", status);
		migration_failed(op, &err);
	}
}

static void migration_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err)
		migration_failed(userdata, err);
}

/* Nothing but events: what an earlier job left on would be in the way. */
static void migrate_to_nowhere(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct operation *op = userdata;
	_cleanup_close_ int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	json *capabilities = json_object_new_array();

	JSON_FOREACH (item, ret) {
		const char *name = json_get_string(item, "capability");
		bool wanted = streq(name, "events");

		if (name && json_get_bool(item, "state", false) != wanted)
			json_object_array_add(
				capabilities, json_pack("s:capability", name, "b:state", wanted, NULL));
	}
	if (err || fd < 0) {
		json_object_put(capabilities);
		if (err)
			migration_failed(op, err);
		else
			migration_gone(op);
		return;
	}
	qmp_command(q, "migrate-set-capabilities", json_pack("o:capabilities", capabilities, NULL), -1, 0,
		migration_replied, op);
	qmp_command(q, "migrate-set-parameters", json_pack("i:max-bandwidth", (int64_t)0, NULL), -1, 0,
		migration_replied, op);
	qmp_command(q, "getfd", json_pack("s:fdname", "nowhere", NULL), fd, 0, migration_replied, op);
	qmp_command(q, "migrate", json_pack("s:uri", "fd:nowhere", NULL), -1, 0, migration_replied, op);
}

static void migrate_instead(struct operation *op)
{
	op->on_migration = migration_changed;
	op->on_gone = migration_gone;
	qmp_command(op->vm->qmp, "query-migrate-capabilities", NULL, -1, 0, migrate_to_nowhere, op);
}

/* ---- with it ---- */

static bool is_unknown_command(const struct error *err)
{
	return err->code == ERROR_QEMU && strstr(err->message, "has not been found");
}

static json *set_active(bool active)
{
	return json_pack("b:active", active, NULL);
}

static void let_go_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct operation *op = userdata;

	if (err && is_unknown_command(err))
		migrate_instead(op);
	else if (err)
		operation_step_done(op, err);
	else
		release_leases(op);
}

static bool knows_set_active(const struct vm *vm)
{
	const struct qemu_capabilities *caps =
		capability_cache_get(vm->registry->capabilities, vm->live->emulator);

	return !caps || capabilities_has_feature(caps, "blockdev-set-active");
}

enum step_result vm_park(struct job *job, void *context, struct error *err)
{
	struct operation *op = context;
	struct vm *vm = op->vm;

	if (!vm->process)
		return STEP_DONE;
	if (!vm->qmp || vm->process_ended || vm->stopping || vm->guest_shut_down) {
		error_set(err, ERROR_OPERATION_FAILED, "it is just ending");
		return STEP_FAILED;
	}
	if (knows_set_active(vm))
		qmp_command(vm->qmp, "blockdev-set-active", set_active(false), -1, 0, let_go_replied, op);
	else
		migrate_instead(op);
	return STEP_WAIT;
}

/* ---- unpark ---- */

/* What the QEMU in its place was: it has ended, or never was. */
static void drop_other(struct vm *vm)
{
	vm_agent_qemu_ended(vm);
	vm_drop_paging(vm);
	vm->end_timer = sd_event_source_disable_unref(vm->end_timer);
	resources_release(vm);
	if (vm->lease_state != LEASE_FREE)
		vm_lease_forget(vm);
	close_p(&vm->run_fd);
	vm->run_fd = -1;
}

static void disks_are_back(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct operation *op = userdata;

	/* `cont` takes them where QEMU knows no other way. */
	operation_step_done(op, err && !is_unknown_command(err) ? err : NULL);
}

static enum step_result take_disks(struct operation *op)
{
	if (!knows_set_active(op->vm))
		return STEP_DONE;
	qmp_command(op->vm->qmp, "blockdev-set-active", set_active(true), -1, 0, disks_are_back, op);
	return STEP_WAIT;
}

static void leases_taken(struct vm *vm, const char *state, const struct error *err, void *userdata)
{
	struct operation *op = userdata;
	struct error gone = ERROR_INIT;

	if (!err && !vm->qmp)
		error_set(&gone, ERROR_OPERATION_FAILED, "QEMU is gone");
	if (err || !vm->qmp)
		operation_step_done(op, err ? err : &gone);
	else if (take_disks(op) == STEP_DONE)
		operation_step_done(op, NULL);
}

/* Nobody but the QEMU in its place can have had them, where that had them: their version is another one since. */
static enum step_result take_back(struct operation *op, bool leases_passed, struct error *err)
{
	struct vm *vm = op->vm;

	if (!vm_lease_is_needed(vm) || vm->lease_state != LEASE_RELEASED)
		return take_disks(op);
	return vm_lease_take(vm, leases_passed ? NULL : vm->lease_version, leases_taken, op, err) < 0
		       ? STEP_FAILED
		       : STEP_WAIT;
}

static int put_back(struct vm *vm, struct error *err)
{
	struct parked *p = vm->parked;
	struct names names;

	name_directories(vm, &names);
	drop_other(vm);
	if (rename_directory(vm, names.parked, names.own, err) < 0)
		return -1;
	exchange(vm, p);
	vm->parked = NULL;
	if (vm->process)
		process_set_owner(vm->process, vm_on_process_exit, vm);
	if (vm->qmp)
		vm_own_monitor(vm);
	if (p->is_adopted)
		vm_lease_adopt(vm);
	parked_free(p);
	return 0;
}

enum step_result vm_unpark(struct job *job, void *context, struct error *err)
{
	struct operation *op = context;
	struct vm *vm = op->vm;
	bool leases_passed = vm->parked && (vm->parked->is_adopted || vm->parked->leases_passed);

	if (vm->parked && put_back(vm, err) < 0)
		return STEP_FAILED;
	if (!vm->qmp || vm->process_ended)
		return STEP_DONE;
	each_socket(vm, vm->live, put_socket_back);
	/* Somebody wanted the VM ended while the other QEMU was it. */
	if (vm->stop_waiters.n > 0 && !vm->stopping) {
		vm_stop_process(vm, SIGTERM, SHUTOFF_DESTROYED, STOPPED_DESTROYED);
		return STEP_DONE;
	}
	return take_back(op, leases_passed, err);
}

void parked_pass_leases(struct parked *p)
{
	p->leases_passed = true;
}

/* ---- its end ---- */

static void forget(struct vm *vm)
{
	struct parked *p = vm->parked;
	struct error err = ERROR_INIT;
	struct names names;

	name_directories(vm, &names);
	vm->parked = NULL;
	each_socket(vm, p->live, forget_socket);
	/* Whoever gives back resources does so for a VM: for a moment it is this QEMU's again. */
	EXCHANGE(vm->resources, p->resources);
	resources_release(vm);
	EXCHANGE(vm->resources, p->resources);
	parked_free(p);
	if (dir_remove(vm->registry->run_fd, names.parked, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "%s", err.message);
}

static void check_end(struct parked *p)
{
	struct operation *op = p->waiting;

	if (!op)
		return;
	p->waiting = NULL;
	if (!p->is_killed)
		forget(p->vm);
	operation_step_done(op, NULL);
}

enum step_result vm_end_parked(struct job *job, void *context, struct error *err)
{
	struct operation *op = context;
	struct vm *vm = op->vm;
	struct parked *p = vm->parked;

	if (!p)
		return STEP_DONE;
	if (!p->process || p->process_ended) {
		forget(vm);
		return STEP_DONE;
	}
	/* Not SIGTERM: it has given up its images and has nothing to flush, but would remove sockets that are the other's by now. */
	p->waiting = op;
	process_kill(p->process, SIGKILL);
	return STEP_WAIT;
}

static void killed(struct operation *op)
{
	operation_step_done(op, NULL);
}

bool vm_can_unpark(const struct vm *vm)
{
	return vm->parked ? vm->parked->process && !vm->parked->process_ended
			  : vm->process && !vm->process_ended;
}

enum step_result vm_kill_parked(struct operation *op)
{
	static const struct vm_status failed = {DOMAIN_SHUTOFF, SHUTOFF_FAILED};
	struct vm *vm = op->vm;
	struct parked *p = vm->parked;

	if (!vm_can_unpark(vm))
		return STEP_DONE;
	if (p) {
		p->is_killed = true;
		p->waiting = op;
		p->stop_as = failed;
		p->stop_detail = STOPPED_FAILED;
	} else {
		op->on_gone = killed;
		vm->stop_as = failed;
		vm->stop_detail = STOPPED_FAILED;
	}
	process_kill(p ? p->process : vm->process, SIGKILL);
	return STEP_WAIT;
}

/* ---- in a new daemon ---- */

static int adopt(struct registry *r, const char *directory, struct error *err)
{
	uint64_t start_time;
	struct parked *p;
	struct vm *vm;
	pid_t pid;

	if (status_read(r, directory, &vm, &pid, &start_time, err) < 0)
		return -1;
	if (vm->id > r->last_id)
		r->last_id = vm->id;
	vm->state = VM_PAUSED;
	vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_CRASHED};
	vm->stop_detail = STOPPED_FAILED;
	resources_adopt(vm);
	vm->parked = p = parked_new(vm);
	p->is_adopted = true;
	if (process_adopt(r->loop, pid, start_time, parked_ended, p, &vm->process, err) < 0 ||
		vm_connect_monitor(vm, err) < 0) {
		log_write(
			LOG_LEVEL_ERROR, vm->name, NULL, "the parked QEMU of %s: %s", vm->name, err->message);
		vm->process_ended = !vm->process;
		vm->monitor_ended = true;
		if (vm->process)
			process_kill(vm->process, SIGKILL);
	}
	if (vm->qmp)
		qmp_set_owner(vm->qmp, &parked_ops, p);
	exchange(vm, p);
	/* The other one is looked for next. */
	vm->process_ended = vm->monitor_ended = false;
	return 0;
}

static void find_again(struct registry *r, const char *directory)
{
	_cleanup_free_ char *own = xstrndup(directory, strlen(directory) - strlen(PARKED_SUFFIX));
	struct error err = ERROR_INIT;
	int result;

	/* Where no other was in its place yet, it is what the VM's journal is undone with. */
	if (!status_exists(r, own)) {
		result = dir_remove(r->run_fd, own, &err);
		if (result == 0 && renameat(r->run_fd, directory, r->run_fd, own) < 0)
			result = error_errno(&err, errno, "rename %s to %s", directory, own);
	} else {
		result = adopt(r, directory, &err);
	}
	if (result < 0)
		log_error("%s/vm/%s: %s", r->settings.run_dir, directory, err.message);
}

void registry_adopt_parked(struct registry *r)
{
	int fd = openat(r->run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct strv directories = {0};
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (endswith(entry->d_name, PARKED_SUFFIX))
			strv_add(&directories, entry->d_name);
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < directories.n; i++)
		find_again(r, directories.items[i]);
	strv_fini(&directories);
}
