/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding main memory in an image (image-memory.h). */
#include "image-memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/stat.h>

#include "alloc.h"
#include "file.h"
#include "image-layout.h"
#include "mapped-layout.h"
#include "strv.h"

struct plain_file {
	int fd;
	const char *name;
};

static int fetch_plain(void *userdata, uint64_t offset, void *data, size_t len, struct error *err)
{
	const struct plain_file *f = userdata;
	ssize_t n = pread_full(f->fd, data, len, (off_t)offset);

	if (n < 0)
		return error_errno(err, errno, "read %s", f->name);
	if ((size_t)n < len) /* also what lies behind the end of the state */
		return error_set(err, ERROR_DAMAGED, "image %s is truncated", f->name);
	return 0;
}

static int find(struct mapped_layout *l, const struct mapped_file *source, struct image_memory *ret,
	struct error *err)
{
	if (mapped_layout_read(source, l, err) < 0)
		return -1;
	for (unsigned i = 0; i < l->n_blocks; i++) {
		const struct mapped_block *b = &l->blocks[i];

		if (!streq(b->name, IMAGE_MAIN_MEMORY))
			continue;
		*ret = (struct image_memory){.offset = b->pages_offset, .length = b->length};
		return 0;
	}
	return error_set(err, ERROR_UNSUPPORTED_CONFIG,
		"image %s cannot be mapped: its guest's memory is not one block called '%s'", source->name,
		IMAGE_MAIN_MEMORY);
}

int image_find_memory(
	int fd, const char *name, const struct image_header *h, struct image_memory *ret, struct error *err)
{
	struct plain_file file = {.fd = fd, .name = name};
	struct mapped_file source = {
		.fetch = fetch_plain, .userdata = &file, .stream_offset = h->stream_offset, .name = name};
	struct mapped_layout layout = {0};
	struct stat st;
	int r;

	if (h->format != IMAGE_FORMAT_SPARSE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has format %s, which cannot be mapped: 'godwit image convert --format "
			"sparse' makes one of it that can",
			name, image_format_name(h->format));
	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "look at %s", name);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s cannot be mapped: it is not a regular file", name);
	source.data_end = (uint64_t)st.st_size;
	if (source.data_end <= source.stream_offset)
		return error_set(err, ERROR_DAMAGED, "image %s is truncated: it has no state", name);
	r = find(&layout, &source, ret, err);
	mapped_layout_fini(&layout);
	return r;
}
