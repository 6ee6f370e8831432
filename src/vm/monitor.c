/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What QEMU tells, and what becomes of it.
 *
 * Run states follow QEMU's STOP and RESUME events alone; whoever causes one says beforehand why (pause_reason,
 * resume_reason). When nobody did, QEMU stopped by itself and is asked. The end has two parts, the process's exit and the monitor's last byte, in either order; only when both are in is the VM off,
 * so that an event written just before the exit still counts.
 */
#include "monitor.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "block-job-internal.h"
#include "clock.h"
#include "fault.h"
#include "file.h"
#include "hotplug.h"
#include "log.h"
#include "operation.h"
#include "paging.h"
#include "resources.h"
#include "snapshot-store.h"
#include "vm-agent-internal.h"
#include "vm-lease-internal.h"

/* How long QEMU may take to flush its disks and go before it is killed; libvirt gives as much. */
#define STOP_PATIENCE_USEC (10 * USEC_PER_SEC)
/* How long after the exit the monitor's last bytes are waited for: somebody else may hold its socket. */
#define GOODBYE_USEC (2 * USEC_PER_SEC)

/* ---- the end ---- */

static void tell_waiters(struct vm *vm)
{
	__typeof__(vm->stop_waiters) waiters = vm->stop_waiters;

	vm->stop_waiters.items = NULL;
	vm->stop_waiters.n = 0;
	for (size_t i = 0; i < waiters.n; i++)
		if (waiters.items[i].done)
			waiters.items[i].done(vm, NULL, waiters.items[i].userdata);
	VEC_FREE(&waiters);
}

static void forget_transient(struct vm *vm)
{
	struct error err = ERROR_INIT;

	if (vm->persistent || registry_find_by_name(vm->registry, vm->name) != vm)
		return;
	/* Nobody could ask for them any more. */
	if (snapshot_store_remove_all(vm, &err) < 0)
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "its snapshots stay behind: %s", err.message);
	registry_remove(vm->registry, vm);
}

static void become_off(struct vm *vm)
{
	bool was_seen = vm->state != VM_STARTING;

	vm_agent_qemu_ended(vm);
	block_jobs_gone(vm);
	vm_drop_paging(vm);
	vm_drop_hot_list(vm);
	qmp_close(vm->qmp);
	vm->qmp = NULL;
	process_free(vm->process);
	vm->process = NULL;
	vm->end_timer = sd_event_source_unref(vm->end_timer);
	resources_release(vm);
	vm_lease_forget(vm);
	fault_point("shutdown/ended");
	status_remove(vm);
	domain_free(vm->live);
	vm->live = NULL;
	quiesce_forget(vm);
	strv_fini(&vm->found_devices);
	strv_fini(&vm->unplugged);
	vm->id = -1;
	vm->migrate_downtime_ms = 0;
	vm->reboot_requested = vm->guest_shut_down = vm->stopping = false;
	vm_set_state(vm, VM_OFF, vm->stop_as.state, vm->stop_as.reason);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "vm %s is off", vm->name);
	if (was_seen)
		vm_emit_lifecycle(vm, EVENT_STOPPED, vm->stop_detail);
	tell_waiters(vm);
	if (vm->restart_when_off)
		vm_lease_restart(vm);
	forget_transient(vm);
}

void vm_settle(struct vm *vm)
{
	if (vm->operation)
		return;
	if (vm->state == VM_OFF) {
		forget_transient(vm);
		return;
	}
	if (vm->process_ended && vm->monitor_ended) {
		vm_ref(vm);
		become_off(vm);
		vm_unref(vm);
	} else if (vm->guest_shut_down && !vm->stopping && vm->qmp) {
		/* It shut down while a job held it. */
		vm_finish_shutdown(vm);
	} else if (vm->qmp && (vm->state == VM_RUNNING || vm->state == VM_PAUSED)) {
		vm_remove_unplugged(vm);
		quiesce_settle(vm);
	}
}

