/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the client side between daemons, against a daemon of the test's own on the same loop: what it answers, when, and how it goes away. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "peer-internal.h"
#include "strv.h"
#include "tap.h"

/* The other daemon. */
struct fake {
	sd_event *loop;
	int fd;
	sd_event_source *io;
	struct connection *c;
	struct tls_context *tls; /* NULL: none */
	struct tls_handshake *handshake;
	char path[108];
	/* how it is to behave */
	int auth, keepalive;
	bool silent, refuse_open, deaf;
	/* what it saw */
	char name[64];
	unsigned calls, pongs, pings;
	struct rpc_header held[8]; /* calls of GET_HOSTNAME, to be answered later */
	unsigned n_held;
	struct rpc_header stream;
	size_t stream_bytes;
	bool stream_ended;
	bool gone;
};

/* Our side. */
struct owner {
	struct fake *fake;
	struct peer *peer;
	unsigned opened, closed, replies, failures, streams;
	char order[64]; /* of what came back */
	struct error err, stream_err;
	bool close_in_reply, close_in_opened;
};

static void reply(struct fake *f, const struct rpc_header *call, xdrproc_t coder, const void *value)
{
	struct rpc_header h = *call;

	h.type = RPC_REPLY;
	connection_send(f->c, &h, coder, value, NULL);
}

static void reply_error(struct fake *f, const struct rpc_header *call, int code, const char *text)
{
	char *message = (char *)text;
	rpc_error e = {.code = code, .level = RPC_LEVEL_ERROR, .message = &message};
	struct rpc_header h = *call;

	if (h.type == RPC_CALL)
		h.type = RPC_REPLY;
	h.status = RPC_ERROR;
	connection_send(f->c, &h, (xdrproc_t)xdr_rpc_error, &e, NULL);
}

static void note_name(struct fake *f, const uint8_t *payload, size_t len)
{
	rpc_connect_open_args args = {0};

	if (payload_decode(payload, len, (xdrproc_t)xdr_rpc_connect_open_args, &args, NULL) < 0)
		return;
	snprintf(f->name, sizeof(f->name), "%s", *args.name);
	payload_free((xdrproc_t)xdr_rpc_connect_open_args, &args);
}

static void on_call(struct fake *f, const struct rpc_header *h, const uint8_t *payload, size_t len)
{
	f->calls++;
	switch (h->proc) {
	case RPC_AUTH_LIST:
		reply(f, h, (xdrproc_t)xdr_rpc_auth_list_ret, &(rpc_auth_list_ret){{1, &f->auth}});
		break;
	case RPC_CONNECT_SUPPORTS_FEATURE:
		if (f->keepalive < 0)
			reply_error(f, h, RPC_CODE_RPC, "unknown procedure: 60");
		else
			reply(f, h, (xdrproc_t)xdr_rpc_int_ret, &(rpc_int_ret){f->keepalive});
		break;
	case RPC_CONNECT_OPEN:
		note_name(f, payload, len);
		if (f->refuse_open)
			reply_error(f, h, RPC_CODE_NO_CONNECT, "no driver for that");
		else
			reply(f, h, NULL, NULL);
		break;
	case RPC_CONNECT_GET_HOSTNAME:
		if (f->n_held < ARRAY_SIZE(f->held))
			f->held[f->n_held++] = *h;
		break;
	case RPC_CONNECT_GET_TYPE:
		reply_error(f, h, RPC_CODE_MIGRATE_FINISH_OK, "it says why");
		break;
	case RPC_CONNECT_GET_VERSION:
		connection_send_raw(f->c,
			&(struct rpc_header){.prog = h->prog,
				.vers = 1,
				.proc = h->proc,
				.type = RPC_REPLY,
				.serial = h->serial},
			"abc", 3);
		break;
	default: /* a stream */
		f->stream = *h;
		reply(f, h, NULL, NULL);
	}
}

static void fake_frame(
	struct connection *c, const struct rpc_header *h, const uint8_t *payload, size_t len, void *userdata)
{
	struct fake *f = userdata;

