/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs without QEMU, for this room's tests.
 * size: something in the place of every call of vm.h and its sisters.
 */
#include "fake-vm.h"
#include "block-job.h"

#include <errno.h>
#include <sys/socket.h>

#include "alloc.h"
#include "constants.h"
#include "registry.h"
#include "stats.h"
#include "strv.h"
#include "vm-device.h"
#include "vm-lease.h"
#include "vm-snapshot.h"

struct vm {
	unsigned refs;
	struct registry *registry;
	struct domain *domain;
	struct snapshot_tree snapshots;
	enum vm_state state;
	struct vm_status status;
	struct vm_job_info job;
	bool autostart;
};

struct operation {
	struct vm *vm;
	vm_done_fn done;
	void *userdata;
};

/* Who asked what a QEMU can do. There is none. */
struct asker {
	capability_done_fn done;
	void *userdata;
};

struct capability_cache {
	VEC(struct asker) askers;
	sd_event_source *answer;
};

struct registry {
	struct capability_cache capabilities;
	sd_event *loop;
	sd_event_source *finish;
	VEC(struct vm *) vms;
	VEC(struct operation) operations;
	bool hold;
	registry_event_fn on_event;
	void *event_userdata;
	int console;
	unsigned destroyed;
	char *last_save;
	char last_start[64];
	struct registry_settings settings;
};

static void finish_at(struct registry *r, size_t i, const struct error *err)
{
	struct operation op = r->operations.items[i];

	VEC_REMOVE(&r->operations, i);
	op.done(op.vm, err, op.userdata);
	vm_unref(op.vm);
}

static int finish_all(sd_event_source *s, void *userdata)
{
	struct registry *r = userdata;

	while (!r->hold && r->operations.n > 0)
		finish_at(r, 0, NULL);
	return 0;
}

static int answer_askers(sd_event_source *s, void *userdata)
{
	struct capability_cache *c = userdata;
	struct error err = ERROR_INIT;
	struct asker asker;

	error_set(&err, ERROR_OPERATION_FAILED, "there is no QEMU here");
	while (c->askers.n > 0) {
		asker = c->askers.items[0];
		VEC_REMOVE(&c->askers, 0);
		asker.done(NULL, &err, asker.userdata);
	}
	return 0;
}

void capability_cache_find(
	struct capability_cache *c, const char *binary, capability_done_fn done, void *userdata)
{
	struct asker asker = {done, userdata};

	VEC_ADD(&c->askers, asker);
	sd_event_source_set_enabled(c->answer, SD_EVENT_ONESHOT);
}

struct registry *fake_registry_new(sd_event *loop)
{
	struct registry *r = NEW(struct registry);

	r->loop = loop;
	r->console = -1;
	if (sd_event_add_defer(loop, &r->capabilities.answer, answer_askers, &r->capabilities) < 0 ||
		sd_event_source_set_enabled(r->capabilities.answer, SD_EVENT_OFF) < 0 ||
		sd_event_add_defer(loop, &r->finish, finish_all, r) < 0 ||
		sd_event_source_set_enabled(r->finish, SD_EVENT_OFF) < 0)
		abort();
	return r;
}

void fake_registry_free(struct registry *r)
{
	VEC_FOREACH (vm, &r->vms)
		vm_unref(vm);
	VEC_FREE(&r->vms);
	VEC_FREE(&r->operations);
	sd_event_source_disable_unref(r->finish);
	sd_event_source_disable_unref(r->capabilities.answer);
	VEC_FREE(&r->capabilities.askers);
	close_p(&r->console);
	free(r->last_save);
	free(r);
}

static void set_state(struct vm *vm, enum vm_state state)
{
	vm->state = state;
	vm->domain->id = state == VM_OFF ? -1 : 7;
	vm->status.state = state == VM_OFF	? RPC_STATE_SHUTOFF
			   : state == VM_PAUSED ? RPC_STATE_PAUSED
						: RPC_STATE_RUNNING;
	vm->status.reason = 1;
}

static void add_serial(struct domain *d)
{
	struct chardev *serial = NEW(struct chardev);

	serial->kind = CHARDEV_SERIAL;
	serial->path = xstrdup("/dev/pts/0");
	serial->info.alias = xstrdup("serial0");
	VEC_ADD(&d->serials, serial);
}

struct vm *fake_vm_add(struct registry *r, const char *name, enum vm_state state)
{
	struct vm *vm = NEW(struct vm);

