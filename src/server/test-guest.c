/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What clients are told of a guest: its agent's answers as they should be, and as a hostile guest may give them. */
#include "buf.h"
#include "constants.h"
#include "disk.h"
#include "fake-agent.h"
#include "fake-vm.h"
#include "guest-report.h"
#include "registry.h"
#include "strv.h"
#include "tap.h"

static sd_event *loop;
static struct registry *registry;
static struct server *server;
static struct client client;

static void set_up(void)
{
	struct server_settings settings = {.max_clients = 100, .max_client_requests = 5};
	struct error err = ERROR_INIT;

	if (sd_event_new(&loop) < 0)
		abort();
	registry = fake_registry_new(loop);
	fake_vm_add(registry, "guest", VM_RUNNING);
	if (server_open(loop, registry, &settings, &server, &err) < 0)
		abort();
	client = client_open(loop, server, false);
}

static void tear_down(void)
{
	client_close(&client);
	server_close(server);
	fake_registry_free(registry);
	loop = sd_event_unref(loop);
}

static rpc_domain guest(void)
{
	return (rpc_domain){.name = (char *)"guest", .uuid = "0", .id = 7};
}

/* "name=value" of all parameters, with one space between; or "error CODE". */
static char *get_info(unsigned types, const char *answer)
{
	rpc_guest_info_args args = {guest(), types, 0};
	rpc_guest_info_ret ret = {0};
	struct buf text = {0};
	int code;

	fake_agent_answer(loop, answer);
	code = ASK(&client, RPC_DOMAIN_GET_GUEST_INFO, rpc_guest_info_args, &args, rpc_guest_info_ret, &ret);
	if (code != 0) {
		buf_addf(&text, "error %d", code);
		return buf_take(&text);
	}
	for (u_int i = 0; i < ret.params.params_len; i++) {
		const rpc_param *p = &ret.params.params_val[i];

		buf_addf(&text, "%s%s=", i > 0 ? " " : "", p->field);
		if (p->value.type == RPC_PARAM_STRING)
			buf_adds(&text, p->value.rpc_param_value_u.s);
		else if (p->value.type == RPC_PARAM_ULLONG)
			buf_addf(&text, "%llu", (unsigned long long)p->value.rpc_param_value_u.ul);
		else if (p->value.type == RPC_PARAM_DOUBLE)
			buf_addf(&text, "%.2f", p->value.rpc_param_value_u.d);
		else
			buf_addf(&text, "%d", p->value.rpc_param_value_u.i);
	}
	payload_free((xdrproc_t)xdr_rpc_guest_info_ret, &ret);
	return buf_take(&text);
}

static void is_info(unsigned types, const char *answer, const char *want, const char *name)
{
	_cleanup_free_ char *got = get_info(types, answer);

	is_str(got, want, name);
}

static void test_info(void)
{
	set_up();
	is_info(RPC_GUEST_INFO_OS, "{\"id\": \"debian\", \"pretty-name\": \"Debian\", \"x\": 1}",
		"os.id=debian os.pretty-name=Debian", "os");
	is_info(RPC_GUEST_INFO_USERS,
		"[{\"user\": \"a\", \"login-time\": 1.5}, {\"user\": \"b\", \"domain\": \"d\"}]",
		"user.0.name=a user.0.login-time=1500 user.1.name=b user.1.domain=d user.count=2", "users");
	is_info(RPC_GUEST_INFO_TIMEZONE, "{\"zone\": \"CET\", \"offset\": 3600}",
		"timezone.name=CET timezone.offset=3600", "time zone");
	is_info(RPC_GUEST_INFO_HOSTNAME, "{\"host-name\": \"h\"}", "hostname=h", "name");
	is_info(RPC_GUEST_INFO_LOAD, "{\"load1m\": 0.25, \"load5m\": 1, \"load15m\": 2}",
		"load.1m=0.25 load.5m=1.00 load.15m=2.00", "load");
	is_info(RPC_GUEST_INFO_INTERFACES,
		"[{\"name\": \"lo\", \"ip-addresses\": [{\"ip-address-type\": \"ipv4\", \"ip-address\": "
		"\"127.0.0.1\", "
		"\"prefix\": 8}]}]",
		"if.0.name=lo if.0.addr.0.type=ipv4 if.0.addr.0.addr=127.0.0.1 if.0.addr.0.prefix=8 "
		"if.0.addr.count=1 "
		"if.count=1",
		"interfaces");
	is_info(RPC_GUEST_INFO_FILESYSTEM,
		"[{\"name\": \"vda1\", \"mountpoint\": \"/\", \"type\": \"ext4\", \"total-bytes\": 9, "
		"\"disk\": "
		"[{\"dev\": \"/dev/vda1\"}]}]",
		"fs.0.name=vda1 fs.0.mountpoint=/ fs.0.fstype=ext4 fs.0.total-bytes=9 "
		"fs.0.disk.0.device=/dev/vda1 "
		"fs.0.disk.count=1 fs.count=1",
		"filesystems");
	is_info(RPC_GUEST_INFO_DISKS,
		"[{\"name\": \"/dev/vda\", \"partition\": false, \"dependencies\": [\"a\", 7]}]",
		"disk.0.name=/dev/vda disk.0.partition=0 disk.0.dependency.0.name=a "
		"disk.0.dependency.count=1 disk.count=1",
		"disks");
	is_str(fake_agent_last(), "guest-get-disks", "asked for by its command");
	is_info(1 << 8, "{}", "error 74", "an unknown group");
	is_info(RPC_GUEST_INFO_OS, NULL, "error 74", "no agent");
	tear_down();
}

