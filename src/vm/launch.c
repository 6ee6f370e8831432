/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps from a definition to a QEMU that answers on its monitor, and back to nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "argv.h"
#include "chain.h"
#include "disk-check.h"
#include "disk.h"
#include "file.h"
#include "log.h"
#include "monitor.h"
#include "paging.h"
#include "resources.h"
#include "start.h"
#include "vm-agent-internal.h"
#include "vm-lease-internal.h"

/* ---- prepare ---- */

static int check_file(const struct domain *d, const char *what, const char *path, struct error *err)
{
	struct stat st;

	if (!path)
		return 0;
	if (stat(path, &st) < 0)
		return error_errno(err, errno, "Cannot access %s '%s' of domain '%s'", what, path, d->name);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_OPERATION_FAILED,
			"Cannot use %s '%s' of domain '%s': it is a directory", what, path, d->name);
	return 0;
}

/* All that QEMU would trip over, asked before it is started, so that the message names the object. */
static int check_host(const struct domain *d, struct error *err)
{
	uint64_t host_kib = (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);

	if (d->memory_kib > host_kib)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"domain '%s' wants %llu MiB of memory, this host has %llu "
			"MiB",
			d->name, (unsigned long long)d->memory_kib / 1024,
			(unsigned long long)host_kib / 1024);
	if (check_file(d, "emulator", d->emulator, err) < 0 ||
		check_file(d, "kernel", d->os.kernel, err) < 0 ||
		check_file(d, "initrd", d->os.initrd, err) < 0 ||
		check_file(d, "loader", d->os.loader, err) < 0)
		return -1;
	VEC_FOREACH (disk, &d->disks) {
		if (check_file(d, "storage file", disk->source, err) < 0)
			return -1;
	}
	return 0;
}

static int make_run_dir(struct vm *vm, struct error *err)
{
	char uuid[UUID_TEXT_MAX];

	uuid_format(vm->uuid, uuid);
	/* What a dead QEMU left behind means nothing now. */
	if (dir_remove(vm->registry->run_fd, uuid, err) < 0)
		return -1;
	close_p(&vm->run_fd);
	vm->run_fd = dir_open_or_make_at(vm->registry->run_fd, uuid, 0700, err);
	return vm->run_fd < 0 ? -1 : 0;
}

