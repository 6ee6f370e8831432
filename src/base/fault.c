/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Death, a stop or a wait at a place a test has named. */
#include "fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
	const char *name;
	size_t len;
	bool stop;
	const char *held_by; /* a path; NULL: not asked for */
};

/* The environment is read once: it cannot change, and this is on every path that matters. */
static const struct request *get_request(void)
{
	static struct request request;
	static bool known;

	if (!known) {
		const char *value = getenv("GODWIT_FAULT");
		const char *mode = value ? strchr(value, '=') : NULL;

		if (value && *value) {
			request.name = value;
			request.len = mode ? (size_t)(mode - value) : strlen(value);
			request.stop = mode && strcmp(mode, "=stop") == 0;
			if (mode && strncmp(mode, "=hold:", 6) == 0)
				request.held_by = mode + 6;
		}
		known = true;
	}
	return request.name ? &request : NULL;
}

static void hit(const struct request *request)
{
	if (request->held_by)
		return;
	kill(getpid(), request->stop ? SIGSTOP : SIGKILL);
}

void fault_point(const char *name)
{
	const struct request *request = get_request();

	if (request && strlen(name) == request->len && memcmp(name, request->name, request->len) == 0)
		hit(request);
}

/* Does `*text`, of `*left` bytes, begin with `part`? Moves both behind it. */
static bool skip(const char **text, size_t *left, const char *part)
{
	size_t len = strlen(part);

	if (*left < len || memcmp(*text, part, len) != 0)
		return false;
	*text += len;
	*left -= len;
	return true;
}

void fault_point3(const char *a, const char *b, const char *c)
{
	const struct request *request = get_request();
	const char *text;
	size_t left;

	if (!request)
		return;
	text = request->name;
	left = request->len;
	if (skip(&text, &left, a) && skip(&text, &left, "/") && skip(&text, &left, b) &&
		skip(&text, &left, "/") && skip(&text, &left, c) && left == 0)
		hit(request);
}

bool fault_held(const char *name)
{
	const struct request *request = get_request();

	return request && request->held_by && strlen(name) == request->len &&
	       memcmp(name, request->name, request->len) == 0 && access(request->held_by, F_OK) == 0;
}
