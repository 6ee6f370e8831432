/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the calls of a migration become, and what of it is refused here. fake-migrate.c stands for what does it. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "constants.h"
#include "fake-migrate.h"
#include "fake-vm.h"
#include "job-params.h"
#include "migration.h"
#include "own.h"
#include "registry.h"
#include "strv.h"
#include "tap.h"

static sd_event *loop;
static struct registry *registry;
static struct server *server;
static struct client c;

static void set_up(void)
{
	struct server_settings settings = {.max_clients = 100, .max_client_requests = 5};
	struct error err = ERROR_INIT;

	if (sd_event_new(&loop) < 0)
		abort();
	registry = fake_registry_new(loop);
	fake_migrate_init(loop);
	fake_vm_add(registry, "guest", VM_RUNNING);
	if (server_open(loop, registry, &settings, &server, &err) < 0)
		abort();
	c = client_open(loop, server, false);
}

static void tear_down(void)
{
	client_close(&c);
	server_close(server);
	fake_registry_free(registry);
	loop = sd_event_unref(loop);
}

static rpc_domain guest(void)
{
	return (rpc_domain){.name = (char *)"guest", .uuid = "0", .id = 7};
}

static rpc_param text(const char *field, const char *value)
{
	rpc_param p = {.field = (char *)field, .value.type = RPC_PARAM_STRING};

	p.value.rpc_param_value_u.s = (char *)value;
	return p;
}

static rpc_cookie cookie(void)
{
	return (rpc_cookie){sizeof("<c/>"), (char *)"<c/>"};
}

static bool is_cookie(const rpc_cookie *got)
{
	return got->rpc_cookie_len == sizeof("<cookie/>") && streq(got->rpc_cookie_val, "<cookie/>");
}

static void test_begin_and_prepare(void)
{
	rpc_param params[] = {text("migrate_uri", "tcp:b:1"), text("destination_xml", "<x/>")};
	rpc_domain_params_args begin = {guest(), {2, params}, MIGRATE_LIVE | MIGRATE_CHANGE_PROTECTION};
	rpc_migrate_prepare_args prepare = {{2, params}, cookie(), MIGRATE_LIVE};
	rpc_migrate_begin_ret begun = {0};
	rpc_migrate_prepare_ret prepared = {0};

	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_domain_params_args, &begin,
		       rpc_migrate_begin_ret, &begun),
		0, "begin");
	is_str(fake_migrate_last(),
		"begin guest flags=257 cookie=- uri=tcp:b:1 xml=<x/> name=- bandwidth=0 peer=- cancelled=0",
		"is told what was asked");
	ok(is_cookie(&begun.cookie) && streq(begun.xml, "<domain/>"), "and its answer comes back");
	payload_free((xdrproc_t)xdr_rpc_migrate_begin_ret, &begun);

	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, rpc_migrate_prepare_args, &prepare,
		       rpc_migrate_prepare_ret, &prepared),
		0, "prepare");
	is_str(fake_migrate_last(),
		"prepare - flags=1 cookie=<c/> uri=tcp:b:1 xml=<x/> name=- bandwidth=0 peer=- cancelled=0",
		"has the cookie");
	ok(is_cookie(&prepared.cookie) && prepared.uri && streq(*prepared.uri, "tcp:b:49152"),
		"and says where QEMU listens");
	payload_free((xdrproc_t)xdr_rpc_migrate_prepare_ret, &prepared);

	begin.flags = MIGRATE_POSTCOPY;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_domain_params_args, &begin),
		RPC_CODE_INVALID_ARG, "what excludes each other is refused");
	begin.flags = 1u << 25;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_domain_params_args, &begin),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "and a flag that is not known");
	is_str(client_message(),
		"argument unsupported: unsupported flags (0x2000000) in function "
		"virDomainMigrateBegin3Params",
		"in libvirt's words");
	prepare.cookie.rpc_cookie_len--;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, rpc_migrate_prepare_args, &prepare),
		RPC_CODE_INTERNAL, "a cookie without its end is refused");
	prepare.cookie = cookie();
	prepare.flags = MIGRATE_TUNNELLED | MIGRATE_PEER2PEER;
	params[0] = text("destination_name", "x");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, rpc_migrate_prepare_args, &prepare),
		RPC_CODE_INTERNAL, "tunnelled goes by another call");
}

