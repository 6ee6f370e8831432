/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading where state is to go (migrate-place.h). */
#include "migrate-place.h"

#include <stdlib.h>
#include <string.h>

#include "strv.h"

static int parse_port(const char *text, const char *uri, unsigned *ret, struct error *err)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (end == text || *end || port == 0 || port > 65535)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "migration URI '%s' has no such port: '%s'", uri, text);
	*ret = (unsigned)port;
	return 0;
}

int migrate_place_parse(const char *uri, struct migrate_place *ret, struct error *err)
{
	const char *rest, *colon, *end;

	if (startswith(uri, "unix:///")) {
		ret->path = xstrdup(uri + strlen("unix://"));
		return 0;
	}
	if (startswith(uri, "rdma:"))
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "migration over RDMA ('%s') is not supported", uri);
	if (!startswith(uri, "tcp:"))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "migration URI '%s' is neither tcp nor unix", uri);
	rest = uri + strlen(startswith(uri, "tcp://") ? "tcp://" : "tcp:");
	end = rest + strcspn(rest, "/?");
	if (*rest == '[') {
		colon = memchr(rest, ']', (size_t)(end - rest));
		if (!colon)
			return error_set(err, ERROR_INVALID_ARGUMENT, "migration URI '%s' lacks a ']'", uri);
		colon++;
	} else {
		colon = rest + strcspn(rest, ":/?");
	}
	if (colon == rest)
		return error_set(err, ERROR_INVALID_ARGUMENT, "migration URI '%s' names no host", uri);
	ret->host = xstrndup(rest, (size_t)(colon - rest));
	if (*colon == ':') {
		_cleanup_free_ char *port = xstrndup(colon + 1, (size_t)(end - colon - 1));

		return parse_port(port, uri, &ret->port, err);
	}
	return 0;
}

void migrate_place_fini(struct migrate_place *p)
{
	free(p->host);
	free(p->path);
}

char *migrate_bracket(const char *host)
{
	return strchr(host, ':') && host[0] != '[' ? xasprintf("[%s]", host) : xstrdup(host);
}

char *migrate_place_format(const struct migrate_place *p)
{
	return p->path ? xasprintf("unix:%s", p->path) : xasprintf("tcp:%s:%u", p->host, p->port);
}
