/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image for reading from anywhere, a page here and a page there: what the answer depends on is compared with its sums before it
 * is handed out. Blocking; one thread uses one of these, and several of them can read one file at once.
 */
#pragma once

#include "image.h"
#include "trailer.h"

struct checked_file;

/*
 * `fd` stays the caller's, open as long as this; only pread is used on it. Header and trailer are checked here: ERROR_DAMAGED for
 * what is no image, incomplete, truncated or altered; ERROR_UNSUPPORTED_CONFIG for what can only be read from its beginning, or not at
 * all.
 */
int checked_file_open(int fd, const char *name, struct checked_file **ret, struct error *err);
void checked_file_free(struct checked_file *f); /* accepts NULL */

/* Bytes of QEMU's state: raw and zstd as the plain stream, sparse (mapped-ram) as it stands in the file. */
uint64_t checked_file_size(const struct checked_file *f);
/* Where the state begins in the file: mapped-ram's offsets are counted from the file's start. */
uint64_t checked_file_stream_offset(const struct checked_file *f);
enum image_format checked_file_format(const struct checked_file *f);
const char *checked_file_name(const struct checked_file *f);
/* Without sums, as in images of libvirt's, what is read is not compared with anything. */
bool checked_file_has_sums(const struct checked_file *f);

/*
 * `len` bytes of the state from `offset` on; beyond its end: ERROR_DAMAGED. ERROR_DAMAGED names the offset in the file; after an error
 * of reading errnum says which. After an error the next call tries anew: the file may have been mended.
 */
int checked_file_read(struct checked_file *f, uint64_t offset, void *data, size_t len, struct error *err);

/* That will be read soon: the system may begin to fetch what it takes, and this does not wait for it. A hint. */
void checked_file_expect(struct checked_file *f, uint64_t offset, size_t len);

/* A note of the trailer: borrowed; NULL: none. */
const void *checked_file_note(const struct checked_file *f, enum trailer_note kind, size_t *ret_len);
