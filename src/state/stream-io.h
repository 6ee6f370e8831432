/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking reads and writes on QEMU's end of a migration stream. */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "error.h"

/* Bytes read, 0 at the end of the stream, or -1. */
ssize_t stream_read(int fd, void *data, size_t len, struct error *err);
/* Everything or -1; QEMU having closed its end is ERROR_OPERATION_FAILED with EPIPE. */
int stream_write(int fd, const void *data, size_t len, struct error *err);
/* The same; `iov` is used up. */
int stream_writev(int fd, struct iovec *iov, int n, struct error *err);
