/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of the question between two hosts, both of them on one loop: when it is answered, what is on disk then, who is not listened to. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "migrations.h"
#include "ports.h"
#include "tap.h"
#include "verdict.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdee" /* which nobody offers, or the second one that is */

static const uint8_t uuid[16] = {1, 2, 3};

/* The destination. */
struct host {
	sd_event *loop;
	char dir[64], address[32], place[VERDICT_TOKEN_LEN + 1];
	uint16_t port_min, port_max;
	struct migrations *m;
	unsigned asked, failed; /* how often, and how often by a source that said so */
	bool give_up;		/* the answer to that is GONE */
};

/* The source. */
struct source {
	struct verdict_question *q;
	unsigned answers;
	enum verdict verdict;
};

/* True when it came about. */
#define RUN_UNTIL(loop, condition)                                                                           \
	({                                                                                                   \
		uint64_t end_ = clock_now() + 20 * USEC_PER_SEC;                                             \
		while (!(condition) && clock_now() < end_)                                                   \
			sd_event_run(loop, 10 * USEC_PER_MSEC);                                              \
		(condition);                                                                                 \
	})

static bool host_open(struct host *p)
{
	const struct migrations_settings settings = {.lib_dir = p->dir,
		.migration_address = *p->address ? p->address : NULL,
		.port_min = p->port_min,
		.port_max = p->port_max};
	struct error err = ERROR_INIT;

	p->m = NULL;
	if (migrations_open(p->loop, &settings, &p->m, &err) == 0) {
		snprintf(p->place, sizeof(p->place), "%s", verdict_get_place(p->m));
		return true;
	}
	printf("# %s\n", err.message);
	return false;
}

/* An address of loopback for each run, so that runs at the same time have all ports to themselves. */
static void host_init(struct host *p, unsigned ports)
{
	unsigned pid = (unsigned)getpid();

	*p = (struct host){.port_min = 20000, .port_max = (uint16_t)(20000 + ports - 1)};
	snprintf(p->address, sizeof(p->address), "127.%u.%u.%u", 1 + (pid >> 16) % 200, (pid >> 8) % 256,
		pid % 256);
	snprintf(p->dir, sizeof(p->dir), "/tmp/godwit-test-verdict-XXXXXX");
	if (!mkdtemp(p->dir) || sd_event_new(&p->loop) < 0 || !host_open(p))
		abort();
}

static void host_fini(struct host *p)
{
	_cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error err = ERROR_INIT;

	migrations_close(p->m);
	if (dir_remove(tmp, p->dir + strlen("/tmp/"), &err) < 0)
		ok(false, err.message);
	sd_event_unref(p->loop);
}

static char *record_path(const struct host *p, const char *token)
{
	return xasprintf("%s/migration/%s.json", p->dir, token);
}

static bool is_recorded(const struct host *p, const char *token)
{
	_cleanup_free_ char *path = record_path(p, token);

	return access(path, F_OK) == 0;
}

/* What a record says: "open", "runs"; "" when there is none. */
static const char *read_record(const struct host *p, const char *token, char text[8])
{
	_cleanup_free_ char *path = record_path(p, token), *data = NULL;
	_cleanup_json_ json *record = NULL;
	struct error err = ERROR_INIT;
	size_t len;

	text[0] = '\0';
	if (file_read(AT_FDCWD, path, 4096, &data, &len, &err) == 0 &&
		json_parse(data, len, &record, &err) == 0 && json_get_string(record, "verdict"))
		snprintf(text, 8, "%s", json_get_string(record, "verdict"));
	return text;
}

static void write_record(const struct host *p, const char *token, const char *text)
{
	_cleanup_free_ char *path = record_path(p, token);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	write_full(fd, text, strlen(text));
	close(fd);
}

static void on_asked(struct migrations *m, const char *token, bool failed, void *userdata)
{
	struct host *p = userdata;

	p->asked++;
	p->failed += failed;
	if (p->give_up)
		verdict_decide(m, token, VERDICT_GONE, NULL);
}

static uint16_t offer(struct host *p, const char *token)
{
	struct error err = ERROR_INIT;
	uint16_t port = 0;

	if (verdict_offer(p->m, token, uuid, on_asked, p, &port, &err) < 0)
		printf("# %s\n", err.message);
	return port;
}

static void on_answered(enum verdict verdict, void *userdata)
{
	struct source *s = userdata;

	s->answers++;
	s->verdict = verdict;
}

