/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* URIs of other daemons, taken apart: SCHEME[+TRANSPORT]://[USER@][HOST][:PORT]/system|session[?KEY=VALUE&...], as libvirt has them (libvirt.org/uri.html). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum peer_transport { PEER_UNIX, PEER_TCP, PEER_TLS, PEER_SSH };

struct peer_uri {
	enum peer_transport transport;
	char *name;	   /* what the other daemon is to open: "qemu:///system" */
	char *user, *host; /* NULL: none; an IPv6 address without its brackets */
	uint16_t port;	   /* the transport's own when none was given; 0: ssh's */
	char *socket;	   /* of the daemon; NULL: where it always is */
	char *pkipath; /* TLS: directory with cacert.pem, clientcert.pem, clientkey.pem; NULL: libvirt's places */
	char *keyfile, *command; /* ssh: identity, and the program in place of ssh */
	bool no_verify;		 /* TLS: whose certificate; ssh: whose host key */
	bool is_session;
};

/* ERROR_INVALID_ARGUMENT says what of it is wrong; a parameter that is not known is. `ret` is then not to be freed. */
int peer_uri_parse(const char *text, struct peer_uri *ret, struct error *err);
void peer_uri_fini(struct peer_uri *u);

/* The other side in messages: "host2", "/run/godwit/sock". Borrowed. */
const char *peer_uri_get_place(const struct peer_uri *u);
