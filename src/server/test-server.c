/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol as clients see it, honest ones and others. No QEMU: fake-vm.c stands for the VMs. */
#include <malloc.h>
#include <unistd.h>

#include "constants.h"
#include "fake-vm.h"
#include "list.h"
#include "procedure.h"
#include "session.h"
#include "tap.h"

static sd_event *loop;
static struct registry *registry;
static struct server *server;

static void set_up(struct server_settings settings)
{
	struct error err = ERROR_INIT;

	if (sd_event_new(&loop) < 0)
		abort();
	registry = fake_registry_new(loop);
	fake_vm_add(registry, "guest", VM_RUNNING);
	if (server_open(loop, registry, &settings, &server, &err) < 0)
		abort();
}

static void tear_down(void)
{
	server_close(server);
	fake_registry_free(registry);
	loop = sd_event_unref(loop);
}

static struct server_settings limits(unsigned clients, unsigned requests)
{
	return (struct server_settings){
		.max_clients = clients, .max_client_requests = requests, .uri = "qemu:///system"};
}

static rpc_domain guest(void)
{
	return (rpc_domain){.name = (char *)"guest", .uuid = "0", .id = 7};
}

static void test_table(void)
{
	static const uint32_t programs[] = {RPC_PROGRAM_REMOTE, RPC_PROGRAM_QEMU, RPC_PROGRAM_GODWIT};
	const struct procedure *table;
	bool sorted = true, complete = true, found = true;
	char name[80];
	size_t n;

	for (size_t p = 0; p < ARRAY_SIZE(programs); p++) {
		table = procedure_table(programs[p], &n);
		for (size_t i = 0; i < n; i++) {
			sorted &= i == 0 || table[i - 1].number < table[i].number;
			complete &= table[i].handle && (table[i].args == NULL) == (table[i].args_size == 0);
			found &= procedure_find(programs[p], table[i].number) == &table[i];
		}
	}
	ok(sorted, "the tables are sorted by number");
	ok(complete, "every procedure has a handler, and a size when it has arguments");
	ok(found, "every procedure is found by its number");
	ok(!procedure_find(RPC_PROGRAM_REMOTE, 0) && !procedure_find(RPC_PROGRAM_REMOTE, 454) &&
			!procedure_find(RPC_PROGRAM_REMOTE, -1),
		"others are not");
	procedure_api_name(procedure_find(RPC_PROGRAM_REMOTE, RPC_DOMAIN_CREATE_XML), name);
	is_str(name, "virDomainCreateXML", "names of the API are made from the table's");
}

static void test_handshake(void)
{
	rpc_string uri = (char *)"xen:///system";
	rpc_connect_open_args open = {&uri, 0};
	rpc_connect_supports_feature_args feature = {RPC_FEATURE_KEEPALIVE};
	rpc_domain_args dom = {guest()};
	rpc_auth_list_ret auth = {0};
	rpc_string_ret text = {0};
	rpc_int_ret number;
	struct client c;

	set_up(limits(100, 5));
	c = client_connect(loop, server, false);
	is_int(client_ask(&c, RPC_AUTH_LIST, NULL, NULL, (xdrproc_t)xdr_rpc_auth_list_ret, &auth), 0,
		"AUTH_LIST");
	ok(auth.types.types_len == 1 && auth.types.types_val[0] == 0, "offers no authentication");
	payload_free((xdrproc_t)xdr_rpc_auth_list_ret, &auth);
	is_int(ASK(&c, RPC_CONNECT_SUPPORTS_FEATURE, rpc_connect_supports_feature_args, &feature, rpc_int_ret,
		       &number),
		0, "a feature is asked for before the connection is open");
	is_int(number.value, 1, "keepalive is there");
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), RPC_CODE_INTERNAL,
		"other calls are not answered before OPEN");
	is_str(client_message(), "internal error: connection not open", "and say why");
	is_int(ASK_ONLY(&c, RPC_CONNECT_OPEN, rpc_connect_open_args, &open), RPC_CODE_NO_CONNECT,
		"a foreign URI is refused");
	uri = (char *)"godwit:///system";
	is_int(ASK_ONLY(&c, RPC_CONNECT_OPEN, rpc_connect_open_args, &open), 0, "our own is taken");
	is_int(ASK_ONLY(&c, RPC_CONNECT_OPEN, rpc_connect_open_args, &open), RPC_CODE_INTERNAL,
		"but only once");
	is_int(client_ask(&c, RPC_CONNECT_GET_URI, NULL, NULL, (xdrproc_t)xdr_rpc_string_ret, &text), 0,
		"GET_URI");
	is_str(text.value, "qemu:///system", "is what was set");
	payload_free((xdrproc_t)xdr_rpc_string_ret, &text);
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), 0,
		"calls are answered now");
	feature.feature = 13;
	is_int(ASK(&c, RPC_CONNECT_SUPPORTS_FEATURE, rpc_connect_supports_feature_args, &feature, rpc_int_ret,
		       &number),
		0, "another feature is asked for");
	is_int(number.value, 1, "migration with parameters is there");
	feature.feature = 3;
	is_int(ASK(&c, RPC_CONNECT_SUPPORTS_FEATURE, rpc_connect_supports_feature_args, &feature, rpc_int_ret,
		       &number),
		0, "and an old one");
	is_int(number.value, 0, "migration of version 2 is not");
	is_int(client_ask(&c, RPC_CONNECT_CLOSE, NULL, NULL, NULL, NULL), 0, "CLOSE");
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), RPC_CODE_INTERNAL,
		"closed is closed");
	client_close(&c);
	is_int(server_get_n_clients(server), 0, "the client is forgotten");
	tear_down();
}

