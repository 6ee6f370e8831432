/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting godwit-io (io-helper.h): a socketpair as its standard input, and the first message. */
#include "io-helper.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "file.h"

int io_helper_pass_text(const void *text, size_t len, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("godwit-io", MFD_CLOEXEC);

	if (fd < 0 || pwrite_full(fd, text, len, 0) < 0)
		return error_errno(err, errno, "pass %zu bytes to godwit-io", len);
	return take_fd(&fd);
}

/* Name, XML and cookie. */
static int make_text(const struct io_helper_options *o, uint64_t *ret_len, struct error *err)
{
	_cleanup_(buf_fini) struct buf text = {0};

	buf_add(&text, o->name, strlen(o->name) + 1);
	buf_add(&text, o->xml ? o->xml : "", o->xml ? strlen(o->xml) + 1 : 1);
	buf_add(&text, o->cookie ? o->cookie : "", o->cookie ? strlen(o->cookie) + 1 : 1);
	*ret_len = text.len;
	return io_helper_pass_text(text.data, text.len, err);
}

static int send_start(int control, const struct io_helper_options *o, struct error *err)
{
	struct io_message m = o->start;
	_cleanup_close_ int text = make_text(o, &m.text_len, err);
	int fds[IO_START_FDS_MAX] = {o->file_fd, text, o->third_fd};

	if (text < 0)
		return -1;
	if (io_send(control, &m, fds, o->third_fd >= 0 ? 3 : 2) < 0)
		return error_errno(err, errno, "tell godwit-io what to do");
	return 0;
}

int io_helper_start(sd_event *loop, const struct io_helper_options *options, process_exit_fn on_exit,
	void *userdata, struct process **ret_process, int *ret_control, struct error *err)
{
	_cleanup_(strv_fini) struct strv argv = {0};
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, errno, "make a socket pair");
	*ret_control = ends[0];
	strv_add(&argv, options->program);
	strv_add(&argv, options->name); /* for people who look at the process list */
	r = process_start(loop,
		&(struct process_options){.argv = &argv,
			.stdin_fd = ends[1],
			.stdout_fd = -1,
			.stderr_fd = STDERR_FILENO,
			.new_session = options->outlives_daemon,
			.dies_with_daemon = !options->outlives_daemon},
		on_exit, userdata, ret_process, err);
	close(ends[1]);
	if (r < 0 || send_start(ends[0], options, err) < 0)
		return -1;
	fd_set_nonblock(ends[0]);
	return 0;
}

int io_helper_receive(int control, struct io_message *ret, bool *ret_broken)
{
	int fds[IO_START_FDS_MAX], r;
	size_t n_fds;

	*ret_broken = false;
	r = io_receive(control, ret, fds, &n_fds);
	if (r < 0 && errno == EAGAIN)
		return 0;
	while (n_fds > 0)
		close(fds[--n_fds]);
	*ret_broken = r < 0;
	return r > 0 ? 1 : -1;
}
