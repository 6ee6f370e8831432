/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of serving pages (pager.h).
 *
 * A helper of this daemon is its child; one of an earlier daemon is found through its socket: it called listen() itself, so that
 * the socket's credentials name it, and from then on it is watched and killed as a child is.
 */
#include "pager.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "io-helper.h"

struct pager {
	struct pager_ops ops;
	void *userdata;
	int control;
	sd_event_source *source;
	struct process *process;
	struct transfer_progress progress;
	bool going; /* pager_go was called, by whichever daemon */
	bool over;  /* DONE or FAILED came; `result` holds it */
	struct error result;
};

static void on_message(struct pager *p, const struct io_message *m)
{
	switch (m->type) {
	case IO_SERVABLE:
		p->progress.total = m->total;
		p->ops.servable(p, m->total, p->userdata);
		return;
	case IO_PROGRESS:
		p->progress.processed = m->processed;
		p->progress.total = m->total;
		return;
	case IO_TROUBLE:
		p->ops.trouble(p, &m->error, p->userdata);
		return;
	case IO_MENDED:
		p->ops.mended(p, p->userdata);
		return;
	case IO_LOST:
		p->ops.lost(p, p->userdata);
		return;
	case IO_DONE:
		p->over = true;
		return;
	case IO_FAILED:
		p->over = true;
		p->result = m->error;
		return;
	case IO_START:
	case IO_MEMORY_BEGUN:
	case IO_STREAMED:
	case IO_COMMIT:
	case IO_CONNECT:
	case IO_GO:
	case IO_HURRY:
	case IO_RETRY:
		break;
	}
	/* Anything else is as bad as a crash, and handled as one. */
	process_kill(p->process, SIGKILL);
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct pager *p = userdata;
	struct io_message m;
	bool broken;
	/* One message each time: a callback may free p. */
	int r = io_helper_receive(fd, &m, &broken);

	if (r > 0) {
		on_message(p, &m);
	} else if (r < 0) {
		if (broken)
			process_kill(p->process, SIGKILL);
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

static void on_helper_exit(struct process *process, int status, void *userdata)
{
	struct pager *p = userdata;
	char text[64];

	if (!p->over) {
		process_status_format(status, text);
		error_set(&p->result, ERROR_OPERATION_FAILED,
			"the helper that serves the guest's pages (godwit-io) %s", text);
	}
	p->ops.done(p, p->result.code == ERROR_NONE ? NULL : &p->result, p->userdata);
}

static struct pager *pager_new(const struct pager_ops *ops, void *userdata)
{
	struct pager *p = NEW(struct pager);

	p->ops = *ops;
	p->userdata = userdata;
	p->control = -1;
	return p;
}

static int watch(struct pager *p, sd_event *loop, struct error *err)
{
	int r = sd_event_add_io(loop, &p->source, p->control, EPOLLIN, on_control, p);

	return r < 0 ? error_errno(err, -r, "watch godwit-io") : 0;
}

int pager_start(sd_event *loop, const struct pager_options *options, const struct pager_ops *ops,
	void *userdata, struct pager **ret, struct error *err)
{
	struct io_helper_options helper = {.program = options->program,
		.name = options->name,
		.file_fd = options->file_fd,
		.third_fd = options->listen_fd,
		.outlives_daemon = true,
		.start = {.type = IO_START, .kind = TRANSFER_SERVE, .threads = 1}};
	struct pager *p = pager_new(ops, userdata);

	if (io_helper_start(loop, &helper, on_helper_exit, p, &p->process, &p->control, err) < 0 ||
		watch(p, loop, err) < 0) {
		pager_free(p);
		return -1;
	}
	*ret = p;
	return 0;
}

static int adopt(struct pager *p, sd_event *loop, struct error *err)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	uint64_t start_time;

	if (getsockopt(p->control, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
		process_find_start_time(peer.pid, &start_time) < 0)
		return error_errno(err, errno, "find the helper that serves the guest's pages");
	return process_adopt(loop, peer.pid, start_time, on_helper_exit, p, &p->process, err);
}

int pager_reconnect(sd_event *loop, int socket_fd, const struct pager_ops *ops, void *userdata,
	struct pager **ret, struct error *err)
{
	struct pager *p = pager_new(ops, userdata);

	p->control = socket_fd;
	p->going = true;
	if (fd_set_nonblock(socket_fd) < 0) {
		error_errno(err, errno, "talk to godwit-io");
		goto fail;
	}
	if (adopt(p, loop, err) < 0 || watch(p, loop, err) < 0)
		goto fail;
	*ret = p;
	return 0;
fail:
	pager_free(p);
	return -1;
}

int pager_listen(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"listen on %s: the path is longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, errno, "listen on %s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove stale socket %s", path);
	/* Of the descriptor before bind(), so that it is never open to others. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 1) < 0)
		return error_errno(err, errno, "listen on %s", path);
	return take_fd(&fd);
}

/* A helper that cannot be told is about to end, and its end is told. */
static void tell(struct pager *p, enum io_type type)
{
	(void)io_send(p->control, &(struct io_message){.type = type}, NULL, 0);
}

void pager_connect(struct pager *p, int main_fd, int urgent_fd, bool resume)
{
	int fds[2] = {main_fd, urgent_fd};

	(void)io_send(p->control, &(struct io_message){.type = IO_CONNECT, .resume = resume}, fds,
		urgent_fd >= 0 ? 2 : 1);
}

void pager_go(struct pager *p)
{
	p->going = true;
	tell(p, IO_GO);
}

void pager_hurry(struct pager *p)
{
	tell(p, IO_HURRY);
}

void pager_retry(struct pager *p)
{
	tell(p, IO_RETRY);
}

void pager_get_progress(const struct pager *p, struct transfer_progress *ret)
{
	*ret = p->progress;
}

void pager_kill(struct pager *p)
{
	process_kill(p->process, SIGKILL);
}

void pager_free(struct pager *p)
{
	if (!p)
		return;
	if (p->process) {
		if (!p->going)
			process_kill(p->process, SIGKILL);
		process_free(p->process);
	}
	sd_event_source_disable_unref(p->source);
	close_p(&p->control);
	free(p);
}