static int listen_for_monitor(struct start_operation *start, struct error *err)
{
	struct vm *vm = start->op.vm;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	vm_monitor_address(vm, &address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return error_errno(err, errno, "create monitor socket of %s", vm->name);
	start->monitor_fd = take_fd(&fd);
	return 0;
}

static int make_ready(struct start_operation *start, struct error *err)
{
	struct vm *vm = start->op.vm;

	if (definition_complete(vm->registry, vm->live, start->caps, err) < 0)
		return -1;
	domain_assign_aliases(vm->live);
	domain_number_disks(vm->live);
	if (check_host(vm->live, err) < 0 || vm_lease_plan(vm, err) < 0)
		return -1;
	vm->live->id = vm->id = ++vm->registry->last_id;
	if (make_run_dir(vm, err) < 0 || resources_acquire(vm, start->reset_nvram, err) < 0 ||
		listen_for_monitor(start, err) < 0)
		return -1;
	return status_write(vm, err);
}

void launch_announce(struct start_operation *start)
{
	struct vm *vm = start->op.vm;

	vm->live = start->domain ? TAKE_PTR(start->domain) : domain_copy(vm->persistent);
	vm_set_state(vm, VM_STARTING, DOMAIN_PAUSED, PAUSED_STARTING_UP);
	vm->stop_as = (struct vm_status){DOMAIN_SHUTOFF, SHUTOFF_FAILED};
	vm->stop_detail = STOPPED_FAILED;
	vm->process_ended = vm->monitor_ended = true;
}

/* The definition is complete but for what this QEMU can do and what its images stand on; both have come, or one has failed. */
static void go_on_preparing(struct start_operation *start)
{
	struct error failure = start->unprepared;

	if (start->probing || start->looker)
		return;
	if (failure.code == ERROR_NONE)
		make_ready(start, &failure);
	operation_step_done(&start->op, failure.code != ERROR_NONE ? &failure : NULL);
}

static void capabilities_found(const struct qemu_capabilities *caps, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;

	start->probing = false;
	start->caps = caps;
	if (!caps) {
		disk_check_end(&start->looker);
		start->unprepared = *err;
	}
	go_on_preparing(start);
}

static void chains_looked(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct start_operation *start = userdata;

	if (err)
		start->unprepared = *err;
	else
		chain_take(start->op.vm->live, result, len, &start->unprepared);
	process_free(TAKE_PTR(start->looker));
	go_on_preparing(start);
}

/* An old definition, or an image of a state, may name what a snapshot froze since. */
static int check_ground(const struct start_operation *start, struct error *err)
{
	const struct vm *vm = start->op.vm;

	VEC_FOREACH (disk, &vm->live->disks) {
		const struct snapshot *s = snapshot_tree_find_ground(&vm->snapshots, disk->source);

		if (s && !disk->readonly && !start->force)
			return error_set(err, ERROR_OPERATION_INVALID,
				"image '%s' of disk '%s' is the ground of snapshot '%s', which would change "
				"with it: use "
				"snapshot-revert, or delete that snapshot first",
				disk->source, disk->target, s->name);
	}
	return 0;
}

/* What must be asked is asked at the same time; what is known costs nothing. */
static enum step_result prepare(struct start_operation *start, struct error *err)
{
	struct vm *vm = start->op.vm;
	struct capability_cache *cache = vm->registry->capabilities;

	/* Storage may not answer: a child looks. */
	if (chain_is_asked(vm->live) &&
		chain_look_start(vm->registry->loop, vm->live, chains_looked, start, &start->looker, err) < 0)
		return STEP_FAILED;
	start->caps = capability_cache_get(cache, vm->live->emulator);
	if (!start->caps) {
		start->probing = true;
		capability_cache_find(cache, vm->live->emulator, capabilities_found, start);
	}
	if (start->probing || start->looker)
		return STEP_WAIT;
	return make_ready(start, err) < 0 ? STEP_FAILED : STEP_DONE;
}

enum step_result launch_prepare(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;

	if (!vm->live)
		launch_announce(start);
	vm->process_ended = vm->monitor_ended = false;
	vm->restored_lazily = false;
	replace_string(&vm->restored_why, NULL);
	if (!vm->live->emulator)
		replace_string(&vm->live->emulator, vm->registry->settings.default_emulator);
	error_clear(&start->unprepared);
	if (check_file(vm->live, "emulator", vm->live->emulator, err) < 0 || check_ground(start, err) < 0)
		return STEP_FAILED;
	chain_forget(vm->live);
	return prepare(start, err);
}

enum step_result launch_unprepare(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;

	resources_release(vm);
	vm_lease_forget(vm);
	status_remove(vm);
	/* Nobody saw it run: vm_settle makes it off without a word. */
	vm->process_ended = vm->monitor_ended = true;
	return STEP_DONE;
}

/* ---- spawn ---- */

static int open_log(struct start_operation *start, const struct strv *argv, struct error *err)
{
	struct vm *vm = start->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".log"), *line = strv_join(argv, " ");
	_cleanup_close_ int fd = openat(
		vm->registry->log_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];

	if (fd < 0)
		return error_errno(err, errno, "open log %s/%s", vm->registry->settings.log_dir, name);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S+0000", &tm);
	dprintf(fd, "%s: starting up\n%s\n", stamp, line);
	start->log_start = lseek(fd, 0, SEEK_END);
	return take_fd(&fd);
}

/* The child waits for this: from here on a restarted daemon knows whose QEMU it is. */
static int record_process(pid_t pid, uint64_t start_time, void *userdata, struct error *err)
{
	return status_write_process(userdata, pid, start_time, err);
}

static void leases_taken(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct vm *vm = userdata;
	struct start_operation *start = (struct start_operation *)vm->operation;
	struct error failure = ERROR_INIT;

	start->leasing = false;
	if (err) {
		failure = *err;
		if (failure.code == ERROR_OPERATION_FAILED && !vm->stopping)
			error_prefix(&failure, "take its leases");
		if (vm->stopping)
			error_set(&failure, ERROR_OPERATION_ABORTED,
				"destroyed while it waited for its leases");
		err = &failure;
	}
	vm_lease_event(vm, err		      ? LEASE_EVENT_REFUSED
			   : start->from_host ? LEASE_EVENT_RELEASED
					      : LEASE_EVENT_GRANTED);
	operation_step_done(&start->op, err);
}