static void check_end(struct vm *vm)
{
	if (!vm->process_ended || !vm->monitor_ended)
		return;
	vm->end_timer = sd_event_source_unref(vm->end_timer);
	vm_ref(vm);
	vm_drop_paging(vm);
	vm_agent_qemu_ended(vm);
	block_jobs_gone(vm);
	if (vm->operation)
		operation_qemu_gone(vm->operation);
	vm_settle(vm);
	vm_unref(vm);
}

static int goodbye_missed(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct vm *vm = userdata;

	/* Whoever waits for an answer gets an error, then monitor_closed follows. */
	qmp_hang_up(vm->qmp);
	return 0;
}

void vm_on_process_exit(struct process *p, int status, void *userdata)
{
	struct vm *vm = userdata;
	char how[64];

	process_status_format(status, how);
	log_write(LOG_LEVEL_INFO, vm->name, NULL, "QEMU of %s %s", vm->name, how);
	vm->process_ended = true;
	vm->exit_status = status;
	if (!vm->qmp)
		vm->monitor_ended = true;
	vm->end_timer = sd_event_source_unref(vm->end_timer);
	if (!vm->monitor_ended)
		sd_event_add_time_relative(vm->registry->loop, &vm->end_timer, CLOCK_MONOTONIC, GOODBYE_USEC,
			0, goodbye_missed, vm);
	check_end(vm);
}

static void monitor_closed(struct qmp *q, const struct error *why, void *userdata)
{
	struct vm *vm = userdata;

	qmp_close(vm->qmp);
	vm->qmp = NULL;
	vm->monitor_ended = true;
	if (!vm->process_ended && !vm->stopping) {
		/* A QEMU that cannot be talked to cannot be kept safe: end it. A normal exit is a moment away. */
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "monitor of %s: %s", vm->name, why->message);
		vm_kill_later(vm);
	}
	check_end(vm);
}

static int kill_now(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct vm *vm = userdata;

	if (vm->process && !vm->process_ended) {
		log_write(LOG_LEVEL_WARNING, vm->name, NULL, "QEMU of %s did not end by itself: killing it",
			vm->name);
		process_kill(vm->process, SIGKILL);
	}
	return 0;
}

void vm_kill_after(struct vm *vm, uint64_t usec)
{
	vm->end_timer = sd_event_source_unref(vm->end_timer);
	sd_event_add_time_relative(
		vm->registry->loop, &vm->end_timer, CLOCK_MONOTONIC, usec, 0, kill_now, vm);
}

void vm_kill_later(struct vm *vm)
{
	vm_kill_after(vm, GOODBYE_USEC);
}

void vm_stop_process(struct vm *vm, int sig, int shutoff_reason, int stopped_detail)
{
	vm->stopping = true;
	vm->stop_as = (struct vm_status){
		shutoff_reason == SHUTOFF_CRASHED ? DOMAIN_CRASHED : DOMAIN_SHUTOFF, shutoff_reason};
	if (shutoff_reason == SHUTOFF_CRASHED)
		vm->stop_as.reason = CRASHED_PANICKED;
	vm->stop_detail = stopped_detail;
	if (vm->process && !vm->process_ended) {
		process_kill(vm->process, sig);
		if (sig != SIGKILL)
			vm_kill_after(vm, STOP_PATIENCE_USEC);
	}
}

/* ---- run state ---- */

void vm_become_paused(struct vm *vm, int reason)
{
	static const int details[] = {
		[PAUSED_MIGRATION] = SUSPENDED_MIGRATED,
		[PAUSED_IOERROR] = SUSPENDED_IOERROR,
		[PAUSED_WATCHDOG] = SUSPENDED_WATCHDOG,
		[PAUSED_FROM_SNAPSHOT] = SUSPENDED_FROM_SNAPSHOT,
		[PAUSED_STARTING_UP] = SUSPENDED_PAUSED,
	};

	vm_set_state(vm, VM_PAUSED, reason == PAUSED_CRASHED ? DOMAIN_CRASHED : DOMAIN_PAUSED,
		reason == PAUSED_CRASHED ? CRASHED_PANICKED : reason);
	vm_emit_lifecycle(vm, reason == PAUSED_CRASHED ? EVENT_CRASHED : EVENT_SUSPENDED, details[reason]);
	vm->pause_reason = PAUSED_UNKNOWN;
	status_write(vm, NULL);
}

