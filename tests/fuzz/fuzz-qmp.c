/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QMP peer that says anything. The first byte tells how the owner behaves (bits: 1 negotiation is done for the input, 2 the
 * owner closes in the first event, 4 in the first reply, 8 replies ask again, 16 the peer hangs up at the end); the second how
 * many bytes come at a time (0: all at once). What follows is what the peer sends.
 */
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "buf.h"
#include "capability-probe.h"
#include "log.h"
#include "qmp.h"

enum { NEGOTIATE = 1, CLOSE_IN_EVENT = 2, CLOSE_IN_REPLY = 4, ASK_AGAIN = 8, HANG_UP = 16 };

#define COMMANDS 4

struct owner {
	struct qmp *q;
	unsigned how;
	unsigned asked, answered; /* every command is answered exactly once */
	bool closed;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void close_it(struct owner *o)
{
	qmp_close(o->q);
	o->q = NULL;
}

static void on_event(
	struct qmp *q, const char *name, json *data, int64_t seconds, int32_t micros, void *userdata)
{
	struct owner *o = userdata;

	assert(!o->closed && name);
	if (o->how & CLOSE_IN_EVENT)
		close_it(o);
}

static void on_closed(struct qmp *q, const struct error *why, void *userdata)
{
	struct owner *o = userdata;

	assert(!o->closed && why->code != ERROR_NONE && why->message[0]);
	assert(o->answered == o->asked);
	o->closed = true;
	close_it(o);
}

static void on_reply(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct owner *o = userdata;

	assert(o->q == q && !ret != !err);
	o->answered++;
	assert(o->answered <= o->asked);
	if (json_object_is_type(ret, json_type_array)) {
		struct qemu_capabilities *caps = NEW(struct qemu_capabilities);

		capability_features_from_schema(ret, caps);
		capabilities_free(caps);
	} else if (ret) {
		struct qemu_capabilities *caps = NULL;
		struct error ignored = ERROR_INIT;

		if (capabilities_decode(ret, &caps, &ignored) == 0)
			capabilities_free(caps);
	}
	if ((o->how & ASK_AGAIN) && !err && o->asked < 100) {
		o->asked++;
		qmp_command(q, "again", NULL, -1, 0, on_reply, o);
	}
	if (o->how & CLOSE_IN_REPLY)
		close_it(o);
}

static void on_raw(struct qmp *q, const char *reply, const struct error *err, void *userdata)
{
	struct owner *o = userdata;

	assert(!reply != !err);
	o->answered++;
}

static void run(sd_event *loop)
{
	while (sd_event_run(loop, 0) > 0)
		;
}

static void drain(int fd)
{
	char text[4096];

	while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
}

/* Feeds all of it, the owner taking its turns in between. False when nobody listens any more. */
static bool feed(sd_event *loop, struct owner *o, int peer, const void *data, size_t size, size_t chunk)
{
	const uint8_t *p = data;

	while (size > 0 && o->q) {
		size_t len = chunk && chunk < size ? chunk : size;
		ssize_t n = send(peer, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
		run(loop);
		drain(peer);
	}
	return o->q;
}

static void ask(struct owner *o)
{
	for (int i = 0; i < COMMANDS - 1; i++) {
		o->asked++;
		qmp_command(o->q, "query-thing", NULL, -1, 0, on_reply, o);
	}
	o->asked++;
	qmp_command_raw(o->q, "{\"execute\": \"raw\", \"id\": [null]}", on_raw, o, NULL);
	qmp_command(o->q, "forgotten", NULL, -1, 0, on_reply, &o->closed);
	qmp_forget(o->q, &o->closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct qmp_ops ops = {.event = on_event, .closed = on_closed};
	static const char greeting[] = "{\"QMP\": {}}\n{\"return\": {}, \"id\": 1}\n";
	static sd_event *loop;
	struct owner o = {0};
	struct error err = ERROR_INIT;
	int pair[2];

	log_set_level(LOG_LEVEL_ERROR);
	if (size < 2)
		return 0;
	if (!loop && sd_event_new(&loop) < 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	o.how = data[0];
	if (qmp_open(loop, pair[0], &ops, &o, &o.q, &err) < 0)
		abort();
	if (o.how & NEGOTIATE)
		feed(loop, &o, pair[1], greeting, sizeof(greeting) - 1, 0);
	ask(&o);
	feed(loop, &o, pair[1], data + 2, size - 2, data[1]);
	if (o.how & HANG_UP)
		shutdown(pair[1], SHUT_RDWR);
	run(loop);
	assert(!(o.how & HANG_UP) || !o.q);
	if (o.q)
		close_it(&o);
	close(pair[1]);
	return 0;
}
