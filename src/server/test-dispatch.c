/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What calls become at the VMs, events and streams. No QEMU: fake-vm.c stands for the VMs. */
#include <sys/socket.h>
#include <unistd.h>

#include "constants.h"
#include "event.h"
#include "fake-vm.h"
#include "own.h"
#include "registry.h"
#include "strv.h"
#include "tap.h"

static sd_event *loop;
static struct registry *registry;
static struct server *server;
static struct vm *vm;

static void set_up(void)
{
	struct server_settings settings = {.max_clients = 100, .max_client_requests = 5};
	struct error err = ERROR_INIT;

	if (sd_event_new(&loop) < 0)
		abort();
	registry = fake_registry_new(loop);
	vm = fake_vm_add(registry, "guest", VM_RUNNING);
	if (server_open(loop, registry, &settings, &server, &err) < 0)
		abort();
}

static void tear_down(void)
{
	server_close(server);
	fake_registry_free(registry);
	loop = sd_event_unref(loop);
}

static rpc_domain guest(void)
{
	return (rpc_domain){.name = (char *)"guest", .uuid = "0", .id = 7};
}

static int count(struct client *c, unsigned flags)
{
	rpc_list_args args = {1, flags};
	rpc_domains_ret ret = {0};
	int n;

	if (ASK(c, RPC_CONNECT_LIST_ALL_DOMAINS, rpc_list_args, &args, rpc_domains_ret, &ret) != 0)
		return -1;
	n = ret.ret == ret.domains.domains_len ? (int)ret.ret : -2;
	payload_free((xdrproc_t)xdr_rpc_domains_ret, &ret);
	return n;
}

static void test_list(void)
{
	rpc_maximum_args maximum = {2};
	rpc_strings_ret names = {0};
	char name[32];
	struct client c;

	set_up();
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "off%u", i);
		fake_vm_add(registry, name, VM_OFF);
	}
	fake_vm_add(registry, "paused", VM_PAUSED);
	c = client_open(loop, server, false);
	is_int(count(&c, 0), 1002, "all");
	is_int(count(&c, RPC_LIST_ACTIVE), 2, "active");
	is_int(count(&c, RPC_LIST_INACTIVE), 1000, "inactive");
	is_int(count(&c, RPC_LIST_ACTIVE | RPC_LIST_INACTIVE), 1002, "both of a group are all");
	is_int(count(&c, RPC_LIST_PAUSED | RPC_LIST_RUNNING), 2, "by state");
	is_int(count(&c, RPC_LIST_OTHER), 0, "other states");
	is_int(count(&c, RPC_LIST_TRANSIENT), 0, "transient");
	is_int(count(&c, RPC_LIST_HAS_SNAPSHOT), 0, "with snapshots: none");
	is_int(count(&c, RPC_LIST_NO_SNAPSHOT | RPC_LIST_NO_CHECKPOINT | RPC_LIST_ACTIVE), 2, "without: all");
	is_int(count(&c, 1 << 20), -1, "an unknown filter is refused");
	is_int(ASK(&c, RPC_CONNECT_LIST_DEFINED_DOMAINS, rpc_maximum_args, &maximum, rpc_strings_ret, &names),
		0, "names");
	is_int(names.values.values_len, 2, "no more than asked for");
	payload_free((xdrproc_t)xdr_rpc_strings_ret, &names);
	client_close(&c);
	tear_down();
}

static rpc_param string_param(const char *field, const char *value)
{
	rpc_param p = {.field = (char *)field, .value.type = RPC_PARAM_STRING};

	p.value.rpc_param_value_u.s = (char *)value;
	return p;
}