enum step_result launch_spawn(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;
	struct strv argv = {0};
	_cleanup_close_ int log_fd = -1;
	enum step_result result = STEP_FAILED;
	struct vm_resources *resources = vm->resources;
	struct argv_context ctx = {
		.run_dir = resources->run_path,
		.channel_dir = resources->channel_path,
		.monitor_fd = start->monitor_fd,
		.incoming = start->is_incoming || start->image_path,
		.tap_fds = resources->tap_fds,
		.vsock_fd = resources->vsock_fd,
		.tpm_socket = resources->tpm_socket,
		.sandbox = true,
	};
	_cleanup_free_ char *memory_path = NULL;
	VEC(int) fds = {0};

	if (start->clone) {
		/* The very file that was looked at, whatever its name means by now. */
		memory_path = xasprintf("/proc/self/fd/%d", start->image_fd);
		ctx.memory_path = memory_path;
		ctx.memory_offset = start->clone->memory.offset;
		VEC_ADD(&fds, start->image_fd);
	}
	if (argv_build(vm->live, start->caps, &ctx, &argv, err) < 0)
		goto out;
	log_fd = open_log(start, &argv, err);
	if (log_fd < 0)
		goto out;
	VEC_ADD(&fds, start->monitor_fd);
	for (size_t i = 0; i < vm->live->nics.n; i++)
		if (resources->tap_fds[i] >= 0)
			VEC_ADD(&fds, resources->tap_fds[i]);
	if (resources->vsock_fd >= 0)
		VEC_ADD(&fds, resources->vsock_fd);
	if (process_start(vm->registry->loop,
		    &(struct process_options){.argv = &argv,
			    .fds = fds.items,
			    .n_fds = fds.n,
			    .stdin_fd = -1,
			    .stdout_fd = log_fd,
			    .stderr_fd = log_fd,
			    .new_session = true,
			    .forked = record_process,
			    .work = !vm_lease_is_needed(vm) ? NULL
				    : start->from_host	    ? vm_lease_work_later
							    : vm_lease_work,
			    .work_userdata = vm,
			    .worked = leases_taken},
		    vm_on_process_exit, vm, &vm->process, err) < 0)
		goto out;
	close_p(&start->monitor_fd);
	start->monitor_fd = -1;
	resources_handed_over(vm);
	if (start->image_path)
		lazy_load_prepare(start);
	vm_lease_event(vm, LEASE_EVENT_START);
	start->leasing = vm_lease_is_needed(vm);
	if (!start->leasing)
		vm_lease_event(vm, LEASE_EVENT_GRANTED);
	result = start->leasing ? STEP_WAIT : STEP_DONE;
out:
	VEC_FREE(&fds);
	strv_fini(&argv);
	return result;
}

static void killed(struct operation *op)
{
	operation_step_done(op, NULL);
}

enum step_result launch_kill(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct vm *vm = start->op.vm;

	transfer_free(start->transfer);
	start->transfer = NULL;
	paging_free(TAKE_PTR(start->paging), &start->op.outcome);
	paging_free(TAKE_PTR(vm->paging), &start->op.outcome);
	if (!vm->process || vm->process_ended)
		return STEP_DONE;
	start->op.on_gone = killed;
	/* One that has never run the guest, and waits, can take its sockets away itself. */
	vm_stop_process(vm, start->from_host ? SIGTERM : SIGKILL, SHUTOFF_FAILED, STOPPED_FAILED);
	return STEP_WAIT;
}

/* ---- monitor ---- */

#define LOG_TAIL_BYTES 2048
#define LOG_TAIL_TEXT  640