	if (h->prog == RPC_PROGRAM_KEEPALIVE) {
		f->pongs += h->proc == RPC_KEEPALIVE_PONG;
		f->pings += h->proc == RPC_KEEPALIVE_PING;
	} else if (h->type == RPC_STREAM) {
		f->stream_bytes += len;
		f->stream_ended = h->status == RPC_OK;
	} else if (!f->silent) {
		on_call(f, h, payload, len);
	}
}

static void fake_drained(struct connection *c, void *userdata)
{
}

static void fake_closed(struct connection *c, const struct error *why, void *userdata)
{
	struct fake *f = userdata;

	f->gone = true;
	connection_close(TAKE_PTR(f->c));
}

static const struct connection_ops fake_ops = {fake_frame, fake_drained, fake_closed};

static void on_shaken(struct transport *t, const char *dn, const struct error *err, void *userdata)
{
	struct fake *f = userdata;

	if (t)
		connection_open_over(f->loop, t, &fake_ops, f, &f->c, NULL);
	tls_handshake_free(TAKE_PTR(f->handshake));
}

static int on_accept(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct fake *f = userdata;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (client >= 0 && f->tls)
		tls_handshake_start(f->loop, f->tls, client, NULL, on_shaken, f, &f->handshake, NULL);
	else if (client >= 0 && connection_open(f->loop, client, &fake_ops, f, &f->c, NULL) == 0 && f->deaf)
		connection_hold(f->c, true);
	return 0;
}

static void fake_init(struct fake *f, int family)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	*f = (struct fake){.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	snprintf(f->path, sizeof(f->path), "/tmp/godwit-test-peer-%d", (int)getpid());
	memcpy(un.sun_path, f->path, strlen(f->path));
	unlink(f->path);
	if (f->fd < 0 || sd_event_new(&f->loop) < 0 ||
		bind(f->fd, family == AF_INET ? (struct sockaddr *)&in : (struct sockaddr *)&un,
			family == AF_INET ? sizeof(in) : sizeof(un)) < 0 ||
		listen(f->fd, 8) < 0 || sd_event_add_io(f->loop, &f->io, f->fd, EPOLLIN, on_accept, f) < 0)
		abort();
}

static unsigned fake_port(const struct fake *f)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	return getsockname(f->fd, (struct sockaddr *)&in, &len) == 0 ? ntohs(in.sin_port) : 0;
}

static void fake_fini(struct fake *f)
{
	sd_event_source_disable_unref(f->io);
	connection_close(f->c);
	tls_handshake_free(f->handshake);
	tls_context_close(f->tls);
	close_p(&f->fd);
	sd_event_unref(f->loop);
	unlink(f->path);
}

/* ---- our side ---- */

static void note(struct owner *o, const char *what)
{
	size_t len = strlen(o->order);

	snprintf(o->order + len, sizeof(o->order) - len, "%s ", what);
}

static void on_opened(struct peer *p, void *userdata)
{
	struct owner *o = userdata;

	o->opened++;
	if (o->close_in_opened)
		peer_close(TAKE_PTR(o->peer));
}

static void on_closed(struct peer *p, const struct error *err, void *userdata)
{
	struct owner *o = userdata;

	o->closed++;
	error_copy(&o->err, err);
	note(o, "closed");
	peer_close(TAKE_PTR(o->peer));
}

static const struct peer_ops ops = {on_opened, on_closed};

struct asked {
	struct owner *o;
	const char *what;
};

static void on_reply(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	struct asked *a = userdata;

	a->o->replies += !err;
	a->o->failures += err != NULL;
	if (err)
		error_copy(&a->o->err, err);
	note(a->o, ret ? ((const rpc_string_ret *)ret)->value : a->what);
	if (a->o->close_in_reply)
		peer_close(TAKE_PTR(a->o->peer));
}

static void ask(struct asked *a, int procedure)
{
	peer_call(a->o->peer, &(struct peer_call){.procedure = procedure,
				      .decode = (xdrproc_t)xdr_rpc_string_ret,
				      .ret_size = sizeof(rpc_string_ret),
				      .reply = on_reply,
				      .userdata = a});
}

