/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is told what, in which order, in a migration that goes well or fails, and what other commands show of it; both daemons are threads of
 * this test.
 */
#include "migrate-drive.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "constants.h"
#include "file.h"
#include "frame.h"
#include "migration.h"
#include "params.h"
#include "tap.h"

/* The driver speaks to one daemon at a time, so what they hear has one order. */
static struct {
	pthread_mutex_t lock;
	struct buf heard;
	int fails;  /* the procedure that is refused; 0: none */
	int state;  /* the guest's */
	int passes; /* perform tells of so many */
	int is_active, is_persistent;
	int job_type;
	bool tell_at_once; /* of the passes, to who wants to hear of them */
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER, .job_type = RPC_JOB_COMPLETED};

/* ---- a daemon ---- */

static bool next_frame(int fd, struct rpc_header *h, struct buf *payload)
{
	char head[RPC_FRAME_MIN];
	size_t length;

	buf_clear(payload);
	if (read_full(fd, head, sizeof(head)) != (ssize_t)sizeof(head))
		return false;
	length = get_be32(head) - RPC_FRAME_MIN;
	frame_decode_header(head, h);
	read_full(fd, buf_reserve(payload, length + 1), length);
	payload->len += length;
	return true;
}

static void send_frame(int fd, struct rpc_header h, int type, xdrproc_t coder, const void *value)
{
	_cleanup_(buf_fini) struct buf out = {0};

	h.type = type;
	frame_encode(&out, &h, coder, value, NULL);
	write_full(fd, out.data, out.len);
}

static void refuse(int fd, struct rpc_header h)
{
	char *text = (char *)"not now";
	rpc_error e = {.code = RPC_CODE_OPERATION_FAILED, .level = RPC_LEVEL_ERROR, .message = &text};

	h.status = RPC_ERROR;
	send_frame(fd, h, RPC_REPLY, (xdrproc_t)xdr_rpc_error, &e);
}

static rpc_cookie cookie(const char *text)
{
	return (rpc_cookie){(u_int)strlen(text) + 1, (char *)text};
}

static const char *cookie_text(const rpc_cookie *c)
{
	return c->rpc_cookie_len > 0 ? c->rpc_cookie_val : "-";
}

static const char *param_text(const rpc_params *params, const char *name)
{
	const rpc_param *p = param_find(params->rpc_params_val, params->rpc_params_len, name);

	return p ? p->value.rpc_param_value_u.s : "-";
}

#define REPLY(type, value) send_frame(fd, h, RPC_REPLY, (xdrproc_t)xdr_##type, value)

static void tell_passes(int fd)
{
	struct rpc_header h = {.prog = RPC_PROGRAM_REMOTE,
		.vers = RPC_PROGRAM_VERSION,
		.proc = RPC_EVENT_CALLBACK_MIGRATION_ITERATION};
	/* the callback's id, and behind it the event: as an int and a domain with an int are, too */
	struct rpc_domain_int_args event = {{(char *)"guest", "0", 7}, 0};

	for (int pass = 1; pass <= plan.passes; pass++) {
		_cleanup_(buf_fini) struct buf body = {0}, out = {0};

		event.value = pass;
		frame_encode(&body, &h, (xdrproc_t)xdr_rpc_domain_int_args, &event, NULL);
		h.type = RPC_EVENT;
		buf_add(&out, "\0\0\0\5", 4);
		buf_add(&out, body.data + RPC_FRAME_MIN, body.len - RPC_FRAME_MIN);
		body.len = 0;
		frame_encode_raw(&body, &h, out.data, out.len);
		write_full(fd, body.data, body.len);
	}
}

