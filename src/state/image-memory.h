/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest's main memory inside a sparse image, for a QEMU that maps it copy-on-write instead of having it read: the
 * pages lie in the file one behind the other, holes where they are zero.
 */
#pragma once

#include "image.h"

/* The RAM block that is mapped: what QEMU calls the memory of every x86 machine but microvm. */
#define IMAGE_MAIN_MEMORY "pc.ram"

struct image_memory {
	uint64_t offset, length; /* bytes in the file, whole pages */
};

/*
 * Where it lies. Nothing is checked but that it can be so: the checksums are left to TRANSFER_CLONE. ERROR_UNSUPPORTED_CONFIG, saying
 * how to get an image that can, when this one cannot be mapped.
 */
int image_find_memory(
	int fd, const char *name, const struct image_header *h, struct image_memory *ret, struct error *err);
