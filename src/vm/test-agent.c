/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's conversation with a guest played by the test: a good one, and everything a guest can do wrong. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "agent.h"
#include "alloc.h"
#include "buf.h"
#include "strv.h"
#include "tap.h"

struct talk {
	sd_event *loop;
	struct agent *agent;
	int peer; /* the guest's end of the last connection; -1 none */
	unsigned connections;
	bool refuse;
	struct buf got, log; /* what the guest heard; what was answered */
	struct error last;
	bool free_in_reply, again_in_reply;
};

static int connect_pair(void *userdata, int *ret_fd, struct error *err)
{
	struct talk *t = userdata;
	int fds[2];

	if (t->refuse)
		return error_errno(err, ECONNREFUSED, "connect to the channel");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return error_errno(err, errno, "socketpair");
	if (t->peer >= 0)
		close(t->peer);
	t->peer = fds[1];
	t->connections++;
	*ret_fd = fds[0];
	return 0;
}

static void begin(struct talk *t)
{
	*t = (struct talk){.peer = -1};
	sd_event_new(&t->loop);
	t->agent = agent_new(t->loop, connect_pair, t);
}

static void end(struct talk *t)
{
	agent_free(t->agent);
	if (t->peer >= 0)
		close(t->peer);
	buf_fini(&t->got);
	buf_fini(&t->log);
	sd_event_unref(t->loop);
}

static void run(struct talk *t)
{
	while (sd_event_run(t->loop, 0) > 0)
		;
}

static void on_reply(json *ret, const struct error *err, void *userdata);

static void command(struct talk *t, const char *name, int timeout, bool ends_guest)
{
	agent_command(t->agent, &(struct agent_command){.name = name,
					.timeout = timeout,
					.ends_guest = ends_guest,
					.reply = on_reply,
					.userdata = t});
}

static void on_reply(json *ret, const struct error *err, void *userdata)
{
	struct talk *t = userdata;

	buf_addf(&t->log, "%s;", err ? "error" : ret ? json_object_get_string(ret) : "nothing");
	if (err)
		t->last = *err;
	if (t->again_in_reply) {
		t->again_in_reply = false;
		command(t, "again", AGENT_BLOCK, false);
	}
	if (t->free_in_reply) {
		agent_free(t->agent);
		t->agent = NULL;
	}
}

/* What the guest has heard since it was asked last. */
static const char *hear(struct talk *t)
{
	ssize_t n;

	run(t);
	buf_clear(&t->got);
	while (t->peer >= 0 && (n = recv(t->peer, buf_reserve(&t->got, 65536), 65536, 0)) > 0)
		t->got.len += (size_t)n;
	return t->got.len > 0 ? (buf_add(&t->got, "", 1), t->got.data) : "";
}

static void say(struct talk *t, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(t->peer, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
		run(t);
	}
	run(t);
}

static void says(struct talk *t, const char *text)
{
	say(t, text, strlen(text));
}

static long long heard_id(struct talk *t)
{
	const char *text = hear(t), *id = strstr(text, "\"id\":");

	return id ? strtoll(id + 5, NULL, 10) : -1;
}

/* The guest answers the sync as it should. */
static void sync_with(struct talk *t)
{
	_cleanup_free_ char *line = xasprintf("\xff{\"return\": %lld}\n", heard_id(t));

	says(t, line);
}

static const char *answers(struct talk *t)
{
	run(t);
	return t->log.data ? t->log.data : "";
}

static void test_good(void)
{
	struct talk t;
	const char *text;

	begin(&t);
	is_int(t.connections, 0, "nothing is connected before it is needed");
	command(&t, "guest-ping", AGENT_BLOCK, false);
	command(&t, "guest-info", AGENT_BLOCK, false);
	text = hear(&t);
	ok((unsigned char)text[0] == 0xff, "half a command of somebody else is ended");
	ok(strstr(text, "guest-sync-delimited") && !strstr(text, "guest-ping"),
		"first the two find each other");
	says(&t, "\xff{\"return\": 7}\n{\"return\": \"old\"}\n");
	is_str(hear(&t), "", "another's id is not it");
	agent_forget(t.agent, NULL);
	command(&t, "guest-late", AGENT_BLOCK, false);
	is_str(answers(&t), "", "nothing is answered yet");
	end(&t);

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	command(&t, "guest-info", AGENT_BLOCK, false);
	sync_with(&t);
	is_str(hear(&t), "{\"execute\":\"guest-ping\"}\n", "then the command");
	says(&t, "\r\n{\"return\"");
	is_str(answers(&t), "", "half a reply is none");
	says(&t, ": {}}\r\n{\"return\": \"nobody asked\"}\n");
	is_str(answers(&t), "{ };", "the reply, and nothing else");
	sync_with(&t);
	is_str(hear(&t), "{\"execute\":\"guest-info\"}\n", "the next one");
	says(&t, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\nway\"}}\n");
	is_str(answers(&t), "{ };error;", "the agent refused");
	is_int(t.last.code, ERROR_AGENT_REFUSED, "as such");
	is_str(t.last.message, "unable to execute QEMU agent command 'guest-info': no way",
		"in its words, on one line");
	is_int(t.connections, 1, "over one connection");
	end(&t);
}