static void test_perform(void)
{
	rpc_string peer = (char *)"qemu+unix:///system?socket=/b";
	rpc_migrate_perform_args perform = {guest(), NULL, {0}, cookie(), MIGRATE_LIVE};
	rpc_migrate_cookie_ret performed = {0};

	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_migrate_perform_args, &perform,
		       rpc_migrate_cookie_ret, &performed),
		0, "perform");
	ok(is_cookie(&performed.cookie) &&
			startswith(fake_migrate_last(), "perform guest flags=1 cookie=<c/>"),
		"with cookies both ways");
	payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &performed);

	perform.peer = &peer;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_migrate_perform_args, &perform),
		RPC_CODE_INTERNAL, "a peer nobody asked for");
	perform.flags = MIGRATE_PEER2PEER;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_migrate_perform_args, &perform),
		RPC_CODE_OPERATION_INVALID, "a cookie where none can be");
	perform.cookie = (rpc_cookie){0};
	memset(&performed, 0, sizeof(performed));
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_migrate_perform_args, &perform,
		       rpc_migrate_cookie_ret, &performed),
		0, "all of it, from here");
	payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &performed);
	is_str(fake_migrate_last(),
		"to-peer guest flags=2 cookie=- uri=- xml=- name=- bandwidth=0 "
		"peer=qemu+unix:///system?socket=/b "
		"cancelled=0",
		"goes to the other daemon");
	perform.peer = NULL;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_migrate_perform_args, &perform),
		RPC_CODE_INVALID_ARG, "which has to be named");
}

static void test_end(void)
{
	rpc_param name = text("destination_name", "guest");
	rpc_migrate_finish_args finish = {{1, &name}, cookie(), MIGRATE_LIVE, 0};
	rpc_migrate_confirm_args confirm = {guest(), {0}, cookie(), MIGRATE_LIVE, 1};
	rpc_migrate_finish_ret finished = {0};

	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, rpc_migrate_finish_args, &finish,
		       rpc_migrate_finish_ret, &finished),
		0, "finish");
	ok(is_cookie(&finished.cookie) && streq(finished.dom.name, "guest") && finished.dom.id == 7,
		"answers with the VM");
	payload_free((xdrproc_t)xdr_rpc_migrate_finish_ret, &finished);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, rpc_migrate_confirm_args, &confirm), 0,
		"confirm");
	is_str(fake_migrate_last(),
		"confirm guest flags=1 cookie=<c/> uri=- xml=- name=- bandwidth=0 peer=- cancelled=1",
		"that it was called off");
	fake_migrate_fail(ERROR_MIGRATE_FINISH_OK, "guest does not run here");
	finish.cancelled = 1;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, rpc_migrate_finish_args, &finish),
		RPC_CODE_MIGRATE_FINISH_OK, "what was called off ends with a code of its own");
	is_str(client_message(), "migration successfully aborted: guest does not run here", "and its words");
	finish.params.rpc_params_len = 0;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, rpc_migrate_finish_args, &finish),
		RPC_CODE_INVALID_ARG, "of which VM has to be said");
}

