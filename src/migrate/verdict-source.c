/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source's half of verdict.h: one question, asked until it is answered.
 *
 *	RESOLVING ---> CONNECTING ---> ASKED ---> (answered, freed)
 *	    ^               |            |
 *	    |   no answer   v            v
 *	    +----------- WAITING <-------+
 *
 * An answer may take as long as the other side needs to decide. That the other host is there at all the kernel finds out (tcp(7), keepalive).
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "log.h"
#include "process.h"
#include "verdict.h"

#define PAUSE_MIN_USEC (100 * USEC_PER_MSEC)
#define PAUSE_MAX_USEC (5 * USEC_PER_SEC)
#define CONNECT_USEC   (10 * USEC_PER_SEC)
/* More than the kernel needs to find a host gone (keep_alive). */
#define PATIENCE_USEC (15 * USEC_PER_SEC)

struct verdict_question {
	sd_event *loop;
	char *vm_name, *host, *place, *token;
	const char *word;
	uint16_t port;
	verdict_answered_fn answered; /* NULL: nobody cares, and there is no second attempt */
	verdict_tried_fn tried;	      /* NULL: nobody waits for this attempt */
	void *userdata;
	struct process *resolver;
	VEC(struct sockaddr_storage) addresses;
	size_t next; /* of them, to be tried */
	int fd;
	sd_event_source *io, *timer;
	bool is_asked;
	char line[16];
	size_t len;
	uint64_t pause;
	struct error trouble;
};

static void hang_up(struct verdict_question *q)
{
	q->io = sd_event_source_disable_unref(q->io);
	q->timer = sd_event_source_disable_unref(q->timer);
	close_p(&q->fd);
	q->fd = -1;
	q->is_asked = false;
	q->len = 0;
}

void verdict_question_free(struct verdict_question *q)
{
	if (!q)
		return;
	hang_up(q);
	process_free(q->resolver);
	VEC_FREE(&q->addresses);
	sd_event_unref(q->loop);
	free(q->vm_name);
	free(q->host);
	free(q->place);
	free(q->token);
	free(q);
}

const char *verdict_question_trouble(const struct verdict_question *q)
{
	return q->trouble.message;
}

static void fail(struct verdict_question *q, const struct error *why);
static int begin(struct verdict_question *q, struct error *err);
static int try_again(sd_event_source *source, uint64_t usec, void *userdata);

static int try_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct verdict_question *q = userdata;
	struct error err = ERROR_INIT;

	q->timer = sd_event_source_disable_unref(q->timer);
	if (begin(q, &err) < 0)
		fail(q, &err);
	return 0;
}

/* `q` may be gone. */
static void in_vain(struct verdict_question *q, bool is_reached)
{
	verdict_tried_fn tried = TAKE_PTR(q->tried);

	if (tried)
		tried(is_reached, q->userdata);
}

static int not_decided(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct verdict_question *q = userdata;

	q->timer = sd_event_source_disable_unref(q->timer);
	in_vain(q, true);
	return 0;
}

static void be_patient(struct verdict_question *q)
{
	sd_event_add_time_relative(q->loop, &q->timer, CLOCK_MONOTONIC, PATIENCE_USEC, 0, not_decided, q);
}

void verdict_try_now(struct verdict_question *q, verdict_tried_fn tried)
{
	bool waits = !q->resolver && !q->io;

	q->tried = tried;
	if (q->is_asked) {
		be_patient(q);
	} else if (waits) {
		q->timer = sd_event_source_disable_unref(q->timer);
		sd_event_add_time_relative(q->loop, &q->timer, CLOCK_MONOTONIC, 0, 0, try_again, q);
	}
}

/* This attempt is over; `q` may be gone. */
static void fail(struct verdict_question *q, const struct error *why)
{
	struct error before = q->trouble;

	hang_up(q);
	if (!q->answered) {
		verdict_question_free(q);
		return;
	}
	q->trouble = *why;
	error_prefix(&q->trouble, "ask %s (port %u) whether it runs there", q->host, q->port);
	if (!streq(before.message, q->trouble.message))
		log_write(LOG_LEVEL_WARNING, q->vm_name, NULL, "%s: it stays paused here until that is known",
			q->trouble.message);
	sd_event_add_time_relative(q->loop, &q->timer, CLOCK_MONOTONIC, q->pause, 0, try_again, q);
	q->pause = q->pause * 2 > PAUSE_MAX_USEC ? PAUSE_MAX_USEC : q->pause * 2;
	in_vain(q, false);
}

static void fail_errno(struct verdict_question *q, const char *what)
{
	struct error err = ERROR_INIT;

	error_errno(&err, errno, "%s", what);
	fail(q, &err);
}

/* ---- asking ---- */

static void take_answer(struct verdict_question *q)
{
	enum verdict verdict = streq(q->line, "runs")	? VERDICT_RUNS
			       : streq(q->line, "gone") ? VERDICT_GONE
							: VERDICT_NONE;
	verdict_answered_fn answered = q->answered;
	void *userdata = q->userdata;
	struct error err = ERROR_INIT;

	if (verdict == VERDICT_NONE || !answered) {
		error_set(&err, ERROR_RPC, "%s",
			streq(q->line, "elsewhere") ? "that is not the daemon it went to"
						    : "that is no godwit");
		fail(q, &err);
		return;
	}
	hang_up(q);
	answered(verdict, userdata);
}

