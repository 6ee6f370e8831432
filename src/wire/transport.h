/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What carries the bytes of a connection: a socket itself, or TLS over it (tls.h). Never blocks. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "error.h"

#define TRANSPORT_AGAIN (-2)

struct transport;

struct transport_ops {
	/* Bytes that came, 0 at the end, TRANSPORT_AGAIN when there are none, -1 with err. Reads all that there is, or `len` bytes. */
	ssize_t (*receive)(struct transport *t, void *data, size_t len, struct error *err);
	/* Bytes taken, TRANSPORT_AGAIN (then the same bytes are offered again), -1 with err. */
	ssize_t (*send)(struct transport *t, const void *data, size_t len, struct error *err);
	/* Closes the descriptor as well. */
	void (*free)(struct transport *t);
};

struct transport {
	const struct transport_ops *ops;
	int fd; /* non-blocking; to be watched by whoever has the transport */
};
