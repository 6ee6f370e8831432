/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of TLS share. */
#pragma once

#include "gnutls-library.h"
#include "tls.h"

struct tls_context {
	unsigned refs; /* sessions use the credentials as long as they live */
	bool is_server, no_verify;
	bool has_allowed;
	struct strv allowed;
	gnutls_certificate_credentials_t credentials;
};

/* "text: " and what GnuTLS says of `r`; returns -1. */
int tls_error(struct error *err, int r, const char *fmt, ...) _printf_(3, 4);

/* Is the other side who it should be? ERROR_AUTH. ret_dn: caller frees; NULL when it showed no certificate. */
int tls_context_judge(const struct tls_context *c, gnutls_session_t session, const char *host, char **ret_dn,
	struct error *err);
