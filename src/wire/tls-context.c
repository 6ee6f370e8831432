/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates: reading ours, looking at them before anybody else does, and judging the other side's. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "file.h"
#include "tls-internal.h"

#define PEM_MAX	  (1u << 20)
#define CERTS_MAX 64

static int read_pem(const char *path, char **text, gnutls_datum_t *ret, struct error *err)
{
	size_t len;

	if (file_read(AT_FDCWD, path, PEM_MAX, text, &len, err) < 0)
		return -1;
	*ret = (gnutls_datum_t){.data = (unsigned char *)*text, .size = (unsigned)len};
	return 0;
}

static int load_files(struct tls_context *c, const struct tls_settings *s, struct error *err)
{
	int r;

	/* files that cannot be read are named by the system's word, not by GnuTLS's "error while reading file" */
	for (size_t i = 0; i < 4; i++) {
		const char *files[] = {s->ca_file, s->cert_file, s->key_file, s->crl_file};

		if (files[i] && access(files[i], R_OK) < 0)
			return error_errno(err, errno, "read %s", files[i]);
	}
	if (s->ca_file) {
		r = gnutls_library.certificate_set_x509_trust_file(
			c->credentials, s->ca_file, GNUTLS_X509_FMT_PEM);
		if (r <= 0)
			return tls_error(err, r, "%s", s->ca_file);
	}
	if (s->crl_file) {
		r = gnutls_library.certificate_set_x509_crl_file(
			c->credentials, s->crl_file, GNUTLS_X509_FMT_PEM);
		if (r < 0)
			return tls_error(err, r, "%s", s->crl_file);
	}
	if (!s->cert_file)
		return 0;
	r = gnutls_library.certificate_set_x509_key_file(
		c->credentials, s->cert_file, s->key_file, GNUTLS_X509_FMT_PEM);
	return r < 0 ? tls_error(err, r, "%s with %s", s->cert_file, s->key_file) : 0;
}

/* ---- our own certificate ---- */

/* What the other side would refuse, or who renews certificates would want to know. `certs`: ours, and those between it and the CA. */
static int check_own(const gnutls_x509_crt_t *certs, unsigned n_certs, const gnutls_x509_crt_t *ca,
	unsigned n_ca, const struct tls_settings *s, struct error *err)
{
	const char *purpose = s->is_server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
	time_t now = time(NULL);
	unsigned status = 0;
	int r;

	if (gnutls_library.x509_crt_get_activation_time(certs[0]) > now)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "%s: it is not valid yet", s->cert_file);
	if (gnutls_library.x509_crt_get_expiration_time(certs[0]) < now)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "%s: it has expired", s->cert_file);
	if (gnutls_library.x509_crt_check_key_purpose(certs[0], purpose, 0) == 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "%s: it is not for a TLS %s", s->cert_file,
			s->is_server ? "server" : "client");
	r = gnutls_library.x509_crt_list_verify(certs, (int)n_certs, ca, (int)n_ca, NULL, 0, 0, &status);
	if (r < 0)
		return tls_error(err, r, "%s", s->cert_file);
	if (status != 0)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "%s: it is not signed by %s", s->cert_file,
			s->ca_file);
	return 0;
}

static int check_sanity(const struct tls_settings *s, struct error *err)
{
	_cleanup_free_ char *cert_text = NULL, *ca_text = NULL;
	gnutls_x509_crt_t certs[CERTS_MAX], ca[CERTS_MAX];
	unsigned n_certs = CERTS_MAX, n_ca = CERTS_MAX;
	gnutls_datum_t cert_pem, ca_pem;
	int r;

	if (!s->cert_file || !s->ca_file || s->no_sanity)
		return 0;
	if (read_pem(s->cert_file, &cert_text, &cert_pem, err) < 0 ||
		read_pem(s->ca_file, &ca_text, &ca_pem, err) < 0)
		return -1;
	r = gnutls_library.x509_crt_list_import(certs, &n_certs, &cert_pem, GNUTLS_X509_FMT_PEM, 0);
	if (r < 0)
		return tls_error(err, r, "%s", s->cert_file);
	r = gnutls_library.x509_crt_list_import(ca, &n_ca, &ca_pem, GNUTLS_X509_FMT_PEM, 0);
	if (r < 0) {
		n_ca = 0;
		tls_error(err, r, "%s", s->ca_file);
	} else {
		r = check_own(certs, n_certs, ca, n_ca, s, err);
	}
	for (unsigned i = 0; i < n_certs; i++)
		gnutls_library.x509_crt_deinit(certs[i]);
	for (unsigned i = 0; i < n_ca; i++)
		gnutls_library.x509_crt_deinit(ca[i]);
	return r < 0 ? -1 : 0;
}