/* Error codes of asking for filesystems and addresses; 0: answered. */
static int get_filesystems(void)
{
	rpc_domain_flags_args args = {guest(), 0};
	rpc_filesystems_ret ret = {0};
	int code =
		ASK(&client, RPC_DOMAIN_GET_FSINFO, rpc_domain_flags_args, &args, rpc_filesystems_ret, &ret);

	payload_free((xdrproc_t)xdr_rpc_filesystems_ret, &ret);
	return code;
}

static int get_addresses(void)
{
	rpc_interface_addresses_args args = {guest(), RPC_ADDRESSES_AGENT, 0};
	rpc_interface_addresses_ret ret = {0};
	int code = ASK(&client, RPC_DOMAIN_INTERFACE_ADDRESSES, rpc_interface_addresses_args, &args,
		rpc_interface_addresses_ret, &ret);

	payload_free((xdrproc_t)xdr_rpc_interface_addresses_ret, &ret);
	return code;
}

/* Nothing of this may end the daemon or make it say what was not said. */
static void test_hostile(void)
{
	static const char *const answers[] = {"[]", "{}", "7", "\"x\"", "[7, null, [], \"x\", {\"disk\": 7}]",
		"[{\"name\": {}, \"user\": [], \"disk\": [7, {\"pci-controller\": 7}]}]",
		"[{\"ip-addresses\": [[]]}]",
		"{\"load1m\": {}, \"offset\": \"x\", \"host-name\": [], \"id\": null}",
		"[{\"user\": \"u\", \"login-time\": 1e300}]", "[{\"user\": \"u\", \"login-time\": -5}]"};
	_cleanup_(buf_fini) struct buf many = {0};

	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		_cleanup_free_ char *all = get_info(0, answers[i]);

		ok(!startswith(all, "error"), "everything");
		ok(get_filesystems() == 0, "filesystems");
		ok(get_addresses() == 0, "addresses");
	}
	buf_adds(&many, "[");
	for (int i = 0; i < 5000; i++)
		buf_addf(&many, "%s{\"name\": \"x\", \"user\": \"u\", \"mountpoint\": \"/\"}",
			i > 0 ? "," : "");
	buf_adds(&many, "]");
	is_info(RPC_GUEST_INFO_USERS, many.data, "error 9", "more users than can be told");
	is_int(get_filesystems(), RPC_CODE_OPERATION_FAILED, "more filesystems");
	is_int(get_addresses(), RPC_CODE_OPERATION_FAILED, "more interfaces");
	tear_down();
}

static void test_orders(void)
{
	char *points[] = {(char *)"/", (char *)"/home"};
	rpc_freeze_args all = {guest(), {0, NULL}, 0}, some = {guest(), {2, points}, 0};
	rpc_set_guest_time_args set_time = {guest(), 12, 34, 0}, sync_time = {guest(), 0, 0, RPC_TIME_SYNC};
	rpc_domain_flags_args flags = {guest(), 0};
	rpc_guest_time_ret time = {0};
	rpc_int_ret n = {0};

	set_up();
	fake_agent_answer(loop, "3");
	is_int(ASK(&client, RPC_DOMAIN_FSFREEZE, rpc_freeze_args, &all, rpc_int_ret, &n), 0, "freeze");
	is_int(n.value, 3, "so many");
	is_int(ASK(&client, RPC_DOMAIN_FSFREEZE, rpc_freeze_args, &some, rpc_int_ret, &n), 0, "freeze some");
	is_str(fake_agent_last(), "guest-fsfreeze-freeze-list {\"mountpoints\":[\"/\",\"/home\"]}",
		"just these");
	is_int(ASK(&client, RPC_DOMAIN_FSTHAW, rpc_freeze_args, &some, rpc_int_ret, &n),
		RPC_CODE_OPERATION_INVALID, "there is no thawing of some");
	is_int(ASK_ONLY(&client, RPC_DOMAIN_SET_TIME, rpc_set_guest_time_args, &set_time), 0, "set the time");
	is_str(fake_agent_last(), "guest-set-time {\"time\":12000000034}", "in nanoseconds");
	is_int(ASK_ONLY(&client, RPC_DOMAIN_SET_TIME, rpc_set_guest_time_args, &sync_time), 0,
		"from its clock");
	is_str(fake_agent_last(), "guest-set-time", "without one");
	fake_agent_answer(loop, "-1");
	is_int(ASK(&client, RPC_DOMAIN_GET_TIME, rpc_domain_flags_args, &flags, rpc_guest_time_ret, &time), 0,
		"get it");
	ok(time.seconds == -1 && time.nanoseconds == 999999999, "even before 1970");
	tear_down();
}

