/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP against a scripted peer: the good conversation, and everything a peer can do wrong. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "alloc.h"
#include "buf.h"
#include "qmp.h"
#include "strv.h"
#include "tap.h"

/* What the test itself needs failed. */
#define BAIL_OUT(...) (printf("Bail out! " __VA_ARGS__), putchar('\n'), exit(1))

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10}}, \"capabilities\": [\"oob\"]}}\r\n"

/* What the callbacks saw, as one line of text that a test compares. */
struct seen {
	struct buf log;
	struct error last;
	bool close_in_reply, close_in_event;
	unsigned again_in_reply; /* send so many more commands from the reply */
	unsigned events;
};

struct talk {
	sd_event *loop;
	struct qmp *q;
	int peer;
	struct seen seen;
	struct buf got; /* what the peer received */
};

static void on_ready(struct qmp *q, void *userdata)
{
	struct talk *t = userdata;

	buf_adds(&t->seen.log, "ready;");
}

static void on_event(
	struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata)
{
	struct talk *t = userdata;

	t->seen.events++;
	if (t->seen.events < 10)
		buf_addf(&t->seen.log, "event %s %s %lld.%d;", name, json_get_string(data, "k") ?: "-",
			(long long)seconds, (int)micros);
	if (t->seen.close_in_event) {
		qmp_close(t->q);
		t->q = NULL;
	}
}

static void on_closed(struct qmp *q, const struct error *why, void *userdata)
{
	struct talk *t = userdata;

	buf_adds(&t->seen.log, "closed;");
	t->seen.last = *why;
	qmp_close(q);
	t->q = NULL;
}

static const struct qmp_ops ops = {.ready = on_ready, .event = on_event, .closed = on_closed};

static void on_reply(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct talk *t = userdata;

	buf_addf(&t->seen.log, "%s;", err ? "error" : json_object_get_string(ret));
	if (err)
		t->seen.last = *err;
	if (t->seen.again_in_reply > 0) {
		t->seen.again_in_reply--;
		qmp_command(q, "again", NULL, -1, 0, on_reply, t);
	}
	if (t->seen.close_in_reply) {
		qmp_close(q);
		t->q = NULL;
	}
}

static void on_raw(struct qmp *q, const char *reply, const struct error *err, void *userdata)
{
	struct talk *t = userdata;

	buf_addf(&t->seen.log, "raw %s;", err ? "error" : reply);
}