/* True when it came about. */
#define RUN_UNTIL(loop, condition)                                                                           \
	({                                                                                                   \
		uint64_t end_ = clock_now() + 20 * USEC_PER_SEC;                                             \
		while (!(condition) && clock_now() < end_)                                                   \
			sd_event_run(loop, 10 * USEC_PER_MSEC);                                              \
		(condition);                                                                                 \
	})

static bool owner_open(struct owner *o, struct fake *f)
{
	_cleanup_free_ char *uri = xasprintf("qemu+unix:///system?socket=%s", f->path);

	*o = (struct owner){.fake = f};
	return peer_open(f->loop, uri, &ops, o, &o->peer, &o->err) == 0 &&
	       RUN_UNTIL(f->loop, o->opened + o->closed > 0) && o->opened == 1;
}

static void answer_held(struct fake *f, unsigned i, const char *text)
{
	reply(f, &f->held[i], (xdrproc_t)xdr_rpc_string_ret, &(rpc_string_ret){(char *)text});
}

/* ---- tests ---- */

static void test_open(void)
{
	struct owner o;
	struct fake f;
	char uri[160];

	fake_init(&f, AF_UNIX);
	ok(owner_open(&o, &f), "a daemon on a UNIX socket is opened");
	is_str(f.name, "qemu:///system", "by its name without the transport");
	is_int(f.calls, 3, "after three calls");
	peer_close(o.peer);
	ok(RUN_UNTIL(f.loop, f.gone), "closing it ends the connection");
	is_int(o.closed, 0, "and nothing is told");
	fake_fini(&f);

	fake_init(&f, AF_INET);
	o = (struct owner){.fake = &f};
	snprintf(uri, sizeof(uri), "godwit+tcp://127.0.0.1:%u/system", fake_port(&f));
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0, "TCP is begun");
	is_int(o.opened + o.closed, 0, "and nothing is told from within");
	ok(RUN_UNTIL(f.loop, o.opened), "it is opened");
	is_str(f.name, "godwit:///system", "by its name");
	peer_close(o.peer);
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	f.keepalive = -1;
	ok(owner_open(&o, &f), "one that knows no keepalive is opened");
	peer_close(o.peer);
	fake_fini(&f);
}

static void test_not_opened(void)
{
	struct error err = ERROR_INIT;
	struct peer *none = NULL;
	char uri[160];
	struct owner o;
	struct fake f;

	fake_init(&f, AF_UNIX);
	ok(peer_open(f.loop, "host2", &ops, NULL, &none, &err) < 0 && err.code == ERROR_INVALID_ARGUMENT,
		"what is no URI is refused at once");
	f.auth = 1;
	ok(!owner_open(&o, &f) && o.err.code == ERROR_AUTH && strstr(o.err.message, "log in"),
		"a daemon that wants a login is not opened");
	ok(startswith(o.err.message, f.path), "and the message says which");
	f.auth = RPC_AUTH_TYPE_NONE;
	connection_close(TAKE_PTR(f.c));
	f.refuse_open = true;
	ok(!owner_open(&o, &f) && strstr(o.err.message, "no driver for that"),
		"one that refuses is told in its words");
	fake_fini(&f);
	ok(sd_event_new(&f.loop) >= 0, "");
	ok(!owner_open(&o, &f) && o.err.errnum == ENOENT, "one that is not there");
	sd_event_unref(f.loop);

	fake_init(&f, AF_INET);
	snprintf(uri, sizeof(uri), "qemu+tcp://127.0.0.1:%u/system", fake_port(&f));
	close(take_fd(&f.fd));
	o = (struct owner){.fake = &f};
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.closed) &&
			o.err.errnum == ECONNREFUSED,
		"nobody listens there");
	is_str(o.err.message, "127.0.0.1: connect: Connection refused", "which is said with the place");
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	o = (struct owner){.fake = &f, .close_in_opened = true};
	snprintf(uri, sizeof(uri), "qemu+unix:///system?socket=%s", f.path);
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.opened && f.gone),
		"it may be closed as soon as it is open");
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0, "");
	peer_close(o.peer);
	ok(true, "or before");
	fake_fini(&f);
}

