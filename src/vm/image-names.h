/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which other files an image's header names. */
#pragma once

#include <stdbool.h>

struct image_names {
	bool is_qcow2;
	bool is_damaged;		       /* it names a backing file in a way that no image may */
	char *backing, *backing_format, *data; /* NULL: nothing is said */
};

/* Nothing is said of what is no qcow2 image. `ret` is empty before. */
void image_names_read(int fd, struct image_names *ret);
void image_names_fini(struct image_names *n);
/* As QEMU finds `name`, which stands in the file at `from`. NULL: it is a protocol's ("nbd:...", "json:..."). Caller frees. */
char *image_name_resolve(const char *from, const char *name);
