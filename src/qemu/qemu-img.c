/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its words are kept in memory files: a pipe would have to be watched, and these are only read when it is over. */
#include "qemu-img.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "cleanup.h"
#include "process.h"

#define QEMU_IMG "/usr/bin/qemu-img"

struct qemu_img {
	sd_event *loop;
	struct strv *commands;
	size_t n, at;
	int output_fd, errors_fd;
	struct process *process;
	qemu_img_done_fn done;
	void *userdata;
};

size_t qemu_img_get_done(const struct qemu_img *q)
{
	return q->at;
}

static void close_files(struct qemu_img *q)
{
	close_p(&q->output_fd);
	close_p(&q->errors_fd);
	q->output_fd = q->errors_fd = -1;
}

void qemu_img_free(struct qemu_img *q)
{
	if (!q)
		return;
	if (q->process)
		process_kill(q->process, SIGKILL);
	process_free(q->process);
	close_files(q);
	for (size_t i = 0; i < q->n; i++)
		strv_fini(&q->commands[i]);
	free(q->commands);
	free(q);
}

/* "" when there is nothing. Caller frees. */
static char *read_words(int fd)
{
	struct stat st;
	size_t size;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return xstrdup("");
	size = st.st_size < QEMU_IMG_OUTPUT_MAX ? (size_t)st.st_size : QEMU_IMG_OUTPUT_MAX;
	text = xcalloc(1, size + 1);
	n = pread(fd, text, size, 0);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static int start_next(struct qemu_img *q, struct error *err);

static void explain(struct qemu_img *q, int status, struct error *err)
{
	_cleanup_free_ char *words = read_words(q->errors_fd);
	char ended[64];

	/* "qemu-img: Could not open '/vm/a.qcow2': ..." */
	words[strcspn(words, "\n")] = '\0';
	process_status_format(status, ended);
	error_set(err, ERROR_OPERATION_FAILED, "qemu-img %s: %s", q->commands[q->at].items[0],
		startswith(words, "qemu-img: ") ? words + strlen("qemu-img: ")
		: *words			? words
						: ended);
}

static void ended(struct process *p, int status, void *userdata)
{
	struct qemu_img *q = userdata;
	struct error err = ERROR_INIT;
	_cleanup_free_ char *output = NULL;

	process_free(p);
	q->process = NULL;
	if (status != 0)
		explain(q, status, &err);
	else if (++q->at < q->n && start_next(q, &err) == 0)
		return;
	if (err.code == ERROR_NONE)
		output = read_words(q->output_fd);
	q->done(output, err.code != ERROR_NONE ? &err : NULL, q->userdata);
}

static int start_next(struct qemu_img *q, struct error *err)
{
	struct strv argv = {0};
	int r;

	close_files(q);
	q->output_fd = memfd_create("qemu-img output", MFD_CLOEXEC);
	q->errors_fd = memfd_create("qemu-img errors", MFD_CLOEXEC);
	if (q->output_fd < 0 || q->errors_fd < 0)
		return error_errno(err, errno, "create a memory file");
	strv_add(&argv, QEMU_IMG);
	for (size_t i = 0; i < q->commands[q->at].n; i++)
		strv_add(&argv, q->commands[q->at].items[i]);
	r = process_start(q->loop,
		&(struct process_options){.argv = &argv,
			.stdin_fd = -1,
			.stdout_fd = q->output_fd,
			.stderr_fd = q->errors_fd,
			.dies_with_daemon = true},
		ended, q, &q->process, err);
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
	*q = (struct qemu_img){.loop = loop,
		.n = n_commands,
		.output_fd = -1,
		.errors_fd = -1,
		.done = done,
		.userdata = userdata};
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