static void test_calls(void)
{
	struct owner o;
	struct fake f;
	struct asked a = {&o, "a"}, b = {&o, "b"}, c = {&o, "c"};

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	ask(&a, RPC_CONNECT_GET_HOSTNAME);
	ask(&b, RPC_CONNECT_GET_HOSTNAME);
	ask(&c, RPC_CONNECT_GET_HOSTNAME);
	ok(RUN_UNTIL(f.loop, f.n_held == 3), "three calls are on their way at once");
	answer_held(&f, 2, "third");
	answer_held(&f, 0, "first");
	answer_held(&f, 1, "second");
	ok(RUN_UNTIL(f.loop, o.replies == 3), "all are answered");
	is_str(o.order, "third first second ", "in the other side's order, each with its own");

	ask(&a, RPC_CONNECT_GET_TYPE);
	ok(RUN_UNTIL(f.loop, o.failures == 1), "an error comes");
	is_int(o.err.code, ERROR_MIGRATE_FINISH_OK, "as its number");
	is_str(o.err.message, "it says why", "and in its words");
	ask(&a, RPC_CONNECT_GET_VERSION);
	ok(RUN_UNTIL(f.loop, o.failures == 2) && o.err.code == ERROR_RPC,
		"a result that is none is an error of the call");
	is_int(o.closed, 0, "not of the connection");

	o.order[0] = '\0';
	ask(&a, RPC_CONNECT_GET_HOSTNAME);
	ask(&b, RPC_CONNECT_GET_HOSTNAME);
	RUN_UNTIL(f.loop, f.n_held == 5);
	connection_close(TAKE_PTR(f.c));
	ask(&c, RPC_CONNECT_GET_HOSTNAME);
	ok(RUN_UNTIL(f.loop, o.closed == 1), "when the other side goes away");
	is_str(o.order, "a b c closed ", "every call fails, and then it is told");
	ok(strstr(o.err.message, f.path), "with the other side's name");
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	o.close_in_reply = true;
	ask(&a, RPC_CONNECT_GET_HOSTNAME);
	ask(&b, RPC_CONNECT_GET_HOSTNAME);
	RUN_UNTIL(f.loop, f.n_held == 2);
	connection_close(TAKE_PTR(f.c));
	ok(RUN_UNTIL(f.loop, o.failures == 1), "it may be closed in a call that fails");
	sd_event_run(f.loop, 0);
	ok(o.failures == 1 && o.closed == 0, "and nothing more is told");
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	connection_send_raw(f.c,
		&(struct rpc_header){
			.prog = RPC_PROGRAM_REMOTE, .vers = 1, .proc = 7, .type = RPC_REPLY, .serial = 999},
		NULL, 0);
	ok(RUN_UNTIL(f.loop, o.closed == 1) && o.err.code == ERROR_RPC, "an answer to nothing ends it");
	fake_fini(&f);
}

static void test_keepalive(void)
{
	struct owner o;
	struct fake f;

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	connection_send_raw(f.c,
		&(struct rpc_header){.prog = RPC_PROGRAM_KEEPALIVE,
			.vers = 1,
			.proc = RPC_KEEPALIVE_PING,
			.type = RPC_EVENT},
		NULL, 0);
	ok(RUN_UNTIL(f.loop, f.pongs == 1), "a ping is answered");
	peer_close(o.peer);
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	f.keepalive = 1;
	owner_open(&o, &f);
	o.peer->keepalive_usec = 1;
	sd_event_source_set_time_relative(o.peer->timer, 1);
	ok(RUN_UNTIL(f.loop, o.closed == 1), "who answers no pings counts as gone");
	is_int(o.err.code, ERROR_TIMEOUT, "which is said");
	is_int(f.pings, 5, "after five of them");
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	f.silent = true;
	o = (struct owner){.fake = &f};
	{
		_cleanup_free_ char *uri = xasprintf("qemu+unix:///system?socket=%s", f.path);

		peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err);
	}
	RUN_UNTIL(f.loop, f.c);
	sd_event_source_set_time_relative(o.peer->timer, 1);
	ok(RUN_UNTIL(f.loop, o.closed == 1) && o.err.code == ERROR_TIMEOUT,
		"who says nothing is not waited for");
	fake_fini(&f);
}

