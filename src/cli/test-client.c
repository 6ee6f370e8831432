/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The conversation, with a daemon that is a thread of this test on the other end of a socket pair. */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "alloc.h"
#include "cli.h"
#include "constants.h"
#include "file.h"
#include "frame.h"
#include "job-watch.h"
#include "tap.h"

/* ---- the daemon's side ---- */

struct daemon {
	int fd;
	void (*serve)(struct daemon *d);
	unsigned hello_calls; /* what client_open said */
	char *uri;
	unsigned open_flags;
	bool said_goodbye, answered_ping, saw_abort;
};

/* The next frame, with its payload (owned by the caller); false at the end. */
static bool next_frame(struct daemon *d, struct rpc_header *h, struct buf *payload)
{
	char head[RPC_FRAME_MIN];
	size_t length;

	buf_clear(payload);
	if (read_full(d->fd, head, sizeof(head)) != (ssize_t)sizeof(head))
		return false;
	length = get_be32(head);
	frame_decode_header(head, h);
	read_full(d->fd, buf_reserve(payload, length - RPC_FRAME_MIN), length - RPC_FRAME_MIN);
	payload->len += length - RPC_FRAME_MIN;
	return true;
}

static void send_frame(struct daemon *d, const struct rpc_header *h, xdrproc_t coder, const void *value)
{
	struct buf out = {0};

	frame_encode(&out, h, coder, value, NULL);
	write_full(d->fd, out.data, out.len);
	buf_fini(&out);
}

static void reply(struct daemon *d, struct rpc_header h, xdrproc_t coder, const void *value)
{
	h.type = RPC_REPLY;
	send_frame(d, &h, coder, value);
}

static void reply_error(struct daemon *d, struct rpc_header h, int code, const char *message)
{
	char *text = (char *)message;
	struct rpc_error e = {.code = code, .level = RPC_LEVEL_ERROR, .message = &text};

	h.status = RPC_ERROR;
	reply(d, h, (xdrproc_t)xdr_rpc_error, &e);
}

static void send_event(struct daemon *d)
{
	struct rpc_header event = {RPC_PROGRAM_REMOTE, 1, RPC_EVENT_CALLBACK_REBOOT, RPC_EVENT, 0, RPC_OK};
	struct rpc_callback_args callback = {.callback_id = 7};

	send_frame(d, &event, (xdrproc_t)xdr_rpc_callback_args, &callback);
}

static void serve_hello(struct daemon *d)
{
	int none = RPC_AUTH_TYPE_NONE;
	struct rpc_auth_list_ret auth = {.types = {1, &none}};
	struct rpc_connect_open_args args = {0};
	struct buf payload = {0};
	struct rpc_header h;

	if (next_frame(d, &h, &payload) && h.proc == RPC_AUTH_LIST) {
		d->hello_calls++;
		reply(d, h, (xdrproc_t)xdr_rpc_auth_list_ret, &auth);
	}
	if (next_frame(d, &h, &payload) && h.proc == RPC_CONNECT_OPEN) {
		d->hello_calls++;
		payload_decode(payload.data, payload.len, (xdrproc_t)xdr_rpc_connect_open_args, &args, NULL);
		d->uri = xstrdup(args.name ? *args.name : NULL);
		d->open_flags = args.flags;
		payload_free((xdrproc_t)xdr_rpc_connect_open_args, &args);
		reply(d, h, NULL, NULL);
	}
	buf_fini(&payload);
}

static void wait_goodbye(struct daemon *d)
{
	struct buf payload = {0};
	struct rpc_header h;

	while (next_frame(d, &h, &payload))
		if (h.prog == RPC_PROGRAM_REMOTE && h.proc == RPC_CONNECT_CLOSE) {
			d->said_goodbye = true;
			send_event(d);
			reply(d, h, NULL, NULL);
		}
	buf_fini(&payload);
}

static void *run_daemon(void *userdata)
{
	struct daemon *d = userdata;

	serve_hello(d);
	if (d->serve)
		d->serve(d);
	wait_goodbye(d);
	close(d->fd);
	return NULL;
}

static struct client *begin(
	struct daemon *d, pthread_t *thread, void (*serve)(struct daemon *), bool read_only)
{
	struct client *c = NULL;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return NULL;
	*d = (struct daemon){.fd = fds[1], .serve = serve};
	pthread_create(thread, NULL, run_daemon, d);
	client_open(fds[0], "godwit:///system", read_only, 0, &c, NULL);
	return c;
}

static void finish(struct client *c, struct daemon *d, pthread_t thread)
{
	client_close(c);
	pthread_join(thread, NULL);
	free(d->uri);
}

/* ---- tests ---- */

static void test_hello(void)
{
	struct daemon d;
	pthread_t thread;
	struct client *c = begin(&d, &thread, NULL, true);

	ok(c != NULL, "a conversation begins");
	finish(c, &d, thread);
	is_int(d.hello_calls, 2, "with authentication and OPEN");
	is_int(d.open_flags, RPC_OPEN_READ_ONLY, "read-only as asked");
	ok(d.said_goodbye, "and ends with CLOSE");
}

