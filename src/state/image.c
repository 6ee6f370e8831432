/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header of a save image (docs/formats/image.md).
 *
 * Its 14 unused words carry godwit's mark, twice: where the trailer is and how long. An image with a mark and no trailer was
 * truncated; a single altered byte cannot take the mark away, nor turn a checked image into an unchecked one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "buf.h"
#include "file.h"
#include "image-layout.h"
#include "strv.h"

#define MAGIC_COMPLETE "LibvirtQemudSave"
#define MAGIC_PART     "LibvirtQemudPart"
#define MAGIC_SIZE     16u
#define VERSION	       2u

/* A mark: u32 magic, u64 trailer offset, u64 trailer size, u64 sum of these 20 bytes; little-endian. */
#define MARK_MAGIC 0x57444f47u /* "GODW" */
#define MARK_SIZE  28u
static const size_t mark_offsets[] = {36, 64};

static const char *const format_names[] = {
	[IMAGE_FORMAT_RAW] = "raw",
	[IMAGE_FORMAT_GZIP] = "gzip",
	[IMAGE_FORMAT_BZIP2] = "bzip2",
	[IMAGE_FORMAT_XZ] = "xz",
	[IMAGE_FORMAT_LZOP] = "lzop",
	[IMAGE_FORMAT_ZSTD] = "zstd",
	[IMAGE_FORMAT_SPARSE] = "sparse",
};

const char *image_format_name(enum image_format format)
{
	if ((unsigned)format >= ARRAY_SIZE(format_names))
		return "unknown";
	return format_names[format];
}

bool image_format_parse(const char *name, enum image_format *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(format_names); i++)
		if (streq(name, format_names[i])) {
			*ret = (enum image_format)i;
			return true;
		}
	return false;
}

bool image_format_is_supported(enum image_format format)
{
	return format == IMAGE_FORMAT_RAW || format == IMAGE_FORMAT_ZSTD || format == IMAGE_FORMAT_SPARSE;
}

void image_header_fini(struct image_header *h)
{
	free(h->xml);
	free(h->cookie);
	*h = (struct image_header){0};
}

int64_t image_file_size(int fd)
{
	uint64_t size;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISBLK(st.st_mode))
		return st.st_size;
	if (ioctl(fd, BLKGETSIZE64, &size) < 0)
		return -1;
	return (int64_t)size;
}

static uint32_t get_u32(const uint8_t *p, bool swapped)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return swapped ? __builtin_bswap32(v) : v;
}

static void put_u32(uint8_t *p, uint32_t v, bool swapped)
{
	if (swapped)
		v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

void image_layout_encode(const struct image_layout *l, uint8_t ret[IMAGE_HEADER_SIZE])
{
	memset(ret, 0, IMAGE_HEADER_SIZE);
	memcpy(ret, l->complete ? MAGIC_COMPLETE : MAGIC_PART, MAGIC_SIZE);
	put_u32(ret + 16, l->version, l->swapped);
	put_u32(ret + 20, l->data_len, l->swapped);
	put_u32(ret + 24, l->was_running, l->swapped);
	put_u32(ret + 28, l->format, l->swapped);
	put_u32(ret + 32, l->cookie_offset, l->swapped);
	for (size_t i = 0; l->marked && i < ARRAY_SIZE(mark_offsets); i++) {
		uint8_t *mark = ret + mark_offsets[i];

		put_le32(mark, MARK_MAGIC);
		put_le64(mark + 4, l->trailer_offset);
		put_le64(mark + 12, l->trailer_size);
		put_le64(mark + 20, checksum(mark, 20));
	}
}

bool image_mark_find(const uint8_t header[IMAGE_HEADER_SIZE], struct image_layout *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(mark_offsets); i++) {
		const uint8_t *mark = header + mark_offsets[i];

		if (get_le32(mark) != MARK_MAGIC || get_le64(mark + 20) != checksum(mark, 20))
			continue;
		ret->marked = true;
		ret->trailer_offset = get_le64(mark + 4);
		ret->trailer_size = get_le64(mark + 12);
		return true;
	}
	return false;
}

