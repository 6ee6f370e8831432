/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking at an image (image-info.h). What is wrong with it is part of what is to be told. */
#include "image-info.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "alloc.h"
#include "checked-file.h"
#include "file.h"
#include "image-layout.h"
#include "page-source.h"

void image_info_fini(struct image_info *info)
{
	image_header_fini(&info->header);
	free(info->disks);
	*info = (struct image_info){0};
}

/* The first bytes decide whether it is an image at all. */
static int read_layout(int fd, const char *name, struct image_layout *ret, struct error *err)
{
	uint8_t header[IMAGE_HEADER_SIZE] = {0};
	ssize_t n = pread_full(fd, header, sizeof(header), 0);

	if (n < 0)
		return error_errno(err, errno, "read %s", name);
	if ((size_t)n < sizeof(header))
		return error_set(err, ERROR_DAMAGED, "%s is no save image: it has only %zd bytes", name, n);
	return image_layout_decode(header, name, ret, err);
}

static void take_trailer(struct image_info *info, const struct trailer *t)
{
	size_t len;
	const char *disks = trailer_find_note(t, TRAILER_NOTE_DISKS, &len);

	info->trailer_version = t->version;
	info->piece_size = t->piece_size;
	info->state_size = t->data_end - t->stream_offset;
	info->disks = disks ? xstrndup(disks, len) : NULL;
}

/* Header and trailer; an error of theirs is the image's problem. */
static void read_ends(int fd, const char *name, const struct image_layout *l, struct image_info *info)
{
	struct image_layout same;
	struct trailer t = {0};

	if (image_open(fd, name, &same, &t, NULL, &info->problem) == 0 && t.stream_offset)
		take_trailer(info, &t);
	trailer_fini(&t);
	if (image_read_region(
		    fd, name, l, &info->header, info->problem.code == ERROR_NONE ? &info->problem : NULL) < 0)
		image_header_fini(&info->header);
	if (info->problem.code == ERROR_NONE && !l->complete)
		error_set(&info->problem, ERROR_DAMAGED, "image %s is incomplete: its save did not finish",
			name);
}

/* Can pages be found without reading all of it? */
static bool has_places(const struct checked_file *f)
{
	size_t len;

	return checked_file_format(f) == IMAGE_FORMAT_SPARSE ||
	       checked_file_note(f, TRAILER_NOTE_PAGE_INDEX, &len);
}

static void find_out_lazy(int fd, const char *name, struct image_info *info)
{
	struct checked_file *f = NULL;
	struct page_source *pages = NULL;

	if (info->problem.code != ERROR_NONE) {
		error_copy(&info->not_lazy, &info->problem);
		return;
	}
	if (checked_file_open(fd, name, &f, &info->not_lazy) < 0)
		return;
	if (has_places(f)) {
		info->lazy = page_source_open(fd, name, &pages, &info->not_lazy) == 0;
		page_source_free(pages);
	} else if (info->trailer_version >= 2) {
		/* A save that notes where its pages are did not understand this state. */
		error_set(&info->not_lazy, ERROR_UNSUPPORTED_CONFIG,
			"image %s holds a state of unknown structure", name);
	} else {
		info->lazy_after_walk = true;
	}
	checked_file_free(f);
}

int image_info_read(int fd, const char *name, struct image_info *ret, struct error *err)
{
	struct image_info info = {0};
	struct image_layout l;
	struct stat st;

	if (read_layout(fd, name, &l, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "look at %s", name);
	read_ends(fd, name, &l, &info);
	info.header.complete = l.complete;
	info.header.was_running = l.was_running != 0;
	info.header.format = (enum image_format)l.format;
	info.version = l.version;
	info.other_byte_order = l.swapped;
	info.marked = l.marked || info.trailer_version > 0;
	info.file_size = (uint64_t)image_file_size(fd);
	info.allocated = (uint64_t)st.st_blocks * 512;
	if (info.trailer_version == 0 && info.file_size > IMAGE_HEADER_SIZE + (uint64_t)l.data_len)
		info.state_size = info.file_size - IMAGE_HEADER_SIZE - l.data_len;
	find_out_lazy(fd, name, &info);
	*ret = info;
	return 0;
}