static void test_save(void)
{
	rpc_param params[3] = {string_param("file", "/x"), string_param("image_format", "zstd"),
		{.field = (char *)"parallel.channels",
			.value = {.type = RPC_PARAM_INT, .rpc_param_value_u.i = 4}}};
	rpc_domain_params_args with_params = {guest(), {3, params}, RPC_SAVE_PAUSED};
	rpc_domain_save_flags_args flags = {
		guest(), (char *)"/y", NULL, RPC_SAVE_BYPASS_CACHE | RPC_SAVE_RUNNING};
	rpc_domain_path_args plain = {guest(), (char *)"/z"};
	rpc_domain_flags_args managed = {guest(), 0};
	rpc_name_args file = {(char *)"/none"};
	rpc_domain_args dom = {guest()};
	rpc_job_stats_ret stats = {0};
	rpc_job_info_ret info;
	struct client c;

	set_up();
	c = client_open(loop, server, false);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_PARAMS, rpc_domain_params_args, &with_params), 0,
		"save with parameters");
	is_str(fake_last_save(registry), "/x zstd 4 2 0", "all of them arrive");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_FLAGS, rpc_domain_save_flags_args, &flags), 0, "save with flags");
	is_str(fake_last_save(registry), "/y default 0 1 1", "running, past the cache");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE, rpc_domain_path_args, &plain), 0, "plain save");
	is_str(fake_last_save(registry), "/z default 0 0 0", "as it is");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MANAGED_SAVE, rpc_domain_flags_args, &managed), 0, "managed save");
	is_str(fake_last_save(registry), "managed default 0 0 0", "without a file");
	params[1] = string_param("image_format", "arj");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_PARAMS, rpc_domain_params_args, &with_params),
		RPC_CODE_INVALID_ARG, "an unknown format");
	params[1] = string_param("colour", "red");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_PARAMS, rpc_domain_params_args, &with_params),
		RPC_CODE_INVALID_ARG, "an unknown parameter is refused");
	is_str(client_message(), "invalid argument: parameter 'colour' not supported", "by name");
	params[1] = (rpc_param){.field = (char *)"file", .value = {.type = RPC_PARAM_INT}};
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_PARAMS, rpc_domain_params_args, &with_params),
		RPC_CODE_INVALID_ARG, "a number is no file");
	flags.flags = RPC_SAVE_RUNNING | RPC_SAVE_PAUSED;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SAVE_FLAGS, rpc_domain_save_flags_args, &flags), RPC_CODE_INVALID_ARG,
		"running and paused together");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_RESTORE, rpc_name_args, &file), RPC_CODE_OPERATION_FAILED,
		"a restore that fails");
	is_str(client_message(), "operation failed: restore /none: not an image", "says why");

	is_int(ASK(&c, RPC_DOMAIN_GET_JOB_INFO, rpc_domain_args, &dom, rpc_job_info_ret, &info), 0,
		"GET_JOB_INFO");
	ok(info.data_total == 100 && info.data_remaining == 60 && info.type == RPC_JOB_UNBOUNDED,
		"live figures");
	is_int(ASK(&c, RPC_DOMAIN_GET_JOB_STATS, rpc_domain_flags_args, &managed, rpc_job_stats_ret, &stats),
		0, "GET_JOB_STATS");
	ok(stats.params.rpc_params_len >= 8 && streq(stats.params.rpc_params_val[0].field, "operation"),
		"the same as parameters");
	payload_free((xdrproc_t)xdr_rpc_job_stats_ret, &stats);
	client_close(&c);
	tear_down();
}

