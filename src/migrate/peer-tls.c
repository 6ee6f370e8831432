/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which certificates this daemon shows to others, and by which it knows them: libvirt's files, its own or those of a directory that the URI names. */
#include <unistd.h>

#include "alloc.h"
#include "peer-internal.h"

#define CA_FILE	  "/etc/pki/CA/cacert.pem"
#define CRL_FILE  "/etc/pki/CA/cacrl.pem"
#define CERT_FILE "/etc/pki/libvirt/clientcert.pem"
#define KEY_FILE  "/etc/pki/libvirt/private/clientkey.pem"

/* Caller frees. */
static char *place(const struct peer_uri *uri, const char *name, const char *system)
{
	return uri->pkipath ? xasprintf("%s/%s", uri->pkipath, name) : xstrdup(system);
}

int peer_tls_open(const struct peer_uri *uri, struct tls_context **ret, struct error *err)
{
	_cleanup_free_ char *ca = place(uri, "cacert.pem", CA_FILE);
	_cleanup_free_ char *crl = place(uri, "cacrl.pem", CRL_FILE);
	_cleanup_free_ char *cert = place(uri, "clientcert.pem", CERT_FILE);
	_cleanup_free_ char *key = place(uri, "clientkey.pem", KEY_FILE);
	/* the server may want none; one that does says so */
	bool has_cert = access(cert, F_OK) == 0 || access(key, F_OK) == 0;
	const struct tls_settings settings = {
		.ca_file = uri->no_verify && access(ca, F_OK) < 0 ? NULL : ca,
		.crl_file = access(crl, F_OK) == 0 ? crl : NULL,
		.cert_file = has_cert ? cert : NULL,
		.key_file = has_cert ? key : NULL,
		.no_verify = uri->no_verify,
	};

	return tls_context_open(&settings, ret, err);
}