int tls_context_open(const struct tls_settings *s, struct tls_context **ret, struct error *err)
{
	struct tls_context *c;

	if (gnutls_library_load(err) < 0)
		return -1;
	c = NEW(struct tls_context);

	c->is_server = s->is_server;
	c->no_verify = s->no_verify;
	c->has_allowed = s->allowed_dns;
	for (size_t i = 0; s->allowed_dns && i < s->allowed_dns->n; i++)
		strv_add(&c->allowed, s->allowed_dns->items[i]);
	c->refs = 1;
	if (gnutls_library.certificate_allocate_credentials(&c->credentials) < 0) {
		free(c);
		return error_set(err, ERROR_INTERNAL, "set up TLS");
	}
	if (load_files(c, s, err) < 0 || check_sanity(s, err) < 0) {
		error_prefix(err, "TLS");
		tls_context_close(c);
		return -1;
	}
	*ret = c;
	return 0;
}

void tls_context_close(struct tls_context *c)
{
	if (!c || --c->refs > 0)
		return;
	gnutls_library.certificate_free_credentials(c->credentials);
	strv_fini(&c->allowed);
	free(c);
}

int tls_error(struct error *err, int r, const char *fmt, ...)
{
	_cleanup_(buf_fini) struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	return error_set(err, ERROR_OPERATION_FAILED, "%s: %s", text.data,
		r == 0 ? "there is no certificate in it" : gnutls_library.strerror(r));
}

/* ---- the other side's ---- */

static char *find_dn(gnutls_session_t session)
{
	unsigned n = 0;
	const gnutls_datum_t *list = gnutls_library.certificate_get_peers(session, &n);
	gnutls_x509_crt_t cert;
	gnutls_datum_t dn = {0};
	char *text = NULL;

	if (!list || n == 0 || gnutls_library.x509_crt_init(&cert) < 0)
		return NULL;
	if (gnutls_library.x509_crt_import(cert, &list[0], GNUTLS_X509_FMT_DER) >= 0 &&
		gnutls_library.x509_crt_get_dn2(cert, &dn) >= 0) {
		text = xstrndup((const char *)dn.data, dn.size);
		(*gnutls_library.free)(dn.data);
	}
	gnutls_library.x509_crt_deinit(cert);
	return text;
}

static int check_signature(gnutls_session_t session, bool is_server, const char *host, struct error *err)
{
	const char *purpose = is_server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
	gnutls_typed_vdata_st data[] = {
		{.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose},
		{.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)host},
	};
	gnutls_datum_t text = {0};
	unsigned status = 0;
	int r = gnutls_library.certificate_verify_peers(session, data, host ? 2 : 1, &status);

	if (r == GNUTLS_E_NO_CERTIFICATE_FOUND)
		return error_set(err, ERROR_AUTH, "it has no certificate");
	if (r < 0)
		return error_set(err, ERROR_AUTH, "its certificate: %s", gnutls_library.strerror(r));
	if (status == 0)
		return 0;
	if (gnutls_library.certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) < 0)
		return error_set(err, ERROR_AUTH, "its certificate is not valid");
	/* "The certificate is NOT trusted. The certificate issuer is unknown. " */
	error_set(err, ERROR_AUTH, "%.*s", (int)strcspn((const char *)text.data, "\n"),
		(const char *)text.data);
	(*gnutls_library.free)(text.data);
	return -1;
}

int tls_context_judge(const struct tls_context *c, gnutls_session_t session, const char *host, char **ret_dn,
	struct error *err)
{
	_cleanup_free_ char *dn = find_dn(session);

	if (!c->no_verify && check_signature(session, c->is_server, host, err) < 0) {
		if (dn)
			error_prefix(err, "%s", dn);
		return -1;
	}
	if (c->has_allowed) {
		bool allowed = false;

		for (size_t i = 0; dn && i < c->allowed.n; i++)
			allowed = allowed || fnmatch(c->allowed.items[i], dn, 0) == 0;
		if (!allowed)
			return error_set(
				err, ERROR_AUTH, "\"%s\" is not in tls_allowed_dn_list", dn ? dn : "");
	}
	*ret_dn = TAKE_PTR(dn);
	return 0;
}