/* Send a header with nothing behind it; the error code of the answer, 0 for none. */
static int answer_to(struct client *c, struct rpc_header header)
{
	_cleanup_(buf_fini) struct buf payload = {0};
	struct rpc_header got;
	rpc_error error = {0};
	int code = -2;

	header.serial = 77;
	client_send(c, &header, NULL, 0);
	if (!client_receive(c, &got, &payload))
		return 0;
	if (got.type != RPC_REPLY || got.status != RPC_ERROR || got.serial != 77 || got.proc != header.proc ||
		got.prog != header.prog)
		return -1;
	if (payload_decode(payload.data, payload.len, (xdrproc_t)xdr_rpc_error, &error, NULL) == 0) {
		code = error.level == RPC_LEVEL_ERROR && error.domain == RPC_FROM_RPC ? error.code : -3;
		payload_free((xdrproc_t)xdr_rpc_error, &error);
	}
	return code;
}

static void test_unknown(void)
{
	struct rpc_header base = {.prog = RPC_PROGRAM_REMOTE, .vers = 1}, h;
	rpc_domain_args dom = {guest()};
	rpc_int_ret number;
	struct client c;

	set_up(limits(100, 5));
	c = client_open(loop, server, false);
	ok(!c.gone, "a client opens");
	is_int(client_ask(&c, 9999, NULL, NULL, NULL, NULL), RPC_CODE_RPC,
		"an unknown procedure has the code clients look for");
	is_str(client_message(), "unknown procedure: 9999", "and the words");
	h = base, h.prog = 0x1234;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "an unknown program is refused");
	h = base, h.vers = 2;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "an unknown version is refused");
	h = base, h.proc = -5;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "a negative procedure is refused");
	h = base, h.proc = 3, h.status = RPC_ERROR;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "a call with a status is refused");
	h = base, h.proc = 3, h.type = 99;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "an unknown type is refused");
	h = base, h.proc = RPC_DOMAIN_CREATE;
	is_int(answer_to(&c, h), RPC_CODE_RPC, "a call without its arguments is refused");
	h = base, h.proc = 3, h.type = RPC_REPLY;
	is_int(answer_to(&c, h), 0, "a reply to the server is dropped");
	h = base, h.proc = RPC_EVENT_CALLBACK_LIFECYCLE, h.type = RPC_EVENT;
	is_int(answer_to(&c, h), 0, "an event to the server is dropped");
	h = base, h.proc = RPC_DOMAIN_OPEN_CONSOLE, h.type = RPC_STREAM, h.status = RPC_CONTINUE;
	is_int(answer_to(&c, h), 0, "stream data without a stream is dropped");
	h = base, h.prog = RPC_PROGRAM_KEEPALIVE, h.proc = 9, h.type = RPC_EVENT;
	is_int(answer_to(&c, h), 0, "an unknown keepalive message is dropped");
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), 0,
		"after all that the connection works");
	client_close(&c);
	tear_down();
}

