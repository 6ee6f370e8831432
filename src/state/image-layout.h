/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of a save image outside QEMU's state: the header with godwit's mark, and the trailer of checksums.
 *
 * Private to state/. docs/formats/image.md draws the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "image.h"

#define IMAGE_HEADER_SIZE 92
#define IMAGE_XML_PADDING 65536u      /* as much as libvirt leaves, so that its XML can grow in place too */
#define IMAGE_REGION_MAX  (16u << 20) /* XML and cookie: at most a protocol string each, and room */

/* The file is checksummed in pieces of this size, counted from its first byte; also the unit of I/O. */
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

struct trailer {
	uint32_t format;
	uint64_t stream_offset; /* QEMU's state, in the file; the header region ends here */
	uint64_t data_end;	/* behind QEMU's state: where the trailer begins */
	uint64_t header_sums
		[2];	/* either may be right: both differ only while the header is being rewritten */
	uint64_t *sums; /* owned; one for each chunk from that of stream_offset to that of data_end - 1 */
	size_t n_sums;
};

void trailer_fini(struct trailer *t);
/* How many chunk sums the range has, and the size of the trailer with them. */
size_t trailer_count(uint64_t stream_offset, uint64_t data_end);
size_t trailer_size(size_t n_sums);
/* trailer_size(t->n_sums) bytes, owned by the caller. */
uint8_t *trailer_encode(const struct trailer *t);
/* `size` 0: not known, as in a file without a mark; it is taken from the trailer. */
int trailer_read(
	int fd, const char *name, uint64_t offset, uint64_t size, struct trailer *ret, struct error *err);
/* The offset of a trailer that ends with the file, or 0. */
uint64_t trailer_find_at_end(int fd);

uint64_t checksum(const void *data, size_t len); /* XXH3, 64 bits */

/*
 * Everything but QEMU's state, checked. Without a trailer `ret_trailer` stays zeroed. `header_altered` NULL: an altered
 * header is an error.
 */
int image_open(int fd, const char *name, struct image_layout *ret, struct trailer *ret_trailer,
	bool *header_altered, struct error *err);

/* Header, XML, cookie and padding as they stand in the file; owned by the caller. */
uint8_t *image_region_format(const struct image_layout *l, const char *xml, const char *cookie);

/* Bytes a regular file or block device holds, or -1 with errno. */
int64_t image_file_size(int fd);