	vm->refs = 1;
	vm->registry = r;
	vm->domain = domain_new();
	vm->domain->name = xstrdup(name);
	vm->domain->memory_kib = vm->domain->current_memory_kib = 65536;
	vm->domain->vcpus = vm->domain->vcpus_current = 2;
	snprintf((char *)vm->domain->uuid, 16, "%zu", r->vms.n);
	add_serial(vm->domain);
	set_state(vm, state);
	VEC_ADD(&r->vms, vm);
	return vm;
}

void fake_hold_operations(struct registry *r, bool hold)
{
	r->hold = hold;
	sd_event_source_set_enabled(r->finish, SD_EVENT_ONESHOT);
}

unsigned fake_count_operations(const struct registry *r)
{
	return (unsigned)r->operations.n;
}

void fake_finish(struct registry *r, bool newest, const struct error *err)
{
	finish_at(r, newest ? r->operations.n - 1 : 0, err);
}

void fake_emit(struct registry *r, const struct vm_event *event)
{
	if (r->on_event)
		r->on_event(event, r->event_userdata);
}

int fake_console_take(struct registry *r)
{
	return take_fd(&r->console);
}

unsigned fake_count_destroyed(const struct registry *r)
{
	return r->destroyed;
}

const char *fake_last_save(const struct registry *r)
{
	return r->last_save;
}

const char *fake_last_start(const struct registry *r)
{
	return r->last_start;
}

static int begin(struct registry *r, struct vm *vm, vm_done_fn done, void *userdata)
{
	struct operation op = {vm_ref(vm), done, userdata};

	VEC_ADD(&r->operations, op);
	sd_event_source_set_enabled(r->finish, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- what the server calls: registry ---- */

void registry_set_event_handler(struct registry *r, registry_event_fn fn, void *userdata)
{
	r->on_event = fn;
	r->event_userdata = userdata;
}

struct vm *registry_find_by_name(struct registry *r, const char *name)
{
	VEC_FOREACH (vm, &r->vms)
		if (streq(vm->domain->name, name))
			return vm;
	return NULL;
}

struct vm *registry_find_by_uuid(struct registry *r, const uint8_t uuid[16])
{
	VEC_FOREACH (vm, &r->vms)
		if (memcmp(vm->domain->uuid, uuid, 16) == 0)
			return vm;
	return NULL;
}

struct vm *registry_find_by_id(struct registry *r, int32_t id)
{
	VEC_FOREACH (vm, &r->vms)
		if (vm->domain->id == id)
			return vm;
	return NULL;
}

void registry_list(struct registry *r, struct vm *const **ret, size_t *ret_n)
{
	*ret = r->vms.items;
	*ret_n = r->vms.n;
}

struct capability_cache *registry_get_capabilities(struct registry *r)
{
	return &r->capabilities;
}

const struct registry_settings *registry_get_settings(struct registry *r)
{
	return &r->settings;
}

int registry_define(struct registry *r, const char *xml, bool validate, vm_done_fn done, void *userdata,
	struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED_CONFIG, "unsupported configuration: %s", xml);
}

int registry_create(struct registry *r, const char *xml, const struct vm_start_options *options,
	vm_done_fn done, void *userdata, struct error *err)
{
	return begin(r, fake_vm_add(r, xml, VM_RUNNING), done, userdata);
}

int registry_restore(struct registry *r, const struct vm_restore_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	snprintf(r->last_start, sizeof(r->last_start), "%s %d %d", options->path, options->force,
		options->eager);
	return error_set(err, ERROR_DAMAGED, "restore %s: not an image", options->path);
}

int registry_image_get_xml(
	struct registry *r, const char *path, bool secure, char **ret_xml, struct error *err)
{
	*ret_xml = xstrdup("<domain/>");
	return 0;
}

int registry_image_define_xml(
	struct registry *r, const char *path, const char *xml, int running, struct error *err)
{
	return 0;
}

int registry_xml_to_native(
	struct registry *r, const char *xml, registry_text_fn reply, void *userdata, struct error *err)
{
	return error_set(err, ERROR_XML, "no");
}

/* ---- one VM ---- */

struct vm *vm_ref(struct vm *vm)
{
	vm->refs++;
	return vm;
}

struct vm *vm_unref(struct vm *vm)
{
	if (vm && --vm->refs == 0) {
		domain_free(vm->domain);
		snapshot_tree_fini(&vm->snapshots);
		free(vm);
	}
	return NULL;
}

const char *vm_get_name(const struct vm *vm)
{
	return vm->domain->name;
}

const uint8_t *vm_get_uuid(const struct vm *vm)
{
	return vm->domain->uuid;
}

int32_t vm_get_id(const struct vm *vm)
{
	return vm->domain->id;
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
	return true;
}

bool vm_get_autostart(const struct vm *vm)
{
	return vm->autostart;
}

bool vm_get_autostart_once(const struct vm *vm)
{
	return false;
}

bool vm_has_managed_save(const struct vm *vm)
{
	return false;
}

const struct domain *vm_get_domain(const struct vm *vm)
{
	return vm->domain;
}

const struct domain *vm_get_live(const struct vm *vm)
{
	return vm_is_active(vm) ? vm->domain : NULL;
}

const struct domain *vm_get_persistent(const struct vm *vm)
{
	return vm->domain;
}

uint64_t vm_get_cpu_time_ns(const struct vm *vm)
{
	return 5;
}

pid_t vm_get_pid(const struct vm *vm)
{
	return 0;
}

uint64_t vm_get_balloon_kib(const struct vm *vm)
{
	return 65536;
}

struct qmp *vm_get_qmp(struct vm *vm)
{
	return NULL;
}

void vm_get_job_info(const struct vm *vm, bool completed, struct vm_job_info *ret)
{
	*ret = (struct vm_job_info){.operation = VM_JOB_SAVE,
		.elapsed_ms = 10,
		.memory_total = 100,
		.memory_processed = 40,
		.memory_remaining = 60};
}

int vm_abort_job(struct vm *vm, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "no job is active on the domain");
}

