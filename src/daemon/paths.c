/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Choosing and making the daemon's directories. */
#include "paths.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "strv.h"

static char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && value[0] == '/' ? xasprintf("%s/godwit", value) : xstrdup(otherwise);
}

static int use_session(struct paths *p, struct error *err)
{
	const char *home = getenv("HOME");
	_cleanup_free_ char *run = xasprintf("/run/user/%u/godwit", (unsigned)getuid());
	_cleanup_free_ char *etc = NULL, *state = NULL;

	if (!home || home[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, "HOME is not set: use --root DIR");
	etc = xasprintf("%s/.config/godwit", home);
	state = xasprintf("%s/.local/state/godwit", home);
	p->run = from_environment("XDG_RUNTIME_DIR", run);
	p->etc = from_environment("XDG_CONFIG_HOME", etc);
	p->lib = from_environment("XDG_STATE_HOME", state);
	p->log = xasprintf("%s/log", p->lib);
	return 0;
}

/* DIR need not exist yet, but its name must be absolute: QEMU gets paths below it. */
static int use_root(struct paths *p, const char *root, struct error *err)
{
	_cleanup_free_ char *real = NULL;

	if (mkdir(root, 0700) < 0 && errno != EEXIST)
		return error_errno(err, errno, "create %s", root);
	real = realpath(root, NULL);
	if (!real)
		return error_errno(err, errno, "find %s", root);
	p->etc = xasprintf("%s/etc", real);
	p->lib = xasprintf("%s/lib", real);
	p->run = xasprintf("%s/run", real);
	p->log = xasprintf("%s/log", real);
	return 0;
}

static char *find_program(const char *name, const char *installed)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *beside;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		beside = xasprintf("%s/%s", self, name);
		if (access(beside, X_OK) == 0)
			return beside;
		free(beside);
	}
	return xasprintf("%s/%s", installed, name);
}

static int make_directories(const struct paths *p, struct error *err)
{
	/* run is where clients of other users knock; the sockets have their own modes. */
	const struct {
		const char *path;
		mode_t mode;
	} directories[] = {
		{p->etc, 0700}, {p->lib, 0700}, {p->run, p->socket_ro ? 0755 : 0700}, {p->log, 0700}};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		_cleanup_close_ int fd = dir_open_or_make(directories[i].path, directories[i].mode, err);

		if (fd < 0)
			return -1;
	}
	return 0;
}

int paths_init(struct paths *p, const char *root, bool session, struct error *err)
{
	*p = (struct paths){.is_system = !root && !session && geteuid() == 0};
	if (root) {
		if (use_root(p, root, err) < 0)
			return -1;
	} else if (p->is_system) {
		p->etc = xstrdup("/etc/godwit");
		p->lib = xstrdup("/var/lib/godwit");
		p->run = xstrdup("/run/godwit");
		p->log = xstrdup("/var/log/godwit");
		p->alias_socket = xstrdup("/run/libvirt/virtgodwitd-sock");
		p->alias_socket_ro = xstrdup("/run/libvirt/virtgodwitd-sock-ro");
	} else if (use_session(p, err) < 0) {
		return -1;
	}
	p->config = xasprintf("%s/godwit.conf", p->etc);
	p->socket = xasprintf("%s/godwit-sock", p->run);
	p->socket_ro = p->is_system || root ? xasprintf("%s/godwit-sock-ro", p->run) : NULL;
	p->io_program = find_program("godwit-io", GODWIT_LIBEXECDIR);
	p->command = find_program("godwit", GODWIT_BINDIR);
	p->hooks = find_program("hooks", GODWIT_LIBEXECDIR "/godwit");
	return make_directories(p, err);
}

void paths_fini(struct paths *p)
{
	free(p->etc);
	free(p->lib);
	free(p->run);
	free(p->log);
	free(p->config);
	free(p->socket);
	free(p->socket_ro);
	free(p->alias_socket);
	free(p->alias_socket_ro);
	free(p->io_program);
	free(p->command);
	free(p->hooks);
}
