/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where QEMU listens for another one: libvirt's own form "tcp:HOST:PORT", and the URIs tcp://HOST[:PORT] and unix:///PATH. An IPv6 address is in
 * brackets.
 */
#pragma once

#include "alloc.h"
#include "error.h"

struct migrate_place {
	char *host;    /* with its brackets */
	unsigned port; /* 0: none was named */
	char *path;    /* of a UNIX socket; the others are not set then */
};

/* `ret` is zeroed by the caller. ERROR_INVALID_ARGUMENT, or ERROR_UNSUPPORTED_CONFIG for rdma. */
int migrate_place_parse(const char *uri, struct migrate_place *ret, struct error *err);
void migrate_place_fini(struct migrate_place *p);
/* As QEMU wants it; with a port. Caller frees. */
char *migrate_place_format(const struct migrate_place *p);
/* An IPv6 address gets brackets, anything else stays as it is. Caller frees. */
char *migrate_bracket(const char *host);
