/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM object: its run states, which verb may be used in which, and what can be told about it at once. */
#include "snapshot-store.h"
#include "vm-internal.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>

#include "agent.h"
#include "block-job-internal.h"
#include "clock.h"
#include "file.h"
#include "log.h"
#include "operation.h"
#include "paging.h"
#include "park.h"
#include "resources.h"
#include "vm-lease-internal.h"

static const char *const state_names[] = {
	[VM_OFF] = "off",
	[VM_STARTING] = "starting",
	[VM_RUNNING] = "running",
	[VM_PAUSED] = "paused",
	[VM_STOPPING] = "stopping",
};
static_assert(ARRAY_SIZE(state_names) == VM_STATE_MAX_, "every state has a name");

/* Row: from; column: to. The drawing in vm.h. */
static const bool moves[VM_STATE_MAX_][VM_STATE_MAX_] = {
	[VM_OFF] = {[VM_STARTING] = true},
	[VM_STARTING] = {[VM_RUNNING] = true, [VM_PAUSED] = true, [VM_STOPPING] = true, [VM_OFF] = true},
	[VM_RUNNING] = {[VM_PAUSED] = true, [VM_STOPPING] = true, [VM_OFF] = true},
	[VM_PAUSED] = {[VM_RUNNING] = true, [VM_STOPPING] = true, [VM_OFF] = true},
	[VM_STOPPING] = {[VM_OFF] = true, [VM_RUNNING] = true, [VM_PAUSED] = true},
};

#define IN(state) (1u << (state))
#define IN_ACTIVE (IN(VM_RUNNING) | IN(VM_PAUSED))

static const struct {
	const char *name;
	unsigned states;
	bool beside_job;   /* does not need the VM to itself */
	bool needs_images; /* the disks are what it is about: none may just be merged */
} verbs[] = {
	[VERB_START] = {"start", IN(VM_OFF), false},
	[VERB_DESTROY] = {"destroy", IN_ACTIVE | IN(VM_STARTING) | IN(VM_STOPPING), true},
	[VERB_SHUTDOWN] = {"shutdown", IN(VM_RUNNING), false},
	[VERB_RESET] = {"reset", IN_ACTIVE, false},
	[VERB_SUSPEND] = {"suspend", IN_ACTIVE, false},
	[VERB_RESUME] = {"resume", IN_ACTIVE, false},
	[VERB_SAVE] = {"save", IN_ACTIVE, false, true},
	[VERB_UNDEFINE] = {"undefine", IN(VM_OFF) | IN_ACTIVE, false},
	[VERB_QUERY] = {"query", IN_ACTIVE | IN(VM_STARTING) | IN(VM_STOPPING), true},
	[VERB_RENAME] = {"rename", IN(VM_OFF), false},
	[VERB_ATTACH] = {"attach a disk to", IN_ACTIVE, false},
	[VERB_DETACH] = {"detach a disk from", IN_ACTIVE, false},
	[VERB_BLOCK_JOB] = {"change the images of", IN_ACTIVE, false},
	[VERB_AGENT] = {"ask the agent of", IN(VM_RUNNING), true},
	[VERB_SNAPSHOT] = {"take a snapshot of", IN(VM_OFF) | IN_ACTIVE, false, true},
	[VERB_SNAPSHOT_METADATA] = {"describe snapshots of",
		IN_ACTIVE | IN(VM_OFF) | IN(VM_STARTING) | IN(VM_STOPPING), false},
	[VERB_REVERT] = {"revert", IN_ACTIVE | IN(VM_OFF), false, true},
	[VERB_SNAPSHOT_DELETE] = {"delete snapshots of", IN(VM_OFF) | IN_ACTIVE, false, true},
	[VERB_MIGRATE] = {"migrate", IN(VM_OFF) | IN_ACTIVE, false, true},
};
static_assert(ARRAY_SIZE(verbs) == VERB_MAX_, "every verb has a row");

struct vm *vm_new(struct registry *r, const char *name, const uint8_t uuid[16])
{
	struct vm *vm = NEW(struct vm);

