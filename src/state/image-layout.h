/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of a save image with godwit's mark, as bytes; and opening an image, trailer (trailer.h) and all.
 *
 * Private to state/. docs/formats/image.md draws the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"
#include "trailer.h"

#define IMAGE_HEADER_SIZE 92
#define IMAGE_XML_PADDING 65536u      /* as much as libvirt leaves, so that its XML can grow in place too */
#define IMAGE_REGION_MAX  (16u << 20) /* XML and cookie: at most a protocol string each, and room */

/* The unit of I/O, counted from the file's first byte: a whole number of the trailer's pieces, or one of version 1. */
#define CHUNK_SIZE (4u << 20)
#define CHUNK_PAGE 4096u

/* The header's fields, in no particular byte order. */
struct image_layout {
	bool complete;
	bool swapped; /* written by a machine of the other byte order */
	uint32_t version, data_len, was_running, format, cookie_offset;
	bool marked; /* godwit's mark stands in the unused words: there must be a trailer */
	uint64_t trailer_offset, trailer_size;
};

void image_layout_encode(const struct image_layout *l, uint8_t ret[IMAGE_HEADER_SIZE]);
int image_layout_decode(const uint8_t header[IMAGE_HEADER_SIZE], const char *name, struct image_layout *ret,
	struct error *err);

/* The mark alone, which holds even when the rest is altered: both of its two copies would have to be. */
bool image_mark_find(const uint8_t header[IMAGE_HEADER_SIZE], struct image_layout *ret);

/*
 * Everything but QEMU's state, checked. Without a trailer `ret_trailer` stays zeroed. `header_altered` NULL: an altered
 * header is an error.
 */
int image_open(int fd, const char *name, struct image_layout *ret, struct trailer *ret_trailer,
	bool *header_altered, struct error *err);

/* XML and cookie, and what the layout says; `has_trailer` is left alone. Nothing is compared. */
int image_read_region(
	int fd, const char *name, const struct image_layout *l, struct image_header *ret, struct error *err);

/* Header, XML, cookie and padding as they stand in the file; owned by the caller. */
uint8_t *image_region_format(const struct image_layout *l, const char *xml, const char *cookie);

/* Bytes a regular file or block device holds, or -1 with errno. */
int64_t image_file_size(int fd);