static void ask(struct source *s, struct host *p, uint16_t port, const char *token, bool failed)
{
	struct verdict_address where = {p->address, port, p->place};
	struct error err = ERROR_INIT;

	*s = (struct source){0};
	if (verdict_ask(p->loop, "guest7", &where, token, failed, on_answered, s, &s->q, &err) < 0)
		abort();
}

/* Its answer; VERDICT_NONE when none came. */
static enum verdict get_answer(struct host *p, uint16_t port, const char *token)
{
	struct source s;

	ask(&s, p, port, token, false);
	(void)RUN_UNTIL(p->loop, s.answers > 0);
	verdict_question_free(s.q);
	return s.verdict;
}

static enum verdict decide(struct host *p, const char *token, enum verdict verdict)
{
	struct error err = ERROR_INIT;

	if (verdict_decide(p->m, token, verdict, &err) < 0)
		printf("# %s\n", err.message);
	return verdict_get(p->m, token);
}

/* ---- whoever it is that connects ---- */

static int call(const char *address, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is4 = inet_pton(AF_INET, address, &in.sin_addr) == 1;
	int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, address, &in6.sin6_addr);
	if (fd >= 0 && connect(fd, is4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6,
			       is4 ? sizeof(in) : sizeof(in6)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* What comes back; "" when the other side hangs up without a word. Closes fd. */
static const char *hear(struct host *p, int fd, char text[16])
{
	ssize_t n;

	(void)RUN_UNTIL(p->loop, recv(fd, text, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN);
	n = recv(fd, text, 15, MSG_DONTWAIT);
	close(fd);
	if (n < 0)
		return errno == ECONNRESET ? "" : "nothing";
	text[n] = '\0';
	return text;
}

/* What a source with everything sent says. Caller frees. */
static char *question(const struct host *p)
{
	return xasprintf("godwit-verdict 1 %s " TOKEN " completed\n", p->place);
}

static const char *say(struct host *p, uint16_t port, const char *line, size_t len, char text[16])
{
	int fd = call(p->address, port);

	return fd < 0 || send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len ? "unreachable"
									   : hear(p, fd, text);
}

/* ---- tests ---- */

static void test_after(void)
{
	struct host p;
	uint16_t port;
	char text[8];

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	ok(port >= p.port_min && port <= p.port_max, "a token is offered on a port of the range");
	is_int(verdict_get(p.m, TOKEN), VERDICT_NONE, "nothing is decided");
	is_str(read_record(&p, TOKEN, text), "open", "which is written down");
	is_int(decide(&p, TOKEN, VERDICT_RUNS), VERDICT_RUNS, "it runs");
	is_str(read_record(&p, TOKEN, text), "runs", "as is on disk then");
	is_int(decide(&p, TOKEN, VERDICT_RUNS), VERDICT_RUNS, "it is decided again");
	is_int(get_answer(&p, port, TOKEN), VERDICT_RUNS, "whoever asks hears it");
	is_int(p.asked, 0, "and nobody else is asked");
	verdict_release(p.m, TOKEN);
	is_int(get_answer(&p, port, TOKEN), VERDICT_RUNS, "also when the owner is gone");
	offer(&p, OTHER);
	verdict_understood(p.loop, &(struct verdict_address){p.address, port, p.place}, TOKEN);
	ok(RUN_UNTIL(p.loop, !is_recorded(&p, TOKEN)), "once it is understood it is forgotten");
	is_int(verdict_get(p.m, TOKEN), VERDICT_NONE, "altogether");
	ok(is_int(verdict_offer(p.m, OTHER, uuid, on_asked, &p, &port, NULL), -1, "no token comes twice"),
		"which is refused");
	is_int(verdict_offer(p.m, "12", uuid, on_asked, &p, &port, NULL), -1, "nor a short one");
	host_fini(&p);
}

static void test_before(void)
{
	_cleanup_free_ char *early = NULL;
	struct source s, t;
	struct host p;
	uint16_t port;
	char text[8], said[16];

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	ask(&s, &p, port, TOKEN, false);
	is_int(s.answers, 0, "nothing is answered from within");
	ok(RUN_UNTIL(p.loop, p.asked == 1) && p.failed == 0, "a source that has sent everything asks");
	verdict_understood(p.loop, &(struct verdict_address){p.address, port, p.place}, TOKEN);
	ask(&t, &p, port, TOKEN, true);
	ok(RUN_UNTIL(p.loop, p.asked == 2) && p.failed == 1, "one that has failed says so");
	ok(s.answers == 0 && t.answers == 0 && verdict_get(p.m, TOKEN) == VERDICT_NONE, "both wait");
	decide(&p, TOKEN, VERDICT_RUNS);
	ok(RUN_UNTIL(p.loop, s.answers && t.answers) && s.verdict == VERDICT_RUNS &&
			t.verdict == VERDICT_RUNS,
		"until it is decided");
	is_str(read_record(&p, TOKEN, text), "runs", "being understood before that means nothing");
	verdict_question_free(s.q);
	verdict_question_free(t.q);

	port = offer(&p, OTHER);
	p.give_up = true;
	ask(&s, &p, port, OTHER, true);
	ok(RUN_UNTIL(p.loop, s.answers > 0) && s.verdict == VERDICT_GONE, "it is given up while it is asked");
	verdict_question_free(s.q);
	is_int(s.answers, 1, "which is said once to each");
	is_int(get_answer(&p, port, OTHER), VERDICT_GONE, "that asks");
	verdict_understood(p.loop, &(struct verdict_address){p.address, port, p.place}, OTHER);
	is_int(get_answer(&p, port, OTHER), VERDICT_GONE, "and still, as long as its owner goes on");
	verdict_release(p.m, OTHER);
	ok(RUN_UNTIL(p.loop, !is_recorded(&p, OTHER)), "until it is understood and has no owner");
	port = offer(&p, OTHER);
	decide(&p, OTHER, VERDICT_RUNS);
	verdict_understood(p.loop, &(struct verdict_address){p.address, port, p.place}, OTHER);
	is_int(get_answer(&p, port, OTHER), VERDICT_RUNS, "so what runs is known until its job is over");
	is_str(read_record(&p, OTHER, text), "runs", "and written down");
	verdict_release(p.m, OTHER);
	ok(RUN_UNTIL(p.loop, !is_recorded(&p, OTHER)), "and no longer");
	port = offer(&p, OTHER);
	decide(&p, OTHER, VERDICT_GONE);
	verdict_forget(p.m, OTHER);
	verdict_release(p.m, OTHER);
	ok(!is_recorded(&p, OTHER), "nor is one that nothing came for");
	port = offer(&p, OTHER);
	early = xasprintf("godwit-verdict 1 %s " OTHER " understood\n", p.place);
	is_str(say(&p, port, early, strlen(early), said), "", "understood before it is decided");
	verdict_release(p.m, OTHER);
	ok(!is_recorded(&p, OTHER), "it goes with its owner");
	host_fini(&p);
}

/* What the source may have been told is never taken back. */
static void test_decided(void)
{
	struct host p;
	uint16_t port;
	char text[8];

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	decide(&p, TOKEN, VERDICT_RUNS);
	is_int(verdict_decide(p.m, TOKEN, VERDICT_GONE, NULL), -1, "what runs is not gone");
	is_str(read_record(&p, TOKEN, text), "runs", "and stays written down");
	is_int(get_answer(&p, port, TOKEN), VERDICT_RUNS, "and is answered");
	port = offer(&p, OTHER);
	write_record(&p, OTHER, "{\"version\":1,\"verdict\":\"runs\"}");
	is_int(verdict_decide(p.m, OTHER, VERDICT_GONE, NULL), 0,
		"it is given up, though it stands there that it runs");
	is_int(verdict_decide(p.m, OTHER, VERDICT_GONE, NULL), 0, "that can be said again");
	is_int(verdict_decide(p.m, OTHER, VERDICT_RUNS, NULL), -1, "but not that it runs");
	is_str(read_record(&p, OTHER, text), "open", "nor is it written down");
	migrations_close(p.m);
	ok(host_open(&p) && verdict_get(p.m, OTHER) == VERDICT_GONE, "the next daemon knows it");
	is_int(get_answer(&p, port, OTHER), VERDICT_GONE, "and says so");
	is_int(verdict_decide(p.m, "00000000000000000000000000000000", VERDICT_RUNS, NULL), -1,
		"nothing runs that nobody can ask about");
	host_fini(&p);
}

static void test_unknown(void)
{
	struct host p;
	uint16_t port, other;

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	is_int(get_answer(&p, port, OTHER), VERDICT_GONE, "what is not known is gone");
	ok(p.asked == 0 && verdict_get(p.m, TOKEN) == VERDICT_NONE, "and nothing to the one that is");
	other = offer(&p, OTHER);
	ok(other && other != port, "each has its port");
	decide(&p, OTHER, VERDICT_RUNS);
	is_int(get_answer(&p, port, OTHER), VERDICT_RUNS, "and may be asked about at any of them");
	verdict_release(p.m, TOKEN);
	is_int(get_answer(&p, other, TOKEN), VERDICT_GONE, "released undecided it is gone");
	host_fini(&p);
}

static void test_restart(void)
{
	static const char *const damaged[] = {"", "{", "[]", "{\"version\":2,\"port\":20000}"};
	struct host p;
	uint16_t port;

	host_init(&p, 2);
	port = offer(&p, TOKEN);
	decide(&p, TOKEN, VERDICT_RUNS);
	ok(offer(&p, OTHER) != port, "another one is on its way");
	migrations_close(p.m);
	ok(host_open(&p), "the next daemon");
	is_int(verdict_get(p.m, TOKEN), VERDICT_RUNS, "knows what runs");
	is_int(verdict_get(p.m, OTHER), VERDICT_GONE, "and that what was not decided never will");
	is_int(get_answer(&p, port, TOKEN), VERDICT_RUNS, "it answers where the other one did");
	is_int(get_answer(&p, port, OTHER), VERDICT_GONE, "for both");
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		write_record(&p, TOKEN, damaged[i]);
		migrations_close(p.m);
		ok(host_open(&p) && verdict_get(p.m, TOKEN) == VERDICT_RUNS,
			"it runs also when its record is damaged");
	}
	host_fini(&p);
}

/* The next daemon finds its port taken, by somebody who hangs up. */
static void test_port_taken(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct source s;
	struct host p;
	uint16_t port;
	int fd, one = 1;

	host_init(&p, 1);
	port = offer(&p, TOKEN);
	is_int(verdict_offer(p.m, OTHER, uuid, on_asked, &p, &(uint16_t){0}, NULL), -1, "no port is left");
	is_int(ports_take(p.m, &(uint16_t){0}, NULL), -1, "for anybody");
	decide(&p, TOKEN, VERDICT_RUNS);
	migrations_close(p.m);
	ask(&s, &p, port, TOKEN, false);
	ok(RUN_UNTIL(p.loop, strstr(verdict_question_trouble(s.q), "connect: Connection refused")),
		"a source finds nobody");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	in.sin_port = htons(port);
	inet_pton(AF_INET, p.address, &in.sin_addr);
	ok(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 8) == 0, "somebody has the port");
	ok(host_open(&p) && verdict_get(p.m, TOKEN) == VERDICT_RUNS, "the next daemon knows its VM");
	close(fd);
	ok(RUN_UNTIL(p.loop, s.answers > 0) && s.verdict == VERDICT_RUNS,
		"and answers as soon as it has its port");
	verdict_question_free(s.q);
	verdict_understood(p.loop, &(struct verdict_address){p.address, port, p.place}, TOKEN);
	ok(RUN_UNTIL(p.loop, verdict_get(p.m, TOKEN) == VERDICT_NONE), "when all is understood");
	ok(ports_take(p.m, &port, NULL) == 0 && port == p.port_min, "the port is free");
	is_int(ports_take(p.m, &(uint16_t){0}, NULL), -1, "for one");
	ports_give(p.m, 0);
	ports_give(p.m, port);
	ok(ports_take(p.m, &port, NULL) == 0, "after another");
	host_fini(&p);
}

static void test_rude(void)
{
	/* the place stands between */
	static const char *const lines[][2] = {{"\n", NULL}, {"GET / HTTP/1.0\r\n\r\n", NULL},
		{"godwit-verdict 1 " TOKEN " completed\n", NULL},
		{"godwit-verdict 2 ", " " TOKEN " completed\n"}, {"godwit-verdict 1 ", " " TOKEN "\n"},
		{"godwit-verdict 1 ", " " TOKEN " perhaps\n"},
		{"godwit-verdict 1 ", " " TOKEN "0 completed\n"},
		{"godwit-verdict 1 ", "0 " TOKEN " completed\n"}, {"godwit-verdict 1 ", " 012 completed\n"},
		{"godwit-verdict 1 ", " " TOKEN " completed \n"}};
	_cleanup_free_ char *right = NULL, *with_zero = NULL;
	char text[16], flood[200];
	struct host p;
	uint16_t port;
	int fd;

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	decide(&p, TOKEN, VERDICT_RUNS);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *line = xasprintf(
			"%s%s%s", lines[i][0], lines[i][1] ? p.place : "", lines[i][1] ? lines[i][1] : "");

		is_str(say(&p, port, line, strlen(line), text), "", "a line that is none");
	}
	right = question(&p);
	with_zero = question(&p);
	memset(flood, 'a', sizeof(flood));
	is_str(say(&p, port, flood, sizeof(flood), text), "", "a line without an end");
	is_str(say(&p, port, right, strlen(right), text), "runs\n", "a right one is answered");
	fd = call(p.address, port);
	send(fd, right, 20, MSG_NOSIGNAL);
	ok(sd_event_run(p.loop, USEC_PER_SEC) > 0 && sd_event_run(p.loop, USEC_PER_SEC) > 0,
		"half of one is read");
	send(fd, right + 20, strlen(right) - 20, MSG_NOSIGNAL);
	is_str(hear(&p, fd, text), "runs\n", "and the other half");
	fd = call(p.address, port);
	with_zero[3] = '\0';
	send(fd, with_zero, strlen(right), MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	is_str(hear(&p, fd, text), "", "one with a zero in it is none");
	ok(is_recorded(&p, TOKEN) && p.asked == 0, "none of them has done anything");
	host_fini(&p);
}

static void test_many(void)
{
	_cleanup_free_ char *line = NULL;
	int fds[20], waiting;
	struct host p;
	uint16_t port;
	char text[16];

	host_init(&p, 8);
	port = offer(&p, TOKEN);
	line = question(&p);
	memset(fds, -1, sizeof(fds));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = call(p.address, port);
		send(fds[i], line, strlen(line), MSG_NOSIGNAL);
		if (!RUN_UNTIL(p.loop, p.asked == i + 1))
			break;
	}
	is_int(p.asked, ARRAY_SIZE(fds), "a source that comes again and again is heard");
	is_str(hear(&p, fds[0], text), "", "what it left behind is closed");
	waiting = fds[ARRAY_SIZE(fds) - 1];
	decide(&p, TOKEN, VERDICT_RUNS);
	is_str(hear(&p, waiting, text), "runs\n", "where it waits it is answered");
	for (size_t i = 1; i < ARRAY_SIZE(fds) - 1; i++)
		close(fds[i]);
	host_fini(&p);
}