static void test_life(void)
{
	rpc_xml_flags_args create = {(char *)"new", RPC_START_AUTODESTROY};
	rpc_domain_flags_args agent = {guest(), RPC_SHUTDOWN_AGENT}, nvram = {guest(), 12};
	rpc_domain_args dom = {guest()};
	rpc_xml_args xml = {(char *)"<x/>"};
	rpc_domain_ret ret = {0};
	struct client c;

	set_up();
	c = client_open(loop, server, false);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_CREATE, rpc_domain_args, &dom), RPC_CODE_OPERATION_INVALID,
		"start what runs");
	is_str(client_message(), "Requested operation is not valid: domain is already running",
		"in libvirt's words");
	is_int(ASK(&c, RPC_DOMAIN_DEFINE_XML, rpc_xml_args, &xml, rpc_domain_ret, &ret),
		RPC_CODE_CONFIG_UNSUPPORTED, "define");
	is_str(client_message(), "unsupported configuration: <x/>",
		"a prefix that is there is not put twice");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_SHUTDOWN_FLAGS, rpc_domain_flags_args, &agent),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "the guest agent is refused");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_UNDEFINE_FLAGS, rpc_domain_flags_args, &nvram), RPC_CODE_INVALID_ARG,
		"keep and remove nvram");
	is_int(ASK(&c, RPC_DOMAIN_CREATE_XML, rpc_xml_flags_args, &create, rpc_domain_ret, &ret), 0,
		"create for as long as I am here");
	payload_free((xdrproc_t)xdr_rpc_domain_ret, &ret);
	is_int(fake_count_destroyed(registry), 0, "it lives");
	client_close(&c);
	is_int(fake_count_destroyed(registry), 1, "and ends with its client");

	c = client_open(loop, server, false);
	fake_hold_operations(registry, true);
	create.xml = (char *)"new2";
	client_call(&c, RPC_DOMAIN_CREATE_XML, (xdrproc_t)xdr_rpc_xml_flags_args, &create);
	client_run(loop);
	client_close(&c);
	fake_finish(registry, false, NULL);
	is_int(fake_count_destroyed(registry), 2, "also when the client goes before it is there");
	fake_hold_operations(registry, false);
	client_run(loop);
	tear_down();
}

/* What only godwit's own start and restore can say. */
static void test_extra(void)
{
	rpc_param params[] = {string_param("file", "/x"), string_param("image_format", "raw")};
	rpc_godwit_restore_args restore = {{1, params}, RPC_SAVE_PAUSED, RPC_GODWIT_EAGER};
	rpc_domain_flags_args plain = {guest(), RPC_START_PAUSED};
	rpc_godwit_start_args start = {guest(), RPC_START_PAUSED, RPC_GODWIT_FORCE};
	rpc_domain_ret ret = {0};
	struct client c;

	set_up();
	c = client_open(loop, server, false);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_CREATE_WITH_FLAGS, rpc_domain_flags_args, &plain),
		RPC_CODE_OPERATION_INVALID, "libvirt's start");
	is_str(fake_last_start(registry), "1 0 0", "has neither");
	c.program = RPC_PROGRAM_GODWIT;
	is_int(ASK(&c, RPC_GODWIT_DOMAIN_START, rpc_godwit_start_args, &start, rpc_domain_ret, &ret),
		RPC_CODE_OPERATION_INVALID, "godwit's start");
	is_str(fake_last_start(registry), "1 1 0", "forced");
	start.extra = 4;
	is_int(ASK_ONLY(&c, RPC_GODWIT_DOMAIN_START, rpc_godwit_start_args, &start),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "bits that mean nothing");
	is_int(ASK_ONLY(&c, RPC_GODWIT_DOMAIN_RESTORE, rpc_godwit_restore_args, &restore),
		RPC_CODE_OPERATION_FAILED, "godwit's restore");
	is_str(fake_last_start(registry), "/x 0 1", "eager");
	restore.params.rpc_params_len = 2;
	is_int(ASK_ONLY(&c, RPC_GODWIT_DOMAIN_RESTORE, rpc_godwit_restore_args, &restore),
		RPC_CODE_INVALID_ARG, "a parameter of saves only");
	client_close(&c);
	tear_down();
}