static void test_old_calls(void)
{
	rpc_string xml = (char *)"<x/>", name = (char *)"other", uri = (char *)"tcp:b:1";
	rpc_migrate_begin3_args begin = {guest(), &xml, MIGRATE_LIVE, &name, 8};
	rpc_migrate_prepare3_args prepare = {cookie(), &uri, MIGRATE_LIVE, NULL, 0, xml};
	rpc_migrate_perform3_args perform = {guest(), NULL, cookie(), NULL, &uri, 0, NULL, 9};
	rpc_migrate_finish3_args finish = {(char *)"guest", cookie(), NULL, NULL, 0, 0};
	rpc_migrate_confirm3_args confirm = {guest(), cookie(), 0, 0};
	rpc_migrate_begin_ret begun = {0};
	rpc_migrate_prepare_ret prepared = {0};
	rpc_migrate_cookie_ret performed = {0};
	rpc_migrate_finish_ret finished = {0};

	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_BEGIN3, rpc_migrate_begin3_args, &begin, rpc_migrate_begin_ret,
		       &begun),
		0, "an old client's begin");
	is_str(fake_migrate_last(),
		"begin guest flags=1 cookie=- uri=- xml=<x/> name=other bandwidth=8 peer=- cancelled=0",
		"says the same");
	payload_free((xdrproc_t)xdr_rpc_migrate_begin_ret, &begun);
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_PREPARE3, rpc_migrate_prepare3_args, &prepare,
		       rpc_migrate_prepare_ret, &prepared),
		0, "prepare");
	is_str(fake_migrate_last(),
		"prepare - flags=1 cookie=<c/> uri=tcp:b:1 xml=<x/> name=- bandwidth=0 peer=- cancelled=0",
		"says the same");
	payload_free((xdrproc_t)xdr_rpc_migrate_prepare_ret, &prepared);
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_PERFORM3, rpc_migrate_perform3_args, &perform,
		       rpc_migrate_cookie_ret, &performed),
		0, "perform");
	is_str(fake_migrate_last(),
		"perform guest flags=0 cookie=<c/> uri=tcp:b:1 xml=- name=- bandwidth=9 peer=- cancelled=0",
		"says the same");
	payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &performed);
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_FINISH3, rpc_migrate_finish3_args, &finish, rpc_migrate_finish_ret,
		       &finished),
		0, "finish");
	ok(startswith(fake_migrate_last(), "finish guest flags=0 cookie=<c/>"), "says the same");
	payload_free((xdrproc_t)xdr_rpc_migrate_finish_ret, &finished);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_CONFIRM3, rpc_migrate_confirm3_args, &confirm), 0, "confirm");
	begin.flags = 1ull << 40;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_BEGIN3, rpc_migrate_begin3_args, &begin),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "flags of 64 bits do not slip through");
}

/* ---- a stream to the destination ---- */

static int next_status(struct rpc_header *h)
{
	_cleanup_(buf_fini) struct buf payload = {0};

	return client_receive(&c, h, &payload) ? h->status : -1;
}

static int open_stream(uint32_t *ret_serial)
{
	rpc_migrate_prepare_args prepare = {{0}, cookie(), MIGRATE_TUNNELLED | MIGRATE_PEER2PEER};
	rpc_migrate_cookie_ret prepared = {0};
	int r;

	*ret_serial = c.serial;
	r = ASK(&c, RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS, rpc_migrate_prepare_args, &prepare,
		rpc_migrate_cookie_ret, &prepared);
	payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &prepared);
	return r;
}

static size_t read_all(int fd)
{
	static char data[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0) {
		total += (size_t)n;
		client_run(loop);
	}
	return total;
}

static void test_tunnel(void)
{
	static char big[200000];
	struct rpc_header h = {.prog = RPC_PROGRAM_REMOTE,
				  .vers = 1,
				  .proc = RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS,
				  .type = RPC_STREAM},
			  got;
	unsigned sent = 0;
	char data[8];
	int fd;

	is_int(open_stream(&h.serial), 0, "prepare a tunnel");
	fd = fake_migrate_take_stream();
	h.status = RPC_CONTINUE;
	client_send(&c, &h, "state", 5);
	client_run(loop);
	ok(read(fd, data, sizeof(data)) == 5 && memcmp(data, "state", 5) == 0, "its data arrives");

	/* more than pipe, memory and socket hold, and then the end: nobody reads yet */
	for (; sent < 40 && send(c.fd, "", 0, MSG_DONTWAIT) == 0; sent++) {
		_cleanup_(buf_fini) struct buf frame = {0};

		frame_encode_raw(&frame, &h, big, sizeof(big));
		if (send(c.fd, frame.data, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)frame.len)
			break;
		client_run(loop);
	}
	ok(sent < 40, "a client that is too fast has to wait");
	client_close(&c);
	close(fd);

	c = client_open(loop, server, false);
	is_int(open_stream(&h.serial), 0, "another one");
	fd = fake_migrate_take_stream();
	for (unsigned i = 0; i < 8; i++)
		client_send(&c, &h, big, sizeof(big));
	h.status = RPC_OK;
	client_send(&c, &h, NULL, 0);
	is_int(next_status(&got), -1, "finishing is not answered while data waits");
	is_int((int64_t)read_all(fd), 8 * (int64_t)sizeof(big), "all of it arrives, and then the end");
	is_int(next_status(&got), RPC_OK, "finishing is answered then");
	close(fd);

	is_int(open_stream(&h.serial), 0, "one whose QEMU dies");
	close(fake_migrate_take_stream());
	is_int(next_status(&got), RPC_ERROR, "is told to its client");
	ok(got.type == RPC_STREAM && got.serial == h.serial, "as the stream's end");

	fake_migrate_fail(ERROR_OPERATION_FAILED, "no");
	is_int(open_stream(&h.serial), RPC_CODE_OPERATION_FAILED, "one that cannot be prepared");
	fd = fake_migrate_take_stream();
	is_int(read(fd, data, 1), 0, "leaves nothing open");
	close(fd);
}