int registry_clone(struct registry *r, const struct vm_clone_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	return error_set(err, ERROR_NO_SAVED_IMAGE, "no image %s here", options->path);
}

int vm_start(struct vm *vm, const struct vm_start_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	snprintf(vm->registry->last_start, sizeof(vm->registry->last_start), "%d %d %d", options->paused,
		options->force, options->eager);
	if (vm_is_active(vm))
		return error_set(err, ERROR_OPERATION_INVALID, "domain is already running");
	set_state(vm, options->paused ? VM_PAUSED : VM_RUNNING);
	return begin(vm->registry, vm, done, userdata);
}

int vm_destroy(struct vm *vm, bool graceful, vm_done_fn done, void *userdata, struct error *err)
{
	vm->registry->destroyed++;
	set_state(vm, VM_OFF);
	return begin(vm->registry, vm, done, userdata);
}

/* Verbs that only take their time. */
#define VERB(name)                                                                                           \
	int name(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)                          \
	{                                                                                                    \
		return begin(vm->registry, vm, done, userdata);                                              \
	}

VERB(vm_shutdown)
VERB(vm_reboot)
VERB(vm_reset)
VERB(vm_suspend)
VERB(vm_resume)
VERB(vm_inject_nmi)

int vm_save(struct vm *vm, const struct vm_save_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	free(vm->registry->last_save);
	vm->registry->last_save = xasprintf("%s %s %u %d %d", options->path ? options->path : "managed",
		options->has_format ? image_format_name(options->format) : "default", options->channels,
		options->resume_as, options->bypass_cache);
	return begin(vm->registry, vm, done, userdata);
}