static void test_empty(void)
{
	rpc_domain_flags_args flags = {guest(), 0};
	rpc_name_args name = {(char *)"default"};
	rpc_list_args list = {1, 0};
	rpc_networks_ret networks = {0};
	rpc_secrets_ret secrets = {0};
	rpc_domain_messages_ret messages = {0};
	rpc_int_ret number;
	struct client c;

	set_up();
	c = client_open(loop, server, false);
	ok(ASK(&c, RPC_CONNECT_LIST_ALL_NETWORKS, rpc_list_args, &list, rpc_networks_ret, &networks) == 0 &&
			networks.ret == 0,
		"no networks");
	ok(ASK(&c, RPC_CONNECT_LIST_ALL_SECRETS, rpc_list_args, &list, rpc_secrets_ret, &secrets) == 0 &&
			secrets.ret == 0,
		"no secrets");
	ok(client_ask(&c, RPC_CONNECT_NUM_OF_STORAGE_POOLS, NULL, NULL, (xdrproc_t)xdr_rpc_int_ret,
		   &number) == 0 &&
			number.value == 0,
		"no pools");
	is_int(ASK_ONLY(&c, RPC_NETWORK_LOOKUP_BY_NAME, rpc_name_args, &name), RPC_CODE_NO_NETWORK,
		"so none is found");
	ok(ASK(&c, RPC_DOMAIN_SNAPSHOT_NUM, rpc_domain_flags_args, &flags, rpc_int_ret, &number) == 0 &&
			number.value == 0,
		"no snapshots");
	is_int(ASK(&c, RPC_DOMAIN_GET_MESSAGES, rpc_domain_flags_args, &flags, rpc_domain_messages_ret,
		       &messages),
		0, "no messages");
	client_close(&c);
	tear_down();
}

static void test_security(void)
{
	rpc_security_label_ret label = {0};
	rpc_security_model_ret model = {0};
	rpc_domain_args dom = {guest()};
	struct client c;

	set_up();
	c = client_open(loop, server, true);
	is_int(client_ask(&c, RPC_NODE_GET_SECURITY_MODEL, NULL, NULL, (xdrproc_t)xdr_rpc_security_model_ret,
		       &model),
		0, "security model");
	ok(model.model.model_len == 5 && memcmp(model.model.model_val, "none", 5) == 0, "none");
	payload_free((xdrproc_t)xdr_rpc_security_model_ret, &model);
	is_int(ASK(&c, RPC_DOMAIN_GET_SECURITY_LABEL, rpc_domain_args, &dom, rpc_security_label_ret, &label),
		0, "security label");
	ok(label.label.label_len == 1 && label.label.label_val[0] == '\0', "empty");
	payload_free((xdrproc_t)xdr_rpc_security_label_ret, &label);
	client_close(&c);
	tear_down();
}

static int next_event(struct client *c, xdrproc_t coder, void *ret)
{
	_cleanup_(buf_fini) struct buf payload = {0};
	struct rpc_header header;

	if (!client_receive(c, &header, &payload) || header.type != RPC_EVENT || header.serial != 0)
		return -1;
	return payload_decode(payload.data, payload.len, coder, ret, NULL) < 0 ? -2 : header.proc;
}

struct numbered_lifecycle {
	int callback_id;
	rpc_event_lifecycle body;
};

static bool_t xdr_numbered_lifecycle(XDR *xdrs, struct numbered_lifecycle *e)
{
	return xdr_int(xdrs, &e->callback_id) && xdr_rpc_event_lifecycle(xdrs, &e->body);
}