static void test_limits(void)
{
	rpc_migrate_limit_args set = {guest(), 400, 0};
	rpc_domain_flags_args get = {guest(), 0}, postcopy = {guest(), RPC_MAX_SPEED_POSTCOPY};
	rpc_u64_ret ret = {0};

	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, rpc_migrate_limit_args, &set), 0,
		"set the longest downtime");
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, rpc_domain_flags_args, &get, rpc_u64_ret, &ret),
		0, "and ask for it");
	is_int((int64_t)ret.value, 400, "it is kept");
	set = (rpc_migrate_limit_args){guest(), 7, RPC_MAX_SPEED_POSTCOPY};
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_SET_MAX_SPEED, rpc_migrate_limit_args, &set), 0,
		"post-copy's speed");
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, rpc_domain_flags_args, &get, rpc_u64_ret, &ret), 0,
		"is not");
	is_int((int64_t)ret.value, 0, "the other one");
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, rpc_domain_flags_args, &postcopy, rpc_u64_ret, &ret),
		0, "but");
	is_int((int64_t)ret.value, 7, "its own");
	set = (rpc_migrate_limit_args){guest(), 1 << 26, 0};
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_SET_COMPRESSION_CACHE, rpc_migrate_limit_args, &set), 0,
		"the cache of a compression");
	is_int(ASK(&c, RPC_DOMAIN_MIGRATE_GET_COMPRESSION_CACHE, rpc_domain_flags_args, &get, rpc_u64_ret,
		       &ret),
		0, "has");
	is_int((int64_t)ret.value, 1 << 26, "a size");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_MIGRATE_START_POST_COPY, rpc_domain_flags_args, &get), 0,
		"switch to post-copy");
	is_str(fake_migrate_last(), "start-postcopy guest", "the VM that was meant");
	get.flags = RPC_ABORT_JOB_POSTCOPY;
	is_int(ASK_ONLY(&c, RPC_DOMAIN_ABORT_JOB_FLAGS, rpc_domain_flags_args, &get),
		RPC_CODE_OPERATION_INVALID, "pause it");
	is_str(client_message(), "Requested operation is not valid: guest is not in post-copy",
		"is another thing than ending the job");
}

static void test_gone(void)
{
	rpc_domain_params_args begin = {guest(), {0}, 0};
	struct client reader = client_open(loop, server, true);
	unsigned before;

	is_int(ASK_ONLY(&reader, RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_domain_params_args, &begin),
		RPC_CODE_OPERATION_DENIED, "who may only read may not migrate");
	before = fake_migrate_count_gone();
	client_close(&reader);
	ok(fake_migrate_count_gone() > before, "a client's end is told");
}

static uint64_t number_of(const rpc_param *params, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (streq(params[i].field, name))
			return params[i].value.type == RPC_PARAM_ULLONG
				       ? params[i].value.rpc_param_value_u.ul
				       : (uint64_t)params[i].value.rpc_param_value_u.i;
	return UINT64_MAX;
}