/* Arguments are noted in plan.heard. */
static void hear(int proc, const struct buf *in)
{
	union {
		rpc_domain_params_args begin;
		rpc_migrate_prepare_args prepare;
		rpc_migrate_perform_args perform;
		rpc_migrate_finish_args finish;
		rpc_migrate_confirm_args confirm;
	} a = {0};
	struct buf *to = &plan.heard;
	xdrproc_t coder = NULL;

#define DECODE(type)                                                                                         \
	(coder = (xdrproc_t)xdr_##type, payload_decode((const uint8_t *)in->data, in->len, coder, &a, NULL))
	switch (proc) {
	case RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS:
		DECODE(rpc_domain_params_args);
		buf_addf(to, "begin flags=%u; ", a.begin.flags);
		break;
	case RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS:
		DECODE(rpc_migrate_prepare_args);
		buf_addf(to, "prepare flags=%u %s %s; ", a.prepare.flags, cookie_text(&a.prepare.cookie),
			param_text(&a.prepare.params, "destination_xml"));
		break;
	case RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS:
		DECODE(rpc_migrate_perform_args);
		buf_addf(to, "perform flags=%u %s uri=%s peer=%s; ", a.perform.flags,
			cookie_text(&a.perform.cookie), param_text(&a.perform.params, "migrate_uri"),
			a.perform.peer ? *a.perform.peer : "-");
		break;
	case RPC_DOMAIN_MIGRATE_FINISH3_PARAMS:
		DECODE(rpc_migrate_finish_args);
		buf_addf(to, "finish %s %s%s; ", cookie_text(&a.finish.cookie),
			param_text(&a.finish.params, "destination_name"),
			a.finish.cancelled ? " cancelled" : "");
		break;
	case RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS:
		DECODE(rpc_migrate_confirm_args);
		buf_addf(to, "confirm %s%s; ", cookie_text(&a.confirm.cookie),
			a.confirm.cancelled ? " cancelled" : "");
		break;
	case RPC_DOMAIN_MIGRATE_START_POST_COPY:
		buf_addf(to, "postcopy; ");
		break;
	default:
		break;
	}
	if (coder)
		payload_free(coder, &a);
}

static void answer(int fd, struct rpc_header h)
{
	char *uri = (char *)"tcp:b:1";
	int none = RPC_AUTH_TYPE_NONE;
	rpc_param job[] = {
		{(char *)"operation", {.type = RPC_PARAM_INT, .rpc_param_value_u.i = 5}},
		{(char *)"downtime", {.type = RPC_PARAM_ULLONG, .rpc_param_value_u.ul = 12}},
		{(char *)"compression_overflow", {.type = RPC_PARAM_ULLONG, .rpc_param_value_u.ul = 3}},
		{(char *)"auto_converge_throttle", {.type = RPC_PARAM_INT, .rpc_param_value_u.i = 20}},
	};

	switch (h.proc) {
	case RPC_AUTH_LIST:
		REPLY(rpc_auth_list_ret, (&(rpc_auth_list_ret){{1, &none}}));
		break;
	case RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS:
		REPLY(rpc_migrate_begin_ret, (&(rpc_migrate_begin_ret){cookie("c1"), (char *)"<begun/>"}));
		break;
	case RPC_DOMAIN_GET_STATE:
		REPLY(rpc_domain_state_ret, (&(rpc_domain_state_ret){plan.state, 1}));
		break;
	case RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS:
		REPLY(rpc_migrate_prepare_ret, (&(rpc_migrate_prepare_ret){cookie("c2"), &uri}));
		break;
	case RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS:
		REPLY(rpc_migrate_cookie_ret, (&(rpc_migrate_cookie_ret){cookie("c3")}));
		break;
	case RPC_DOMAIN_MIGRATE_FINISH3_PARAMS:
		REPLY(rpc_migrate_finish_ret,
			(&(rpc_migrate_finish_ret){{(char *)"guest", "0", 3}, cookie("c4")}));
		break;
	case RPC_DOMAIN_LOOKUP_BY_NAME:
		REPLY(rpc_domain_ret, (&(rpc_domain_ret){{(char *)"guest", "0", 3}}));
		break;
	case RPC_DOMAIN_IS_ACTIVE:
		REPLY(rpc_int_ret, (&(rpc_int_ret){plan.is_active}));
		break;
	case RPC_DOMAIN_IS_PERSISTENT:
		REPLY(rpc_int_ret, (&(rpc_int_ret){plan.is_persistent}));
		break;
	case RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY:
		REPLY(rpc_int_ret, (&(rpc_int_ret){5}));
		break;
	case RPC_DOMAIN_GET_JOB_STATS:
		REPLY(rpc_job_stats_ret, (&(rpc_job_stats_ret){plan.job_type, {4, job}}));
		break;
	default:
		send_frame(fd, h, RPC_REPLY, NULL, NULL);
	}
}

static void *serve(void *userdata)
{
	int fd = *(int *)userdata;
	struct rpc_header h, performing = {0};
	struct buf in = {0};

	while (next_frame(fd, &h, &in)) {
		pthread_mutex_lock(&plan.lock);
		hear(h.proc, &in);
		pthread_mutex_unlock(&plan.lock);
		if (h.proc == plan.fails) {
			refuse(fd, h);
		} else if (h.proc == RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS && plan.passes > 0) {
			/* it is answered once the switch was asked for */
			performing = h;
			tell_passes(fd);
		} else {
			answer(fd, h);
			if (h.proc == RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY && plan.tell_at_once)
				tell_passes(fd);
			if (h.proc == RPC_DOMAIN_MIGRATE_START_POST_COPY)
				answer(fd, performing);
		}
	}
	buf_fini(&in);
	close(fd);
	return NULL;
}

struct daemon {
	pthread_t thread;
	int fd;
	struct client *client;
};

static void daemon_open(struct daemon *d)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	d->fd = fds[1];
	pthread_create(&d->thread, NULL, serve, &d->fd);
	if (client_open(fds[0], "godwit:///system", false, 0, &d->client, NULL) < 0)
		abort();
}

