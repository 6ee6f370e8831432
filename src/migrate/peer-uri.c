/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking apart URIs of other daemons. What is left of one when its transport is known goes to the daemon as its name. */
#include "peer-uri.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "alloc.h"
#include "strv.h"

static const struct {
	const char *name;
	uint16_t port;
} transports[] = {
	[PEER_UNIX] = {"unix", 0},
	[PEER_TCP] = {"tcp", 16509},
	[PEER_TLS] = {"tls", 16514},
	[PEER_SSH] = {"ssh", 0},
};

static const struct {
	const char *name;
	size_t offset;
	unsigned transports; /* bits: where it means anything */
} texts[] = {
	{"socket", offsetof(struct peer_uri, socket), 1 << PEER_UNIX | 1 << PEER_SSH},
	{"pkipath", offsetof(struct peer_uri, pkipath), 1 << PEER_TLS},
	{"keyfile", offsetof(struct peer_uri, keyfile), 1 << PEER_SSH},
	{"command", offsetof(struct peer_uri, command), 1 << PEER_SSH},
	{"name", offsetof(struct peer_uri, name),
		1 << PEER_UNIX | 1 << PEER_TCP | 1 << PEER_TLS | 1 << PEER_SSH},
};

static int bad(struct error *err, const char *uri, const char *why)
{
	return error_set(err, ERROR_INVALID_ARGUMENT, "URI '%.200s': %s", uri, why);
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

/* NULL: a % without two digits, or a NUL. */
static char *decode_percent(const char *s, size_t len)
{
	char *out = xcalloc(1, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (s[i] != '%') {
			out[n++] = s[i];
			continue;
		}
		high = len - i > 2 ? hex_digit(s[i + 1]) : -1;
		low = high >= 0 ? hex_digit(s[i + 2]) : -1;
		if (low < 0 || high * 16 + low == 0) {
			free(out);
			return NULL;
		}
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	return out;
}

/* "qemu+tcp" */
static int parse_scheme(
	const char *uri, const char *end, bool *ret_default, struct peer_uri *u, struct error *err)
{
	const char *plus = memchr(uri, '+', (size_t)(end - uri));
	_cleanup_free_ char *driver = xstrndup(uri, (size_t)((plus ? plus : end) - uri));
	_cleanup_free_ char *transport = plus ? xstrndup(plus + 1, (size_t)(end - plus - 1)) : NULL;

	if (!streq(driver, "qemu") && !streq(driver, "godwit"))
		return bad(err, uri, "it must begin with qemu or godwit");
	*ret_default = !plus;
	if (!plus)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++)
		if (streq(transports[i].name, transport)) {
			u->transport = (enum peer_transport)i;
			return 0;
		}
	return bad(err, uri, "the transports are unix, tcp, tls and ssh");
}

/* "USER@HOST:PORT", all of which may be missing */
static int parse_authority(const char *uri, const char *s, size_t len, struct peer_uri *u, struct error *err)
{
	const char *end = s + len, *at = memchr(s, '@', len), *host = at ? at + 1 : s, *port;
	uint32_t number;

	if (at)
		u->user = decode_percent(s, (size_t)(at - s));
	if (at && (!u->user || !*u->user))
		return bad(err, uri, "the user's name is wrong");
	if (host < end && *host == '[') {
		const char *close = memchr(host, ']', (size_t)(end - host));

		if (!close || (close + 1 < end && close[1] != ':'))
			return bad(err, uri, "the address in brackets is wrong");
		u->host = xstrndup(host + 1, (size_t)(close - host - 1));
		port = close + 1;
	} else {
		port = memchr(host, ':', (size_t)(end - host));
		u->host = xstrndup(host, (size_t)((port ? port : end) - host));
	}
	if (port && port < end) {
		_cleanup_free_ char *digits = xstrndup(port + 1, (size_t)(end - port - 1));

		if (!parse_u32(digits, &number) || number == 0 || number > UINT16_MAX)
			return bad(err, uri, "the port is not a number from 1 to 65535");
		u->port = (uint16_t)number;
	}
	/* a host that begins with a dash would be an option of ssh */
	if (u->host[0] == '-' || (u->user && u->user[0] == '-'))
		return bad(err, uri, "no host or user begins with a dash");
	if (!*u->host)
		free(TAKE_PTR(u->host));
	return 0;
}

static int set_parameter(
	const char *uri, const char *key, const char *value, struct peer_uri *u, struct error *err)
{
	if (streq(key, "no_verify") && (u->transport == PEER_TLS || u->transport == PEER_SSH)) {
		if (!streq(value, "0") && !streq(value, "1"))
			return bad(err, uri, "no_verify is 0 or 1");
		u->no_verify = *value == '1';
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!streq(texts[i].name, key) || !(texts[i].transports & 1u << u->transport))
			continue;
		if (!*value)
			return error_set(err, ERROR_INVALID_ARGUMENT, "URI '%.200s': %s is empty", uri, key);
		replace_string((char **)(void *)((char *)u + texts[i].offset), value);
		return 0;
	}
	return error_set(err, ERROR_INVALID_ARGUMENT, "URI '%.200s': there is no parameter '%.40s' of %s",
		uri, key, transports[u->transport].name);
}