static void stop_explained(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct vm *vm = userdata;
	const char *status;

	/* An error means that its end is on the way. */
	if (err || vm->state != VM_RUNNING || json_get_bool(ret, "running", false))
		return;
	status = json_get_string(ret, "status");
	if (vm->pause_reason == PAUSED_UNKNOWN)
		vm->pause_reason = streq(status, "io-error")   ? PAUSED_IOERROR
				   : streq(status, "watchdog") ? PAUSED_WATCHDOG
							       : PAUSED_UNKNOWN;
	vm_become_paused(vm, vm->pause_reason);
}

static void on_stop(struct vm *vm, json *data)
{
	if (vm->state != VM_RUNNING)
		return;
	/* The event that has the reason may come behind this one: QEMU holds BLOCK_IO_ERROR back to one a second. */
	if (vm->pause_reason == PAUSED_UNKNOWN)
		qmp_command(vm->qmp, "query-status", NULL, -1, 0, stop_explained, vm);
	else
		vm_become_paused(vm, vm->pause_reason);
}

static void on_resume(struct vm *vm, json *data)
{
	bool was_paused = vm->state == VM_PAUSED && vm->status.reason != PAUSED_STARTING_UP;

	if (vm->state != VM_PAUSED && vm->state != VM_STOPPING)
		return;
	if (vm->paging && vm->paging->trouble.code != ERROR_NONE) {
		/* Its trouble came while it was let run: it stays paused until `resume` has ended that. */
		qmp_command(vm->qmp, "stop", NULL, -1, 0, NULL, NULL);
		if (vm->state == VM_PAUSED)
			vm_become_paused(vm, PAUSED_IOERROR);
		return;
	}
	if (!lease_may_run(vm->lease_state)) {
		log_write(LOG_LEVEL_ERROR, vm->name, NULL,
			"somebody let %s run without its leases: stopping it", vm->name);
		vm->pause_reason = PAUSED_USER;
		qmp_command(vm->qmp, "stop", NULL, -1, 0, NULL, NULL);
	}
	vm_set_state(vm, VM_RUNNING, DOMAIN_RUNNING, vm->resume_reason);
	if (was_paused || vm->resume_reason == RUNNING_RESTORED)
		vm_emit_lifecycle(vm, EVENT_RESUMED, RESUMED_UNPAUSED);
	vm->resume_reason = RUNNING_UNPAUSED;
	status_write(vm, NULL);
	quiesce_hurry(vm);
}

/* ---- shutdown and reset ---- */

static void reset_instead(struct vm *vm)
{
	struct error err = ERROR_INIT;

	vm->reboot_requested = vm->guest_shut_down = false;
	vm->resume_reason = RUNNING_BOOTED;
	qmp_command(vm->qmp, "system_reset", NULL, -1, 0, NULL, NULL);
	if (vm_run_cpus(vm, NULL, NULL, &err) < 0)
		log_write(LOG_LEVEL_ERROR, vm->name, NULL, "reset %s: %s", vm->name, err.message);
}

void vm_finish_shutdown(struct vm *vm)
{
	if (vm->reboot_requested || vm->live->on_poweroff == LIFECYCLE_RESTART) {
		reset_instead(vm);
		return;
	}
	if (vm->live->on_poweroff == LIFECYCLE_PRESERVE) {
		vm_set_state(vm, VM_PAUSED, DOMAIN_PAUSED, PAUSED_SHUTTING_DOWN);
		return;
	}
	/* SIGTERM lets QEMU flush its disks (vl.c ends the main loop). */
	vm_stop_process(vm, SIGTERM, SHUTOFF_SHUTDOWN, STOPPED_SHUTDOWN);
	fault_point("shutdown/stopping");
}