static void on_stream_done(struct peer *p, const struct error *err, void *userdata)
{
	struct owner *o = userdata;

	o->streams++;
	error_copy(&o->stream_err, err ? err : &(struct error)ERROR_INIT);
}

/* The end that is written to. */
static int begin_stream(struct owner *o, struct fake *f)
{
	struct asked a = {o, "stream"};
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	peer_call(o->peer, &(struct peer_call){.procedure = RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS,
				   .reply = on_reply,
				   .userdata = &a});
	RUN_UNTIL(f->loop, o->replies == 1);
	peer_send_stream(o->peer, RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS, peer_get_serial(o->peer), fds[0],
		on_stream_done, o);
	return fds[1];
}

static void stream_answer(struct fake *f, int status)
{
	struct rpc_header h = f->stream;

	h.type = RPC_STREAM;
	h.status = status;
	if (status == RPC_ERROR)
		reply_error(f, &h, RPC_CODE_OPERATION_FAILED, "QEMU took it badly");
	else
		connection_send_raw(f->c, &h, NULL, 0);
}

static void test_stream(void)
{
	static const char data[50000];
	size_t sent = 0;
	struct owner o;
	struct fake f;
	ssize_t n;
	int fd;

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	fd = begin_stream(&o, &f);
	while (sent < 3 << 20) {
		n = write(fd, data, sizeof(data));
		sent += n > 0 ? (size_t)n : 0;
		sd_event_run(f.loop, 0);
	}
	ok(RUN_UNTIL(f.loop, f.stream_bytes == sent), "what is written into a descriptor arrives");
	ok(!f.stream_ended && o.streams == 0, "and the stream goes on");
	close(fd);
	ok(RUN_UNTIL(f.loop, f.stream_ended), "its end arrives");
	is_int(o.streams, 0, "but is not over before the other side has it");
	stream_answer(&f, RPC_OK);
	ok(RUN_UNTIL(f.loop, o.streams == 1) && o.stream_err.code == ERROR_NONE, "then it is done");
	peer_close(o.peer);
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	fd = begin_stream(&o, &f);
	connection_hold(f.c, true);
	sent = 0;
	for (unsigned idle = 0; idle < 100;) {
		n = write(fd, data, sizeof(data));
		sent += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		sd_event_run(f.loop, 0);
	}
	ok(sent < 8 << 20, "whoever writes waits when the other side does not read");
	connection_hold(f.c, false);
	ok(RUN_UNTIL(f.loop, f.stream_bytes == sent), "and it goes on when it does");
	stream_answer(&f, RPC_ERROR);
	ok(RUN_UNTIL(f.loop, o.streams == 1), "the other side may end it");
	is_str(o.stream_err.message, "QEMU took it badly", "in its words");
	is_int(write(fd, data, 1), -1, "and nobody reads any more");
	close(fd);
	peer_close(o.peer);
	fake_fini(&f);

	fake_init(&f, AF_UNIX);
	owner_open(&o, &f);
	fd = begin_stream(&o, &f);
	connection_close(TAKE_PTR(f.c));
	ok(RUN_UNTIL(f.loop, o.closed == 1) && o.streams == 1 && o.stream_err.code != ERROR_NONE,
		"a connection that ends takes its streams with it");
	close(fd);
	fake_fini(&f);
}

/* A certificate that signs itself and is everybody's, for 127.0.0.1: as authority, of a client and of a server. */
static void write_certificate(const char *directory)
{
	static const unsigned char serial = 1, address[] = {127, 0, 0, 1};
	static const char *const names[] = {"cacert.pem", "clientcert.pem", "clientkey.pem"};
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t cert;
	gnutls_datum_t pem[2];

	gnutls_x509_privkey_init(&key);
	gnutls_x509_crt_init(&cert);
	gnutls_x509_privkey_generate(
		key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_set_version(cert, 3);
	gnutls_x509_crt_set_key(cert, key);
	gnutls_x509_crt_set_dn(cert, "CN=all", NULL);
	gnutls_x509_crt_set_serial(cert, &serial, 1);
	gnutls_x509_crt_set_activation_time(cert, time(NULL) - 3600);
	gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 3600);
	gnutls_x509_crt_set_basic_constraints(cert, 1, -1);
	gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, address, sizeof(address), 0);
	if (gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0) < 0 ||
		gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem[0]) < 0 ||
		gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem[1]) < 0)
		abort();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, names[i]);
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		if (write(fd, pem[i / 2].data, pem[i / 2].size) != (ssize_t)pem[i / 2].size)
			abort();
	}
	gnutls_free(pem[0].data);
	gnutls_free(pem[1].data);
	gnutls_x509_crt_deinit(cert);
	gnutls_x509_privkey_deinit(key);
}

