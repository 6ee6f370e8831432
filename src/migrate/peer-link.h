/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The byte stream to another daemon, until it stands: a UNIX socket, TCP (also below TLS), or a program's standard input and output (ssh). Names are looked up in a child; nothing blocks. */
#pragma once

#include <systemd/sd-event.h>

#include "error.h"
#include "peer-uri.h"

struct peer_link;

/* `fd` is connected and the callee's; -1 with err. Once, from the loop. May free the link. */
typedef void (*peer_linked_fn)(int fd, const struct error *err, void *userdata);

/* `uri` must outlive the link. How long it may take is the caller's affair: he frees it. */
int peer_link_start(sd_event *loop, const struct peer_uri *uri, peer_linked_fn done, void *userdata,
	struct peer_link **ret, struct error *err);
/* The connection broke: put what ssh has said about it, if there is an ssh that did, in place of the message. */
void peer_link_explain(const struct peer_link *l, struct error *err);
/* Nothing is called any more, and a program is ended: not before the connection is closed. Accepts NULL. */
void peer_link_free(struct peer_link *l);