static void on_shutdown(struct vm *vm, json *data)
{
	bool guest = json_get_bool(data, "guest", false);

	if (vm->stopping || vm->state == VM_STARTING)
		return;
	/* A save's or destroy's own end of QEMU is told apart by `stopping`; what comes here is the guest's or an outsider's wish. */
	vm->guest_shut_down = true;
	vm_set_state(vm, VM_STOPPING, DOMAIN_SHUTDOWN, guest ? SHUTDOWN_USER : SHUTDOWN_UNKNOWN);
	vm_emit_lifecycle(vm, EVENT_SHUTDOWN, guest ? SHUTDOWN_GUEST : SHUTDOWN_HOST);
	fault_point("shutdown/seen");
	status_write(vm, NULL);
	fault_point("shutdown/written");
	vm_agent_guest_ended(vm);
	if (!vm->operation)
		vm_finish_shutdown(vm);
}

static void on_reset(struct vm *vm, json *data)
{
	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_REBOOT, .vm = vm});
	quiesce_forget(vm);
	vm_agent_guest_ended(vm);
}

static void on_panic(struct vm *vm, json *data)
{
	if (vm->stopping)
		return;
	switch (vm->live->on_crash) {
	case LIFECYCLE_RESTART:
	case LIFECYCLE_COREDUMP_RESTART:
		vm->pause_reason = PAUSED_CRASHED;
		reset_instead(vm);
		break;
	case LIFECYCLE_PRESERVE:
		vm->pause_reason = PAUSED_CRASHED;
		break;
	case LIFECYCLE_DESTROY:
	case LIFECYCLE_COREDUMP_DESTROY:
	case LIFECYCLE_RENAME_RESTART:
	case LIFECYCLE_MAX_:
		vm_emit_lifecycle(vm, EVENT_CRASHED, 0);
		vm_stop_process(vm, SIGTERM, SHUTOFF_CRASHED, STOPPED_CRASHED);
	}
}

/* ---- devices ---- */

static int watchdog_action(const char *name)
{
	/* virDomainEventWatchdogAction */
	static const char *const names[] = {
		"none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return (int)i;
	return 0;
}

static void on_watchdog(struct vm *vm, json *data)
{
	int action = watchdog_action(json_get_string(data, "action"));

	registry_emit(vm->registry,
		&(struct vm_event){.type = VM_EVENT_WATCHDOG, .vm = vm, .watchdog = {.action = action}});
}

/* "/machine/peripheral/virtio-disk0/virtio-backend" or "virtio-disk0": the alias is in it. */
static char *alias_of(const char *path)
{
	static const char prefix[] = "/machine/peripheral/";

	if (!path)
		return xstrdup("");
	if (startswith(path, prefix)) {
		path += strlen(prefix);
		return xstrndup(path, strcspn(path, "/"));
	}
	return xstrdup(path);
}

static void on_io_error(struct vm *vm, json *data)
{
	_cleanup_free_ char *alias =
		alias_of(json_get_string(data, "qom-path") ?: json_get_string(data, "device"));
	const char *action = json_get_string(data, "action");
	const struct disk *disk = domain_find_disk_by_alias(vm->live, alias);
	bool stops = streq(action, "stop");

	log_write(LOG_LEVEL_ERROR, vm->name, NULL, "vm %s: I/O error on disk %s%s%s", vm->name, alias,
		stops ? ", guest stopped: " : ": ", json_get_string(data, "reason") ?: "no reason given");
	registry_emit(
		vm->registry, &(struct vm_event){.type = VM_EVENT_IO_ERROR,
				      .vm = vm,
				      .io_error = {.path = disk && disk->source ? disk->source : "",
					      .alias = alias,
					      .reason = json_get_bool(data, "nospace", false) ? "enospc" : "",
					      .action = stops			  ? 1
							: streq(action, "report") ? 2
										  : 0}});
}

/* It stands in the live document, and so in images and in the status, as libvirt has it. */
static void take_balloon(struct vm *vm, json *data)
{
	uint64_t kib = json_get_uint(data, "actual", 0) / 1024;

	if (kib > 0 && kib <= vm->live->memory_kib)
		vm->live->current_memory_kib = kib;
}

static void balloon_told(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (!err)
		take_balloon(userdata, ret);
}

void vm_ask_balloon(struct vm *vm)
{
	if (vm->live->memballoon && vm->live->memballoon->model != MEMBALLOON_NONE)
		qmp_command(vm->qmp, "query-balloon", NULL, -1, 0, balloon_told, vm);
}

static void on_balloon(struct vm *vm, json *data)
{
	take_balloon(vm, data);
	status_write(vm, NULL);
	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_BALLOON_CHANGE,
					    .vm = vm,
					    .balloon = {.actual_kib = vm->live->current_memory_kib}});
}

