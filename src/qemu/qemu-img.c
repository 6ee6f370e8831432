/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of command lines, each begun when the one before it has ended well. */
#include "qemu-img.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "program.h"

#define QEMU_IMG "/usr/bin/qemu-img"

struct qemu_img {
	sd_event *loop;
	struct strv *commands;
	size_t n, at;
	struct program *program;
	qemu_img_done_fn done;
	void *userdata;
};

size_t qemu_img_get_done(const struct qemu_img *q)
{
	return q->at;
}

unsigned qemu_img_parse_permyriad(const char *text)
{
	unsigned found = 0;

	for (const char *p = text; (p = strchr(p, '(')); p++) {
		unsigned whole, part;
		int end = 0;

		if (sscanf(p, "(%3u.%2u/100%%)%n", &whole, &part, &end) == 2 && end > 0)
			found = whole < 100 ? whole * 100 + part : 10000;
	}
	return found;
}

unsigned qemu_img_get_permyriad(const struct qemu_img *q)
{
	char text[256];

	if (!q->program)
		return 0;
	program_read_last(q->program, text, sizeof(text));
	return qemu_img_parse_permyriad(text);
}

void qemu_img_free(struct qemu_img *q)
{
	if (!q)
		return;
	program_free(q->program);
	for (size_t i = 0; i < q->n; i++)
		strv_fini(&q->commands[i]);
	free(q->commands);
	free(q);
}

static int start_next(struct qemu_img *q, struct error *err);

static void ended(const char *output, const struct error *err, void *userdata)
{
	struct qemu_img *q = userdata;
	struct error failure = ERROR_INIT;

	program_free(TAKE_PTR(q->program));
	if (err)
		failure = *err;
	else if (++q->at < q->n && start_next(q, &failure) == 0)
		return;
	q->done(failure.code == ERROR_NONE ? output : NULL, failure.code != ERROR_NONE ? &failure : NULL,
		q->userdata);
}

static int start_next(struct qemu_img *q, struct error *err)
{
	struct strv argv = {0};
	int r;

	strv_add(&argv, QEMU_IMG);
	for (size_t i = 0; i < q->commands[q->at].n; i++)
		strv_add(&argv, q->commands[q->at].items[i]);
	r = program_start(q->loop, &argv, 0, ended, q, &q->program, err);
	strv_fini(&argv);
	return r;
}

int qemu_img_start(sd_event *loop, const struct strv *commands, size_t n_commands, qemu_img_done_fn done,
	void *userdata, struct qemu_img **ret, struct error *err)
{
	struct qemu_img *q;

	assert(n_commands > 0);
	if (access(QEMU_IMG, X_OK) < 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"working on images needs %s (package qemu-utils)", QEMU_IMG);
	q = NEW(struct qemu_img);
	*q = (struct qemu_img){.loop = loop, .n = n_commands, .done = done, .userdata = userdata};
	q->commands = xcalloc(n_commands, sizeof(*q->commands));
	for (size_t i = 0; i < n_commands; i++)
		for (size_t j = 0; j < commands[i].n; j++)
			strv_add(&q->commands[i], commands[i].items[j]);
	if (start_next(q, err) < 0) {
		qemu_img_free(q);
		return -1;
	}
	*ret = q;
	return 0;
}