int image_layout_decode(const uint8_t header[IMAGE_HEADER_SIZE], const char *name, struct image_layout *ret,
	struct error *err)
{
	struct image_layout l = {0};

	l.complete = memcmp(header, MAGIC_COMPLETE, MAGIC_SIZE) == 0;
	if (!l.complete && memcmp(header, MAGIC_PART, MAGIC_SIZE) != 0)
		return error_set(err, ERROR_DAMAGED, "%s is no save image", name);
	l.swapped = get_u32(header + 16, false) > VERSION;
	l.version = get_u32(header + 16, l.swapped);
	l.data_len = get_u32(header + 20, l.swapped);
	l.was_running = get_u32(header + 24, l.swapped);
	l.format = get_u32(header + 28, l.swapped);
	l.cookie_offset = get_u32(header + 32, l.swapped);
	if (l.version < 1 || l.version > VERSION)
		return error_set(err, ERROR_DAMAGED,
			"image %s has a header of version %u, which is not known", name,
			get_u32(header + 16, false));
	/* Version 1 knew neither compression nor cookies. */
	if (l.version == 1)
		l.format = IMAGE_FORMAT_RAW, l.cookie_offset = 0;
	if (l.format >= ARRAY_SIZE(format_names))
		return error_set(
			err, ERROR_DAMAGED, "image %s is in a format that is not known (%u)", name, l.format);
	if (l.data_len < 2 || l.data_len > IMAGE_REGION_MAX)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: its domain XML cannot be %u bytes long", name, l.data_len);
	if (l.cookie_offset >= l.data_len)
		return error_set(err, ERROR_DAMAGED, "image %s is damaged: its cookie cannot be at %u", name,
			l.cookie_offset);
	image_mark_find(header, &l);
	*ret = l;
	return 0;
}

uint8_t *image_region_format(const struct image_layout *l, const char *xml, const char *cookie)
{
	uint8_t *region = xcalloc(1, IMAGE_HEADER_SIZE + (size_t)l->data_len);

	image_layout_encode(l, region);
	memcpy(region + IMAGE_HEADER_SIZE, xml, strlen(xml));
	if (cookie)
		memcpy(region + IMAGE_HEADER_SIZE + l->cookie_offset, cookie, strlen(cookie));
	return region;
}

/* Read `len` bytes at the start; fewer are there: say how many. */
static int read_front(int fd, const char *name, size_t len, uint8_t **ret, struct error *err)
{
	_cleanup_free_ uint8_t *data = xcalloc(1, len);
	ssize_t n = pread_full(fd, data, len, 0);

	if (n < 0)
		return error_errno(err, errno, "read %s", name);
	if ((size_t)n < len) {
		if ((size_t)n < MAGIC_SIZE || (memcmp(data, MAGIC_COMPLETE, MAGIC_SIZE) != 0 &&
						      memcmp(data, MAGIC_PART, MAGIC_SIZE) != 0))
			return error_set(
				err, ERROR_DAMAGED, "%s is no save image: it has only %zd bytes", name, n);
		return error_set(err, ERROR_DAMAGED,
			"image %s is truncated: it ends after %zd bytes, inside its header", name, n);
	}
	*ret = TAKE_PTR(data);
	return 0;
}

static int check_region(
	int fd, const char *name, const struct trailer *t, bool *ret_altered, struct error *err)
{
	_cleanup_free_ uint8_t *region = NULL;
	uint64_t sum;

	if (t->stream_offset < IMAGE_HEADER_SIZE || t->stream_offset > IMAGE_HEADER_SIZE + IMAGE_REGION_MAX)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: its state cannot begin at %" PRIu64, name, t->stream_offset);
	if (read_front(fd, name, t->stream_offset, &region, err) < 0)
		return -1;
	sum = checksum(region, t->stream_offset);
	*ret_altered = sum != t->header_sums[0] && sum != t->header_sums[1];
	return 0;
}

