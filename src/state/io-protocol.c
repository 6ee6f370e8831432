/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages between daemon and godwit-io (io-protocol.h). */
#include "io-protocol.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"

static size_t encode(const struct io_message *m, uint8_t *b)
{
	size_t len;

	b[0] = (uint8_t)m->type;
	switch (m->type) {
	case IO_START:
		b[1] = m->kind;
		b[2] = m->format;
		b[3] = (uint8_t)((m->direct ? 1 : 0) | (m->was_running ? 2 : 0));
		put_le32(b + 4, m->threads);
		put_le64(b + 8, m->text_len);
		return 16;
	case IO_PROGRESS:
		memset(b + 1, 0, 7);
		put_le64(b + 8, m->processed);
		put_le64(b + 16, m->total);
		put_le64(b + 24, m->written);
		return 32;
	case IO_SERVABLE:
		memset(b + 1, 0, 7);
		put_le64(b + 8, m->total);
		return 16;
	case IO_CONNECT:
		b[1] = m->resume;
		return 2;
	case IO_FAILED:
	case IO_TROUBLE:
		memset(b + 1, 0, 3);
		put_le32(b + 4, (uint32_t)m->error.code);
		put_le32(b + 8, (uint32_t)m->error.errnum);
		len = strnlen(m->error.message, ERROR_MESSAGE_MAX - 1);
		memcpy(b + 12, m->error.message, len);
		return 12 + len;
	case IO_COMMIT:
		memset(b + 1, 0, 7);
		put_le64(b + 8, m->text_len);
		return 16;
	case IO_MEMORY_BEGUN:
	case IO_STREAMED:
	case IO_DONE:
	case IO_GO:
	case IO_HURRY:
	case IO_RETRY:
	case IO_MENDED:
	case IO_LOST:
		break;
	}
	return 1;
}

static int decode(const uint8_t *b, size_t len, struct io_message *m)
{
	*m = (struct io_message){.type = (enum io_type)b[0]};
	switch (m->type) {
	case IO_START:
		if (len != 16)
			return -1;
		m->kind = b[1];
		m->format = b[2];
		m->direct = b[3] & 1;
		m->was_running = b[3] & 2;
		m->threads = get_le32(b + 4);
		m->text_len = get_le64(b + 8);
		return 0;
	case IO_PROGRESS:
		if (len != 32)
			return -1;
		m->processed = get_le64(b + 8);
		m->total = get_le64(b + 16);
		m->written = get_le64(b + 24);
		return 0;
	case IO_SERVABLE:
		if (len != 16)
			return -1;
		m->total = get_le64(b + 8);
		return 0;
	case IO_CONNECT:
		if (len != 2)
			return -1;
		m->resume = b[1];
		return 0;
	case IO_FAILED:
	case IO_TROUBLE:
		if (len < 12 || get_le32(b + 4) == ERROR_NONE || get_le32(b + 4) >= ERROR_CODE_MAX_ ||
			len - 12 >= ERROR_MESSAGE_MAX)
			return -1;
		m->error.code = (enum error_code)get_le32(b + 4);
		m->error.errnum = (int)get_le32(b + 8);
		memcpy(m->error.message, b + 12, len - 12);
		return 0;
	case IO_COMMIT:
		if (len != 16)
			return -1;
		m->text_len = get_le64(b + 8);
		return 0;
	case IO_MEMORY_BEGUN:
	case IO_STREAMED:
	case IO_DONE:
	case IO_GO:
	case IO_HURRY:
	case IO_RETRY:
	case IO_MENDED:
	case IO_LOST:
		return len == 1 ? 0 : -1;
	}
	return -1;
}

int io_send(int fd, const struct io_message *m, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(IO_START_FDS_MAX * sizeof(int))];
	} control = {0};
	uint8_t packet[IO_PACKET_MAX];
	struct iovec iov = {.iov_base = packet, .iov_len = encode(m, packet)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	while (sendmsg(fd, &h, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -1;
	return 0;
}

static void take_fds(struct msghdr *h, int ret_fds[IO_START_FDS_MAX], size_t *ret_n_fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n && *ret_n_fds < IO_START_FDS_MAX; i++)
			memcpy(&ret_fds[(*ret_n_fds)++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

int io_receive(int fd, struct io_message *ret, int ret_fds[IO_START_FDS_MAX], size_t *ret_n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(IO_START_FDS_MAX * sizeof(int))];
	} control = {0};
	uint8_t packet[IO_PACKET_MAX];
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	*ret_n_fds = 0;
	do
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -1;
	take_fds(&h, ret_fds, ret_n_fds);
	if (n == 0)
		return 0;
	if ((h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || decode(packet, (size_t)n, ret) < 0) {
		while (*ret_n_fds > 0)
			close(ret_fds[--*ret_n_fds]);
		errno = EPROTO;
		return -1;
	}
	return 1;
}
