/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One conversation with the agent in a guest.
 *
 *              next command           its id behind 0xFF            reply, error, timeout, guest gone
 *     IDLE -----------------> SYNCING ------------------> ASKING ------------------------------------> IDLE
 *
 * While SYNCING everything up to a byte 0xFF is thrown away unseen, then a line must hold the id that was sent; so neither half a
 * reply of an earlier command, nor an old daemon's, is taken for an answer. The 0xFF sent before makes the agent forget half a command.
 * While IDLE nothing is read: a guest that talks without being asked fills its own buffers, not ours, and costs no time.
 *
 * A reply may free the agent or give it the next command: answering is the last thing any function here does.
 */
#include "agent.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "list.h"

#define READ_SIZE     (64u << 10)
#define SENTINEL      ((char)0xff)
#define SYNC_LINE_MAX 1024 /* bytes */
#define VALUES_MAX    32768

enum agent_state { AGENT_IDLE, AGENT_SYNCING, AGENT_ASKING };

struct command {
	struct list node;
	struct agent *agent;
	char *name;
	json *message;
	int timeout;
	bool ends_guest;
	agent_reply_fn reply;
	void *userdata;
	sd_event_source *timer;
};

struct agent {
	sd_event *loop;
	agent_connect_fn connect;
	void *userdata;
	enum agent_state state;
	struct list commands; /* the first is at work unless IDLE */
	int fd;		      /* -1: not connected */
	sd_event_source *io, *later;
	struct buf in, out;
	size_t scanned;	    /* this much of `in` holds no newline */
	bool seen_sentinel; /* SYNCING: what follows is the line with the id */
	int64_t sync_id;
};

/* ---- life ---- */

static void command_free(struct command *c)
{
	list_remove(&c->node);
	sd_event_source_disable_unref(c->timer);
	json_object_put(c->message);
	free(c->name);
	free(c);
}

static void disconnect(struct agent *a)
{
	a->io = sd_event_source_disable_unref(a->io);
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	buf_fini(&a->in);
	buf_fini(&a->out);
}

static struct command *first(struct agent *a)
{
	return list_empty(&a->commands) ? NULL : container_of(a->commands.next, struct command, node);
}

/* Frees c, and maybe its agent. */
static void answer(struct command *c, json *ret, const struct error *err)
{
	struct agent *a = c->agent;
	agent_reply_fn reply = c->reply;
	void *userdata = c->userdata;

	if (c == first(a) && a->state != AGENT_IDLE) {
		a->state = AGENT_IDLE;
		if (a->io)
			sd_event_source_set_io_events(a->io, 0); /* its end is still heard of */
	}
	command_free(c);
	if (!list_empty(&a->commands))
		sd_event_source_set_enabled(a->later, SD_EVENT_ONESHOT);
	if (reply)
		reply(ret, err, userdata);
}

static void answer_error(struct command *c, enum error_code code, const char *why)
{
	struct error err = ERROR_INIT;

	error_set(&err, code, "%s", why);
	answer(c, NULL, &err);
}

/* The conversation is not what it should be; the next command begins a new one. */
static void fail(struct agent *a, enum error_code code, const char *why)
{
	struct command *c = a->state == AGENT_IDLE ? NULL : first(a);

	disconnect(a);
	if (c)
		answer_error(c, code, why);
}

void agent_free(struct agent *a)
{
	struct command *c;

	if (!a)
		return;
	disconnect(a);
	while ((c = first(a)))
		command_free(c);
	sd_event_source_disable_unref(a->later);
	sd_event_unref(a->loop);
	free(a);
}

/* ---- sending ---- */