static void test_bad_arguments(void)
{
	_cleanup_free_ char *big = xcalloc(1, RPC_STRING_MAX + 12);
	struct rpc_header h = {.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = RPC_DOMAIN_LOOKUP_BY_NAME};
	_cleanup_(buf_fini) struct buf payload = {0};
	rpc_domain_flags_args flags = {guest(), 0x80};
	rpc_name_args name = {(char *)"nobody"};
	struct rpc_header got;
	rpc_domain_ret dom;
	rpc_domain_state_ret state;
	struct client c;

	set_up(limits(100, 5));
	c = client_open(loop, server, false);
	memset(big, 'x', RPC_STRING_MAX + 12);
	put_be32(big, RPC_STRING_MAX + 1);
	client_send(&c, &h, big, RPC_STRING_MAX + 8);
	ok(client_receive(&c, &got, &payload) && got.status == RPC_ERROR, "a string of 4 MiB + 1 is refused");
	put_be32(big, RPC_STRING_MAX);
	client_send(&c, &h, big, RPC_STRING_MAX + 4);
	ok(client_receive(&c, &got, &payload) && got.status == RPC_ERROR && payload.len < 2000,
		"one of 4 MiB is looked for and not quoted back");
	is_int(ASK(&c, RPC_DOMAIN_LOOKUP_BY_NAME, rpc_name_args, &name, rpc_domain_ret, &dom),
		RPC_CODE_NO_DOMAIN, "no such domain");
	is_str(client_message(), "Domain not found: no domain with matching name 'nobody'",
		"in the words scripts know");
	is_int(ASK(&c, RPC_DOMAIN_GET_STATE, rpc_domain_flags_args, &flags, rpc_domain_state_ret, &state),
		RPC_CODE_ARGUMENT_UNSUPPORTED, "an unknown flag is refused");
	is_str(client_message(),
		"argument unsupported: unsupported flags (0x80) in function virDomainGetState", "by number");
	client_close(&c);
	tear_down();
}

static void test_read_only(void)
{
	rpc_domain_flags_args secure = {guest(), RPC_XML_SECURE}, plain = {guest(), 0};
	rpc_connect_open_args open = {NULL, RPC_OPEN_READ_ONLY};
	rpc_domain_args dom = {guest()};
	rpc_string_ret xml = {0};
	struct client c;

	set_up(limits(100, 5));
	c = client_open(loop, server, true);
	is_int(ASK_ONLY(&c, RPC_DOMAIN_DESTROY, rpc_domain_args, &dom), RPC_CODE_OPERATION_DENIED,
		"a read-only socket refuses what changes something");
	is_str(client_message(), "operation forbidden: read only access prevents virDomainDestroy",
		"with libvirt's words");
	is_int(ASK(&c, RPC_DOMAIN_GET_XML_DESC, rpc_domain_flags_args, &secure, rpc_string_ret, &xml),
		RPC_CODE_OPERATION_DENIED, "passwords are not shown");
	is_int(ASK(&c, RPC_DOMAIN_GET_XML_DESC, rpc_domain_flags_args, &plain, rpc_string_ret, &xml), 0,
		"the rest is");
	payload_free((xdrproc_t)xdr_rpc_string_ret, &xml);
	client_close(&c);
	c = client_connect(loop, server, false);
	is_int(ASK_ONLY(&c, RPC_CONNECT_OPEN, rpc_connect_open_args, &open), 0,
		"a connection may ask to be read-only");
	is_int(ASK_ONLY(&c, RPC_DOMAIN_DESTROY, rpc_domain_args, &dom), RPC_CODE_OPERATION_DENIED,
		"and then is");
	is_int(fake_count_destroyed(registry), 0, "nothing was destroyed");
	client_close(&c);
	tear_down();
}