static int parse_parameters(const char *uri, const char *query, struct peer_uri *u, struct error *err)
{
	for (const char *s = query; *s;) {
		size_t len = strcspn(s, "&;");
		const char *equals = memchr(s, '=', len);
		_cleanup_free_ char *key = NULL, *value = NULL;

		if (len > 0) {
			if (!equals)
				return bad(err, uri, "a parameter has no value");
			key = decode_percent(s, (size_t)(equals - s));
			value = decode_percent(equals + 1, len - (size_t)(equals + 1 - s));
			if (!key || !value)
				return bad(err, uri, "a % is not followed by two digits");
			if (set_parameter(uri, key, value, u, err) < 0)
				return -1;
		}
		s += len;
		if (*s)
			s++;
	}
	return 0;
}

static int check(const char *uri, const struct peer_uri *u, struct error *err)
{
	if (u->transport != PEER_UNIX && !u->host)
		return bad(err, uri, "it names no host");
	if (u->transport == PEER_UNIX && u->host)
		return bad(err, uri, "a UNIX socket is on this host: none can be named");
	if (u->user && u->transport != PEER_SSH)
		return bad(err, uri, "only ssh knows users");
	if ((u->socket && *u->socket != '/') || (u->pkipath && *u->pkipath != '/') ||
		(u->command && *u->command != '/'))
		return bad(err, uri, "socket, pkipath and command are absolute paths");
	return 0;
}

static int parse(const char *uri, struct peer_uri *u, struct error *err)
{
	const char *colon = strstr(uri, "://"), *authority, *path, *query;
	bool transport_is_default;

	if (!colon)
		return bad(err, uri, "expected SCHEME[+TRANSPORT]://[HOST]/system");
	if (parse_scheme(uri, colon, &transport_is_default, u, err) < 0)
		return -1;
	authority = colon + 3;
	path = authority + strcspn(authority, "/?#");
	query = path + strcspn(path, "?#");
	if (strchr(uri, '#'))
		return bad(err, uri, "it has a fragment (#)");
	if (parse_authority(uri, authority, (size_t)(path - authority), u, err) < 0)
		return -1;
	if (transport_is_default)
		u->transport = u->host ? PEER_TLS : PEER_UNIX;
	if (u->port == 0)
		u->port = transports[u->transport].port;
	u->is_session = strncmp(path, "/session", 8) == 0 && query - path == 8;
	if (!u->is_session && (strncmp(path, "/system", 7) != 0 || query - path != 7))
		return bad(err, uri, "its path must be /system or /session");
	u->name = xasprintf("%.*s:///%s", (int)strcspn(uri, "+:"), uri, u->is_session ? "session" : "system");
	if (*query && parse_parameters(uri, query + 1, u, err) < 0)
		return -1;
	return check(uri, u, err);
}

int peer_uri_parse(const char *text, struct peer_uri *ret, struct error *err)
{
	struct peer_uri u = {0};

	if (parse(text, &u, err) < 0) {
		peer_uri_fini(&u);
		return -1;
	}
	*ret = u;
	return 0;
}

void peer_uri_fini(struct peer_uri *u)
{
	free(u->name);
	free(u->user);
	free(u->host);
	free(u->socket);
	free(u->pkipath);
	free(u->keyfile);
	free(u->command);
	*u = (struct peer_uri){0};
}

const char *peer_uri_get_place(const struct peer_uri *u)
{
	return u->host ? u->host : u->socket ? u->socket : u->name;
}