	vm->refs = 1;
	vm->registry = r;
	vm->name = xstrdup(name);
	memcpy(vm->uuid, uuid, 16);
	vm->id = -1;
	vm->run_fd = -1;
	vm->agent_timeout = AGENT_BLOCK;
	vm->status = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_UNKNOWN};
	return vm;
}

struct vm *vm_ref(struct vm *vm)
{
	vm->refs++;
	return vm;
}

static void vm_free(struct vm *vm)
{
	block_jobs_free(vm);
	sd_event_source_unref(vm->end_timer);
	sd_event_source_disable_unref(vm->restart_timer);
	vm_lease_cancel(vm);
	vm_leave_paging(vm);
	parked_free(vm->parked);
	free(vm->restored_why);
	lease_set_free(vm->leases);
	agent_free(vm->agent);
	quiesce_fini(&vm->quiesce);
	free(vm->lease_version);
	qmp_close(vm->qmp);
	process_free(vm->process);
	resources_free(vm->resources);
	domain_free(vm->persistent);
	domain_free(vm->live);
	snapshot_tree_fini(&vm->snapshots);
	snapshot_store_forget_unreadable(vm);
	VEC_FREE(&vm->stop_waiters);
	strv_fini(&vm->found_devices);
	strv_fini(&vm->unplugged);
	json_object_put(vm->found_jobs);
	close_p(&vm->run_fd);
	free(vm->name);
	free(vm);
}

struct vm *vm_unref(struct vm *vm)
{
	if (vm && --vm->refs == 0)
		vm_free(vm);
	return NULL;
}

void vm_set_state(struct vm *vm, enum vm_state state, int domain_state, int reason)
{
	assert(state == vm->state || moves[vm->state][state]);
	if (state != vm->state)
		log_write(LOG_LEVEL_DEBUG, vm->name, NULL, "vm %s: %s -> %s", vm->name,
			state_names[vm->state], state_names[state]);
	vm->state = state;
	vm->status = (struct vm_status){domain_state, reason};
}

static int refuse_for_job(const struct vm *vm, enum vm_verb verb, struct error *err)
{
	const struct operation_type *type = vm->operation->type;
	_cleanup_free_ char *more = type->explain ? type->explain(vm->operation) : NULL;

	return error_set(err, ERROR_BUSY, "cannot %s %s: job '%s' is in progress%s%s", verbs[verb].name,
		vm->name, type->job.name, more ? ": " : "", more ? more : "");
}

int vm_check_verb(const struct vm *vm, enum vm_verb verb, struct error *err)
{
	if (!verbs[verb].beside_job && vm->operation &&
		!(verb == VERB_SUSPEND && vm->operation->type->lets_suspend))
		return refuse_for_job(vm, verb, err);
	/* Whatever it is, it would meet a guest that is about to run, or to lose its right to. */
	if (!verbs[verb].beside_job && vm->lease_work)
		return error_set(err, ERROR_BUSY, "cannot %s %s: its leases are just being %s",
			verbs[verb].name, vm->name,
			vm->lease_state == LEASE_RELEASING ? "released" : "taken");
	if (verbs[verb].needs_images && block_jobs_check_none(vm, NULL, err) < 0)
		return -1;
	if (verbs[verb].states & IN(vm->state))
		return 0;
	if (vm->state == VM_OFF)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is not running", vm->name);
	if (verb == VERB_START || verb == VERB_RENAME)
		return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is already running", vm->name);
	return error_set(err, ERROR_OPERATION_INVALID, "domain '%s' is %s", vm->name, state_names[vm->state]);
}

const char *vm_get_name(const struct vm *vm)
{
	return vm->name;
}

const uint8_t *vm_get_uuid(const struct vm *vm)
{
	return vm->uuid;
}

int32_t vm_get_id(const struct vm *vm)
{
	return vm->id;
}

enum vm_state vm_get_state(const struct vm *vm)
{
	return vm->state;
}

void vm_get_status(const struct vm *vm, struct vm_status *ret)
{
	*ret = vm->status;
}