static void test_events(void)
{
	struct vm_event event = {.type = VM_EVENT_LIFECYCLE, .lifecycle = {5, 1}};
	struct numbered_lifecycle got = {0};
	rpc_event_lifecycle old = {0};
	rpc_domain other_dom = {.name = (char *)"other", .uuid = "1"};
	rpc_event_register_args all = {RPC_EVENT_ID_LIFECYCLE, NULL},
				one = {RPC_EVENT_ID_LIFECYCLE, &other_dom}, bad = {99, NULL};
	rpc_callback_args callback = {0};
	rpc_int_ret first, second;
	struct client c;

	set_up();
	fake_vm_add(registry, "other", VM_RUNNING);
	event.vm = vm;
	c = client_open(loop, server, true);
	is_int(ASK(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, &one,
		       rpc_int_ret, &first),
		0, "register for one domain");
	is_int(ASK(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, &all,
		       rpc_int_ret, &second),
		0, "and for all");
	ok(first.value != second.value, "the ids differ");
	is_int(ASK(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, &bad,
		       rpc_int_ret, &first),
		RPC_CODE_INVALID_ARG, "an unknown event is refused");
	fake_emit(registry, &event);
	is_int(next_event(&c, (xdrproc_t)xdr_numbered_lifecycle, &got), RPC_EVENT_CALLBACK_LIFECYCLE,
		"an event comes");
	ok(got.callback_id == second.value && got.body.event == 5 && got.body.detail == 1,
		"for who asked for all");
	is_str(got.body.dom.name, "guest", "of that domain");
	payload_free((xdrproc_t)xdr_numbered_lifecycle, &got);
	is_int(next_event(&c, (xdrproc_t)xdr_numbered_lifecycle, &got), -1, "and once");
	callback.callback_id = second.value;
	is_int(ASK_ONLY(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, rpc_callback_args, &callback),
		0, "deregister");
	is_int(ASK_ONLY(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, rpc_callback_args, &callback),
		RPC_CODE_INVALID_ARG, "but not twice");
	fake_emit(registry, &event);
	is_int(next_event(&c, (xdrproc_t)xdr_numbered_lifecycle, &got), -1, "no more come");

	is_int(client_ask(
		       &c, RPC_CONNECT_DOMAIN_EVENT_REGISTER, NULL, NULL, (xdrproc_t)xdr_rpc_int_ret, &first),
		0, "the old way");
	fake_emit(registry, &event);
	is_int(next_event(&c, (xdrproc_t)xdr_rpc_event_lifecycle, &old), RPC_EVENT_LIFECYCLE,
		"has its own message");
	payload_free((xdrproc_t)xdr_rpc_event_lifecycle, &old);
	client_close(&c);
	fake_emit(registry, &event);
	ok(true, "events for nobody do no harm");
	tear_down();
}

/* One of each kind, to see that none is left out or malformed. */
static void test_all_events(void)
{
	static const int numbers[][2] = {{VM_EVENT_REBOOT, 319}, {VM_EVENT_RTC_CHANGE, 320},
		{VM_EVENT_WATCHDOG, 321}, {VM_EVENT_GRAPHICS, 323}, {VM_EVENT_BALLOON_CHANGE, 331},
		{VM_EVENT_TRAY_CHANGE, 328}, {VM_EVENT_DEVICE_ADDED, 354}, {VM_EVENT_DEVICE_REMOVED, 333},
		{VM_EVENT_JOB_COMPLETED, 363}, {VM_EVENT_AGENT_LIFECYCLE, 348},
		{VM_EVENT_METADATA_CHANGE, 379}, {VM_EVENT_MIGRATION_ITERATION, 359}};
	_cleanup_(buf_fini) struct buf payload = {0};
	struct rpc_header header;
	rpc_event_register_args args = {0};
	unsigned good = 0;
	rpc_int_ret id;
	struct client c;

	set_up();
	c = client_open(loop, server, false);
	for (args.event_id = 0; args.event_id < RPC_EVENT_ID_MAX; args.event_id++)
		if (ASK(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, &args,
			    rpc_int_ret, &id) == 0)
			good++;
	is_int(good, 28, "virsh event --all registers 28 ids");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct vm_event event = {.type = (enum vm_event_type)numbers[i][0], .vm = vm};
		bool came;

		fake_emit(registry, &event);
		came = client_receive(&c, &header, &payload);
		is_int(came ? header.proc : -1, numbers[i][1], "each event has its message");
	}
	fake_emit(registry, &(struct vm_event){.type = VM_EVENT_IO_ERROR, .vm = vm});
	ok(client_receive(&c, &header, &payload) && header.proc == 322, "an I/O error is told without");
	ok(client_receive(&c, &header, &payload) && header.proc == 324, "and with its reason");
	ok(!client_receive(&c, &header, &payload), "nothing is told twice");
	client_close(&c);
	tear_down();
}