static int call_string(struct client *c, int procedure, char **ret, struct error *err)
{
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = procedure, CLIENT_RET(rpc_string_ret, &r)};

	if (client_call(c, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

/* A ping first, then an error, then a string. */
static void serve_calls(struct daemon *d)
{
	struct rpc_header ping = {RPC_PROGRAM_KEEPALIVE, 1, RPC_KEEPALIVE_PING, RPC_EVENT, 0, RPC_OK};
	struct rpc_string_ret r = {.value = (char *)"myhost"};
	struct buf payload = {0};
	struct rpc_header h, pong;

	next_frame(d, &h, &payload);
	send_frame(d, &ping, NULL, NULL);
	next_frame(d, &pong, &payload);
	d->answered_ping = pong.prog == RPC_PROGRAM_KEEPALIVE && pong.proc == RPC_KEEPALIVE_PONG;
	reply_error(d, h, RPC_CODE_NO_DOMAIN, "no domain with that name");
	next_frame(d, &h, &payload);
	reply(d, h, (xdrproc_t)xdr_rpc_string_ret, &r);
	buf_fini(&payload);
}

static void test_calls(void)
{
	struct error err = ERROR_INIT;
	struct daemon d;
	pthread_t thread;
	struct client *c = begin(&d, &thread, serve_calls, false);
	char *name = NULL;

	ok(call_string(c, RPC_CONNECT_GET_HOSTNAME, &name, &err) < 0, "a call fails");
	ok(err.code == ERROR_NO_DOMAIN, "with the daemon's code");
	is_str(err.message, "no domain with that name", "and its words");
	ok(call_string(c, RPC_CONNECT_GET_HOSTNAME, &name, &err) == 0, "the next one succeeds");
	is_str(name, "myhost", "with its result");
	free(name);
	finish(c, &d, thread);
	ok(d.answered_ping, "keepalive was answered while a call was in flight");
}

/* Three calls come; they are answered last to first, with an event before and a foreign reply between. */
static void serve_out_of_order(struct daemon *d)
{
	struct rpc_header h[3];
	struct buf payload = {0};

	for (int i = 0; i < 3; i++)
		next_frame(d, &h[i], &payload);
	send_event(d);
	for (int i = 2; i >= 0; i--) {
		struct rpc_int_ret r = {.value = 100 + i};
		struct rpc_header foreign = h[i];

		foreign.serial = 9999;
		reply(d, foreign, (xdrproc_t)xdr_rpc_int_ret, &r);
		reply(d, h[i], (xdrproc_t)xdr_rpc_int_ret, &r);
	}
	buf_fini(&payload);
}

static void count_event(unsigned program, int procedure, const void *payload, size_t len, void *userdata)
{
	if (program == RPC_PROGRAM_REMOTE && procedure == RPC_EVENT_CALLBACK_REBOOT && len == 4 &&
		get_be32(payload) == 7)
		++*(unsigned *)userdata;
}

static void test_overlapping(void)
{
	struct daemon d;
	pthread_t thread;
	struct client *c = begin(&d, &thread, serve_out_of_order, false);
	struct rpc_int_ret results[3] = {0};
	struct client_call calls[3];
	struct client_request *requests[3];
	unsigned events = 0;
	bool good = true;

	client_set_event_handler(c, count_event, &events);
	for (int i = 0; i < 3; i++) {
		calls[i] = (struct client_call){
			.procedure = RPC_CONNECT_IS_SECURE, CLIENT_RET(rpc_int_ret, &results[i])};
		good = client_start(c, &calls[i], &requests[i], NULL) == 0 && good;
	}
	for (int i = 0; i < 3; i++)
		good = client_finish(c, requests[i], NULL) == 0 && good;
	ok(good, "three calls overlap");
	ok(results[0].value == 100 && results[1].value == 101 && results[2].value == 102,
		"and each gets its own answer, whatever the order");
	is_int(events, 1, "an event is delivered meanwhile");
	finish(c, &d, thread);
	is_int(events, 1, "and none to whoever has closed the connection");
}

/* Opens a stream, sends two packets and its end. */
static void serve_stream(struct daemon *d)
{
	struct rpc_header h, packet;
	struct buf payload = {0}, out = {0};

	next_frame(d, &h, &payload);
	reply(d, h, NULL, NULL);
	packet = h;
	packet.type = RPC_STREAM;
	packet.status = RPC_CONTINUE;
	frame_encode_raw(&out, &packet, "boot", 4);
	frame_encode_raw(&out, &packet, "ing\n", 4);
	packet.status = RPC_OK;
	frame_encode_raw(&out, &packet, NULL, 0);
	write_full(d->fd, out.data, out.len);
	buf_fini(&out);
	buf_fini(&payload);
}

struct received {
	struct buf data;
	bool ended;
};

static void take_packet(int status, const void *data, size_t len, const struct error *err, void *userdata)
{
	struct received *r = userdata;

	if (status == RPC_CONTINUE)
		buf_add(&r->data, data, len);
	else
		r->ended = status == RPC_OK;
}

static void test_stream(void)
{
	struct daemon d;
	pthread_t thread;
	struct client *c = begin(&d, &thread, serve_stream, false);
	struct client_call call = {.procedure = RPC_DOMAIN_OPEN_CONSOLE};
	struct client_request *r = NULL;
	struct received got = {0};

	client_start(c, &call, &r, NULL);
	client_open_stream(c, RPC_DOMAIN_OPEN_CONSOLE, client_get_serial(r), take_packet, &got);
	ok(client_finish(c, r, NULL) == 0, "a console is opened");
	while (!got.ended && client_wait(c, NULL, 0, -1, NULL) == 0)
		;
	ok(got.ended, "its stream ends");
	is_str(got.data.data, "booting\n", "and nothing of it is lost");
	buf_fini(&got.data);
	finish(c, &d, thread);
}

/* Half a frame, then nothing more. */
static void serve_half(struct daemon *d)
{
	struct buf payload = {0};
	struct rpc_header h;

	next_frame(d, &h, &payload);
	write_full(d->fd, "\0\0\0\x40\x20\0", 6);
	shutdown(d->fd, SHUT_RDWR);
	buf_fini(&payload);
}

static void serve_nonsense(struct daemon *d)
{
	struct buf payload = {0};
	struct rpc_header h;

	next_frame(d, &h, &payload);
	write_full(d->fd, "GET / HTTP/1.0\r\n", 16);
	buf_fini(&payload);
}

static void test_broken_daemon(void)
{
	struct error err = ERROR_INIT;
	struct daemon d;
	pthread_t thread;
	struct client *c = begin(&d, &thread, serve_half, false);
	char *name = NULL;

	ok(call_string(c, RPC_CONNECT_GET_HOSTNAME, &name, &err) < 0 && err.code == ERROR_RPC,
		"a daemon that dies in the middle of an answer");
	finish(c, &d, thread);
	c = begin(&d, &thread, serve_nonsense, false);
	ok(call_string(c, RPC_CONNECT_GET_HOSTNAME, &name, &err) < 0 && err.code == ERROR_RPC,
		"one that is no daemon");
	finish(c, &d, thread);
}

/* ---- a job that is watched ---- */

/*
 * Answers each question about the job with a little more done, and the job itself when somebody asked to
 * abort it: the first question is answered by Ctrl-C from "the user".
 */
static void serve_job(struct daemon *d)
{
	struct rpc_param params[] = {
		{(char *)"data_total", {.type = RPC_PARAM_ULLONG, .rpc_param_value_u.ul = 1000}},
		{(char *)"data_remaining", {.type = RPC_PARAM_ULLONG, .rpc_param_value_u.ul = 400}},
	};
	struct rpc_job_stats_ret stats = {.type = RPC_JOB_UNBOUNDED, .params = {2, params}};
	struct buf payload = {0};
	struct rpc_header job, h;
	bool interrupted = false;

	next_frame(d, &job, &payload);
	while (!d->saw_abort && next_frame(d, &h, &payload)) {
		if (h.proc == RPC_DOMAIN_GET_JOB_STATS) {
			reply(d, h, (xdrproc_t)xdr_rpc_job_stats_ret, &stats);
			if (!interrupted)
				kill(getpid(), SIGINT);
			interrupted = true;
		} else if (h.proc == RPC_DOMAIN_ABORT_JOB) {
			d->saw_abort = true;
			reply(d, h, NULL, NULL);
		}
	}
	reply_error(d, job, RPC_CODE_OPERATION_ABORTED, "stopped by request");
	buf_fini(&payload);
}

/* Standard error goes nowhere meanwhile: this is what a bar would be drawn on. */
static int watch_quietly(struct cli *cli, const struct job_watch *w, struct error *err)
{
	int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY), r;

	dup2(null, STDERR_FILENO);
	r = job_watch_run(cli, w, err);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
	return r;
}

static void test_interrupted_job(void)
{
	struct error err = ERROR_INIT;
	struct daemon d;
	pthread_t thread;
	struct cli cli = {0};
	struct rpc_domain dom = {.name = (char *)"vm", .id = 1};
	struct client_call call = {.procedure = RPC_DOMAIN_MANAGED_SAVE};
	struct job_watch w = {.call = &call, .dom = &dom, .title = "Save", .object = "vm", .show = true};
	sigset_t block, before, after;

	/* the daemon's thread must not be the one the signal hits */
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	pthread_sigmask(SIG_BLOCK, &block, &before);
	cli.client = begin(&d, &thread, serve_job, false);
	ok(watch_quietly(&cli, &w, &err) < 0 && err.code == ERROR_OPERATION_ABORTED,
		"an interrupted job fails");
	ok(d.saw_abort, "because the daemon was asked to stop it");
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ok(!sigismember(&after, SIGINT), "afterwards Ctrl-C does again what it did");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	finish(cli.client, &d, thread);
}

int main(void)
{
	/* the daemon's thread may find its client gone */
	signal(SIGPIPE, SIG_IGN);
	test_hello();
	test_calls();
	test_overlapping();
	test_stream();
	test_broken_daemon();
	test_interrupted_job();
	return done_testing();
}
