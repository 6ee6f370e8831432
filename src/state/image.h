/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The save image: libvirt's header, the domain XML, a cookie, QEMU's state, and godwit's trailer
 * (docs/formats/image.md has the bytes and where each number comes from).
 *
 * The header is host-endian; version 2 images of the other byte order are read too. XML and cookie lie in a region padded with
 * 64 KiB so that the XML can be changed in place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Numbers of libvirt's header. gzip, bzip2, xz and lzop are recognised and refused by name. */
enum image_format {
	IMAGE_FORMAT_RAW = 0,
	IMAGE_FORMAT_GZIP = 1,
	IMAGE_FORMAT_BZIP2 = 2,
	IMAGE_FORMAT_XZ = 3,
	IMAGE_FORMAT_LZOP = 4,
	IMAGE_FORMAT_ZSTD = 5,
	IMAGE_FORMAT_SPARSE = 6, /* QEMU's mapped-ram */
};

const char *image_format_name(enum image_format format);
/* raw, zstd, sparse; the others are only recognised. */
bool image_format_is_supported(enum image_format format);
bool image_format_parse(const char *name, enum image_format *ret);

struct image_header {
	bool complete;	  /* "LibvirtQemudSave"; false: "LibvirtQemudPart" */
	bool was_running; /* the guest ran when it was saved */
	enum image_format format;
	char *xml;		/* owned */
	char *cookie;		/* owned; NULL none */
	uint64_t stream_offset; /* where QEMU's state begins, bytes from the start of the file */
	bool has_trailer;	/* godwit wrote it: it can be verified */
};

void image_header_fini(struct image_header *h);

/*
 * Read and check the header at `fd` (any offset; uses pread). ERROR_DAMAGED when it is no image, is truncated or
 * (with a trailer) was altered; an incomplete image is no error here. `name` is for messages.
 */
int image_read_header(int fd, const char *name, struct image_header *ret, struct error *err);

/*
 * The same, but a header that was altered, and can still be read, is no error: for showing an image's XML to somebody who
 * decides whether to accept it with image_write_header. Nothing is to be started from it.
 */
int image_peek_header(
	int fd, const char *name, struct image_header *ret, bool *ret_altered, struct error *err);

/*
 * Put another XML and running state into an existing image in place, durably, and bring the trailer's header
 * checksum up to date. ERROR_OPERATION_INVALID when the XML does not fit into the padded region.
 */
int image_write_header(int fd, const char *name, const char *xml, bool was_running, struct error *err);

/*
 * The text about its disks that was saved with an image (transfer_commit), owned by the caller; NULL: none. The header need
 * not be what was saved.
 */
int image_read_disks(int fd, const char *name, char **ret_text, struct error *err);