static void on_rtc(struct vm *vm, json *data)
{
	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_RTC_CHANGE,
					    .vm = vm,
					    .rtc = {.offset = json_get_int(data, "offset", 0)}});
}

static void on_tray(struct vm *vm, json *data)
{
	_cleanup_free_ char *alias = alias_of(json_get_string(data, "id"));

	registry_emit(vm->registry,
		&(struct vm_event){.type = VM_EVENT_TRAY_CHANGE,
			.vm = vm,
			.tray = {.alias = alias, .reason = json_get_bool(data, "tray-open", false) ? 0 : 1}});
}

static void on_device_deleted(struct vm *vm, json *data)
{
	const char *alias = json_get_string(data, "device");

	if (!alias || (vm->operation && operation_device_deleted(vm->operation, alias)))
		return;
	if (domain_find_disk_by_alias(vm->live, alias)) {
		vm_disk_unplugged(vm, alias);
		vm_settle(vm);
	} else {
		registry_emit(vm->registry,
			&(struct vm_event){
				.type = VM_EVENT_DEVICE_REMOVED, .vm = vm, .device = {.alias = alias}});
	}
}

static void on_agent(struct vm *vm, bool open)
{
	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_AGENT_LIFECYCLE,
					    .vm = vm,
					    .agent = {.state = open ? 1 : 2, .reason = 2}});
	if (open)
		quiesce_hurry(vm);
	else
		vm_agent_guest_ended(vm);
}

static void on_channel(struct vm *vm, json *data)
{
	const char *id = json_get_string(data, "id");
	bool open = json_get_bool(data, "open", false);

	VEC_FOREACH (channel, &vm->live->channels) {
		if (!streq(channel->info.alias, id))
			continue;
		replace_string(&channel->state, open ? "connected" : "disconnected");
		if (chardev_is_agent(channel))
			on_agent(vm, open);
	}
}

static struct vm_graphics_address graphics_address(json *o)
{
	const char *family = json_get_string(o, "family");

	return (struct vm_graphics_address){
		.family = streq(family, "ipv6") ? 1 : streq(family, "unix") ? 2 : 0,
		.node = json_get_string(o, "host") ?: "",
		.service = json_get_string(o, "service") ?: json_get_string(o, "port") ?: "",
	};
}

static void emit_graphics(struct vm *vm, json *data, int phase)
{
	json *server = json_get(data, "server");

	registry_emit(vm->registry, &(struct vm_event){.type = VM_EVENT_GRAPHICS,
					    .vm = vm,
					    .graphics = {.phase = phase,
						    .local = graphics_address(server),
						    .remote = graphics_address(json_get(data, "client")),
						    .auth_scheme = json_get_string(server, "auth") ?: ""}});
}

static void on_graphics_connect(struct vm *vm, json *data)
{
	emit_graphics(vm, data, 0);
}

static void on_graphics_initialise(struct vm *vm, json *data)
{
	emit_graphics(vm, data, 1);
}

static void on_graphics_disconnect(struct vm *vm, json *data)
{
	emit_graphics(vm, data, 2);
}

