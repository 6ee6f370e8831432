/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be said of a save image without reading its state. Blocking: for programs of their own, never for the daemon. */
#pragma once

#include "image.h"

struct image_info {
	struct image_header header;		   /* `xml` NULL: it cannot be read */
	uint32_t version;			   /* of the header */
	bool other_byte_order;			   /* a host of the other byte order wrote it */
	bool marked;				   /* godwit wrote it: libvirt leaves no mark */
	uint64_t file_size, allocated, state_size; /* bytes in the file, of the file, of the state in it */
	uint32_t trailer_version;		   /* 0: none, or not readable */
	uint64_t piece_size;			   /* bytes for each checksum; 0: none */
	char *disks;				   /* image_read_disks; owned; NULL none */
	bool lazy;				   /* a page can be read alone */
	bool lazy_after_walk;			   /* ... once the whole image was read for where they are */
	struct error not_lazy;
	struct error
		problem; /* why the image is not to be used; the rest is what could be read all the same */
};

/* ERROR_DAMAGED: it is no save image. */
int image_info_read(int fd, const char *name, struct image_info *ret, struct error *err);
void image_info_fini(struct image_info *info);