static int header_altered_error(const char *name, const struct trailer *t, struct error *err)
{
	return error_set(err, ERROR_DAMAGED,
		"image %s is damaged: its header or domain XML (bytes 0 to %" PRIu64
		") is not what was saved; "
		"if it was edited on purpose by another program, accept it with: godwit save-image-define %s "
		"XML-FILE",
		name, t->stream_offset - 1, name);
}

/* The trailer the mark points to, or the one at the end of the file; none is no error. */
static int find_trailer(int fd, const char *name, const uint8_t *header, struct image_layout *mark,
	struct trailer *ret, struct error *err)
{
	uint64_t offset;

	if (image_mark_find(header, mark)) {
		int64_t size = image_file_size(fd);

		if (size < 0)
			return error_errno(err, errno, "look at %s", name);
		if (mark->trailer_offset > INT64_MAX - mark->trailer_size ||
			mark->trailer_offset + mark->trailer_size > (uint64_t)size)
			return error_set(err, ERROR_DAMAGED,
				"image %s is truncated: it has %" PRId64 " bytes of %" PRIu64, name, size,
				mark->trailer_offset + mark->trailer_size);
		return trailer_read(fd, name, mark->trailer_offset, mark->trailer_size, ret, err);
	}
	offset = trailer_find_at_end(fd);
	if (offset == 0)
		return 0;
	return trailer_read(fd, name, offset, 0, ret, err);
}

int image_open(int fd, const char *name, struct image_layout *ret, struct trailer *ret_trailer,
	bool *header_altered, struct error *err)
{
	_cleanup_free_ uint8_t *header = NULL;
	struct image_layout mark = {0};
	struct trailer t = {0};
	bool altered = false;

	if (read_front(fd, name, IMAGE_HEADER_SIZE, &header, err) < 0)
		return -1;
	if (memcmp(header, MAGIC_PART, MAGIC_SIZE) != 0 && find_trailer(fd, name, header, &mark, &t, err) < 0)
		return -1;
	if (t.stream_offset) {
		if (check_region(fd, name, &t, &altered, err) < 0)
			goto fail;
		if (altered && !header_altered) {
			header_altered_error(name, &t, err);
			goto fail;
		}
	}
	if (image_layout_decode(header, name, ret, err) < 0)
		goto fail;
	if (t.stream_offset && t.stream_offset != IMAGE_HEADER_SIZE + (uint64_t)ret->data_len) {
		header_altered_error(name, &t, err);
		goto fail;
	}
	if (header_altered)
		*header_altered = altered;
	*ret_trailer = t;
	return 0;
fail:
	trailer_fini(&t);
	return -1;
}

/* XML and cookie out of the region behind the header. */
static int parse_region(const uint8_t *region, const struct image_layout *l, const char *name,
	struct image_header *ret, struct error *err)
{
	const char *xml = (const char *)region + IMAGE_HEADER_SIZE;
	size_t xml_room = l->cookie_offset ? l->cookie_offset : l->data_len;

	if (xml[0] == '\0' || strnlen(xml, xml_room) == xml_room)
		return error_set(err, ERROR_DAMAGED, "image %s is damaged: its domain XML has no %s", name,
			xml[0] ? "end" : "contents");
	if (l->cookie_offset) {
		const char *cookie = xml + l->cookie_offset;
		size_t room = l->data_len - l->cookie_offset;

		if (strnlen(cookie, room) == room)
			return error_set(
				err, ERROR_DAMAGED, "image %s is damaged: its cookie has no end", name);
		ret->cookie = *cookie ? xstrdup(cookie) : NULL;
	}
	ret->xml = xstrdup(xml);
	ret->complete = l->complete;
	ret->was_running = l->was_running != 0;
	ret->format = (enum image_format)l->format;
	ret->stream_offset = IMAGE_HEADER_SIZE + (uint64_t)l->data_len;
	return 0;
}

int image_read_region(
	int fd, const char *name, const struct image_layout *l, struct image_header *ret, struct error *err)
{
	_cleanup_free_ uint8_t *region = NULL;

	if (read_front(fd, name, IMAGE_HEADER_SIZE + (size_t)l->data_len, &region, err) < 0)
		return -1;
	return parse_region(region, l, name, ret, err);
}

