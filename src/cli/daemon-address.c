/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the daemon listens. */
#include "daemon-address.h"

#include <string.h>
#include <sys/un.h>

#include "alloc.h"
#include "strv.h"

/* As the daemon itself chooses them. */
static int resolve_session(const struct address_request *r, struct address *a)
{
	if (r->runtime_dir && r->runtime_dir[0] == '/')
		a->session_dir = xasprintf("%s/godwit", r->runtime_dir);
	else
		a->session_dir = xasprintf("/run/user/%u/godwit", (unsigned)r->uid);
	a->socket = xasprintf("%s/godwit-sock", a->session_dir);
	return 0;
}

/* Read-only clients of the host's daemon or of --root have a socket that more people may use. */
static void set_socket(const struct address_request *r, struct address *a, const char *socket)
{
	a->socket = r->read_only ? xasprintf("%s-ro", socket) : xstrdup(socket);
}

/* The value of `key` in a query "a=b&c=d", owned; NULL when it is not there. No decoding: paths need none. */
static char *query_value(const char *query, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = query; p && *p;) {
		size_t n = strcspn(p, "&;");

		if (n > len && strncmp(p, key, len) == 0 && p[len] == '=')
			return xstrndup(p + len + 1, n - len - 1);
		p += n + (p[n] != '\0');
	}
	return NULL;
}

/* SCHEME[+unix]:///system or /session, with ?socket=PATH. SCHEME is godwit or qemu. */
static int resolve_uri(const struct address_request *r, struct address *a, struct error *err)
{
	const char *uri = r->uri, *path, *query, *after;
	_cleanup_free_ char *scheme = NULL, *object = NULL;

	after = strstr(uri, "://");
	if (!after)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"'%s' is no connection URI (as in godwit:///system)", uri);
	scheme = xstrndup(uri, (size_t)(after - uri));
	if (endswith(scheme, "+unix"))
		scheme[strlen(scheme) - strlen("+unix")] = '\0';
	if (!streq(scheme, "godwit") && !streq(scheme, "qemu"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"%s: godwit speaks to daemons of this host only, as godwit:///system or ///session "
			"(virsh reaches others)",
			uri);
	path = after + 3;
	if (*path != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"%s: godwit speaks to daemons of this host only (virsh reaches others)", uri);
	query = strchr(path, '?');
	object = query ? xstrndup(path, (size_t)(query - path)) : xstrdup(path);
	if (!streq(object, "/system") && !streq(object, "/session"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: only /system and /session are known", uri);
	a->uri = xasprintf("%s://%s", scheme, object);
	if (query)
		a->socket = query_value(query + 1, "socket");
	if (a->socket)
		return 0;
	if (streq(object, "/session"))
		return resolve_session(r, a);
	set_socket(r, a, ADDRESS_SYSTEM_SOCKET);
	return 0;
}

static int resolve(const struct address_request *r, struct address *a, struct error *err)
{
	const char *root = r->root;
	const char *socket = r->socket;

	if (!root && !socket && !r->uri) {
		socket = r->env_socket;
		root = socket ? NULL : r->env_root;
	}
	if (root) {
		_cleanup_free_ char *path = xasprintf("%s/run/godwit-sock", root);

		set_socket(r, a, path);
		a->root = xstrdup(root);
	} else if (socket) {
		a->socket = xstrdup(socket);
	} else if (r->uri) {
		return resolve_uri(r, a, err);
	} else if (r->uid == 0) {
		set_socket(r, a, ADDRESS_SYSTEM_SOCKET);
	} else {
		return resolve_session(r, a);
	}
	return 0;
}

int address_resolve(const struct address_request *request, struct address *ret, struct error *err)
{
	struct address a = {0};
	struct sockaddr_un name;

	if (resolve(request, &a, err) < 0) {
		address_fini(&a);
		return -1;
	}
	if (strlen(a.socket) >= sizeof(name.sun_path)) {
		error_set(err, ERROR_INVALID_ARGUMENT,
			"socket path %s is longer than a socket's path may be (%zu bytes)", a.socket,
			sizeof(name.sun_path) - 1);
		address_fini(&a);
		return -1;
	}
	*ret = a;
	return 0;
}

void address_fini(struct address *a)
{
	free(a->socket);
	free(a->uri);
	free(a->root);
	free(a->session_dir);
	*a = (struct address){0};
}