static void say(struct talk *t, const char *text)
{
	if (send(t->peer, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		BAIL_OUT("peer cannot send: %s", strerror(errno));
}

/* Until nothing is left to do at this instant. */
static void pump(struct talk *t)
{
	char text[4096];
	ssize_t n;

	do {
		while (sd_event_run(t->loop, 0) > 0)
			;
		n = t->peer >= 0 ? recv(t->peer, text, sizeof(text), MSG_DONTWAIT) : -1;
		if (n > 0)
			buf_add(&t->got, text, (size_t)n);
	} while (n > 0);
}

/* Until a timer set by a test has run. */
static void pump_until_logged(struct talk *t, const char *what)
{
	for (int i = 0; i < 1000 && !strstr(t->seen.log.data ?: "", what); i++)
		sd_event_run(t->loop, 10000);
}

static void talk_open(struct talk *t)
{
	struct error err = ERROR_INIT;
	int fds[2];

	*t = (struct talk){.peer = -1};
	if (sd_event_new(&t->loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		BAIL_OUT("no loop or sockets");
	t->peer = fds[1];
	if (qmp_open(t->loop, fds[0], &ops, t, &t->q, &err) < 0)
		BAIL_OUT("qmp_open: %s", err.message);
}

static void talk_ready_as(struct talk *t, const char *greeting)
{
	talk_open(t);
	say(t, greeting);
	pump(t);
	say(t, "{\"return\": {}, \"id\": 1}\r\n");
	pump(t);
	buf_clear(&t->seen.log);
	buf_clear(&t->got);
}

static void talk_ready(struct talk *t)
{
	talk_ready_as(t, GREETING);
}

static void talk_close(struct talk *t)
{
	qmp_close(t->q);
	if (t->peer >= 0)
		close(t->peer);
	buf_fini(&t->seen.log);
	buf_fini(&t->got);
	sd_event_unref(t->loop);
}

static void command(struct talk *t, const char *name)
{
	qmp_command(t->q, name, NULL, -1, 0, on_reply, t);
}

static const char *logged(struct talk *t)
{
	return t->seen.log.data ?: "";
}

static const char *got(struct talk *t)
{
	return t->got.data ?: "";
}

static void test_conversation(void)
{
	struct talk t;

	talk_open(&t);
	qmp_command(t.q, "query-status", json_pack("b:x", 1, NULL), -1, 0, on_reply, &t);
	pump(&t);
	is_str(got(&t), "", "nothing is sent before the greeting");
	say(&t, GREETING);
	pump(&t);
	is_str(got(&t), "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]},\"id\":2}\n",
		"the greeting is answered by negotiation alone");
	say(&t, "{\"return\": {}, \"id\": 2}\r\n");
	pump(&t);
	ok(strstr(got(&t), "\n{\"execute\":\"query-status\",\"arguments\":{\"x\":true},\"id\":1}\n"),
		"what was asked before is sent after it");
	say(&t, "{\"timestamp\": {\"seconds\": 5, \"microseconds\": 7}, \"event\": \"STOP\", \"data\": "
		"{\"k\":\"v\"}}\r\n"
		"{\"return\": {\"running\": false}, \"id\": 1}\r\n");
	pump(&t);
	is_str(logged(&t), "ready;event STOP v 5.7;{ \"running\": false };",
		"ready, event and reply in order");
	talk_close(&t);
}

static void test_replies(void)
{
	struct talk t;

	talk_ready(&t);
	command(&t, "a");
	command(&t, "b");
	say(&t, "{\"return\": 2, \"id\": 3}\n{\"return\": 99, \"id\": 77}\n{\"return\": "
		"98}\n{\"id\":\"x\",\"return\":1}\n"
		"{\"return\": 1, \"id\": 2}\n{\"return\": 1, \"id\": 2}\n");
	pump(&t);
	is_str(logged(&t), "2;1;", "replies are matched by id; unknown and repeated ones are ignored");

	buf_clear(&t.seen.log);
	command(&t, "refuse");
	say(&t, "{\"id\": 4, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\\n\\u0007way\"}}\n");
	pump(&t);
	ok(t.seen.last.code == ERROR_QEMU, "a refusal is QEMU's");
	is_str(t.seen.last.message, "refuse: no  way", "its text is one clean line");

	buf_clear(&t.seen.log);
	command(&t, "first");
	command(&t, "second");
	say(&t, "{\"error\": {\"desc\": \"unreadable\"}}\n{\"return\": 2, \"id\": 6}\n");
	pump(&t);
	is_str(logged(&t), "error;2;", "an error without id is for the oldest command");

	buf_clear(&t.seen.log);
	command(&t, "empty");
	say(&t, "{\"id\": 7}\n");
	pump(&t);
	is_str(logged(&t), "error;", "a reply that says nothing is an error");
	ok(t.seen.last.code == ERROR_RPC, "... of the protocol");
	talk_close(&t);
}

static void test_pieces(void)
{
	static const char reply[] = "{\"return\": 1, \"id\": 2}\r\n{\"event\": \"E\"}\r\n";
	struct talk t;

	talk_ready(&t);
	command(&t, "a");
	for (const char *p = reply; *p; p++) {
		if (send(t.peer, p, 1, MSG_NOSIGNAL) != 1)
			BAIL_OUT("send");
		pump(&t);
	}
	is_str(logged(&t), "1;event E - -1.-1;", "a line may come byte by byte");
	talk_close(&t);
}

/* `text` after the handshake must end the connection, the pending command being answered before. */
static void must_break(const char *text, size_t len, const char *name)
{
	struct talk t;

	talk_ready(&t);
	command(&t, "pending");
	pump(&t);
	if (len > 0 && send(t.peer, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		BAIL_OUT("send");
	if (len == 0) {
		close(t.peer);
		t.peer = -1;
	}
	pump(&t);
	is_str(logged(&t), "error;closed;", name);
	talk_close(&t);
}

static void test_breaches(void)
{
	static const char deep[300] = {[0 ... 298] = '[', [299] = '\n'};
	struct talk t;

	must_break("garbage\n", 8, "garbage breaks it");
	must_break("\0\0\0\n", 4, "zero bytes break it");
	must_break("[1]\n", 4, "a line that is no object breaks it");
	must_break("{\"a\":1}{}\n", 10, "two objects on a line break it");
	must_break(deep, sizeof(deep), "deep nesting breaks it");
	must_break("", 0, "the peer closing breaks it");

	talk_open(&t);
	say(&t, "{\"return\": {}, \"id\": 1}\n");
	pump(&t);
	is_str(logged(&t), "closed;", "a reply in the place of the greeting breaks it");
	ok(t.seen.last.code == ERROR_RPC, "... as a breach of protocol");
	talk_close(&t);

	talk_ready(&t);
	command(&t, "pending");
	say(&t, "{\"return\": 1, ");
	close(t.peer);
	t.peer = -1;
	pump(&t);
	is_str(logged(&t), "error;closed;", "closing in the middle of a line breaks it");
	is_str(t.seen.last.message, "QEMU closed the monitor", "... and says what happened");
	talk_close(&t);

	talk_open(&t);
	command(&t, "early");
	say(&t, GREETING);
	pump(&t);
	say(&t, "{\"error\": {\"desc\": \"not you\"}, \"id\": 2}\n");
	pump(&t);
	is_str(logged(&t), "error;closed;", "refused negotiation breaks it");
	talk_close(&t);
}

static void test_huge_line(void)
{
	_cleanup_free_ char *chunk = xcalloc(1, 1 << 20);
	struct talk t;
	size_t sent = 0;

	memset(chunk, ' ', 1 << 20);
	talk_ready(&t);
	while (t.q && sent < 2 * (size_t)QMP_LINE_MAX) {
		ssize_t n = send(t.peer, chunk, 1 << 20, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		while (sd_event_run(t.loop, 0) > 0)
			;
	}
	ok(!t.q && sent <= (size_t)QMP_LINE_MAX + (2 << 20), "a line without end breaks it at the limit");
	is_str(t.seen.last.message, "the monitor sent a line longer than 64 MiB", "... and says so");
	talk_close(&t);
}

static void test_timeouts(void)
{
	struct talk t;

	talk_ready(&t);
	qmp_command(t.q, "slow", NULL, -1, 1, on_reply, &t);
	pump_until_logged(&t, "error;");
	is_str(logged(&t), "error;", "a command that is not answered in time fails");
	ok(t.seen.last.code == ERROR_TIMEOUT, "... with a timeout");
	say(&t, "{\"return\": 1, \"id\": 2}\n");
	command(&t, "next");
	say(&t, "{\"return\": 3, \"id\": 3}\n");
	pump(&t);
	is_str(logged(&t), "error;3;", "its late reply is ignored, the connection goes on");
	talk_close(&t);

	talk_open(&t);
	qmp_command(t.q, "unsent", NULL, -1, 1, on_reply, &t);
	pump_until_logged(&t, "error;");
	say(&t, GREETING);
	pump(&t);
	say(&t, "{\"return\": {}, \"id\": 2}\r\n");
	pump(&t);
	is_str(logged(&t), "error;ready;", "a command may time out before it could be sent");
	ok(!strstr(got(&t), "unsent"), "... and then is never sent");
	talk_close(&t);
}

static void test_owner_acts_in_callbacks(void)
{
	struct talk t;

	talk_ready(&t);
	command(&t, "a");
	command(&t, "b");
	t.seen.close_in_reply = true;
	say(&t, "{\"return\": 1, \"id\": 2}\n{\"return\": 2, \"id\": 3}\n{\"event\": \"E\"}\n");
	pump(&t);
	is_str(logged(&t), "1;", "after close in a reply nothing is called any more");
	talk_close(&t);

	talk_ready(&t);
	t.seen.close_in_event = true;
	say(&t, "{\"event\": \"E\"}\n{\"event\": \"F\"}\n");
	pump(&t);
	is_str(logged(&t), "event E - -1.-1;", "nor after close in an event");
	talk_close(&t);

	talk_ready(&t);
	command(&t, "a");
	command(&t, "b");
	t.seen.close_in_reply = true;
	close(t.peer);
	t.peer = -1;
	pump(&t);
	is_str(logged(&t), "error;", "nor after close while the end is told");
	talk_close(&t);

	talk_ready(&t);
	command(&t, "a");
	t.seen.again_in_reply = 3;
	close(t.peer);
	t.peer = -1;
	pump(&t);
	is_str(logged(&t), "error;error;error;error;closed;",
		"commands given on the way down are answered before the end is told");
	talk_close(&t);

	talk_ready(&t);
	close(t.peer);
	t.peer = -1;
	command(&t, "a");
	is_str(logged(&t), "", "no reply comes from within qmp_command");
	pump(&t);
	is_str(logged(&t), "error;closed;", "... but from the loop");
	talk_close(&t);
}

static void test_forget(void)
{
	struct talk t, other = {0};

	talk_ready(&t);
	qmp_command(t.q, "mine", NULL, -1, 0, on_reply, &other);
	command(&t, "yours");
	qmp_forget(t.q, &other);
	say(&t, "{\"return\": 1, \"id\": 2}\n{\"return\": 2, \"id\": 3}\n");
	pump(&t);
	is_str(logged(&t), "2;", "others still get theirs");
	ok(other.seen.log.len == 0, "who was forgotten gets nothing");
	talk_close(&t);
}

static void test_raw(void)
{
	struct error err = ERROR_INIT;
	struct talk t;

	talk_ready(&t);
	ok(qmp_command_raw(t.q, "{\"execute\": \"query-x\", \"id\": \"theirs\"}", on_raw, &t, &err) == 0,
		"raw command");
	ok(qmp_command_raw(t.q, "{\"execute\": \"query-y\"}", on_raw, &t, &err) == 0,
		"raw command without id");
	pump(&t);
	is_str(got(&t), "{\"execute\":\"query-x\",\"id\":2}\n{\"execute\":\"query-y\",\"id\":3}\n",
		"sent under our ids");
	say(&t, "{\"return\": {}, \"id\": 2}\n{\"id\": 3, \"error\": {\"class\": \"C\", \"desc\": \"d\"}}\n");
	pump(&t);
	is_str(logged(&t),
		"raw {\"return\":{},\"id\":\"theirs\"};raw {\"error\":{\"class\":\"C\",\"desc\":\"d\"}};",
		"the reply is given back whole, refusals too, with their id");
	ok(qmp_command_raw(t.q, "{\"execute\": ", on_raw, &t, &err) < 0, "broken text is refused");
	ok(qmp_command_raw(t.q, "{}", on_raw, &t, &err) < 0 && err.code == ERROR_INVALID_ARGUMENT,
		"so is an object that is no command");
	ok(qmp_command_raw(t.q, "[]", on_raw, &t, &err) < 0, "and what is no object");
	talk_close(&t);
}

static int receive_fd(int peer)
{
	char text[256];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(peer, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void test_urgent(void)
{
	struct talk t;

	talk_ready(&t);
	qmp_command_urgent(t.q, "migrate-recover", json_pack("s:uri", "u", NULL), on_reply, &t);
	pump(&t);
	is_str(got(&t), "{\"exec-oob\":\"migrate-recover\",\"arguments\":{\"uri\":\"u\"},\"id\":2}\n",
		"an urgent command goes out of band");
	talk_close(&t);

	talk_open(&t);
	command(&t, "stop");
	qmp_command_urgent(t.q, "migrate-recover", NULL, on_reply, &t);
	say(&t, "{\"QMP\": {\"capabilities\": []}}\r\n");
	pump(&t);
	is_str(got(&t), "{\"execute\":\"qmp_capabilities\",\"id\":3}\n",
		"nothing is enabled that QEMU does not offer");
	buf_clear(&t.got);
	say(&t, "{\"return\": {}, \"id\": 3}\r\n");
	pump(&t);
	is_str(got(&t), "{\"execute\":\"migrate-recover\",\"id\":2}\n{\"execute\":\"stop\",\"id\":1}\n",
		"an urgent command is a command like others then, before those that wait");
	talk_close(&t);
}

static void test_descriptor(void)
{
	struct talk t;
	int fds[2], fd;
	char byte = 0;

	talk_ready(&t);
	if (pipe2(fds, O_CLOEXEC) < 0)
		BAIL_OUT("pipe");
	qmp_command(t.q, "getfd", json_pack("s:fdname", "f", NULL), fds[1], 0, on_reply, &t);
	fd = receive_fd(t.peer);
	ok(fd >= 0 && write(fd, "x", 1) == 1 && read(fds[0], &byte, 1) == 1 && byte == 'x',
		"a descriptor goes along");
	ok(fcntl(fds[1], F_GETFD) >= 0, "... and stays the caller's");
	command(&t, "plain");
	ok(receive_fd(t.peer) == -1, "the next command has none");
	qmp_command(t.q, "getfd", NULL, 1000000, 0, on_reply, &t);
	pump(&t);
	is_str(logged(&t), "error;", "a descriptor that is none fails that command");
	ok(t.q && t.seen.last.code == ERROR_SYSTEM, "... and nothing else");
	close(fd);
	close(fds[0]);
	close(fds[1]);
	talk_close(&t);
}

/* A peer that does not read: commands pile up here, none is lost or torn. */
/* QEMU would not read an urgent command behind eight others. */
static void test_few_in_flight(void)
{
	struct talk t;

	talk_ready(&t);
	for (int i = 0; i < 8; i++)
		command(&t, "c");
	pump(&t);
	ok(strstr(got(&t), "\"id\":7}") && !strstr(got(&t), "\"id\":8}"),
		"six are on their way, the others wait");
	qmp_command_urgent(t.q, "u", NULL, on_reply, &t);
	pump(&t);
	ok(strstr(got(&t), "{\"exec-oob\":\"u\",\"id\":10}"), "an urgent one does not");
	say(&t, "{\"return\": 1, \"id\": 2}\n{\"return\": 1, \"id\": 3}\n");
	pump(&t);
	ok(strstr(got(&t), "\"id\":9}"), "an answer makes room");
	talk_close(&t);
}

static void test_backpressure(void)
{
	_cleanup_free_ char *big = xcalloc(1, 100001);
	const char *p;
	struct talk t;
	unsigned lines = 0;

	memset(big, 'x', 100000);
	talk_ready_as(&t, "{\"QMP\": {\"capabilities\": []}}\r\n");
	for (int i = 0; i < 20; i++)
		qmp_command(t.q, "big", json_pack("s:t", big, NULL), -1, 0, NULL, NULL);
	pump(&t);
	for (p = got(&t); (p = strchr(p, '\n')); p++)
		lines++;
	ok(lines == 20 && t.got.len > 20 * 100000, "twenty large commands arrive whole");
	talk_close(&t);
}

static void test_many_events(void)
{
	_cleanup_(buf_fini) struct buf text = {0};
	struct talk t;
	size_t sent = 0;

	for (int i = 0; i < 20000; i++)
		buf_adds(&text, "{\"event\": \"NOISE\", \"data\": {\"k\": \"v\"}}\n");
	talk_ready(&t);
	while (sent < text.len) {
		ssize_t n = send(t.peer, text.data + sent, text.len - sent, MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		sd_event_run(t.loop, 0);
	}
	pump(&t);
	ok(t.seen.events == 20000, "20000 events all come");
	command(&t, "after");
	say(&t, "{\"return\": 1, \"id\": 2}\n");
	pump(&t);
	ok(endswith(logged(&t), ";1;"), "and the next reply too");
	talk_close(&t);
}

int main(void)
{
	test_conversation();
	test_replies();
	test_pieces();
	test_breaches();
	test_huge_line();
	test_timeouts();
	test_owner_acts_in_callbacks();
	test_forget();
	test_raw();
	test_urgent();
	test_descriptor();
	test_few_in_flight();
	test_backpressure();
	test_many_events();
	return done_testing();
}
