/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Serving pages (io-task.h): between the daemon, while there is one, and the page server, whose threads do the work.
 *
 * What a daemon was told is kept, and compared with how things stand; so a new daemon, who was told nothing, is told everything that
 * matters to it, and what did not fit into a socket nobody reads is told later.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "io-task.h"
#include "page-server.h"

#define PROGRESS_MS 100

struct told {
	bool servable, lost, trouble;
	bool owes_mended; /* of the trouble that was told the end has not been */
	unsigned mended;
	uint64_t processed;
};

struct serve {
	struct page_server *server;
	int control; /* -1: no daemon */
	int listening;
	bool going;
	struct page_server_status status;
	struct told told;
};

/* Before GO the daemon's end is ours. */
static void lose_daemon(struct serve *s)
{
	if (!s->going)
		_exit(EXIT_FAILURE);
	close(s->control);
	s->control = -1;
}

/* true: it was sent. */
static bool send_message(struct serve *s, const struct io_message *m)
{
	if (s->control < 0)
		return false;
	if (io_send(s->control, m, NULL, 0) == 0)
		return true;
	if (errno != EAGAIN)
		lose_daemon(s);
	return false;
}

static void tell_progress(struct serve *s)
{
	struct io_message m = {
		.type = IO_PROGRESS, .processed = s->status.processed, .total = s->status.total};

	if (s->told.processed != s->status.processed && send_message(s, &m))
		s->told.processed = s->status.processed;
}

static void tell(struct serve *s)
{
	const struct page_server_status *now = &s->status;
	struct told *told = &s->told;

	if (!told->servable)
		told->servable =
			send_message(s, &(struct io_message){.type = IO_SERVABLE, .total = now->total});
	if (now->stage == PAGE_SERVER_LOST && !told->lost) {
		tell_progress(s);
		told->lost = send_message(s, &(struct io_message){.type = IO_LOST});
	}
	if (now->trouble.code != ERROR_NONE && !told->trouble)
		told->trouble = told->owes_mended =
			send_message(s, &(struct io_message){.type = IO_TROUBLE, .error = now->trouble});
	/* The last page may be in before both threads have looked whether there is more to retry. */
	if ((now->mended != told->mended || (now->stage == PAGE_SERVER_DONE && told->owes_mended)) &&
		send_message(s, &(struct io_message){.type = IO_MENDED})) {
		told->mended = now->mended;
		told->owes_mended = false;
	}
}

static void close_all(int *fds, size_t n)
{
	while (n > 0)
		close(fds[--n]);
}

/* ERROR_NONE: it is on its way. */
static void connect_server(struct serve *s, bool resume, int *fds, size_t n_fds, struct error *err)
{
	if (n_fds < 1 || n_fds > 2)
		io_give_up("a CONNECT without sockets");
	page_server_connect(s->server, fds[0], n_fds == 2 ? fds[1] : -1, resume, err);
	s->told.lost = false;
}

/* false: the end, and `err` says why. */
static bool handle_message(
	struct serve *s, const struct io_message *m, int *fds, size_t n_fds, struct error *err)
{
	switch (m->type) {
	case IO_CONNECT:
		connect_server(s, m->resume, fds, n_fds, err);
		return err->code == ERROR_NONE;
	case IO_GO:
		s->going = true;
		page_server_go(s->server);
		break;
	case IO_HURRY:
		page_server_hurry(s->server);
		break;
	case IO_RETRY:
		s->told.trouble = false;
		page_server_retry(s->server);
		break;
	case IO_START:
	case IO_PROGRESS:
	case IO_MEMORY_BEGUN:
	case IO_STREAMED:
	case IO_COMMIT:
	case IO_DONE:
	case IO_FAILED:
	case IO_SERVABLE:
	case IO_TROUBLE:
	case IO_MENDED:
	case IO_LOST:
		/* A daemon that speaks another language is none. */
		lose_daemon(s);
		break;
	}
	close_all(fds, n_fds);
	return true;
}

static bool handle_daemon(struct serve *s, struct error *err)
{
	int fds[IO_START_FDS_MAX], r;
	struct io_message m;
	size_t n_fds;

	r = io_receive(s->control, &m, fds, &n_fds);
	if (r > 0)
		return handle_message(s, &m, fds, n_fds, err);
	close_all(fds, n_fds);
	if (r == 0 || errno != EAGAIN)
		lose_daemon(s);
	return true;
}

static void accept_daemon(struct serve *s)
{
	int fd = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!s->going) {
		close(fd);
		return;
	}
	if (s->control >= 0)
		close(s->control);
	s->control = fd;
	/* Nothing that was mended before is news. */
	s->told = (struct told){.mended = s->status.mended};
}

/* Until QEMU has everything, or never will. */
static void follow(struct serve *s, struct error *err)
{
	for (bool quiet = false;;) {
		struct pollfd polled[] = {
			{.fd = page_server_bell(s->server), .events = POLLIN},
			{.fd = -1, .events = POLLIN},
			{.fd = s->listening, .events = POLLIN},
		};
		int n;

		page_server_get_status(s->server, &s->status);
		if (quiet)
			tell_progress(s);
		tell(s);
		if (s->status.stage == PAGE_SERVER_DONE)
			return;
		if (s->status.stage == PAGE_SERVER_FAILED) {
			error_copy(err, &s->status.error);
			return;
		}
		polled[1].fd = s->control;
		n = poll(polled, 3, PROGRESS_MS);
		if (n < 0 && errno != EINTR)
			io_give_up("poll failed");
		quiet = n == 0;
		if (n > 0 && polled[1].revents && !handle_daemon(s, err))
			return;
		if (n > 0 && polled[2].revents)
			accept_daemon(s);
	}
}

void io_serve(const struct io_task *task)
{
	struct serve s = {.control = IO_CONTROL_FD, .listening = task->third_fd};
	struct error err = ERROR_INIT;

	/* Again, so that the socket names this process to whoever connects. */
	if (listen(s.listening, 1) < 0 || fd_set_nonblock(s.listening) < 0 || fd_set_nonblock(s.control) < 0)
		io_give_up("a START without a listening socket");
	if (page_server_new(task->file_fd, task->name, &s.server, &err) == 0)
		follow(&s, &err);
	if (err.code == ERROR_NONE)
		tell_progress(&s);
	send_message(&s, err.code == ERROR_NONE ? &(struct io_message){.type = IO_DONE}
						: &(struct io_message){.type = IO_FAILED, .error = err});
	page_server_free(s.server);
}