static void test_monitor_events(void)
{
	rpc_string pattern = (char *)"^block_";
	rpc_monitor_event_register_args args = {
		NULL, &pattern, RPC_MONITOR_EVENT_REGEX | RPC_MONITOR_EVENT_NOCASE};
	struct rpc_header h = {.prog = RPC_PROGRAM_QEMU, .vers = 1, .proc = RPC_QEMU_MONITOR_EVENT_REGISTER};
	_cleanup_(buf_fini) struct buf payload = {0}, frame = {0};
	json *data = json_object_new_object();
	struct vm_event event = {.type = VM_EVENT_MONITOR, .monitor = {"BLOCK_JOB_READY", 1, 2, data}};
	rpc_monitor_event got = {0};
	struct rpc_header header;
	struct client c;

	set_up();
	event.vm = vm;
	c = client_open(loop, server, false);
	if (frame_encode(&frame, &h, (xdrproc_t)xdr_rpc_monitor_event_register_args, &args, NULL) < 0)
		abort();
	(void)!write(c.fd, frame.data, frame.len);
	ok(client_receive(&c, &header, &payload) && header.status == RPC_OK,
		"register for QEMU's events by a pattern");
	event.monitor.name = "RTC_CHANGE";
	fake_emit(registry, &event);
	event.monitor.name = "BLOCK_JOB_READY";
	fake_emit(registry, &event);
	is_int(next_event(&c, (xdrproc_t)xdr_rpc_monitor_event, &got), RPC_QEMU_MONITOR_EVENT,
		"what matches comes");
	ok(streq(got.event, "BLOCK_JOB_READY") && got.details && streq(*got.details, "{}"), "with its data");
	payload_free((xdrproc_t)xdr_rpc_monitor_event, &got);
	ok(!client_receive(&c, &header, &payload), "the rest does not");
	client_close(&c);
	json_object_put(data);
	tear_down();
}

static void test_deaf_client(void)
{
	_cleanup_free_ char *uri = xcalloc(1, 1 << 20);
	struct vm_event event = {.type = VM_EVENT_METADATA_CHANGE, .metadata = {VM_METADATA_ELEMENT, uri}};
	rpc_event_register_args args = {RPC_EVENT_ID_METADATA_CHANGE, NULL};
	struct client c, other;
	rpc_int_ret id;

	set_up();
	event.vm = vm;
	memset(uri, 'u', (1 << 20) - 1);
	c = client_open(loop, server, false);
	other = client_open(loop, server, false);
	is_int(ASK(&c, RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, &args,
		       rpc_int_ret, &id),
		0, "register");
	for (unsigned i = 0; i < 30; i++)
		fake_emit(registry, &event);
	client_run(loop);
	is_int(server_get_n_clients(server), 1, "a client that does not read its events is dropped");
	client_close(&c);
	client_close(&other);
	tear_down();
}

static int next_packet(struct client *c, struct buf *payload)
{
	struct rpc_header header;

	return client_receive(c, &header, payload) && header.type == RPC_STREAM &&
			       header.proc == RPC_DOMAIN_OPEN_CONSOLE
		       ? header.status
		       : -1;
}