static void daemon_close(struct daemon *d)
{
	client_close(d->client);
	pthread_join(d->thread, NULL);
}

/* ---- tests ---- */

/* Migrates with the plan; *d has target or peer set here. Its result, and what was heard in `ret_heard`. */
static int migrate(struct drive *d, bool p2p, char **ret_heard, struct error *err)
{
	static const rpc_domain dom = {(char *)"guest", "0", 7};
	struct daemon source, target;
	struct cli cli = {0};
	int r;

	daemon_open(&source);
	daemon_open(&target);
	buf_clear(&plan.heard);
	cli.client = source.client;
	d->dom = &dom;
	d->target = p2p ? NULL : target.client;
	d->peer = p2p ? "qemu+ssh://b/system" : NULL;
	r = drive_migration(&cli, d, err);
	daemon_close(&source);
	daemon_close(&target);
	*ret_heard = xstrdup(plan.heard.len > 0 ? plan.heard.data : "");
	return r;
}

static void check(unsigned flags, bool p2p, int want, const char *heard, const char *name)
{
	_cleanup_free_ char *got = NULL;
	struct drive d = {.flags = flags};
	struct error err = ERROR_INIT;

	is_int(migrate(&d, p2p, &got, &err), want, name);
	is_str(got, heard, "in this order");
	if (want == 0)
		ok(d.has_downtime && d.downtime_ms == 12, "how long it stood still is known");
	else
		is_str(err.message, "not now", "the first failure is the one that is told");
}

static void test_order(void)
{
	plan.state = RPC_STATE_RUNNING;
	check(MIGRATE_LIVE, false, 0,
		"begin flags=257; prepare flags=1 c1 <begun/>; perform flags=1 c2 uri=tcp:b:1 peer=-; "
		"finish c3 guest; confirm c4; ",
		"all goes well");
	check(MIGRATE_LIVE | MIGRATE_AUTO_CONVERGE | MIGRATE_ABORT_ON_ERROR, false, 0,
		"begin flags=12545; prepare flags=1 c1 <begun/>; perform flags=12289 c2 uri=tcp:b:1 peer=-; "
		"finish c3 guest; confirm c4; ",
		"what is the source's business");
	check(MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST, false, 0,
		"begin flags=1288; prepare flags=1032 c1 <begun/>; finish c2 guest; confirm c4; ",
		"only the definition");
	check(MIGRATE_LIVE, true, 0, "perform flags=3 - uri=- peer=qemu+ssh://b/system; ",
		"the source's daemon does it");
	plan.state = RPC_STATE_PAUSED;
	check(0, false, 0,
		"begin flags=256; prepare flags=32 c1 <begun/>; perform flags=32 c2 uri=tcp:b:1 peer=-; "
		"finish c3 guest; confirm c4; ",
		"a guest that stands still");
	plan.state = RPC_STATE_RUNNING;
}

static void test_failures(void)
{
	plan.fails = RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS;
	check(0, false, -1, "begin flags=256; ", "nothing begins");
	plan.fails = RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS;
	check(0, false, -1, "begin flags=256; prepare flags=0 c1 <begun/>; confirm - cancelled; ",
		"the target cannot");
	plan.fails = RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS;
	check(0, false, -1,
		"begin flags=256; prepare flags=0 c1 <begun/>; perform flags=0 c2 uri=tcp:b:1 peer=-; "
		"finish - guest cancelled; ",
		"the memory does not arrive");
	plan.fails = RPC_DOMAIN_MIGRATE_FINISH3_PARAMS;
	check(0, false, -1,
		"begin flags=256; prepare flags=0 c1 <begun/>; perform flags=0 c2 uri=tcp:b:1 peer=-; "
		"finish c3 guest; confirm - cancelled; ",
		"the target does not run it");
	plan.fails = 0;
}