/* The agent has one answer for both its commands: what it has come through with is a number, so the second must fail. */
static int set_vcpus(unsigned count, unsigned flags, const char *answer)
{
	rpc_set_vcpus_args args = {guest(), count, flags};

	fake_agent_answer(loop, answer);
	return ASK_ONLY(&client, RPC_DOMAIN_SET_VCPUS_FLAGS, rpc_set_vcpus_args, &args);
}

static void test_vcpus(void)
{
	static const char three[] = "[{\"logical-id\": 0, \"online\": true, \"can-offline\": false}, "
				    "{\"logical-id\": 1, \"online\": true, \"can-offline\": true}, "
				    "{\"logical-id\": 2, \"online\": false, \"can-offline\": true}]";

	set_up();
	is_int(set_vcpus(2, RPC_VCPU_GUEST, three), 0, "as many as it has");
	is_str(fake_agent_last(), "guest-get-vcpus", "nothing to change");
	is_int(set_vcpus(1, RPC_VCPU_GUEST, three), RPC_CODE_AGENT_COMMAND_FAILED, "not a number");
	is_str(fake_agent_last(), "guest-set-vcpus {\"vcpus\":[{\"logical-id\":1,\"online\":false}]}",
		"fewer");
	set_vcpus(3, RPC_VCPU_GUEST | RPC_AFFECT_LIVE, three);
	is_str(fake_agent_last(), "guest-set-vcpus {\"vcpus\":[{\"logical-id\":2,\"online\":true}]}", "more");
	is_int(set_vcpus(4, RPC_VCPU_GUEST, three), RPC_CODE_INVALID_ARG, "more than it has");
	is_int(set_vcpus(1, RPC_VCPU_GUEST, "[{\"online\": true}, {\"online\": true}]"),
		RPC_CODE_OPERATION_FAILED, "none can be taken off line");
	is_int(set_vcpus(1, RPC_VCPU_GUEST, "{\"x\": [7]}"), RPC_CODE_INVALID_ARG, "no list");
	is_int(set_vcpus(1, RPC_VCPU_GUEST, NULL), RPC_CODE_ARGUMENT_UNSUPPORTED, "no agent");
	is_int(set_vcpus(0, RPC_VCPU_GUEST, three), RPC_CODE_INVALID_ARG, "none at all");
	is_int(set_vcpus(1, RPC_VCPU_GUEST | RPC_AFFECT_CONFIG, three), RPC_CODE_INVALID_ARG,
		"in the definition");
	is_int(set_vcpus(1, 0, three), RPC_CODE_OPERATION_UNSUPPORTED, "without the agent");
	tear_down();
}

/* A disk with a PCI address of its own, and one on a controller with one. */
static void test_find_disk(void)
{
	struct disk virtio = {.target = (char *)"vda",
			    .info.address = {.type = ADDRESS_PCI, .pci = {.bus = 4, .slot = 2}}},
		    sata = {.target = (char *)"sda",
			    .info.address = {.type = ADDRESS_DRIVE, .drive = {.unit = 3}}};
	struct controller ahci = {.info.address = {.type = ADDRESS_PCI, .pci = {.slot = 31, .function = 2}}};
	struct disk *disks[] = {&virtio, &sata};
	struct controller *controllers[] = {&ahci};
	struct domain d = {.disks = {disks, 2}, .controllers = {controllers, 1}};
	static const struct {
		const char *address, *target;
	} cases[] = {
		{"{\"pci-controller\": {\"domain\": 0, \"bus\": 4, \"slot\": 2, \"function\": 0}}", "vda"},
		{"{\"pci-controller\": {\"domain\": 0, \"bus\": 4, \"slot\": 3, \"function\": 0}}", NULL},
		{"{\"bus\": 0, \"target\": 0, \"unit\": 3, \"pci-controller\": {\"domain\": 0, \"bus\": 0, "
		 "\"slot\": 31, "
		 "\"function\": 2}}",
			"sda"},
		{"{\"bus\": 0, \"target\": 0, \"unit\": 4, \"pci-controller\": {\"domain\": 0, \"bus\": 0, "
		 "\"slot\": 31, "
		 "\"function\": 2}}",
			NULL},
		{"{\"bus\": -1, \"target\": -1, \"unit\": -1, \"pci-controller\": {\"domain\": -1}}", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json *address = NULL;
		const struct disk *found;

		if (json_parse(cases[i].address, strlen(cases[i].address), &address, NULL) < 0)
			abort();
		found = guest_find_disk(&d, address);
		is_str(found ? found->target : NULL, cases[i].target, "a disk by the guest's address");
	}
}

int main(void)
{
	test_info();
	test_hostile();
	test_orders();
	test_vcpus();
	test_find_disk();
	return done_testing();
}