int vm_undefine(struct vm *vm, const struct vm_undefine_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_set_autostart(struct vm *vm, bool on, struct error *err)
{
	vm->autostart = on;
	return 0;
}

int vm_set_autostart_once(struct vm *vm, bool on, struct error *err)
{
	return 0;
}

int vm_managed_save_remove(struct vm *vm, struct error *err)
{
	return 0;
}

int vm_managed_save_get_xml(struct vm *vm, bool secure, char **ret_xml, struct error *err)
{
	return error_set(err, ERROR_NO_SAVED_IMAGE, "domain does not have managed save image");
}

int vm_managed_save_define_xml(struct vm *vm, const char *xml, int running, struct error *err)
{
	return 0;
}

int vm_rename(struct vm *vm, const char *name, struct error *err)
{
	return 0;
}

int vm_attach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_detach_device(
	struct vm *vm, const char *xml, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_detach_alias(
	struct vm *vm, const char *alias, unsigned affect, vm_done_fn done, void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_commit(struct vm *vm, const struct vm_block_commit_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_pull(struct vm *vm, const struct vm_block_pull_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_job_abort(struct vm *vm, const char *disk, bool async, bool pivot, vm_done_fn done,
	void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_job_set_speed(struct vm *vm, const char *disk, uint64_t bandwidth, vm_done_fn done,
	void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_job_get_info(
	struct vm *vm, const char *disk, vm_block_job_info_fn reply, void *userdata, struct error *err)
{
	reply(&(struct vm_block_job_info){0}, NULL, userdata);
	return 0;
}

int vm_block_resize(
	struct vm *vm, const char *disk, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

int vm_block_resize_to_capacity(
	struct vm *vm, const char *disk, uint64_t bytes, vm_done_fn done, void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}

char *vm_format_xml(const struct vm *vm, unsigned flags)
{
	return xasprintf("<domain flags='%u'/>", flags);
}

int vm_set_metadata(struct vm *vm, enum vm_metadata what, const char *text, const char *key, const char *uri,
	unsigned affect, struct error *err)
{
	return 0;
}

int vm_get_metadata(const struct vm *vm, enum vm_metadata what, const char *uri, unsigned affect, char **ret,
	struct error *err)
{
	return error_set(err, ERROR_NO_METADATA, "Requested metadata element is not present");
}

int vm_open_console(struct vm *vm, const char *device, int *ret_fd, struct error *err)
{
	int fds[2];

	if (device && !streq(device, "serial0"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "no device '%s'", device);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	close_p(&vm->registry->console);
	vm->registry->console = fds[1];
	*ret_fd = fds[0];
	return 0;
}

/* ---- statistics ---- */

void vm_stats_find(struct vm *vm, unsigned what, vm_stats_fn done, void *userdata)
{
	struct vm_stats stats = {.vm = vm, .cpu_user_ns = 1, .cpu_system_ns = 2};

	done(&stats, NULL, userdata);
}

int vm_stats_get_nic(const char *device, struct vm_nic_stats *ret, struct error *err)
{
	return error_set(err, ERROR_SYSTEM, "no");
}

int vm_stats_get_file_size(const struct disk *disk, struct vm_block_stats *ret, struct error *err)
{
	return error_set(err, ERROR_SYSTEM, "no");
}

/* ---- a client ---- */

void client_run(sd_event *loop)
{
	while (sd_event_run(loop, 0) > 0)
		;
}

struct client client_connect(sd_event *loop, struct server *server, bool read_only)
{
	struct client c = {.loop = loop};
	struct error err = ERROR_INIT;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	c.fd = fds[1];
	c.gone = server_add_client(server, fds[0], read_only, &err) < 0;
	return c;
}

void client_close(struct client *c)
{
	close_p(&c->fd);
	c->fd = -1;
	buf_fini(&c->in);
	client_run(c->loop);
}

static void send_all(struct client *c, const char *data, size_t len)
{
	unsigned idle = 0;
	ssize_t n;

	/* a server that does not read any more lets the rest be lost */
	while (len > 0 && idle < 10) {
		n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			idle = 0;
		} else {
			client_run(c->loop);
			idle++;
		}
	}
}

void client_send(struct client *c, const struct rpc_header *header, const void *payload, size_t len)
{
	_cleanup_(buf_fini) struct buf b = {0};

	frame_encode_raw(&b, header, payload, len);
	send_all(c, b.data, b.len);
}

uint32_t client_call(struct client *c, int procedure, xdrproc_t coder, const void *args)
{
	struct rpc_header header = {.prog = c->program ? c->program : RPC_PROGRAM_REMOTE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = procedure,
		.serial = c->serial++};
	_cleanup_(buf_fini) struct buf b = {0};

	if (frame_encode(&b, &header, coder, args, NULL) < 0)
		abort();
	send_all(c, b.data, b.len);
	return header.serial;
}

bool client_receive(struct client *c, struct rpc_header *ret, struct buf *payload)
{
	char data[65536];
	size_t length = 0;
	ssize_t n = 1;

	for (;;) {
		if (frame_get_length(c->in.data, c->in.len, RPC_FRAME_MAX, &length, NULL) == 1 &&
			c->in.len >= length) {
			frame_decode_header(c->in.data, ret);
			buf_clear(payload);
			buf_add(payload, c->in.data + RPC_FRAME_MIN, length - RPC_FRAME_MIN);
			buf_drop_front(&c->in, length);
			return true;
		}
		client_run(c->loop);
		n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n <= 0)
			break;
		buf_add(&c->in, data, (size_t)n);
	}
	c->gone |= n == 0 || errno != EAGAIN;
	return false;
}

static char last_message[1200];

const char *client_message(void)
{
	return last_message;
}

int client_ask(struct client *c, int procedure, xdrproc_t args_coder, const void *args, xdrproc_t ret_coder,
	void *ret)
{
	uint32_t serial = client_call(c, procedure, args_coder, args);
	_cleanup_(buf_fini) struct buf payload = {0};
	struct rpc_header header;
	rpc_error error = {0};
	int code;

	do {
		if (!client_receive(c, &header, &payload))
			return -1;
	} while (header.type != RPC_REPLY || header.serial != serial);
	if (header.status == RPC_OK)
		return !ret_coder && payload.len > 0							  ? -1
		       : ret_coder && payload_decode(payload.data, payload.len, ret_coder, ret, NULL) < 0 ? -1
													  : 0;
	if (payload_decode(payload.data, payload.len, (xdrproc_t)xdr_rpc_error, &error, NULL) < 0)
		return -1;
	snprintf(last_message, sizeof(last_message), "%s", error.message ? *error.message : "");
	code = error.code;
	payload_free((xdrproc_t)xdr_rpc_error, &error);
	return code;
}

struct client client_open(sd_event *loop, struct server *server, bool read_only)
{
	rpc_string uri = (char *)"qemu:///system";
	rpc_connect_open_args open = {&uri, 0};
	struct client c = client_connect(loop, server, read_only);
	rpc_auth_list_ret auth = {0};

	if (client_ask(&c, RPC_AUTH_LIST, NULL, NULL, (xdrproc_t)xdr_rpc_auth_list_ret, &auth) != 0 ||
		ASK_ONLY(&c, RPC_CONNECT_OPEN, rpc_connect_open_args, &open) != 0)
		c.gone = true;
	payload_free((xdrproc_t)xdr_rpc_auth_list_ret, &auth);
	return c;
}

/* ---- memory that comes in ---- */

void vm_get_restore_info(const struct vm *vm, struct vm_restore_info *ret)
{
	*ret = (struct vm_restore_info){
		.lazily = true, .is_coming_in = true, .memory_total = 4096, .memory_in = 1024};
}

int vm_hurry_restore(struct vm *vm, struct error *err)
{
	return vm_is_active(vm) ? 0 : error_set(err, ERROR_OPERATION_INVALID, "domain is not running");
}

/* ---- leases ---- */

const struct lease_set *vm_get_leases(const struct vm *vm)
{
	return NULL;
}

enum lease_kind vm_get_lease_kind(const struct vm *vm)
{
	return LEASE_KIND_LOCKD;
}

enum lease_state vm_get_lease_state(const struct vm *vm)
{
	return LEASE_HELD;
}

int vm_inquire_leases(struct vm *vm, vm_held_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "no leases here");
}

int vm_lose_leases(struct vm *vm, vm_done_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_OPERATION_INVALID, "no leases here");
}

/* ---- snapshots ---- */

const struct snapshot_tree *vm_get_snapshots(const struct vm *vm)
{
	return &vm->snapshots;
}

bool vm_snapshot_is_unreadable(const struct vm *vm, const char *name)
{
	return false;
}

int vm_snapshot_create(struct vm *vm, const struct vm_snapshot_create_options *options,
	vm_snapshot_done_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED_CONFIG, "nothing selected for snapshot");
}

int vm_snapshot_redefine(
	struct vm *vm, const char *xml, bool current, const char **ret_name, struct error *err)
{
	struct snapshot *s;

	if (snapshot_parse(xml, strlen(xml), SNAPSHOT_PARSE_REDEFINE, &s, NULL, err) < 0)
		return -1;
	snapshot_tree_put(&vm->snapshots, s);
	if (current)
		replace_string(&vm->snapshots.current, s->name);
	*ret_name = s->name;
	return 0;
}

int vm_snapshot_delete(struct vm *vm, const struct vm_snapshot_delete_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	return error_set(err, ERROR_BUSY, "it is only a model of one");
}

int vm_snapshot_forget(struct vm *vm, const char *name, bool children, bool children_only, struct error *err)
{
	struct snapshot *s = snapshot_tree_find(&vm->snapshots, name);

	if (s)
		snapshot_tree_remove(&vm->snapshots, s);
	return 0;
}

int vm_snapshot_measure(struct vm *vm, vm_snapshot_sizes_fn done, void *userdata, struct error *err)
{
	return error_set(err, ERROR_UNSUPPORTED, "no");
}

int vm_snapshot_revert(struct vm *vm, const struct vm_snapshot_revert_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	return begin(vm->registry, vm, done, userdata);
}
