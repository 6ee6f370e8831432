/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One QMP conversation.
 *
 *               greeting          reply to qmp_capabilities
 *     GREETING ----------> NEGOTIATING ----------> READY
 *         \                    |                     |    peer gone, garbage, line too long, no greeting in time
 *          `-------------------+---------------------+--------------------------------------------------> FAILED
 *
 * A command waits in `unsent` until it is written whole, then in `sent` until its reply comes. FAILED moves all of
 * them to `answering` and answers them with the reason; commands given later are answered on the next turn of the
 * loop (`later`), so that no reply is ever called from within qmp_command.
 *
 * Any callback may call qmp_close. The object then lives on until the outermost function that runs on it
 * has returned: `depth` counts those.
 */
#include "qmp.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "alloc.h"
#include "buf.h"
#include "clock.h"
#include "list.h"
#include "log.h"

#define READ_SIZE	 (64u << 10)
#define READ_KEEP	 (8u << 10) /* an idle connection's buffer is not larger */
#define TIMER_ACCURACY	 (1 * USEC_PER_MSEC)
#define NEGOTIATION_NAME "qmp_capabilities"
#define OUT_OF_BAND	 "oob"
#define IN_FLIGHT_MAX                                                                                        \
	6u /* with 8 commands unanswered QEMU reads nothing more, not even urgent ones (QMP_REQ_QUEUE_LEN_MAX) */
#define CLOSED_TEXT "QEMU closed the monitor"

enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_FAILED };

struct command {
	struct list node;
	struct qmp *q;
	int64_t id;
	char *name;
	char *text; /* NULL once written */
	size_t len, written;
	int fd; /* ours; goes with the first byte */
	bool negotiation;
	bool urgent;  /* does not wait for those before it */
	bool keep_id; /* raw: the user's own id goes back into the reply */
	json *user_id;
	qmp_reply_fn reply;
	qmp_raw_fn raw;
	void *userdata;
	sd_event_source *timer;
	int errnum; /* why it could not even be queued */
};

struct qmp {
	sd_event *loop;
	int fd;
	enum qmp_state state;
	const struct qmp_ops *ops;
	void *userdata;

	sd_event_source *io, *greeting_timer, *later;
	struct buf in;
	size_t scanned; /* this much of `in` holds no newline */
	struct list unsent, sent, answering, refused;
	int64_t last_id;
	bool out_of_band; /* QEMU takes commands beside those it is busy with */

	struct error why; /* set with QMP_FAILED */
	bool closed_told;
	bool closed_by_owner;
	unsigned depth;
};

/* ---- life ---- */

static void command_free(struct command *c)
{
	list_remove(&c->node);
	sd_event_source_disable_unref(c->timer);
	if (c->fd >= 0)
		close(c->fd);
	json_object_put(c->user_id);
	free(c->name);
	free(c->text);
	free(c);
}

static void commands_free(struct list *l)
{
	struct command *c, *next;

	LIST_FOREACH_SAFE (c, next, l, node)
		command_free(c);
}

static void enter(struct qmp *q)
{
	q->depth++;
}

static void leave(struct qmp *q)
{
	assert(q->depth > 0);
	if (--q->depth > 0 || !q->closed_by_owner)
		return;
	buf_fini(&q->in);
	sd_event_unref(q->loop);
	free(q);
}

static void stop_io(struct qmp *q)
{
	q->io = sd_event_source_disable_unref(q->io);
	q->greeting_timer = sd_event_source_disable_unref(q->greeting_timer);
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
}

void qmp_hang_up(struct qmp *q)
{
	shutdown(q->fd, SHUT_RDWR);
}

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	assert(!q->closed_by_owner);
	enter(q);
	q->closed_by_owner = true;
	stop_io(q);
	q->later = sd_event_source_disable_unref(q->later);
	commands_free(&q->unsent);
	commands_free(&q->sent);
	commands_free(&q->answering);
	commands_free(&q->refused);
	leave(q);
}

/* ---- answering ---- */

/* Frees c. */
static void command_answer_error(struct command *c, const struct error *err)
{
	struct qmp *q = c->q;
	qmp_reply_fn reply = c->reply;
	qmp_raw_fn raw = c->raw;
	void *userdata = c->userdata;

	command_free(c);
	if (reply)
		reply(q, NULL, err, userdata);
	else if (raw)
		raw(q, NULL, err, userdata);
}

static void list_splice_tail(struct list *to, struct list *from)
{
	while (!list_empty(from)) {
		struct list *node = from->next;

		list_remove(node);
		list_add_tail(to, node);
	}
}

static void answer_failed(struct qmp *q)
{
	list_splice_tail(&q->answering, &q->sent);
	list_splice_tail(&q->answering, &q->unsent);
	while (!list_empty(&q->answering)) {
		struct command *c = container_of(q->answering.next, struct command, node);
		struct error err = q->why;

		error_prefix(&err, "%s", c->name);
		command_answer_error(c, &err);
	}
}

static void answer_refused(struct qmp *q)
{
	while (!list_empty(&q->refused)) {
		struct command *c = container_of(q->refused.next, struct command, node);
		struct error err = ERROR_INIT;

		error_errno(&err, c->errnum, "%s: duplicate its descriptor", c->name);
		command_answer_error(c, &err);
	}
}

static int on_later(sd_event_source *s, void *userdata)
{
	struct qmp *q = userdata;

	enter(q);
	answer_refused(q);
	if (q->state == QMP_FAILED && !q->closed_by_owner) {
		stop_io(q);
		answer_failed(q);
	}
	/* A reply may have led to another command (the step of an undoing job): it is answered on the next turn. */
	if (q->state == QMP_FAILED && !q->closed_by_owner && !q->closed_told && list_empty(&q->unsent) &&
		list_empty(&q->refused)) {
		q->closed_told = true;
		if (q->ops->closed)
			q->ops->closed(q, &q->why, q->userdata);
	}
	leave(q);
	return 0;
}

/* The first reason counts. The owner and those who wait hear of it on the next turn of the loop. */
static void qmp_fail(struct qmp *q, const struct error *why)
{
	if (q->state == QMP_FAILED)
		return;
	q->state = QMP_FAILED;
	q->why = *why;
	sd_event_source_set_enabled(q->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(q->greeting_timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(q->later, SD_EVENT_ONESHOT);
}

static void qmp_fail_text(struct qmp *q, enum error_code code, const char *text)
{
	struct error err = ERROR_INIT;

	error_set(&err, code, "%s", text);
	qmp_fail(q, &err);
}

static void qmp_fail_errno(struct qmp *q, int errnum, const char *what)
{
	struct error err = ERROR_INIT;

	if (errnum == EPIPE || errnum == ECONNRESET) /* closed with something unread or unwritten */
		return qmp_fail_text(q, ERROR_OPERATION_FAILED, CLOSED_TEXT);
	error_errno(&err, errnum, "%s", what);
	qmp_fail(q, &err);
}

/* ---- sending ---- */

/* The first byte carries the descriptor. Returns what sendmsg does. */
static ssize_t command_send(struct command *c)
{
	struct iovec iov = {.iov_base = c->text + c->written, .iov_len = c->len - c->written};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};

	if (c->fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &c->fd, sizeof(int));
	}
	return sendmsg(c->q->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static unsigned count_in_flight(struct qmp *q)
{
	struct command *c;
	unsigned n = 0;

	LIST_FOREACH (c, &q->sent, node)
		n += !c->urgent;
	return n;
}

static bool may_send(struct qmp *q, const struct command *c)
{
	if (q->state == QMP_NEGOTIATING)
		return c->negotiation;
	return q->state == QMP_READY &&
	       (!q->out_of_band || c->urgent || c->written > 0 || count_in_flight(q) < IN_FLIGHT_MAX);
}

/* Writes what the socket takes now and asks to be called again when something is left. */
static void qmp_flush(struct qmp *q)
{
	bool blocked = false;

	while (!list_empty(&q->unsent) && !blocked) {
		struct command *c = container_of(q->unsent.next, struct command, node);
		ssize_t n;

		if (!may_send(q, c))
			break;
		n = command_send(c);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return qmp_fail_errno(q, errno, "write to the monitor");
		if (n < 0) {
			blocked = true;
			continue;
		}
		if (c->fd >= 0)
			close(take_fd(&c->fd));
		c->written += (size_t)n;
		if (c->written == c->len) {
			free(TAKE_PTR(c->text));
			list_remove(&c->node);
			list_add_tail(&q->sent, &c->node);
		}
	}
	if (q->state != QMP_FAILED)
		sd_event_source_set_io_events(q->io, EPOLLIN | (blocked ? EPOLLOUT : 0u));
}

static int on_command_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct command *c = userdata;
	struct qmp *q = c->q;
	struct error err = ERROR_INIT;

	enter(q);
	error_set(&err, ERROR_TIMEOUT, "%s: no reply from QEMU in time", c->name);
	if (c->written > 0 && c->text) {
		/* Half a line is out: whatever follows would be glued to it. */
		qmp_fail(q, &err);
	} else {
		command_answer_error(c, &err);
	}
	leave(q);
	return 0;
}

static struct command *command_new(struct qmp *q, const char *name)
{
	struct command *c = NEW(struct command);

	list_init(&c->node);
	c->q = q;
	c->name = xstrdup(name);
	c->id = ++q->last_id;
	c->fd = -1;
	return c;
}

/* The first command of which nothing is written yet, or the list's end. */
static struct list *first_unsent(struct qmp *q)
{
	struct list *node = q->unsent.next;

	if (node != &q->unsent && container_of(node, struct command, node)->written > 0)
		node = node->next;
	return node;
}

/* `message` is a whole command without id, taken. */
static void command_submit(struct command *c, json *message, uint64_t timeout_usec)
{
	struct qmp *q = c->q;

	json_object_object_add(message, "id", json_object_new_int64(c->id));
	c->text = json_format(message);
	c->len = strlen(c->text);
	c->text[c->len++] = '\n'; /* in the place of the NUL */
	json_object_put(message);

	if (timeout_usec > 0)
		sd_event_add_time_relative(q->loop, &c->timer, CLOCK_MONOTONIC, timeout_usec, TIMER_ACCURACY,
			on_command_timeout, c);
	/* The negotiation goes before whatever was asked for in the meantime; half a line stays the first. */
	list_add_tail(c->negotiation || c->urgent ? first_unsent(q) : &q->unsent, &c->node);
	if (q->state == QMP_FAILED)
		sd_event_source_set_enabled(q->later, SD_EVENT_ONESHOT);
	else
		qmp_flush(q);
}

void qmp_command(struct qmp *q, const char *name, json *arguments, int fd, uint64_t timeout_usec,
	qmp_reply_fn reply, void *userdata)
{
	struct command *c = command_new(q, name);

	c->reply = reply;
	c->userdata = userdata;
	if (fd >= 0) {
		c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (c->fd < 0) {
			c->errnum = errno;
			json_object_put(arguments);
			list_add_tail(&q->refused, &c->node);
			sd_event_source_set_enabled(q->later, SD_EVENT_ONESHOT);
			return;
		}
	}
	command_submit(c, json_pack("s:execute", name, "o:arguments", arguments, NULL), timeout_usec);
}

void qmp_command_urgent(struct qmp *q, const char *name, json *arguments, qmp_reply_fn reply, void *userdata)
{
	struct command *c = command_new(q, name);

	c->urgent = true;
	c->reply = reply;
	c->userdata = userdata;
	command_submit(c,
		json_pack(q->out_of_band ? "s:exec-oob" : "s:execute", name, "o:arguments", arguments, NULL),
		0);
}

int qmp_command_raw(struct qmp *q, const char *text, qmp_raw_fn reply, void *userdata, struct error *err)
{
	_cleanup_json_ json *message = NULL;
	const char *name;
	struct command *c;

	if (json_parse(text, strlen(text), &message, err) < 0)
		return error_prefix(err, "monitor command");
	name = json_get_string(message, "execute");
	if (!name)
		return error_set(err, ERROR_INVALID_ARGUMENT, "monitor command: it has no \"execute\"");

	c = command_new(q, name);
	c->raw = reply;
	c->userdata = userdata;
	c->keep_id = json_object_object_get_ex(message, "id", &c->user_id);
	c->user_id = json_object_get(c->user_id);
	command_submit(c, TAKE_PTR(message), 0);
	return 0;
}

static void list_forget(struct list *l, const void *userdata)
{
	struct command *c;

	LIST_FOREACH (c, l, node) {
		if (c->userdata != userdata || c->negotiation)
			continue;
		c->reply = NULL;
		c->raw = NULL;
	}
}

void qmp_forget(struct qmp *q, void *userdata)
{
	list_forget(&q->unsent, userdata);
	list_forget(&q->sent, userdata);
	list_forget(&q->answering, userdata);
	list_forget(&q->refused, userdata);
}

/* ---- receiving ---- */

static void on_negotiated(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	if (err) {
		qmp_fail(q, err);
		return;
	}
	q->state = QMP_READY;
	sd_event_source_set_enabled(q->greeting_timer, SD_EVENT_OFF);
	enter(q);
	if (q->ops->ready)
		q->ops->ready(q, q->userdata);
	if (!q->closed_by_owner && q->state == QMP_READY)
		qmp_flush(q);
	leave(q);
}

static bool offers(json *greeting, const char *capability)
{
	JSON_FOREACH (item, json_get(greeting, "capabilities"))
		if (json_object_is_type(item, json_type_string) &&
			strcmp(json_object_get_string(item), capability) == 0)
			return true;
	return false;
}

static void handle_greeting(struct qmp *q, json *message)
{
	json *enable = NULL;
	struct command *c;

	if (!json_object_is_type(json_get(message, "QMP"), json_type_object))
		return qmp_fail_text(q, ERROR_RPC, "the monitor did not greet as QMP does");

	q->state = QMP_NEGOTIATING;
	q->out_of_band = offers(json_get(message, "QMP"), OUT_OF_BAND);
	c = command_new(q, NEGOTIATION_NAME);
	c->negotiation = true;
	c->reply = on_negotiated;
	if (q->out_of_band) {
		enable = json_object_new_array();
		json_object_array_add(enable, json_object_new_string(OUT_OF_BAND));
		enable = json_pack("o:enable", enable, NULL);
	}
	command_submit(c, json_pack("s:execute", NEGOTIATION_NAME, "o:arguments", enable, NULL), 0);
}

static void handle_event(struct qmp *q, const char *name, json *message)
{
	json *timestamp = json_get(message, "timestamp");

	if (q->state != QMP_READY || !q->ops->event)
		return;
	q->ops->event(q, name, json_get(message, "data"), json_get_int(timestamp, "seconds", -1),
		(int32_t)json_get_int(timestamp, "microseconds", -1), q->userdata);
}

static struct command *find_sent(struct qmp *q, json *message)
{
	json *id = json_get(message, "id");
	struct command *c;

	/* QEMU leaves the id out when it could not read the command; it answers in order. */
	if (!id && json_get(message, "error") && !list_empty(&q->sent))
		return container_of(q->sent.next, struct command, node);
	if (!json_object_is_type(id, json_type_int))
		return NULL;
	LIST_FOREACH (c, &q->sent, node)
		if (c->id == json_object_get_int64(id))
			return c;
	return NULL;
}

static void answer_raw(struct command *c, json *message)
{
	_cleanup_free_ char *text = NULL;
	struct qmp *q = c->q;
	qmp_raw_fn raw = c->raw;
	void *userdata = c->userdata;

	json_object_object_del(message, "id");
	if (c->keep_id)
		json_object_object_add(message, "id", json_object_get(c->user_id));
	text = json_format(message);
	command_free(c);
	raw(q, text, NULL, userdata);
}

/* QEMU's words may quote a file's name or a guest's, so anything; a message is one line. */
static void set_refusal(struct error *err, const char *command, json *refusal)
{
	const char *desc = json_get_string(refusal, "desc");

	error_set(err, ERROR_QEMU, "%s: %s", command, desc ? desc : "refused without a reason");
	for (char *p = err->message; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
}

static void handle_reply(struct qmp *q, json *message)
{
	json *refusal = json_get(message, "error"), *ret = json_get(message, "return");
	struct command *c = find_sent(q, message);
	struct error err = ERROR_INIT;
	qmp_reply_fn reply;
	void *userdata;

	if (!c) {
		log_debug("QMP: a reply nobody waits for any more");
		return;
	}
	if (c->raw)
		return answer_raw(c, message);
	if (!refusal && !ret) {
		error_set(&err, ERROR_RPC, "%s: neither an answer nor an error in the reply", c->name);
		return command_answer_error(c, &err);
	}
	if (refusal) {
		set_refusal(&err, c->name, refusal);
		return command_answer_error(c, &err);
	}
	reply = c->reply;
	userdata = c->userdata;
	command_free(c);
	if (reply)
		reply(q, ret, NULL, userdata);
}

static void handle_line(struct qmp *q, const char *line, size_t len)
{
	_cleanup_json_ json *message = NULL;
	struct error err = ERROR_INIT;
	const char *event;

	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (len == 0)
		return;
	if (json_parse(line, len, &message, &err) < 0 || !json_object_is_type(message, json_type_object))
		return qmp_fail_text(q, ERROR_RPC, "the monitor sent something that is not QMP");
	if (q->state == QMP_GREETING)
		return handle_greeting(q, message);
	event = json_get_string(message, "event");
	if (event)
		handle_event(q, event, message);
	else
		handle_reply(q, message);
}

/* All whole lines there are. Callbacks may close or fail the connection between any two. */
static void handle_input(struct qmp *q)
{
	size_t start = 0;

	while (!q->closed_by_owner && q->state != QMP_FAILED) {
		size_t from = start > q->scanned ? start : q->scanned;
		char *end = q->in.len > from ? memchr(q->in.data + from, '\n', q->in.len - from) : NULL;
		size_t len;

		q->scanned = end ? 0 : q->in.len;
		if (!end)
			break;
		len = (size_t)(end - q->in.data) - start;
		handle_line(q, q->in.data + start, len);
		start += len + 1;
	}
	if (q->closed_by_owner)
		return;
	buf_drop_front(&q->in, start);
	q->scanned = q->in.len;
	if (q->in.len == 0 && q->in.allocated > READ_KEEP)
		buf_fini(&q->in);
	if (q->in.len > QMP_LINE_MAX)
		qmp_fail_text(q, ERROR_RPC, "the monitor sent a line longer than 64 MiB");
}

/* One read a turn, so that a peer that never stops talking does not keep others waiting. */
static void receive(struct qmp *q)
{
	void *space = buf_reserve(&q->in, READ_SIZE);
	ssize_t n = recv(q->fd, space, READ_SIZE, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		return qmp_fail_errno(q, errno, "read from the monitor");
	if (n == 0)
		return qmp_fail_text(q, ERROR_OPERATION_FAILED, CLOSED_TEXT);
	q->in.len += (size_t)n;
	handle_input(q);
	/* Answers made room for others. */
	if (!q->closed_by_owner && q->state == QMP_READY)
		qmp_flush(q);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct qmp *q = userdata;

	enter(q);
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(q);
	if ((revents & EPOLLOUT) && !q->closed_by_owner && q->state != QMP_FAILED)
		qmp_flush(q);
	leave(q);
	return 0;
}

static int on_greeting_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	qmp_fail_text(userdata, ERROR_TIMEOUT, "no greeting from QEMU in time");
	return 0;
}

int qmp_open(sd_event *loop, int fd, const struct qmp_ops *ops, void *userdata, struct qmp **ret,
	struct error *err)
{
	struct qmp *q = NEW(struct qmp);
	int r;

	q->loop = sd_event_ref(loop);
	q->fd = fd;
	q->ops = ops;
	q->userdata = userdata;
	list_init(&q->unsent);
	list_init(&q->sent);
	list_init(&q->answering);
	list_init(&q->refused);

	r = sd_event_add_io(loop, &q->io, fd, EPOLLIN, on_io, q);
	if (r >= 0)
		r = sd_event_add_time_relative(loop, &q->greeting_timer, CLOCK_MONOTONIC, QMP_GREETING_USEC,
			TIMER_ACCURACY, on_greeting_timeout, q);
	if (r >= 0)
		r = sd_event_add_defer(loop, &q->later, on_later, q);
	if (r >= 0)
		r = sd_event_source_set_enabled(q->later, SD_EVENT_OFF);
	if (r < 0) {
		qmp_close(q);
		return error_errno(err, -r, "watch the monitor");
	}
	*ret = q;
	return 0;
}

void qmp_set_owner(struct qmp *q, const struct qmp_ops *ops, void *userdata)
{
	q->ops = ops;
	q->userdata = userdata;
}