static void test_overlap(void)
{
	static const struct rpc_header ping = {
		.prog = RPC_PROGRAM_KEEPALIVE, .vers = 1, .proc = RPC_KEEPALIVE_PING, .type = RPC_EVENT};
	const struct error failed = {.code = ERROR_OPERATION_FAILED, .message = "disk full"};
	_cleanup_(buf_fini) struct buf payload = {0};
	rpc_domain_flags_args flags = {guest(), 0};
	rpc_domain_args dom = {guest()};
	rpc_domain_state_ret state;
	struct rpc_header got;
	uint32_t first, serial;
	struct client c;

	set_up(limits(100, 3));
	c = client_open(loop, server, false);
	fake_hold_operations(registry, true);
	first = client_call(&c, RPC_DOMAIN_SUSPEND, (xdrproc_t)xdr_rpc_domain_args, &dom);
	is_int(ASK(&c, RPC_DOMAIN_GET_STATE, rpc_domain_flags_args, &flags, rpc_domain_state_ret, &state), 0,
		"a question is answered while a call is at work");
	serial = client_call(&c, RPC_DOMAIN_RESUME, (xdrproc_t)xdr_rpc_domain_args, &dom);
	client_run(loop);
	fake_finish(registry, true, NULL);
	ok(client_receive(&c, &got, &payload) && got.serial == serial && got.status == RPC_OK,
		"the later call may end first");
	fake_finish(registry, false, &failed);
	ok(client_receive(&c, &got, &payload) && got.serial == first && got.status == RPC_ERROR,
		"the earlier one fails by itself");

	for (unsigned i = 0; i < 10; i++)
		client_call(&c, RPC_DOMAIN_SUSPEND, (xdrproc_t)xdr_rpc_domain_args, &dom);
	client_run(loop);
	is_int(fake_count_operations(registry), 3, "no more than the limit are at work");
	client_send(&c, &ping, NULL, 0);
	ok(client_receive(&c, &got, &payload) && got.prog == RPC_PROGRAM_KEEPALIVE &&
			got.proc == RPC_KEEPALIVE_PONG && got.type == RPC_EVENT,
		"a ping is answered meanwhile");
	fake_finish(registry, false, NULL);
	client_run(loop);
	is_int(fake_count_operations(registry), 3, "when one ends, the next begins");
	fake_hold_operations(registry, false);
	for (serial = 0; client_receive(&c, &got, &payload) && got.status == RPC_OK;)
		serial++;
	is_int(serial, 10, "in the end all are answered");

	fake_hold_operations(registry, true);
	client_call(&c, RPC_DOMAIN_SUSPEND, (xdrproc_t)xdr_rpc_domain_args, &dom);
	client_run(loop);
	client_close(&c);
	is_int(server_get_n_clients(server), 0, "a client goes away with a call at work");
	fake_finish(registry, false, NULL);
	ok(true, "whose end then does no harm");
	tear_down();
}

/* The keepalive timer of the only client goes off now. */
static void interval_passes(void)
{
	struct session *s = container_of(server->sessions.next, struct session, link);

	sd_event_source_set_time(s->timer, 0);
	client_run(loop);
}

static void test_keepalive(void)
{
	static const struct rpc_header pong = {
		.prog = RPC_PROGRAM_KEEPALIVE, .vers = 1, .proc = RPC_KEEPALIVE_PONG, .type = RPC_EVENT};
	rpc_connect_supports_feature_args feature = {RPC_FEATURE_KEEPALIVE};
	struct server_settings settings = limits(100, 5);
	_cleanup_(buf_fini) struct buf payload = {0};
	struct rpc_header got;
	rpc_int_ret number;
	struct client c;

	settings.keepalive_interval = 5;
	settings.keepalive_count = 2;
	set_up(settings);
	c = client_open(loop, server, false);
	is_int(ASK(&c, RPC_CONNECT_SUPPORTS_FEATURE, rpc_connect_supports_feature_args, &feature, rpc_int_ret,
		       &number),
		0, "a client announces keepalive");
	interval_passes();
	ok(!client_receive(&c, &got, &payload), "who has just spoken is not asked");
	interval_passes();
	ok(client_receive(&c, &got, &payload) && got.prog == RPC_PROGRAM_KEEPALIVE &&
			got.proc == RPC_KEEPALIVE_PING && got.type == RPC_EVENT && got.serial == 0,
		"who is silent is");
	client_send(&c, &pong, NULL, 0);
	client_run(loop);
	interval_passes();
	interval_passes();
	interval_passes();
	is_int(server_get_n_clients(server), 1, "an answer buys time");
	interval_passes();
	is_int(server_get_n_clients(server), 0, "two without one end it");
	client_close(&c);

	c = client_connect(loop, server, false);
	interval_passes();
	is_int(server_get_n_clients(server), 0, "who does not open the connection in time is dropped");
	client_close(&c);
	c = client_open(loop, server, false);
	ok(!container_of(server->sessions.next, struct session, link)->timer,
		"who did not announce keepalive is not asked");
	client_close(&c);
	tear_down();
}