/* Only of an outgoing migration are there passes that somebody waits for (virsh migrate --postcopy-after-precopy). */
static void on_migration_pass(struct vm *vm, json *data)
{
	struct vm_event event = {.type = VM_EVENT_MIGRATION_ITERATION,
		.vm = vm,
		.iteration.number = (int)json_get_int(data, "pass", 0)};

	if (vm->operation && vm->operation->type->kind == VM_JOB_MIGRATION_OUT)
		registry_emit(vm->registry, &event);
}

static void on_migration(struct vm *vm, json *data)
{
	const char *status = json_get_string(data, "status");

	if (vm->operation)
		operation_migration(vm->operation, status);
	if (vm->paging)
		paging_qemu_status(vm->paging, status);
}

static void on_job_status(struct vm *vm, json *data)
{
	block_jobs_hear(vm, data);
	if (vm->operation)
		operation_job_status(
			vm->operation, json_get_string(data, "id"), json_get_string(data, "status"));
}

static const struct {
	const char *name;
	void (*handle)(struct vm *vm, json *data);
} handlers[] = {
	{"STOP", on_stop},
	{"RESUME", on_resume},
	{"SHUTDOWN", on_shutdown},
	{"RESET", on_reset},
	{"GUEST_PANICKED", on_panic},
	{"WATCHDOG", on_watchdog},
	{"BLOCK_IO_ERROR", on_io_error},
	{"BALLOON_CHANGE", on_balloon},
	{"RTC_CHANGE", on_rtc},
	{"DEVICE_TRAY_MOVED", on_tray},
	{"DEVICE_DELETED", on_device_deleted},
	{"MIGRATION", on_migration},
	{"MIGRATION_PASS", on_migration_pass},
	{"JOB_STATUS_CHANGE", on_job_status},
	{"VSERPORT_CHANGE", on_channel},
	{"VNC_CONNECTED", on_graphics_connect},
	{"VNC_INITIALIZED", on_graphics_initialise},
	{"VNC_DISCONNECTED", on_graphics_disconnect},
	{"SPICE_CONNECTED", on_graphics_connect},
	{"SPICE_INITIALIZED", on_graphics_initialise},
	{"SPICE_DISCONNECTED", on_graphics_disconnect},
};

static void monitor_event(
	struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata)
{
	struct vm *vm = userdata;

	registry_emit(vm->registry,
		&(struct vm_event){.type = VM_EVENT_MONITOR,
			.vm = vm,
			.monitor = {.name = name, .seconds = seconds, .micros = micros, .data = data}});
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (streq(handlers[i].name, name))
			handlers[i].handle(vm, data);
}

static void monitor_ready(struct qmp *q, void *userdata)
{
	struct vm *vm = userdata;

	if (vm->on_monitor_ready)
		vm->on_monitor_ready(vm);
	else if (vm->operation)
		operation_monitor_ready(vm->operation);
}

static const struct qmp_ops monitor_ops = {
	.ready = monitor_ready, .event = monitor_event, .closed = monitor_closed};

void vm_own_monitor(struct vm *vm)
{
	qmp_set_owner(vm->qmp, &monitor_ops, vm);
}

int vm_connect_monitor(struct vm *vm, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	vm_monitor_address(vm, &address);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, errno, "connect to the monitor of %s", vm->name);
	return qmp_open(vm->registry->loop, take_fd(&fd), &monitor_ops, vm, &vm->qmp, err);
}

void vm_monitor_address(const struct vm *vm, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" MONITOR_SOCKET, vm->run_fd);
}

/* ---- one command on behalf of a caller ---- */

struct command {
	struct vm *vm;
	vm_done_fn done;
	void *userdata;
};

static void command_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct command *c = userdata;

	if (c->done)
		c->done(c->vm, err, c->userdata);
	vm_unref(c->vm);
	free(c);
}

void vm_command(struct vm *vm, const char *command, json *arguments, vm_done_fn done, void *userdata)
{
	struct command *c = NEW(struct command);

	c->vm = vm_ref(vm);
	c->done = done;
	c->userdata = userdata;
	qmp_command(vm->qmp, command, arguments, -1, 0, command_replied, c);
}
