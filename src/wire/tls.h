/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS as libvirt's daemons and clients speak it: certificates on both sides, and when the server has accepted the client's, one byte '\1' from it before
 * anything else.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "strv.h"
#include "transport.h"

/* Whoever has not shaken hands after this long is turned away. */
#define TLS_HANDSHAKE_USEC (10 * 1000000ull)

struct tls_settings {
	bool is_server;
	const char *ca_file, *cert_file, *key_file; /* PEM; a client need not have cert_file and key_file */
	const char *crl_file;			    /* NULL: none */
	bool no_verify;				    /* whoever the other side is will do */
	bool no_sanity;				    /* our own certificate is not looked at */
	const struct strv *
		allowed_dns; /* patterns as of fnmatch(3), one of which the client's DN must match; NULL: all do */
};

struct tls_context;

/* Reads the files, once. Settings are copied. The errors name the file, and say what is wrong with it. */
int tls_context_open(const struct tls_settings *s, struct tls_context **ret, struct error *err);
/* Handshakes that go on, and what came of earlier ones, may live on. Accepts NULL. */
void tls_context_close(struct tls_context *c);

struct tls_handshake;

/*
 * `t` is the callee's: both sides have accepted each other. NULL with err; ERROR_AUTH: this side has not accepted the other. `dn`: the other's distinguished
 * name, borrowed; NULL when it has none. Once, from the loop. May free the handshake.
 */
typedef void (*tls_done_fn)(struct transport *t, const char *dn, const struct error *err, void *userdata);

/* `fd` is owned from here on, also on failure. `host`: what the server's certificate must be for; NULL on the server. */
int tls_handshake_start(sd_event *loop, struct tls_context *c, int fd, const char *host, tls_done_fn done,
	void *userdata, struct tls_handshake **ret, struct error *err);
/* Nothing is called any more. Accepts NULL. */
void tls_handshake_free(struct tls_handshake *h);