static void remove_certificate(const char *directory)
{
	static const char *const names[] = {"cacert.pem", "clientcert.pem", "clientkey.pem"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, names[i]);

		unlink(path);
	}
	rmdir(directory);
}

static void fake_init_tls(struct fake *f, const char *directory)
{
	_cleanup_free_ char *cert = xasprintf("%s/clientcert.pem", directory);
	_cleanup_free_ char *key = xasprintf("%s/clientkey.pem", directory);
	struct error err = ERROR_INIT;

	fake_init(f, AF_INET);
	if (tls_context_open(
		    &(struct tls_settings){
			    .is_server = true, .ca_file = cert, .cert_file = cert, .key_file = key},
		    &f->tls, &err) < 0)
		printf("# %s\n", err.message);
}

static void tls_uri(char uri[200], const struct fake *f, const char *host, const char *directory)
{
	snprintf(uri, 200, "qemu+tls://%s:%u/system?pkipath=%s", host, fake_port(f), directory);
}

static void test_tls(void)
{
	char directory[] = "/tmp/godwit-test-peer-XXXXXX", other[] = "/tmp/godwit-test-peer-XXXXXX", uri[200];
	static const char data[50000];
	size_t sent = 0;
	struct owner o;
	struct fake f;
	ssize_t n;
	int fd;

	if (!mkdtemp(directory) || !mkdtemp(other))
		abort();
	write_certificate(directory);
	write_certificate(other);

	fake_init_tls(&f, directory);
	o = (struct owner){.fake = &f};
	tls_uri(uri, &f, "127.0.0.1", directory);
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.opened),
		"TLS is opened");
	fd = begin_stream(&o, &f);
	while (sent < 3 << 20) {
		n = write(fd, data, sizeof(data));
		sent += n > 0 ? (size_t)n : 0;
		sd_event_run(f.loop, 0);
	}
	close(fd);
	ok(RUN_UNTIL(f.loop, f.stream_ended) && f.stream_bytes == sent,
		"a stream of many records goes through");
	connection_close(TAKE_PTR(f.c));
	ok(RUN_UNTIL(f.loop, o.closed == 1), "its end is seen");
	fake_fini(&f);

	fake_init_tls(&f, directory);
	o = (struct owner){.fake = &f};
	tls_uri(uri, &f, "localhost", directory);
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.closed) &&
			o.err.code == ERROR_AUTH && strstr(o.err.message, "does not match"),
		"a certificate for another name is not accepted");
	fake_fini(&f);

	fake_init_tls(&f, directory);
	o = (struct owner){.fake = &f};
	tls_uri(uri, &f, "127.0.0.1", other);
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.closed) &&
			o.err.code == ERROR_AUTH,
		"nor one of an authority that is not ours");
	o = (struct owner){.fake = &f};
	tls_uri(uri, &f, "127.0.0.1", other);
	snprintf(uri + strlen(uri), sizeof(uri) - strlen(uri), "&no_verify=1");
	ok(peer_open(f.loop, uri, &ops, &o, &o.peer, &o.err) == 0 && RUN_UNTIL(f.loop, o.closed) &&
			strstr(o.err.message, "it says"),
		"and when the server does not accept ours, its word is told");
	fake_fini(&f);
	remove_certificate(directory);
	remove_certificate(other);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_open();
	test_not_opened();
	test_calls();
	test_keepalive();
	test_stream();
	test_tls();
	return done_testing();
}
