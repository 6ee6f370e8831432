/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that survive a crash whole: replace, read, append, and directories under a descriptor. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "error.h"

/*
 * Write `name` under `dirfd` so that it holds either its old or its new contents whatever happens: a
 * temporary file, fsync, rename, fsync of the directory. Durable on return. Refuses names with '/'.
 */
int file_replace(int dirfd, const char *name, const void *data, size_t len, mode_t mode, struct error *err);

/* As file_replace without the fsyncs: whole after a crash of the daemon, not of the host. For run/. */
int file_replace_volatile(
	int dirfd, const char *name, const void *data, size_t len, mode_t mode, struct error *err);

/* Whole file, at most `max` bytes (more is an error), not following a symlink. ret_ is NUL-terminated. */
int file_read(int dirfd, const char *name, size_t max, char **ret_data, size_t *ret_len, struct error *err);

/* Remove; not there is success. `durable` also syncs the directory. */
int file_remove(int dirfd, const char *name, bool durable, struct error *err);

/*
 * Give a file another path of the same file system, durably; what it holds must be synced before. ERROR_EXISTS when `to` is
 * there, unless `replace`.
 */
int file_rename(const char *from, const char *to, bool replace, struct error *err);

bool file_exists(int dirfd, const char *name);

/* mkdir -p with `mode`, then open. The last component is not followed when it is a symlink. */
int dir_open_or_make(const char *path, mode_t mode, struct error *err);
int dir_open_or_make_at(int dirfd, const char *name, mode_t mode, struct error *err);
/* The directory that the absolute `path` is in, which must be there; ret_name (may be NULL) is the rest of `path`. */
int dir_open_parent(const char *path, const char **ret_name, struct error *err);

/* rm -r of `name` under dirfd, staying on it; not there is success. */
int dir_remove(int dirfd, const char *name, struct error *err);

/* All bytes or -1 with errno; EINTR handled, short writes continued. */
int write_full(int fd, const void *data, size_t len);
int pwrite_full(int fd, const void *data, size_t len, off_t offset);
/* Bytes read (short only at end of file) or -1 with errno. */
ssize_t read_full(int fd, void *data, size_t len);
ssize_t pread_full(int fd, void *data, size_t len, off_t offset);

int fd_set_nonblock(int fd);
int fd_set_cloexec(int fd, bool on);