static void read_answer(struct verdict_question *q)
{
	ssize_t n = read(q->fd, q->line + q->len, sizeof(q->line) - 1 - q->len);
	struct error err = ERROR_INIT;
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		fail_errno(q, "wait for the answer");
		return;
	}
	q->len += (size_t)n;
	q->line[q->len] = '\0';
	end = strchr(q->line, '\n');
	if (end) {
		*end = '\0';
		take_answer(q);
	} else if (n == 0 || q->len == sizeof(q->line) - 1) {
		error_set(&err, ERROR_RPC, "it hung up without an answer");
		fail(q, &err);
	}
}

static int no_connection(sd_event_source *source, uint64_t usec, void *userdata);
static void connect_next(struct verdict_question *q);

static void send_question(struct verdict_question *q)
{
	_cleanup_free_ char *line = xasprintf("godwit-verdict 1 %s %s %s\n", q->place, q->token, q->word);
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
		errno = error ? error : errno;
		if (q->next < q->addresses.n)
			connect_next(q);
		else
			fail_errno(q, "connect");
		return;
	}
	/* Shorter than any socket's buffer. */
	if (send(q->fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		fail_errno(q, "send");
		return;
	}
	q->timer = sd_event_source_disable_unref(q->timer);
	q->is_asked = true;
	if (q->tried)
		be_patient(q);
	if (streq(q->word, "understood"))
		verdict_question_free(q);
	else
		sd_event_source_set_io_events(q->io, EPOLLIN);
}

static int ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct verdict_question *q = userdata;

	if (q->is_asked)
		read_answer(q);
	else
		send_question(q);
	return 0;
}

static void keep_alive(int fd)
{
	static const int on = 1, idle = 5, interval = 2, count = 3;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void connect_next(struct verdict_question *q)
{
	const struct sockaddr_storage *address = &q->addresses.items[q->next++];
	socklen_t len =
		address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	hang_up(q);
	q->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0) {
		fail_errno(q, "create a socket");
		return;
	}
	keep_alive(q->fd);
	if (connect(q->fd, (const struct sockaddr *)address, len) < 0 && errno != EINPROGRESS) {
		if (q->next < q->addresses.n)
			connect_next(q);
		else
			fail_errno(q, "connect");
		return;
	}
	sd_event_add_io(q->loop, &q->io, q->fd, EPOLLOUT, ready, q);
	sd_event_add_time_relative(q->loop, &q->timer, CLOCK_MONOTONIC, CONNECT_USEC, 0, no_connection, q);
}

static int no_connection(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct verdict_question *q = userdata;

	errno = ETIMEDOUT;
	if (q->next < q->addresses.n)
		connect_next(q);
	else
		fail_errno(q, "connect");
	return 0;
}

/* ---- finding the other host ---- */

/* In a child: name servers may not answer. */
static int resolve(struct buf *result, void *userdata, struct error *err)
{
	const struct verdict_question *q = userdata;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char service[8];
	int r;

	snprintf(service, sizeof(service), "%u", q->port);
	r = getaddrinfo(q->host, service, &hints, &found);
	if (r != 0)
		return error_set(err, ERROR_OPERATION_FAILED, "look up '%s': %s", q->host, gai_strerror(r));
	for (const struct addrinfo *a = found; a; a = a->ai_next) {
		struct sockaddr_storage address = {0};

		memcpy(&address, a->ai_addr, a->ai_addrlen);
		buf_add(result, &address, sizeof(address));
	}
	freeaddrinfo(found);
	return 0;
}

static void resolved(
	struct process *p, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct verdict_question *q = userdata;
	struct error failure = ERROR_INIT;

	if (err)
		failure = *err;
	VEC_FREE(&q->addresses);
	for (size_t i = 0; !err && i + sizeof(struct sockaddr_storage) <= len;
		i += sizeof(struct sockaddr_storage)) {
		struct sockaddr_storage address;

		memcpy(&address, result + i, sizeof(address));
		VEC_ADD(&q->addresses, address);
	}
	process_free(TAKE_PTR(q->resolver));
	q->next = 0;
	if (!err && q->addresses.n == 0)
		error_set(&failure, ERROR_OPERATION_FAILED, "'%s' has no address", q->host);
	if (failure.code != ERROR_NONE)
		fail(q, &failure);
	else
		connect_next(q);
}

static int begin(struct verdict_question *q, struct error *err)
{
	const struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = resolve,
		.work_userdata = q,
		.worked = resolved};

	return process_start(q->loop, &options, NULL, q, &q->resolver, err);
}

/* ---- */

static struct verdict_question *question_new(sd_event *loop, const char *vm_name,
	const struct verdict_address *where, const char *token, const char *word)
{
	struct verdict_question *q = NEW(struct verdict_question);

	*q = (struct verdict_question){.loop = sd_event_ref(loop),
		.word = word,
		.port = where->port,
		.fd = -1,
		.pause = PAUSE_MIN_USEC};
	q->vm_name = xstrdup(vm_name);
	q->host = xstrdup(where->host);
	q->place = xstrdup(where->place);
	q->token = xstrdup(token);
	return q;
}

int verdict_ask(sd_event *loop, const char *vm_name, const struct verdict_address *where, const char *token,
	bool failed, verdict_answered_fn answered, void *userdata, struct verdict_question **ret,
	struct error *err)
{
	struct verdict_question *q =
		question_new(loop, vm_name, where, token, failed ? "failed" : "completed");

	q->answered = answered;
	q->userdata = userdata;
	if (begin(q, err) < 0) {
		verdict_question_free(q);
		return -1;
	}
	*ret = q;
	return 0;
}

void verdict_understood(sd_event *loop, const struct verdict_address *where, const char *token)
{
	struct verdict_question *q = question_new(loop, NULL, where, token, "understood");
	struct error err = ERROR_INIT;

	if (begin(q, &err) < 0)
		verdict_question_free(q);
}