static int read_image(
	int fd, const char *name, bool *ret_altered, struct image_header *ret, struct error *err)
{
	struct image_layout l;
	struct trailer t = {0};
	int r;

	*ret = (struct image_header){0};
	if (image_open(fd, name, &l, &t, ret_altered, err) < 0)
		return -1;
	r = image_read_region(fd, name, &l, ret, err);
	ret->has_trailer = t.stream_offset != 0;
	trailer_fini(&t);
	if (r < 0)
		image_header_fini(ret);
	return r;
}

int image_read_header(int fd, const char *name, struct image_header *ret, struct error *err)
{
	return read_image(fd, name, NULL, ret, err);
}

int image_peek_header(
	int fd, const char *name, struct image_header *ret, bool *ret_altered, struct error *err)
{
	return read_image(fd, name, ret_altered, ret, err);
}

int image_read_disks(int fd, const char *name, char **ret_text, struct error *err)
{
	struct image_layout l;
	struct trailer t = {0};
	const char *text;
	bool altered;
	size_t len;

	if (image_open(fd, name, &l, &t, &altered, err) < 0)
		return -1;
	text = trailer_find_note(&t, TRAILER_NOTE_DISKS, &len);
	*ret_text = text ? xstrndup(text, len) : NULL;
	trailer_fini(&t);
	return 0;
}

static int write_durably(
	int fd, const char *name, const void *data, size_t len, uint64_t offset, struct error *err)
{
	if (pwrite_full(fd, data, len, (off_t)offset) < 0 || fdatasync(fd) < 0)
		return error_errno(err, errno, "write %s", name);
	return 0;
}

static int write_trailer(int fd, const char *name, const struct trailer *t, struct error *err)
{
	_cleanup_free_ uint8_t *data = trailer_encode(t);

	return write_durably(fd, name, data, trailer_size(t), t->data_end, err);
}

static int rewrite(int fd, const char *name, struct image_layout *l, struct trailer *t, const char *xml,
	bool was_running, struct error *err)
{
	_cleanup_(image_header_fini) struct image_header old = {0};
	_cleanup_free_ uint8_t *region = NULL;
	size_t need, len = IMAGE_HEADER_SIZE + (size_t)l->data_len;

	if (!l->complete)
		return error_set(err, ERROR_OPERATION_INVALID,
			"image %s is incomplete: its save did not finish", name);
	if (image_read_region(fd, name, l, &old, err) < 0)
		return -1;
	need = strlen(xml) + 1 + (old.cookie ? strlen(old.cookie) + 1 : 0);
	if (need > l->data_len)
		return error_set(err, ERROR_OPERATION_INVALID,
			"the new XML does not fit into image %s: %zu bytes are needed, %u are there", name,
			need, l->data_len);
	l->was_running = was_running;
	l->cookie_offset = old.cookie ? (uint32_t)strlen(xml) + 1 : 0;
	if (t->stream_offset)
		l->marked = true, l->trailer_offset = t->data_end, l->trailer_size = trailer_size(t);
	region = image_region_format(l, xml, old.cookie);
	if (!t->stream_offset)
		return write_durably(fd, name, region, len, 0, err);

	/* Old and new header are both right until the new one is surely there. */
	t->header_sums[1] = checksum(region, len);
	if (write_trailer(fd, name, t, err) < 0 || write_durably(fd, name, region, len, 0, err) < 0)
		return -1;
	t->header_sums[0] = t->header_sums[1];
	return write_trailer(fd, name, t, err);
}

int image_write_header(int fd, const char *name, const char *xml, bool was_running, struct error *err)
{
	struct image_layout l;
	struct trailer t = {0};
	bool altered;
	int r;

	if (image_open(fd, name, &l, &t, &altered, err) < 0)
		return -1;
	r = rewrite(fd, name, &l, &t, xml, was_running, err);
	trailer_fini(&t);
	return r;
}