/* The other side is no godwit. */
struct stranger {
	const char *says;
	int fd; /* of the last one that it has spoken to */
};

static int on_stranger(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct stranger *s = userdata;

	close_p(&s->fd);
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	send(s->fd, s->says, strlen(s->says), MSG_NOSIGNAL);
	shutdown(s->fd, SHUT_WR);
	return 0;
}

static void test_stranger(void)
{
	static const struct {
		const char *says, *trouble;
	} cases[] = {
		{"RUNS\n", "that is no godwit"},
		{"running\n", "that is no godwit"},
		{"\n", "that is no godwit"},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", "it hung up without an answer"},
		{"gone", "it hung up without an answer"},
		{"", "it hung up without an answer"},
	};
	struct host p;
	struct source s;
	uint16_t port;

	host_init(&p, 8);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stranger stranger = {cases[i].says, -1};
		sd_event_source *io = NULL;
		int fd = -1;

		if (migrations_listen(p.m, 0, &fd, &port, NULL) < 0)
			abort();
		sd_event_add_io(p.loop, &io, fd, EPOLLIN, on_stranger, &stranger);
		ask(&s, &p, port, TOKEN, false);
		ok(RUN_UNTIL(p.loop, *verdict_question_trouble(s.q)) && s.answers == 0 &&
				strstr(verdict_question_trouble(s.q), cases[i].trouble),
			cases[i].trouble);
		verdict_question_free(s.q);
		sd_event_source_disable_unref(io);
		close_p(&stranger.fd);
		close(fd);
	}
	host_fini(&p);
}

