/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit-io: moves one virtual machine's state between QEMU and an image file, or serves its pages, and exits (io-protocol.h). */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "io-task.h"
#include "transfer.h"

#define THREADS_MAX 64u

_Noreturn void io_give_up(const char *why)
{
	fprintf(stderr, "godwit-io: %s\n", why);
	_exit(EXIT_FAILURE);
}

static void read_text(struct io_task *t, int fd)
{
	size_t len = t->start.text_len;

	if (len < 3 || len > IO_TEXT_MAX)
		io_give_up("a START of impossible length");
	t->text = xcalloc(1, len + 1);
	if (pread_full(fd, t->text, len, 0) != (ssize_t)len || t->text[len - 1] != '\0')
		io_give_up("no text with START");
	t->name = t->text;
	t->xml = t->name + strlen(t->name) + 1;
	if (t->xml >= t->text + len)
		io_give_up("no XML with START");
	t->cookie = t->xml + strlen(t->xml) + 1;
	if (t->cookie >= t->text + len)
		io_give_up("no cookie with START");
}

static void receive_start(struct io_task *t)
{
	int fds[IO_START_FDS_MAX];
	size_t n_fds = 0;

	if (io_receive(IO_CONTROL_FD, &t->start, fds, &n_fds) <= 0 || t->start.type != IO_START)
		io_give_up("this program is started by godwitd; it has no use on its own");
	if (t->start.kind > TRANSFER_CLONE || n_fds != (t->start.kind == TRANSFER_VERIFY ? 2u : 3u) ||
		t->start.threads < 1 || t->start.threads > THREADS_MAX)
		io_give_up("a START that makes no sense");
	t->file_fd = fds[0];
	t->third_fd = n_fds == 3 ? fds[2] : -1;
	read_text(t, fds[1]);
	close(fds[1]);
}

/* What this process needs is open; nothing it reads may make it reach for more. */
static void lock_down(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* its memory is the guest's */
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
}

int main(void)
{
	static struct io_task task;

	lock_down();
	receive_start(&task);
	if (task.start.kind == TRANSFER_SERVE)
		io_serve(&task);
	else
		io_move(&task);
	return EXIT_SUCCESS;
}
