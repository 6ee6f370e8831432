/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking stream I/O (stream-io.h). SIGPIPE must be ignored in the process. */
#include "stream-io.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

ssize_t stream_read(int fd, void *data, size_t len, struct error *err)
{
	for (;;) {
		ssize_t n = read(fd, data, len);

		if (n >= 0)
			return n;
		if (errno != EINTR)
			return error_errno(err, errno, "read QEMU's state");
	}
}

int stream_writev(int fd, struct iovec *iov, int n, struct error *err)
{
	while (n > 0) {
		ssize_t done = writev(fd, iov, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EPIPE || errno == ECONNRESET) {
				error_set(
					err, ERROR_OPERATION_FAILED, "QEMU stopped reading the saved state");
				if (err)
					err->errnum = EPIPE;
				return -1;
			}
			return error_errno(err, errno, "send QEMU its state");
		}
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return 0;
}

int stream_write(int fd, const void *data, size_t len, struct error *err)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

	return stream_writev(fd, &iov, 1, err);
}