static void test_names(void)
{
	static const char no_name[] =
		"a234567890123456789012345678901234567890123456789012345678901234567890.invalid";
	struct error err = ERROR_INIT;
	struct source s = {0};
	struct host p;

	host_init(&p, 1);
	ok(verdict_ask(p.loop, "guest7", &(struct verdict_address){no_name, 1, p.place}, TOKEN, false,
		   on_answered, &s, &s.q, &err) == 0,
		"nobody looks a name up in here");
	ok(RUN_UNTIL(p.loop, strstr(verdict_question_trouble(s.q), "look up")) && s.answers == 0,
		"one that means nothing is no answer");
	verdict_question_free(s.q);
	ask(&s, &p, offer(&p, TOKEN), TOKEN, false);
	verdict_question_free(s.q);
	verdict_question_free(NULL);
	is_int(s.answers, 0, "who has forgotten the question hears nothing");
	host_fini(&p);
}

/* Where the destination was another daemon listens: the host's second one, or one with the same address. */
static void test_elsewhere(void)
{
	struct host p, other;
	struct source s;
	uint16_t port;

	host_init(&p, 1);
	port = offer(&p, TOKEN);
	decide(&p, TOKEN, VERDICT_RUNS);
	migrations_close(TAKE_PTR(p.m));
	host_init(&other, 1);
	migrations_close(TAKE_PTR(other.m));
	sd_event_unref(other.loop);
	other.loop = sd_event_ref(p.loop);
	ok(host_open(&other), "another daemon");
	is_int(offer(&other, OTHER), port, "has the port");
	ok(!streq(other.place, p.place), "and says that it is another");
	ask(&s, &p, port, TOKEN, false);
	ok(RUN_UNTIL(p.loop, strstr(verdict_question_trouble(s.q), "not the daemon it went to")) &&
			s.answers == 0,
		"its word is none");
	migrations_close(TAKE_PTR(other.m));
	ok(host_open(&p), "the destination is back");
	ok(RUN_UNTIL(p.loop, s.answers > 0) && s.verdict == VERDICT_RUNS, "it knows");
	verdict_question_free(s.q);
	host_fini(&other);
	host_fini(&p);
}