static void test_flood(void)
{
	_cleanup_(buf_fini) struct buf payload = {0}, frames = {0};
	struct rpc_header h = {.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = RPC_CONNECT_GET_TYPE}, got;
	rpc_domain_args dom = {guest()};
	struct client c, other;
	size_t before, after;
	unsigned answers = 0;
	rpc_int_ret number;

	set_up(limits(100, 5));
	c = client_open(loop, server, false);
	other = client_open(loop, server, false);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (unsigned i = 0; i < 200000; i++) /* 5.6 MB of calls, 7 MB of answers that nobody reads */
		frame_encode_raw(&frames, &h, NULL, 0);
	for (size_t sent = 0, idle = 0; sent < frames.len && idle < 3;) {
		ssize_t n = write(c.fd, frames.data + sent, frames.len - sent);

		sent += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		client_run(loop);
	}
	buf_fini(&frames);
	after = mallinfo2().uordblks + mallinfo2().hblkhd;
	ok(after - before < 6 << 20, "a client that floods and does not read costs a few megabytes");
	is_int(ASK(&other, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), 0,
		"another does not notice");
	while (client_receive(&c, &got, &payload))
		answers += got.status == RPC_OK && got.type == RPC_REPLY;
	ok(answers > 20000 && !c.gone, "when it reads, what it sent is answered");
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), -1,
		"(a call cut in two)");
	client_close(&c);
	client_close(&other);
	tear_down();
}

static void test_framing(void)
{
	static const uint8_t huge[28] = {0xff, 0xff, 0xff, 0xff};
	struct rpc_header h = {.prog = RPC_PROGRAM_REMOTE,
		.vers = 1,
		.proc = RPC_CONNECT_GET_TYPE,
		.type = RPC_CALL_WITH_FDS};
	_cleanup_free_ char *big = xcalloc(1, 70000);
	_cleanup_(buf_fini) struct buf payload = {0};
	uint8_t fds[4] = {0, 0, 0, 2};
	rpc_domain_args dom = {guest()};
	struct rpc_header got;
	struct client c;
	rpc_int_ret number;

	set_up(limits(100, 5));
	c = client_open(loop, server, false);
	(void)!write(c.fd, huge, sizeof(huge));
	client_run(loop);
	ok(!client_receive(&c, &got, &payload) && c.gone, "a frame of 4 GiB ends the connection");
	client_close(&c);

	c = client_connect(loop, server, false);
	client_send(&c, &(struct rpc_header){.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = 66}, big, 70000);
	ok(!client_receive(&c, &got, &payload) && c.gone, "so does one of 70000 bytes before OPEN");
	client_close(&c);

	c = client_open(loop, server, false);
	(void)!write(c.fd, "\0\x10\0\0\x20", 5);
	client_run(loop);
	is_int(server_get_n_clients(server), 1, "half a frame is waited for");
	client_close(&c);
	is_int(server_get_n_clients(server), 0, "as long as its sender is there");

	c = client_open(loop, server, false);
	client_send(&c, &h, fds, 4);
	ok(client_receive(&c, &got, &payload) && got.status == RPC_ERROR, "descriptors are refused");
	(void)!write(c.fd, "\0\0", 2);
	is_int(ASK(&c, RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret, &number), 0,
		"and their bytes are passed over");
	client_close(&c);
	tear_down();
}

static void test_many(void)
{
	struct client clients[200], late, reader;
	rpc_domain_args dom = {guest()};
	unsigned answered = 0;
	rpc_int_ret number;

	set_up(limits(200, 5));
	for (unsigned i = 0; i < 200; i++)
		clients[i] = client_open(loop, server, false);
	for (unsigned i = 0; i < 200; i++)
		client_call(&clients[i], RPC_DOMAIN_IS_ACTIVE, (xdrproc_t)xdr_rpc_domain_args, &dom);
	for (unsigned i = 0; i < 200; i++)
		answered += ASK(&clients[i], RPC_DOMAIN_IS_ACTIVE, rpc_domain_args, &dom, rpc_int_ret,
				    &number) == 0;
	is_int(answered, 200, "200 clients at once are served");
	late = client_connect(loop, server, false);
	ok(late.gone, "one more than max_clients is turned away");
	client_close(&late);
	client_close(&clients[0]);
	late = client_open(loop, server, false);
	ok(!late.gone, "until another leaves");
	client_close(&late);
	for (unsigned i = 1; i < 200; i++)
		client_close(&clients[i]);
	for (unsigned i = 0; i < 100; i++)
		clients[i] = client_connect(loop, server, true);
	late = client_connect(loop, server, true);
	reader = client_connect(loop, server, false);
	ok(late.gone && !reader.gone, "read-only clients take at most half of the places");
	client_close(&late);
	client_close(&reader);
	for (unsigned i = 0; i < 100; i++)
		client_close(&clients[i]);
	is_int(server_get_n_clients(server), 0, "all are forgotten");
	tear_down();
}

int main(void)
{
	test_table();
	test_handshake();
	test_unknown();
	test_bad_arguments();
	test_read_only();
	test_overlap();
	test_keepalive();
	test_flood();
	test_framing();
	test_many();
	return done_testing();
}
