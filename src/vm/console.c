/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other end of a guest's serial port, console or channel, for `virsh console`. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "file.h"
#include "vm-agent-internal.h"

static const struct chardev *find_device(const struct domain *d, const char *alias)
{
	if (!alias)
		return d->consoles.n > 0  ? d->consoles.items[0]
		       : d->serials.n > 0 ? d->serials.items[0]
					  : NULL;
	VEC_FOREACH (serial, &d->serials) {
		if (streq(serial->info.alias, alias))
			return serial;
	}
	VEC_FOREACH (console, &d->consoles) {
		if (streq(console->info.alias, alias))
			return console;
	}
	VEC_FOREACH (channel, &d->channels) {
		if (streq(channel->info.alias, alias) || streq(channel->name, alias))
			return channel;
	}
	return NULL;
}

static int open_pty(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios raw;

	if (fd < 0)
		return error_errno(err, errno, "open console %s", path);
	/* The terminal's manners are those of the person at the other end. */
	if (tcgetattr(fd, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
	return take_fd(&fd);
}

static int open_socket(const char *path, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERROR_INVALID_ARGUMENT, "socket path '%s' is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, errno, "connect to %s", path);
	return take_fd(&fd);
}

int vm_connect_channel(const struct chardev *c, struct error *err)
{
	return open_socket(c->path, err);
}

int vm_open_console(struct vm *vm, const char *device, int *ret_fd, struct error *err)
{
	const struct chardev *c;
	int fd = -1;

	if (vm_check_verb(vm, VERB_QUERY, err) < 0)
		return -1;
	c = find_device(vm->live, device);
	if (!c)
		return error_set(err, ERROR_INVALID_ARGUMENT, "domain '%s' has no console or channel '%s'",
			vm->name, device ? device : "console0");
	if (c->backend == CHARDEV_PTY && c->path)
		fd = open_pty(c->path, err);
	else if (c->backend == CHARDEV_UNIX && c->listen && c->path)
		fd = open_socket(c->path, err);
	else
		return error_set(err, ERROR_UNSUPPORTED,
			"character device '%s' of domain '%s' is not using a PTY or a listening UNIX socket",
			c->info.alias, vm->name);
	if (fd < 0)
		return -1;
	*ret_fd = fd;
	return 0;
}