char *launch_log_tail(const struct start_operation *start)
{
	const struct vm *vm = start->op.vm;
	_cleanup_free_ char *name = vm_file_name(vm, ".log");
	_cleanup_close_ int fd = openat(vm->registry->log_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[LOG_TAIL_BYTES + 1];
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	off_t from = end - LOG_TAIL_TEXT > start->log_start ? end - LOG_TAIL_TEXT : start->log_start;
	ssize_t n = end > from ? pread_full(fd, text, LOG_TAIL_TEXT, from) : 0;

	if (n <= 0)
		return xstrdup("");
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return xstrdup(text);
}

static void monitor_ready(struct operation *op)
{
	operation_step_done(op, NULL);
}

void launch_gone(struct operation *op)
{
	struct start_operation *start = (struct start_operation *)op;
	_cleanup_free_ char *tail = launch_log_tail(start);
	struct error err = ERROR_INIT;
	char how[64];

	process_status_format(op->vm->exit_status, how);
	error_set(&err, ERROR_QEMU, "QEMU %s%s%s", how, *tail ? ": " : "", tail);
	operation_step_done(op, &err);
}

enum step_result launch_monitor(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	if (vm_connect_monitor(start->op.vm, err) < 0)
		return STEP_FAILED;
	start->op.on_monitor = monitor_ready;
	start->op.on_gone = launch_gone;
	return STEP_WAIT;
}

/* ---- configure: what can only be asked of, or told to, a QEMU that runs ---- */

static void configure_reply(struct start_operation *start, const struct error *err)
{
	if (err && start->op.failure.code == ERROR_NONE)
		start->op.failure = *err;
	if (--start->pending > 0)
		return;
	if (start->op.failure.code != ERROR_NONE) {
		struct error failure = start->op.failure;

		error_clear(&start->op.failure);
		operation_step_done(&start->op, &failure);
		return;
	}
	operation_step_done(&start->op, NULL);
}

static void configured(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	configure_reply(userdata, err);
}

static struct chardev *find_chardev(struct domain *d, const char *alias)
{
	VEC_FOREACH (serial, &d->serials) {
		if (streq(serial->info.alias, alias))
			return serial;
	}
	VEC_FOREACH (console, &d->consoles) {
		if (streq(console->info.alias, alias))
			return console;
	}
	VEC_FOREACH (channel, &d->channels) {
		if (streq(channel->info.alias, alias))
			return channel;
	}
	return NULL;
}

/* Which pseudo-terminal did QEMU open? "filename": "pty:/dev/pts/3", "label": "charserial0". */
static void chardevs_replied(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct start_operation *start = userdata;
	struct domain *d = start->op.vm->live;

	JSON_FOREACH (item, ret) {
		const char *label = json_get_string(item, "label"), *file = json_get_string(item, "filename");
		struct chardev *c =
			label && startswith(label, "char") ? find_chardev(d, label + strlen("char")) : NULL;

		if (c && c->backend == CHARDEV_PTY && file && startswith(file, "pty:"))
			replace_string(&c->path, file + strlen("pty:"));
	}
	/* The first console of a guest with a serial port is that port. */
	if (d->consoles.n > 0 && d->serials.n > 0 && d->consoles.items[0]->target == CHARDEV_TARGET_SERIAL)
		replace_string(&d->consoles.items[0]->path, d->serials.items[0]->path);
	vm_note_channels(start->op.vm, ret);
	configure_reply(start, err);
}

static void tell(struct start_operation *start, const char *command, json *arguments, qmp_reply_fn reply)
{
	start->pending++;
	qmp_command(start->op.vm->qmp, command, arguments, -1, 0, reply, start);
}

enum step_result launch_configure(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;
	struct domain *d = start->op.vm->live;

	if (!start->op.vm->qmp) {
		error_set(err, ERROR_OPERATION_FAILED, "QEMU is gone");
		return STEP_FAILED;
	}
	if (start->image_path || start->is_incoming)
		vm_ask_balloon(start->op.vm); /* the document may be somebody else's */
	tell(start, "query-chardev", NULL, chardevs_replied);
	VEC_FOREACH (nic, &d->nics) {
		if (nic->link == TRISTATE_OFF)
			tell(start, "set_link", json_pack("s:name", nic->info.alias, "b:up", false, NULL),
				configured);
	}
	VEC_FOREACH (graphics, &d->graphics) {
		if (graphics->password)
			tell(start, "set_password",
				json_pack("s:protocol", graphics->type == GRAPHICS_VNC ? "vnc" : "spice",
					"s:password", graphics->password, NULL),
				configured);
	}
	if (d->memballoon && d->memballoon->model != MEMBALLOON_NONE && d->memballoon->stats_period_s) {
		_cleanup_free_ char *path = xasprintf("/machine/peripheral/%s", d->memballoon->info.alias);

		tell(start, "qom-set",
			json_pack("s:path", path, "s:property", "guest-stats-polling-interval", "i:value",
				(int64_t)d->memballoon->stats_period_s, NULL),
			configured);
	}
	if (!start->image_path && !start->is_incoming && d->memballoon &&
		d->memballoon->model != MEMBALLOON_NONE && d->current_memory_kib < d->memory_kib)
		tell(start, "balloon", json_pack("u:value", d->current_memory_kib * 1024, NULL), configured);
	return STEP_WAIT;
}

/* ---- take-disks ---- */

enum step_result launch_take_disks(struct job *job, void *context, struct error *err)
{
	struct start_operation *start = context;

	if (!start->image_path || !capabilities_has_feature(start->caps, "blockdev-set-active"))
		return STEP_DONE;
	return operation_command(&start->op, "blockdev-set-active", json_pack("b:active", true, NULL), err);
}
