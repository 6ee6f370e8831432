/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving an image (io-task.h). The first thread listens to the daemon and reports; a second one does the work, and blocks as it likes.
 * When the daemon is gone nobody can use the result, so the process ends at once, whatever the second one is doing.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "fault.h"
#include "file.h"
#include "image-load.h"
#include "image-save.h"
#include "io-task.h"
#include "transfer.h"

#define PROGRESS_MS 100
#define HELD_USEC   5000 /* between two looks whether a test still wants it to stand still */

struct work {
	const struct io_task *task;
	int stream_fd;
	char *disks; /* came with COMMIT; owned; NULL none */

	struct image_progress progress;
	/* Between the threads: the worker sets `begun`, `streamed` or `over` and rings `bell`; `commit` is posted to it. */
	int bell, commit;
	_Atomic bool begun, streamed, over;
	struct error error; /* the worker's until `over` */
};

static void ring(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void wait_for(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

static void memory_begun(void *userdata)
{
	struct work *w = userdata;

	w->begun = true;
	ring(w->bell);
}

static int save(struct work *w, struct error *err)
{
	struct image_save *s = NULL;
	int r;

	w->progress.memory_begun = memory_begun;
	w->progress.userdata = w;
	r = image_save_start(&(struct image_save_options){.file_fd = w->task->file_fd,
				     .stream_fd = w->stream_fd,
				     .name = w->task->name,
				     .direct = w->task->start.direct,
				     .threads = w->task->start.threads,
				     .format = (enum image_format)w->task->start.format,
				     .xml = w->task->xml,
				     .cookie = *w->task->cookie ? w->task->cookie : NULL,
				     .was_running = w->task->start.was_running},
		&w->progress, &s, err);
	if (r == 0)
		r = image_save_stream(s, err);
	if (r == 0) {
		while (fault_held("io-saving"))
			usleep(HELD_USEC);
		fault_point("io-streamed");
		w->streamed = true;
		ring(w->bell);
		wait_for(w->commit);
		r = image_save_commit(s, w->disks, err);
		fault_point("io-committed");
	}
	image_save_free(s);
	return r;
}

static void *work_thread(void *arg)
{
	struct work *w = arg;
	struct image_load_options load = {.file_fd = w->task->file_fd,
		.stream_fd = w->stream_fd,
		.name = w->task->name,
		.direct = w->task->start.direct,
		.without_main_memory = w->task->start.kind == TRANSFER_CLONE,
		.threads = w->task->start.threads};

	if (w->task->start.kind == TRANSFER_SAVE)
		save(w, &w->error);
	else
		image_load(&load, &w->progress, &w->error);
	/* QEMU sees the end of the stream only now, when all was checked. */
	if (w->stream_fd >= 0)
		shutdown(w->stream_fd, SHUT_RDWR);
	close_p(&w->stream_fd);
	w->over = true;
	ring(w->bell);
	return NULL;
}

static void send_or_die(const struct io_message *m)
{
	if (io_send(IO_CONTROL_FD, m, NULL, 0) < 0)
		_exit(EXIT_FAILURE); /* the daemon is gone */
}

static void report_progress(struct work *w, struct io_message *last)
{
	struct io_message m = {.type = IO_PROGRESS,
		.processed = w->progress.processed,
		.total = w->progress.total,
		.written = w->progress.written};

	if (m.processed == last->processed && m.total == last->total && m.written == last->written)
		return;
	send_or_die(&m);
	*last = m;
}

static void read_disks(struct work *w, int fd, uint64_t len)
{
	if (len == 0 || len > IO_TEXT_MAX)
		io_give_up("a COMMIT of impossible length");
	w->disks = xcalloc(1, len + 1);
	if (pread_full(fd, w->disks, len, 0) != (ssize_t)len)
		io_give_up("no text with COMMIT");
	close(fd);
}

static void handle_daemon(struct work *w)
{
	int fds[IO_START_FDS_MAX];
	struct io_message m;
	size_t n_fds;

	if (io_receive(IO_CONTROL_FD, &m, fds, &n_fds) <= 0)
		_exit(EXIT_FAILURE);
	if (m.type != IO_COMMIT || !w->streamed || n_fds > 1)
		io_give_up("an unexpected message");
	if (n_fds == 1)
		read_disks(w, fds[0], m.text_len);
	ring(w->commit);
}

/* Until the worker is done. */
static void follow(struct work *w)
{
	struct io_message last = {0};
	bool told_begun = false, told_streamed = false;

	for (;;) {
		struct pollfd polled[] = {
			{.fd = IO_CONTROL_FD, .events = POLLIN},
			{.fd = w->bell, .events = POLLIN},
		};

		if (poll(polled, 2, PROGRESS_MS) < 0 && errno != EINTR)
			io_give_up("poll failed");
		if (polled[1].revents)
			wait_for(w->bell);
		/* First: a guest may stand still for it. */
		if (w->begun && !told_begun) {
			send_or_die(&(struct io_message){.type = IO_MEMORY_BEGUN});
			told_begun = true;
		}
		if (polled[1].revents || !polled[0].revents)
			report_progress(w, &last);
		if (w->streamed && !told_streamed) {
			send_or_die(&(struct io_message){.type = IO_STREAMED});
			told_streamed = true;
		}
		if (w->over)
			return;
		if (polled[0].revents)
			handle_daemon(w);
	}
}

void io_move(const struct io_task *task)
{
	static struct work w;
	pthread_t thread;

	w.task = task;
	w.stream_fd = task->third_fd;
	w.bell = eventfd(0, EFD_CLOEXEC);
	w.commit = eventfd(0, EFD_CLOEXEC);
	if (w.bell < 0 || w.commit < 0 || pthread_create(&thread, NULL, work_thread, &w) != 0)
		io_give_up("out of descriptors or threads");
	follow(&w);
	pthread_join(thread, NULL);
	if (w.error.code != ERROR_NONE)
		send_or_die(&(struct io_message){.type = IO_FAILED, .error = w.error});
	else
		send_or_die(&(struct io_message){.type = IO_DONE});
}