static void test_job(void)
{
	struct vm_job_info info = {.operation = VM_JOB_MIGRATION_OUT,
		.completed = true,
		.elapsed_ms = 900,
		.memory_total = 1000,
		.memory_processed = 1200,
		.memory_remaining = 8,
		.memory_bps = 5,
		.disk_total = 500,
		.disk_remaining = 100,
		.disk_bps = 1,
		.succeeded = true,
		.migration = {.has_downtime = true,
			.downtime_ms = 30,
			.setup_ms = 2,
			.has_delta = true,
			.delta_ms = 10,
			.constant_pages = 11,
			.page_size = 4096,
			.iteration = 3,
			.has_xbzrle = true,
			.xbzrle_overflow = 6,
			.throttle = 20}};
	rpc_param params[JOB_PARAMS_MAX];
	unsigned n = job_params_fill(&info, params);
	rpc_job_info_ret sums;
	static const struct {
		const char *name;
		uint64_t value;
	} want[] = {{"operation", 5}, {"time_elapsed", 900}, {"time_elapsed_net", 890}, {"downtime", 30},
		{"downtime_net", 20}, {"setup_time", 2}, {"data_total", 1500}, {"data_remaining", 108},
		{"memory_total", 1000}, {"memory_processed", 1200}, {"memory_remaining", 8},
		{"memory_constant", 11}, {"memory_iteration", 3}, {"memory_page_size", 4096},
		{"disk_total", 500}, {"disk_remaining", 100}, {"compression_overflow", 6},
		{"auto_converge_throttle", 20}, {"success", 1}};

	is_int(n, 31, "all that can be known of a migration");
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		is_int((int64_t)number_of(params, n, want[i].name), (int64_t)want[i].value, want[i].name);
	job_info_fill(&info, &sums);
	ok(sums.type == RPC_JOB_COMPLETED && sums.data_total == 1500 && sums.file_remaining == 100 &&
			sums.memory_total == 1000,
		"the same without parameters");
	info.migration.downtime_is_expected = true;
	n = job_params_fill(&info, params);
	is_int((int64_t)number_of(params, n, "downtime"), -1, "a guess says nothing of one that is over");
	info.completed = false;
	n = job_params_fill(&info, params);
	is_int((int64_t)number_of(params, n, "downtime"), 30, "but of one at work");
	info = (struct vm_job_info){.operation = VM_JOB_MIGRATION_IN};
	n = job_params_fill(&info, params);
	is_int((int64_t)number_of(params, n, "operation"), 4, "one that comes in");
	is_int((int64_t)number_of(params, n, "downtime"), -1, "says nothing that is not known");
}

static void test_check(void)
{
	rpc_param params[] = {text("destination_name", "other")};
	rpc_migrate_check_args check = {guest(), (char *)"godwit+tcp://b/system", {1, params}, MIGRATE_LIVE};
	rpc_json_args compare = {(char *)"{}"};
	rpc_string_ret ret = {0};

	c.program = RPC_PROGRAM_GODWIT;
	is_int(ASK(&c, RPC_GODWIT_MIGRATE_CHECK, rpc_migrate_check_args, &check, rpc_string_ret, &ret), 0,
		"check");
	is_str(fake_migrate_last(), "check guest godwit+tcp://b/system flags=1", "of this VM, there");
	is_str(ret.value, "[]", "rows");
	payload_free((xdrproc_t)xdr_rpc_string_ret, &ret);
	check.flags = 1u << 31;
	is_int(ASK_ONLY(&c, RPC_GODWIT_MIGRATE_CHECK, rpc_migrate_check_args, &check),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "bits that mean nothing");
	memset(&ret, 0, sizeof(ret));
	is_int(ASK(&c, RPC_GODWIT_MIGRATE_COMPARE, rpc_json_args, &compare, rpc_string_ret, &ret), 0,
		"compare");
	is_str(fake_migrate_last(), "compare {}", "with this description");
	payload_free((xdrproc_t)xdr_rpc_string_ret, &ret);
}

int main(void)
{
	static void (*const tests[])(void) = {test_begin_and_prepare, test_perform, test_end, test_old_calls,
		test_tunnel, test_limits, test_gone, test_job, test_check};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		set_up();
		tests[i]();
		tear_down();
	}
	return done_testing();
}