static void test_again(void)
{
	struct talk t;

	begin(&t);
	t.again_in_reply = true;
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	says(&t, "{\"return\": 1}\n");
	sync_with(&t);
	is_str(hear(&t), "{\"execute\":\"again\"}\n", "a reply may ask again");
	t.free_in_reply = true;
	says(&t, "{\"return\": 2}\n{\"return\": 3}\n");
	is_str(answers(&t), "1;2;", "or be the last");
	end(&t);
}

static void test_old_words(void)
{
	struct talk t;
	_cleanup_free_ char *junk = xcalloc(1, 3 << 20);

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	hear(&t);
	memset(junk, 'x', 3 << 20);
	for (int i = 0; i < 4; i++)
		say(&t, junk, 3 << 20);
	is_str(answers(&t), "", "12 MiB of anything before the sentinel do no harm");
	end(&t);

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	run(&t);
	says(&t, "{\"return\": \"half an old reply\xff\xff");
	sync_with(&t);
	says(&t, "{\"return\": []}\n");
	is_str(answers(&t), "[ ];", "old words are passed over");
	end(&t);
}

/* The guest says `len` bytes of `text` to a command; its error. */
static int broken(const char *text, size_t len)
{
	struct talk t;
	int code;

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	say(&t, text, len);
	code = streq(answers(&t), "error;") ? (int)t.last.code : -1;
	/* Whatever it was, the next command is a new beginning. */
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	says(&t, "{\"return\": 5}\n");
	if (!streq(answers(&t), "error;5;"))
		code = -2;
	end(&t);
	return code;
}

static void test_hostile(void)
{
	static const char *const texts[] = {"garbage\n", "[]\n", "\"return\"\n", "{}\n",
		"{\"return\": null}\n", "\xff\n", "{\"return\": 1\n", "{\"event\": \"return\"}\n",
		"{\"return\": {}} {\"return\": {}}\n"};
	size_t len = (4u << 20) + (1u << 17);
	_cleanup_free_ char *line = xcalloc(1, len), *deep = xcalloc(1, 1002);
	struct talk t;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!is_int(broken(texts[i], strlen(texts[i])), ERROR_AGENT, "not a reply"))
			printf("# %s", texts[i]);
	memset(line, '[', len);
	is_int(broken(line, len), ERROR_AGENT, "a line that does not end");
	memset(deep, '[', 1000);
	deep[1000] = '\n';
	is_int(broken(deep, 1001), ERROR_AGENT, "nested too deep");

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	says(&t, "{\"error\": 7}\n");
	is_int(t.last.code, ERROR_AGENT_REFUSED, "an error that is none is one");
	/* Now nobody listens: it cannot keep us busy. */
	for (int i = 0; i < 1000; i++)
		if (send(t.peer, line, 65536, MSG_NOSIGNAL) < 0)
			break;
	is_int(sd_event_run(t.loop, 0), 0, "what is said to nobody is not read");
	end(&t);
}

static void test_ends(void)
{
	struct talk t;

	begin(&t);
	t.refuse = true;
	command(&t, "guest-ping", AGENT_BLOCK, false);
	is_str(answers(&t), "error;", "no connection");
	is_int(t.last.code, ERROR_AGENT, "is no agent");
	t.refuse = false;
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	close(t.peer);
	t.peer = -1;
	is_str(answers(&t), "error;error;", "QEMU closed it");
	command(&t, "guest-shutdown", AGENT_BLOCK, true);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	agent_guest_ended(t.agent);
	is_str(answers(&t), "error;error;nothing;", "a guest that was to end has answered by that");
	command(&t, "guest-ping", AGENT_BLOCK, false);
	hear(&t);
	agent_guest_ended(t.agent);
	is_str(answers(&t), "error;error;nothing;error;", "one that was not has not");
	agent_qemu_ended(t.agent);
	is_str(answers(&t), "error;error;nothing;error;error;", "in the end all are answered");
	end(&t);

	begin(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	says(&t, "{\"return\": 1}\n");
	close(t.peer);
	t.peer = -1;
	run(&t);
	command(&t, "guest-ping", AGENT_BLOCK, false);
	sync_with(&t);
	is_int(t.connections, 2, "an idle connection that ended is made anew");
	agent_forget(t.agent, &t);
	says(&t, "{\"return\": 2}\n");
	is_str(answers(&t), "1;", "who was forgotten hears nothing");
	end(&t);
}

static void test_no_wait(void)
{
	struct talk t;

	begin(&t);
	command(&t, "guest-ping", AGENT_NOWAIT, false);
	sync_with(&t);
	while (!*answers(&t))
		sd_event_run(t.loop, 1000000);
	is_str(answers(&t), "error;", "not waited for");
	is_int(t.last.code, ERROR_AGENT_TIMEOUT, "is a command without an answer");
	is_str(hear(&t), "{\"execute\":\"guest-ping\"}\n", "and yet it was said");
	says(&t, "{\"return\": \"late\"}\n");
	command(&t, "guest-info", AGENT_BLOCK, false);
	sync_with(&t);
	says(&t, "{\"return\": 2}\n");
	is_str(answers(&t), "error;2;", "the late answer is nobody's");
	end(&t);
}

int main(void)
{
	test_good();
	test_again();
	test_old_words();
	test_hostile();
	test_ends();
	test_no_wait();
	return done_testing();
}