bool vm_is_active(const struct vm *vm)
{
	return vm->state != VM_OFF;
}

bool vm_is_persistent(const struct vm *vm)
{
	return vm->persistent;
}

bool vm_get_autostart(const struct vm *vm)
{
	return vm->autostart;
}

bool vm_get_autostart_once(const struct vm *vm)
{
	return vm->autostart_once;
}

bool vm_has_managed_save(const struct vm *vm)
{
	_cleanup_free_ char *name = vm_file_name(vm, ".save");

	return vm->persistent && file_exists(vm->registry->save_fd, name);
}

const struct domain *vm_get_domain(const struct vm *vm)
{
	return vm->live ? vm->live : vm->persistent;
}

const struct domain *vm_get_live(const struct vm *vm)
{
	return vm->live;
}

const struct domain *vm_get_persistent(const struct vm *vm)
{
	return vm->persistent;
}

pid_t vm_get_pid(const struct vm *vm)
{
	return vm->process ? process_get_pid(vm->process) : 0;
}

uint64_t vm_get_balloon_kib(const struct vm *vm)
{
	return (vm->live ? vm->live : vm->persistent)->current_memory_kib;
}

uint64_t vm_get_cpu_time_ns(const struct vm *vm)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	uint64_t user = 0, system = 0;
	const char *rest;

	if (!vm->process)
		return 0;
	path = xasprintf("/proc/%d/stat", (int)process_get_pid(vm->process));
	if (file_read(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
		return 0;
	/* proc(5): utime and stime are fields 14 and 15, in clock ticks; the name in parentheses may hold anything. */
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
			     &system) != 2)
		return 0;
	return (user + system) * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct qmp *vm_get_qmp(struct vm *vm)
{
	return vm->qmp;
}

void vm_get_job_info(const struct vm *vm, bool completed, struct vm_job_info *ret)
{
	const struct operation *op = vm->operation;

	if (completed) {
		*ret = vm->last_job;
		return;
	}
	*ret = (struct vm_job_info){.operation = VM_JOB_NONE};
	if (op) {
		ret->operation = op->type->kind;
		ret->name = op->type->job.name;
		ret->elapsed_ms = (clock_now() - op->started) / USEC_PER_MSEC;
		if (op->type->fill_info)
			op->type->fill_info(op, ret);
	} else if (vm->paging) {
		paging_fill_job_info(vm->paging, ret);
	}
	/* of a migration QEMU knows: pages go twice, and some not at all */
	if (ret->operation == VM_JOB_MIGRATION_IN || ret->operation == VM_JOB_MIGRATION_OUT)
		return;
	if (ret->memory_total > ret->memory_processed)
		ret->memory_remaining = ret->memory_total - ret->memory_processed;
	if (ret->disk_total > ret->disk_processed)
		ret->disk_remaining = ret->disk_total - ret->disk_processed;
	if (ret->elapsed_ms)
		ret->disk_bps = ret->disk_processed * 1000 / ret->elapsed_ms;
	if (ret->elapsed_ms)
		ret->memory_bps = ret->memory_processed * 1000 / ret->elapsed_ms;
}

int vm_abort_job(struct vm *vm, struct error *err)
{
	if (!vm->operation)
		return error_set(err, ERROR_OPERATION_INVALID, "no job is active on the domain");
	return job_cancel(vm->operation->job, err);
}

char *vm_file_name(const struct vm *vm, const char *suffix)
{
	return xasprintf("%s%s", vm->name, suffix);
}

char *vm_managed_save_path(const struct vm *vm)
{
	return xasprintf("%s/save/%s.save", vm->registry->settings.lib_dir, vm->name);
}

char *vm_format_xml(const struct vm *vm, unsigned flags)
{
	const struct domain *d =
		(flags & DOMAIN_FORMAT_INACTIVE) && vm->persistent ? vm->persistent : vm_get_domain(vm);

	return domain_format(d, d == vm->persistent ? flags | DOMAIN_FORMAT_INACTIVE : flags);
}
