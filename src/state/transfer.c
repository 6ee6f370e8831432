/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of an image transfer (transfer.h): starts godwit-io, hands it the descriptors, and follows what it says.
 *
 * The helper's last message is kept until its process is gone, so that `done` also means: nobody writes to the file any more.
 */
#include "transfer.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "io-helper.h"
#include "process.h"

#define THREADS_MAX   4u
#define THREADS_LIMIT 64u
/* What QEMU may run ahead. More does not fit into the cache beside what else passes through, and costs a third more time. */
#define STREAM_BUFFER (512 << 10)

struct transfer {
	struct transfer_ops ops;
	void *userdata;
	enum transfer_kind kind;
	int control;
	sd_event_source *source;
	struct process *process;
	struct transfer_progress progress;
	bool cancelled;
	bool over; /* DONE or FAILED came; `result` holds it */
	struct error result;
};

int transfer_stream_pair(int ret[2], struct error *err)
{
	int size = STREAM_BUFFER;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret) < 0)
		return error_errno(err, errno, "make a socket pair");
	for (int i = 0; i < 2; i++)
		if (setsockopt(ret[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(ret[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static void take_result(struct transfer *t, const struct error *err)
{
	if (t->over)
		return;
	t->over = true;
	t->result = *err;
}

static void on_message(struct transfer *t, const struct io_message *m)
{
	static const struct error none = ERROR_INIT;

	switch (m->type) {
	case IO_PROGRESS:
		t->progress = (struct transfer_progress){
			.processed = m->processed, .total = m->total, .written = m->written};
		return;
	case IO_MEMORY_BEGUN:
		if (t->kind == TRANSFER_SAVE && !t->cancelled && !t->over && t->ops.memory_begun)
			t->ops.memory_begun(t, t->userdata);
		return;
	case IO_STREAMED:
		if (t->kind == TRANSFER_SAVE && !t->cancelled && !t->over)
			t->ops.streamed(t, t->userdata);
		return;
	case IO_DONE:
		take_result(t, &none);
		return;
	case IO_FAILED:
		take_result(t, &m->error);
		return;
	case IO_START:
	case IO_COMMIT:
	case IO_SERVABLE:
	case IO_CONNECT:
	case IO_GO:
	case IO_HURRY:
	case IO_RETRY:
	case IO_TROUBLE:
	case IO_MENDED:
	case IO_LOST:
		break;
	}
	/* Anything else is as bad as a crash, and handled as one. */
	process_kill(t->process, SIGKILL);
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct transfer *t = userdata;
	struct io_message m;
	bool broken;
	/* One message each time: a callback may free t. */
	int r = io_helper_receive(fd, &m, &broken);

	if (r > 0) {
		on_message(t, &m);
	} else if (r < 0) {
		if (broken)
			process_kill(t->process, SIGKILL);
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

static void on_helper_exit(struct process *p, int status, void *userdata)
{
	struct transfer *t = userdata;
	struct error err = ERROR_INIT;
	char text[64];

	if (t->cancelled) {
		error_set(&err, ERROR_OPERATION_ABORTED, "the transfer was cancelled");
		t->result = err;
	} else if (!t->over) {
		process_status_format(status, text);
		error_set(&t->result, ERROR_OPERATION_FAILED,
			"the helper that moves the image (godwit-io) %s", text);
	}
	t->ops.done(t, t->result.code == ERROR_NONE ? NULL : &t->result, t->userdata);
}

static int start_helper(
	struct transfer *t, sd_event *loop, const struct transfer_options *o, struct error *err)
{
	struct io_helper_options helper = {.program = o->program,
		.name = o->name,
		.xml = o->xml,
		.cookie = o->cookie,
		.file_fd = o->file_fd,
		.third_fd = o->kind == TRANSFER_VERIFY ? -1 : o->stream_fd,
		.start = {.type = IO_START,
			.kind = (uint8_t)o->kind,
			.format = (uint8_t)o->format,
			.direct = o->direct,
			.was_running = o->was_running,
			.threads = o->channels}};

	if (helper.start.threads == 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		helper.start.threads = THREADS_MAX;
		if (n < (long)THREADS_MAX)
			helper.start.threads = n < 1 ? 1 : (uint32_t)n;
	}
	if (helper.start.threads > THREADS_LIMIT)
		helper.start.threads = THREADS_LIMIT;
	return io_helper_start(loop, &helper, on_helper_exit, t, &t->process, &t->control, err);
}

int transfer_start(sd_event *loop, const struct transfer_options *options, const struct transfer_ops *ops,
	void *userdata, struct transfer **ret, struct error *err)
{
	struct transfer *t = NEW(struct transfer);
	int r;

	t->ops = *ops;
	t->userdata = userdata;
	t->kind = options->kind;
	t->control = -1;
	if (start_helper(t, loop, options, err) < 0)
		goto fail;
	r = sd_event_add_io(loop, &t->source, t->control, EPOLLIN, on_control, t);
	if (r < 0) {
		error_errno(err, -r, "watch godwit-io");
		goto fail;
	}
	*ret = t;
	return 0;
fail:
	transfer_free(t);
	return -1;
}

void transfer_commit(struct transfer *t, const char *disks)
{
	struct io_message m = {.type = IO_COMMIT, .text_len = disks ? strlen(disks) : 0};
	_cleanup_close_ int text = -1;
	struct error err = ERROR_INIT;

	if (m.text_len > 0) {
		text = io_helper_pass_text(disks, m.text_len, &err);
		if (text < 0) {
			take_result(t, &err);
			process_kill(t->process, SIGKILL);
			return;
		}
	}
	/* A helper that is gone is reported by its exit. */
	(void)io_send(t->control, &m, &text, text >= 0 ? 1 : 0);
}

void transfer_cancel(struct transfer *t)
{
	t->cancelled = true;
	process_kill(t->process, SIGKILL);
}

void transfer_get_progress(const struct transfer *t, struct transfer_progress *ret)
{
	*ret = t->progress;
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	if (t->process) {
		process_kill(t->process, SIGKILL);
		process_free(t->process);
	}
	sd_event_source_disable_unref(t->source);
	close_p(&t->control);
	free(t);
}
