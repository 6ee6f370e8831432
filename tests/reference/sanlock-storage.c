// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A preloaded library that lets the storage of one sanlock daemon fail: as long as the file named by SANLOCK_STORAGE
 * exists, every transfer fails with EIO, or where the file says "hang", never ends.
 *
 * A path that breaks off cannot be had otherwise: the hosts share one machine and one file of leases, and the
 * daemon keeps it open, so that neither a detached nor a read-only mount would stop its renewals.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct iocb;
struct io_context;

int io_submit(struct io_context *context, long count, struct iocb **requests);

int io_submit(struct io_context *context, long count, struct iocb **requests)
{
	static int (*real)(struct io_context *, long, struct iocb **);
	const char *path = getenv("SANLOCK_STORAGE");
	char word[4] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		ssize_t got = read(fd, word, sizeof(word));
		close(fd);
		return got > 0 && word[0] == 'h' ? (int)count : -EIO;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "io_submit");
	return real ? real(context, count, requests) : -ENOSYS;
}
