/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files replaced whole, directories made and removed under a descriptor, complete reads and writes. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "alloc.h"

/* Our own directories are shallow; a deeper tree is not one of ours. */
#define REMOVE_DEPTH_MAX 32

static int check_name(const char *name, struct error *err)
{
	if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is not a file name", name);
	return 0;
}

int write_full(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_full(int fd, const void *data, size_t len, off_t offset)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t read_full(int fd, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t pread_full(int fd, void *data, size_t len, off_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)data + done, len - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int fd_set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -1;
	return fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

/* fsync wants a descriptor that was opened, and `dirfd` may be AT_FDCWD or O_PATH. */
static int sync_directory(int dirfd)
{
	_cleanup_close_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

static int write_temporary(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
	bool durable, struct error *err)
{
	_cleanup_close_ int fd = -1;

	/* A crash left it behind, or somebody put it there: O_EXCL makes sure that the file is a new one. */
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove %s", name);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "create %s", name);
	if (fchmod(fd, mode) < 0 || write_full(fd, data, len) < 0 || (durable && fsync(fd) < 0)) {
		error_errno(err, errno, "write %s", name);
		unlinkat(dirfd, name, 0);
		return -1;
	}
	return 0;
}

static int replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode, bool durable,
	struct error *err)
{
	_cleanup_free_ char *temporary = xasprintf(".%s.new", name);

	if (check_name(name, err) < 0)
		return -1;
	if (write_temporary(dirfd, temporary, data, len, mode, durable, err) < 0)
		return -1;
	if (renameat(dirfd, temporary, dirfd, name) < 0) {
		error_errno(err, errno, "replace %s", name);
		unlinkat(dirfd, temporary, 0);
		return -1;
	}
	if (durable && sync_directory(dirfd) < 0)
		return error_errno(err, errno, "sync the directory of %s", name);
	return 0;
}

int file_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode, struct error *err)
{
	return replace(dirfd, name, data, len, mode, true, err);
}

int file_replace_volatile(
	int dirfd, const char *name, const void *data, size_t len, mode_t mode, struct error *err)
{
	return replace(dirfd, name, data, len, mode, false, err);
}

int file_read(int dirfd, const char *name, size_t max, char **ret_data, size_t *ret_len, struct error *err)
{
	/* O_NONBLOCK: a FIFO under this name must not hang the daemon. */
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_(buf_fini) struct buf b = {0};
	struct stat st;

	if (fd < 0)
		return error_errno(err, errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "read %s", name);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID_ARGUMENT, "read %s: not a regular file", name);
	for (;;) {
		size_t chunk = max - b.len < 65536 ? max - b.len + 1 : 65536;
		ssize_t n = read_full(fd, buf_reserve(&b, chunk), chunk);

		if (n < 0)
			return error_errno(err, errno, "read %s", name);
		b.len += (size_t)n;
		if (b.len > max)
			return error_set(
				err, ERROR_INVALID_ARGUMENT, "read %s: larger than %zu bytes", name, max);
		if ((size_t)n < chunk)
			break;
	}
	b.data[b.len] = '\0';
	if (ret_len)
		*ret_len = b.len;
	*ret_data = buf_take(&b);
	return 0;
}

int file_remove(int dirfd, const char *name, bool durable, struct error *err)
{
	if (unlinkat(dirfd, name, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_errno(err, errno, "remove %s", name);
	}
	if (durable && sync_directory(dirfd) < 0)
		return error_errno(err, errno, "sync the directory of %s", name);
	return 0;
}

/* Where a file system cannot rename without replacing (NFS), a second name does, and the first goes. */
static int rename_to_free(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -1;
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0) < 0 ? -1 : unlink(from);
}

static int sync_parent(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent =
		slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
	_cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? error_errno(err, errno, "sync %s", parent) : 0;
}

int file_rename(const char *from, const char *to, bool replace, struct error *err)
{
	if ((replace ? rename(from, to) : rename_to_free(from, to)) < 0) {
		if (errno == EEXIST)
			return error_set(err, ERROR_EXISTS, "%s is there already", to);
		return error_errno(err, errno, "rename %s to %s", from, to);
	}
	return sync_parent(to, err);
}

bool file_exists(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int dir_open_or_make_at(int dirfd, const char *name, mode_t mode, struct error *err)
{
	int fd;

	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return error_errno(err, errno, "make directory %s", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "open directory %s", name);
	return fd;
}

int dir_open_or_make(const char *path, mode_t mode, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	size_t len = strlen(copy);

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	for (char *p = copy + 1; len > 0 && (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return error_errno(err, errno, "make directory %s", copy);
		*p = '/';
	}
	return dir_open_or_make_at(AT_FDCWD, copy, mode, err);
}

int dir_open_parent(const char *path, const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory =
		slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "open directory %s", directory);
	if (ret_name)
		*ret_name = slash + 1;
	return fd;
}

static int remove_tree(int dirfd, const char *name, unsigned depth, struct error *err);

static int empty_directory(int fd, const char *name, unsigned depth, struct error *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		error_errno(err, errno, "open directory %s", name);
		close(fd);
		return -1;
	}
	while (r == 0 && (errno = 0, entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_tree(fd, entry->d_name, depth + 1, err);
	}
	if (r == 0 && errno != 0)
		r = error_errno(err, errno, "read directory %s", name);
	closedir(dir);
	return r;
}

static int remove_tree(int dirfd, const char *name, unsigned depth, struct error *err)
{
	int fd;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM) /* POSIX says EPERM for a directory, Linux EISDIR */
		return error_errno(err, errno, "remove %s", name);
	if (depth > REMOVE_DEPTH_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "remove %s: nested too deeply", name);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "remove %s", name);
	if (empty_directory(fd, name, depth, err) < 0)
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_errno(err, errno, "remove directory %s", name);
	return 0;
}

int dir_remove(int dirfd, const char *name, struct error *err)
{
	if (check_name(name, err) < 0)
		return -1;
	return remove_tree(dirfd, name, 0, err);
}