static void test_place(void)
{
	struct host p;
	char before[VERDICT_TOKEN_LEN + 1];
	_cleanup_free_ char *path = NULL;

	host_init(&p, 1);
	memcpy(before, p.place, sizeof(before));
	is_int(strlen(before), VERDICT_TOKEN_LEN, "a daemon has a place");
	migrations_close(TAKE_PTR(p.m));
	ok(host_open(&p), "the next one");
	is_str(p.place, before, "has the same");
	migrations_close(TAKE_PTR(p.m));
	path = xasprintf("%s/migration/place", p.dir);
	ok(truncate(path, 31) == 0 && !host_open(&p), "none begins with half of one");
	ok(unlink(path) == 0 && host_open(&p) && !streq(p.place, before), "without one it is another");
	host_fini(&p);
}

/* The process that looks names up cannot always be started. */
static void test_no_process(void)
{
	struct rlimit before, none;
	struct source s;
	struct host p;
	uint16_t port;

	host_init(&p, 1);
	port = offer(&p, TOKEN);
	decide(&p, TOKEN, VERDICT_RUNS);
	migrations_close(TAKE_PTR(p.m));
	ask(&s, &p, port, TOKEN, false);
	ok(RUN_UNTIL(p.loop, strstr(verdict_question_trouble(s.q), "Connection refused")), "nobody is there");
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	ok(RUN_UNTIL(p.loop, strstr(verdict_question_trouble(s.q), "Too many open files")),
		"then nobody can be asked");
	setrlimit(RLIMIT_NOFILE, &before);
	ok(host_open(&p) && RUN_UNTIL(p.loop, s.answers > 0) && s.verdict == VERDICT_RUNS,
		"it is asked again all the same");
	verdict_question_free(s.q);
	host_fini(&p);
}

/* All addresses, of both kinds; the port is whatever other runs have left. */
static void test_addresses(void)
{
	static const char *const addresses[] = {"127.0.0.1", "::1"};
	_cleanup_free_ char *line = NULL;
	struct host p;
	uint16_t port;
	char text[16];

	host_init(&p, 64);
	migrations_close(p.m);
	*p.address = '\0';
	ok(host_open(&p), "without an address");
	port = offer(&p, TOKEN);
	line = question(&p);
	decide(&p, TOKEN, VERDICT_RUNS);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		int fd = call(addresses[i], port);

		if (fd < 0 && i == 1) {
			ok(true, "this host has no IPv6 # SKIP");
			continue;
		}
		send(fd, line, strlen(line), MSG_NOSIGNAL);
		is_str(hear(&p, fd, text), "runs\n", addresses[i]);
	}
	host_fini(&p);
}

int main(void)
{
	test_after();
	test_before();
	test_decided();
	test_unknown();
	test_restart();
	test_port_taken();
	test_rude();
	test_many();
	test_stranger();
	test_names();
	test_elsewhere();
	test_place();
	test_no_process();
	test_addresses();
	return done_testing();
}