static void test_console(void)
{
	rpc_string device = (char *)"serial0";
	rpc_open_console_args args = {guest(), &device, 0};
	struct rpc_header h = {
		.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = RPC_DOMAIN_OPEN_CONSOLE, .type = RPC_STREAM};
	_cleanup_(buf_fini) struct buf payload = {0};
	static char big[100000];
	struct client c;
	char data[16];
	int fd, status = 0;

	set_up();
	c = client_open(loop, server, false);
	h.serial = c.serial;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0, "open a console");
	fd = fake_console_take(registry);
	(void)!write(fd, "login:", 6);
	is_int(next_packet(&c, &payload), RPC_CONTINUE, "what the guest says comes");
	ok(payload.len == 6 && memcmp(payload.data, "login:", 6) == 0, "as it is");
	h.status = RPC_CONTINUE;
	client_send(&c, &h, "root\n", 5);
	client_run(loop);
	ok(read(fd, data, sizeof(data)) == 5 && memcmp(data, "root\n", 5) == 0,
		"what the client types arrives");
	close(fd);
	is_int(next_packet(&c, &payload), RPC_OK, "the end is told");
	ok(payload.len == 0, "by an empty packet");
	h.status = RPC_OK;
	client_send(&c, &h, NULL, 0);
	is_int(next_packet(&c, &payload), RPC_OK, "finishing is answered");

	h.serial = c.serial;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0, "another one");
	fd = fake_console_take(registry);
	h.status = RPC_ERROR;
	client_send(&c, &h, NULL, 0);
	is_int(next_packet(&c, &payload), RPC_ERROR, "an abort is answered by an error");
	is_int(read(fd, data, 1), 0, "and the console is free");
	close(fd);

	h.serial = c.serial;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0,
		"one that nobody reads");
	fd = fake_console_take(registry);
	h.status = RPC_CONTINUE;
	for (unsigned i = 0; i < 20; i++)
		client_send(&c, &h, big, sizeof(big));
	is_int(next_packet(&c, &payload), RPC_ERROR, "is ended when too much waits for it");
	close(fd);

	is_int(ASK_ONLY(&c, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0,
		"one whose client does not read");
	fd = fake_console_take(registry);
	for (unsigned i = 0, idle = 0; i < 1000 && idle < 3; i++) {
		idle = write(fd, big, sizeof(big)) > 0 ? 0 : idle + 1;
		status++;
		client_run(loop);
	}
	ok(status < 100, "lets the guest wait instead of piling up");
	client_close(&c);
	ok(send(fd, "x", 1, MSG_NOSIGNAL) < 0, "and is closed with its client");
	close(fd);
	tear_down();
}

static void test_console_users(void)
{
	rpc_string device = (char *)"serial0", none = (char *)"serial9";
	rpc_open_console_args args = {guest(), NULL, 0}, by_name = {guest(), &device, RPC_CONSOLE_FORCE},
			      bad = {guest(), &none, 0};
	_cleanup_(buf_fini) struct buf payload = {0};
	struct client first, second;
	char data[4];
	int fd;

	set_up();
	first = client_open(loop, server, false);
	second = client_open(loop, server, false);
	is_int(ASK_ONLY(&first, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &bad), RPC_CODE_INVALID_ARG,
		"no such console");
	is_int(ASK_ONLY(&first, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0, "one user");
	is_int(ASK_ONLY(&second, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args),
		RPC_CODE_OPERATION_FAILED, "not two");
	is_str(client_message(), "operation failed: Active console session exists for this domain",
		"in libvirt's words");
	fd = fake_console_take(registry);
	is_int(ASK_ONLY(&second, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &by_name), 0,
		"unless forced, under whatever name");
	is_int(next_packet(&first, &payload), RPC_ERROR, "the first one hears of it");
	is_int(read(fd, data, sizeof(data)), 0, "and has let go");
	close(fd);
	client_close(&second);
	is_int(ASK_ONLY(&first, RPC_DOMAIN_OPEN_CONSOLE, rpc_open_console_args, &args), 0,
		"free again when its client is gone");
	client_close(&first);
	tear_down();
}

int main(void)
{
	test_list();
	test_save();
	test_life();
	test_extra();
	test_empty();
	test_security();
	test_events();
	test_all_events();
	test_monitor_events();
	test_deaf_client();
	test_console();
	test_console_users();
	return done_testing();
}