static void test_postcopy(void)
{
	struct drive d = {.flags = MIGRATE_LIVE | MIGRATE_POSTCOPY, .postcopy_after_precopy = true};
	_cleanup_free_ char *got = NULL;
	struct error err = ERROR_INIT;

	plan.passes = 2;
	is_int(migrate(&d, false, &got, &err), 0, "switch after one pass");
	is_str(got,
		"begin flags=33025; prepare flags=32769 c1 <begun/>; perform flags=32769 c2 uri=tcp:b:1 "
		"peer=-; "
		"postcopy; finish c3 guest; confirm c4; ",
		"when the second begins, and once");
	plan.passes = 0;
}

static void test_choice(void)
{
	static const struct {
		int is_active, is_persistent;
		unsigned asked, chosen;
		const char *name;
	} cases[] = {
		{1, 1, 0,
			MIGRATE_LIVE | MIGRATE_AUTO_CONVERGE | MIGRATE_PARALLEL | MIGRATE_PERSIST_DEST |
				MIGRATE_UNDEFINE_SOURCE,
			"one that runs"},
		{1, 0, 0, MIGRATE_LIVE | MIGRATE_AUTO_CONVERGE | MIGRATE_PARALLEL, "a transient one"},
		{0, 1, 0, MIGRATE_OFFLINE | MIGRATE_PERSIST_DEST | MIGRATE_UNDEFINE_SOURCE,
			"one that is off"},
		{1, 0, MIGRATE_COMPRESSED, MIGRATE_LIVE | MIGRATE_AUTO_CONVERGE | MIGRATE_COMPRESSED,
			"what was asked for stays"},
	};
	static const rpc_domain dom = {(char *)"guest", "0", 7};
	struct error err = ERROR_INIT;
	struct daemon source;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct drive d = {.dom = &dom, .flags = cases[i].asked};
		struct cli cli = {0};

		plan.is_active = cases[i].is_active;
		plan.is_persistent = cases[i].is_persistent;
		daemon_open(&source);
		cli.client = source.client;
		is_int(drive_choose(&cli, &d, &err), 0, cases[i].name);
		is_int(d.flags, cases[i].chosen, "is moved so");
		daemon_close(&source);
	}
}

/* What a command prints. */
static void is_shown(const char *name, char *const *words, int n, const char *want, const char *what)
{
	const struct command *command = command_find(name);
	_cleanup_(arguments_fini) struct arguments args = {0};
	struct cli cli = {.command = command, .quiet = true};
	struct error err = ERROR_INIT;
	int out = dup(STDOUT_FILENO), r;
	FILE *file = tmpfile();
	char text[512] = "";
	struct daemon d;

	fflush(stdout);
	daemon_open(&d);
	cli.client = d.client;
	if (!file || dup2(fileno(file), STDOUT_FILENO) < 0 ||
		arguments_parse(name, command->options, true, n, words, &args, &err) < 0)
		abort();
	r = command->run(&cli, &args, &err);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	close(out);
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	daemon_close(&d);
	free(cli.vm_name);
	is_int(r, 0, what);
	ok(strstr(text, want) != NULL, want);
}

static void test_shown(void)
{
	char *job[] = {(char *)"guest"};
	char *event[] = {
		(char *)"--domain", (char *)"guest", (char *)"--event", (char *)"migration-iteration"};

	plan.job_type = RPC_JOB_UNBOUNDED;
	is_shown("domjobinfo", job, 1, "Outgoing migration", "a migration at work");
	is_shown("domjobinfo", job, 1, "Expected downtime: 12 ", "says what it expects");
	plan.job_type = RPC_JOB_COMPLETED;
	is_shown("domjobinfo", job, 1, "Total downtime:   12 ", "and afterwards what it was");
	is_shown("domjobinfo", job, 1, "Auto converge throttle: 20 ", "what the guest lost");
	is_shown("domjobinfo", job, 1, "Compression overflows: 3 ", "what was not compressed");
	plan.passes = 1;
	plan.tell_at_once = true;
	is_shown("event", event, 4, "event 'migration-iteration' for domain 'guest': iteration: '1'",
		"each pass can be heard of");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_order();
	test_failures();
	test_postcopy();
	test_choice();
	test_shown();
	buf_fini(&plan.heard);
	return done_testing();
}