static void flush(struct agent *a)
{
	size_t sent = 0;

	while (sent < a->out.len) {
		ssize_t n = send(a->fd, a->out.data + sent, a->out.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return fail(a, ERROR_AGENT, "QEMU closed the agent's channel");
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	buf_drop_front(&a->out, sent);
	sd_event_source_set_io_events(a->io, EPOLLIN | (a->out.len > 0 ? EPOLLOUT : 0u));
}

static void put_message(struct agent *a, json *message)
{
	_cleanup_free_ char *text = json_format(message);

	buf_adds(&a->out, text);
	buf_add(&a->out, "\n", 1);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct command *c = userdata;
	struct agent *a = c->agent;

	if (c != first(a) || a->state == AGENT_IDLE)
		answer_error(c, ERROR_BUSY, "the guest agent is busy with other commands");
	else if (a->state == AGENT_SYNCING)
		fail(a, ERROR_AGENT, "the guest agent does not answer");
	else if (c->timeout == AGENT_NOWAIT)
		answer_error(c, ERROR_AGENT_TIMEOUT, "its answer is not waited for");
	else
		fail(a, ERROR_AGENT_TIMEOUT, "no answer in time");
	return 0;
}

static void set_timer(struct command *c, uint64_t seconds)
{
	c->timer = sd_event_source_disable_unref(c->timer);
	sd_event_add_time_relative(c->agent->loop, &c->timer, CLOCK_MONOTONIC, seconds * USEC_PER_SEC,
		10 * USEC_PER_MSEC, on_timeout, c);
}

static void ask(struct agent *a, struct command *c)
{
	a->state = AGENT_ASKING;
	if (c->timeout == AGENT_BLOCK)
		c->timer = sd_event_source_disable_unref(c->timer);
	else
		set_timer(c, c->timeout == AGENT_DEFAULT ? AGENT_SYNC_SECONDS : (uint64_t)c->timeout);
	put_message(a, c->message);
	flush(a);
}

/* ---- receiving ---- */

static void handle_reply(struct agent *a, json *message)
{
	json *refusal = json_get(message, "error"), *ret = json_get(message, "return");
	const char *desc = json_get_string(refusal, "desc");
	struct command *c = first(a);
	struct error err = ERROR_INIT;

	/* `ret` is NULL for "null", too, which no command returns. */
	if (!refusal && !ret)
		return fail(a, ERROR_AGENT, "the agent's reply holds neither an answer nor an error");
	if (!refusal)
		return answer(c, ret, NULL);
	error_set(&err, ERROR_AGENT_REFUSED, "unable to execute QEMU agent command '%s': %s", c->name,
		desc ? desc : "refused without a reason");
	/* The guest's words may be anything; a message is one line. */
	for (char *p = err.message; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	answer(c, NULL, &err);
}

/* Whatever stands there must be the id, or the search goes on. */
static void handle_sync_line(struct agent *a, const char *line, size_t len)
{
	_cleanup_json_ json *message = NULL;

	bool is_it = len <= SYNC_LINE_MAX && json_parse(line, len, &message, NULL) == 0 &&
		     json_get_int(message, "return", -1) == a->sync_id;

	/* Behind the last sentinel nothing else can follow. */
	a->seen_sentinel = false;
	buf_clear(&a->in);
	a->scanned = 0;
	if (is_it)
		ask(a, first(a));
}

/* Drops what comes before the sentinel. Is the line behind it to be had? */
static bool find_sentinel(struct agent *a)
{
	char *last = a->in.len > 0 ? memrchr(a->in.data, SENTINEL, a->in.len) : NULL;

	if (last) {
		a->seen_sentinel = true;
		buf_drop_front(&a->in, (size_t)(last - a->in.data) + 1);
		a->scanned = 0;
	} else if (!a->seen_sentinel) {
		buf_clear(&a->in);
	}
	return a->seen_sentinel;
}

/* A line as it was sent, without what may stand around it; NULL: none yet. Its bytes stay in `in` behind `*ret_next`. */
static const char *find_line(struct agent *a, size_t *ret_len, size_t *ret_next)
{
	char *end =
		a->in.len > a->scanned ? memchr(a->in.data + a->scanned, '\n', a->in.len - a->scanned) : NULL;

	a->scanned = end ? 0 : a->in.len;
	if (!end)
		return NULL;
	*ret_len = (size_t)(end - a->in.data);
	*ret_next = *ret_len + 1;
	if (*ret_len > 0 && end[-1] == '\r')
		(*ret_len)--;
	return a->in.data;
}

/* A parsed value takes some hundred times the bytes of "{},": their number is bounded, too. */
static bool has_few_values(const char *line, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += line[i] == '{' || line[i] == '[' || line[i] == ',';
	return n <= VALUES_MAX;
}

/* What comes behind the reply belongs to nothing. */
static void handle_reply_line(struct agent *a, const char *line, size_t len)
{
	_cleanup_json_ json *message = NULL;
	bool few = has_few_values(line, len);
	int r = few ? json_parse(line, len, &message, NULL) : -1;

	buf_fini(&a->in);
	if (!few)
		return fail(a, ERROR_AGENT, "the agent's reply holds more than 32768 values");
	if (r < 0)
		return fail(a, ERROR_AGENT, "the agent sent something that is not JSON");
	handle_reply(a, message);
}

static void handle_input(struct agent *a)
{
	size_t len, next;
	const char *line;

	if (a->state == AGENT_SYNCING && !find_sentinel(a))
		return;
	while ((line = find_line(a, &len, &next))) {
		if (len > 0 && a->state == AGENT_SYNCING)
			return handle_sync_line(a, line, len);
		if (len > 0)
			return handle_reply_line(a, line, len);
		buf_drop_front(&a->in, next);
	}
	if (a->in.len > AGENT_LINE_MAX)
		fail(a, ERROR_AGENT, "the agent sent a line longer than 4 MiB");
}

/* One read a turn, so that a guest that never stops talking does not keep others waiting. */
static void receive(struct agent *a)
{
	ssize_t n = recv(a->fd, buf_reserve(&a->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return fail(a, ERROR_AGENT, "QEMU closed the agent's channel");
	a->in.len += (size_t)n;
	handle_input(a);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct agent *a = userdata;

	if (a->state == AGENT_IDLE)
		disconnect(a); /* nothing else is watched for */
	else if (revents & EPOLLOUT)
		flush(a);
	else
		receive(a);
	return 0;
}

/* ---- one command after the other ---- */

static int open_channel(struct agent *a, struct error *err)
{
	int r;

	if (a->fd >= 0)
		return 0;
	if (a->connect(a->userdata, &a->fd, err) < 0)
		return -1;
	r = sd_event_add_io(a->loop, &a->io, a->fd, EPOLLIN, on_io, a);
	if (r < 0)
		return error_errno(err, -r, "watch the agent's channel");
	return 0;
}

static void begin(struct agent *a, struct command *c)
{
	_cleanup_json_ json *sync = NULL;
	struct error err = ERROR_INIT;

	a->state = AGENT_SYNCING;
	if (open_channel(a, &err) < 0) {
		err.code = ERROR_AGENT;
		disconnect(a);
		return answer(c, NULL, &err);
	}
	buf_clear(&a->in);
	a->scanned = 0;
	a->seen_sentinel = false;
	sync = json_pack("s:execute", "guest-sync-delimited", "o:arguments",
		json_pack("i:id", ++a->sync_id, NULL), NULL);
	/* Who has less patience than that need not wait longer to hear that nobody is there. */
	set_timer(c, c->timeout > 0 && c->timeout < AGENT_SYNC_SECONDS ? (uint64_t)c->timeout
								       : AGENT_SYNC_SECONDS);
	buf_add(&a->out, (const char[]){SENTINEL}, 1);
	put_message(a, sync);
	flush(a);
}

static int on_later(sd_event_source *s, void *userdata)
{
	struct agent *a = userdata;

	if (a->state == AGENT_IDLE && !list_empty(&a->commands))
		begin(a, first(a));
	return 0;
}

struct agent *agent_new(sd_event *loop, agent_connect_fn connect, void *userdata)
{
	struct agent *a = NEW(struct agent);

	a->loop = sd_event_ref(loop);
	a->connect = connect;
	a->userdata = userdata;
	a->fd = -1;
	/* An answer meant for an earlier daemon must not look like one for this. */
	a->sync_id = (int64_t)(clock_wall() & 0x1fffffffffffff);
	list_init(&a->commands);
	if (sd_event_add_defer(loop, &a->later, on_later, a) < 0 ||
		sd_event_source_set_enabled(a->later, SD_EVENT_OFF) < 0)
		assert(!"a deferred event source");
	return a;
}

void agent_command(struct agent *a, const struct agent_command *command)
{
	struct command *c = NEW(struct command);

	list_init(&c->node);
	c->agent = a;
	c->name = xstrdup(command->name);
	c->message = json_pack("s:execute", command->name, "o:arguments", command->arguments, NULL);
	c->timeout = command->timeout;
	c->ends_guest = command->ends_guest;
	c->reply = command->reply;
	c->userdata = command->userdata;
	list_add_tail(&a->commands, &c->node);
	set_timer(c, AGENT_QUEUE_SECONDS);
	sd_event_source_set_enabled(a->later, SD_EVENT_ONESHOT);
}

void agent_forget(struct agent *a, void *userdata)
{
	struct command *c;

	LIST_FOREACH (c, &a->commands, node)
		if (c->userdata == userdata)
			c->reply = NULL;
}

/* The command at work, which may have wanted just that. */
static void end_current(struct agent *a, const char *why)
{
	struct command *c = a->state == AGENT_IDLE ? NULL : first(a);

	disconnect(a);
	if (c && c->ends_guest)
		answer(c, NULL, NULL);
	else if (c)
		answer_error(c, ERROR_AGENT, why);
}

void agent_guest_ended(struct agent *a)
{
	end_current(a, "the guest closed the agent's channel");
}

void agent_qemu_ended(struct agent *a)
{
	static const char why[] = "the guest has ended";

	end_current(a, why);
	while (!list_empty(&a->commands))
		answer_error(first(a), ERROR_AGENT, why);
}
