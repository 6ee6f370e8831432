/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GnuTLS, loaded when the first certificate is: a daemon that speaks no TLS is spared a megabyte. Whoever includes this calls its functions by their own names, after
 * gnutls_library_load.
 */
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "error.h"

/* clang-format off */
#define GNUTLS_FUNCTIONS(F) \
	F(alert_get) F(alert_get_name) F(alert_send) F(alert_send_appropriate) F(bye) \
	F(certificate_allocate_credentials) F(certificate_free_credentials) F(certificate_get_peers) \
	F(certificate_server_set_request) F(certificate_set_x509_crl_file) F(certificate_set_x509_key_file) \
	F(certificate_set_x509_trust_file) F(certificate_verification_status_print) F(certificate_verify_peers) \
	F(credentials_set) F(deinit) F(error_is_fatal) F(handshake) F(init) F(record_get_direction) F(record_recv) \
	F(record_send) F(server_name_set) F(set_default_priority) F(strerror) F(transport_set_int2) \
	F(x509_crt_check_key_purpose) F(x509_crt_deinit) F(x509_crt_get_activation_time) F(x509_crt_get_dn2) \
	F(x509_crt_get_expiration_time) F(x509_crt_import) F(x509_crt_init) F(x509_crt_list_import) F(x509_crt_list_verify)

#define GNUTLS_MEMBER(name) __typeof__(&gnutls_##name) name;
struct gnutls_library {
	GNUTLS_FUNCTIONS(GNUTLS_MEMBER)
	gnutls_free_function *free; /* a variable of the library */
};
#undef GNUTLS_MEMBER
/* clang-format on */

extern struct gnutls_library gnutls_library;

/* Again: nothing happens. ERROR_UNSUPPORTED_CONFIG: it is not installed. */
int gnutls_library_load(struct error *err);
