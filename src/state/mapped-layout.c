/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a mapped-ram file's layout (mapped-layout.h): a few small pieces, from the beginning. */
#include "mapped-layout.h"

#include <inttypes.h>

#include "alloc.h"
#include "mapped-ram.h"

struct reading {
	const struct mapped_file *file;
	struct mapped_layout *layout;
};

static int damaged(const struct reading *l, uint64_t at, const char *what, struct error *err)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: %s at offset %" PRIu64, l->file->name, what, at);
}

static int fetch(struct reading *l, uint64_t at, void *data, size_t len, struct error *err)
{
	return l->file->fetch(l->file->userdata, at, data, len, err);
}

static int read_prefix(struct reading *l, uint64_t *at, struct error *err)
{
	const struct mapped_file *o = l->file;
	uint64_t left = o->data_end - o->stream_offset;
	size_t len = left < STREAM_WINDOW_MIN ? (size_t)left : STREAM_WINDOW_MIN;
	_cleanup_free_ uint8_t *data = xcalloc(1, len);
	struct stream_prefix *p = &l->layout->prefix;
	int r;

	if (fetch(l, o->stream_offset, data, len, err) < 0)
		return -1;
	r = stream_prefix_parse(data, len, p, err);
	if (r < 0)
		return error_prefix(err, "image %s", o->name);
	if (r == 0)
		return error_set(
			err, ERROR_DAMAGED, "image %s is truncated: it ends before its memory", o->name);
	if (!p->mapped_ram)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged: its state is not sparse as its header says", o->name);
	/* A plain stream does not have the capability. */
	buf_add(&l->layout->head, data, p->caps_at);
	buf_add(&l->layout->head, data + p->caps_at + p->caps_len, p->len - p->caps_at - p->caps_len);
	*at = o->stream_offset + p->len;
	return 0;
}

static int read_block(struct reading *l, uint64_t *at, uint64_t *left, struct error *err)
{
	uint8_t entry[1 + 255 + 8 + MAPPED_RAM_HEADER_SIZE], *p = entry;
	struct mapped_block *b;
	uint64_t bitmap_offset, end, bitmap_size;
	size_t len;

	if (l->layout->n_blocks == RAM_BLOCKS_MAX)
		return damaged(l, *at, "too many memory blocks", err);
	if (fetch(l, *at, entry, 1, err) < 0)
		return -1;
	len = 1u + entry[0] + 8 + MAPPED_RAM_HEADER_SIZE;
	if (fetch(l, *at, entry, len, err) < 0)
		return -1;
	l->layout->blocks = xrealloc(l->layout->blocks, l->layout->n_blocks + 1, sizeof(*l->layout->blocks));
	b = &l->layout->blocks[l->layout->n_blocks++];
	memset(b, 0, sizeof(*b));
	memcpy(b->name, entry + 1, entry[0]);
	p += 1 + entry[0];
	b->length = get_be64(p);
	bitmap_offset = get_be64(p + 20);
	b->pages_offset = get_be64(p + 28);
	if (get_be32(p + 8) != MAPPED_RAM_VERSION || get_be64(p + 12) != RAM_PAGE)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has memory in a layout that is not known", l->file->name);
	bitmap_size = mapped_ram_bitmap_size(b->length);
	end = l->file->data_end;
	if (b->length % RAM_PAGE != 0 || b->length > *left || bitmap_offset != *at + len ||
		b->pages_offset > end || b->pages_offset % CHUNK_PAGE != 0 ||
		bitmap_offset + bitmap_size > b->pages_offset)
		return damaged(l, *at, "an impossible memory block", err);
	if (b->length > end - b->pages_offset)
		return error_set(err, ERROR_DAMAGED,
			"image %s is truncated: its memory would end at %" PRIu64 ", it has %" PRIu64
			" bytes",
			l->file->name, b->pages_offset + b->length, end);
	b->bitmap = xcalloc(1, bitmap_size + 1);
	if (fetch(l, bitmap_offset, b->bitmap, bitmap_size, err) < 0)
		return -1;
	buf_add(&l->layout->head, entry, 1u + entry[0] + 8);
	*left -= b->length;
	*at = b->pages_offset + b->length;
	return 0;
}

/* EOS and footer, which end each of memory's sections. */
static int read_section_end(struct reading *l, uint64_t *at, struct error *err)
{
	uint8_t b[13];

	if (fetch(l, *at, b, sizeof(b), err) < 0)
		return -1;
	if (get_be64(b) != RAM_EOS || b[8] != STREAM_FOOTER ||
		get_be32(b + 9) != l->layout->prefix.section_id)
		return damaged(l, *at, "a memory section without its end", err);
	*at += sizeof(b);
	return 0;
}

static int read_command(struct reading *l, uint64_t *at, struct error *err)
{
	uint8_t b[5 + UINT16_MAX];
	size_t len;

	if (fetch(l, *at, b, 5, err) < 0)
		return -1;
	len = 5u + get_be16(b + 3);
	if (fetch(l, *at, b, len, err) < 0 || stream_command_parse(b, len, err) < 0)
		return -1;
	buf_add(&l->layout->commands, b, len);
	*at += len;
	return 0;
}

/* From the end of START to the end of END. */
static int read_sections(struct reading *l, uint64_t *at, struct error *err)
{
	uint8_t b[5];

	for (;;) {
		if (fetch(l, *at, b, sizeof(b), err) < 0)
			return -1;
		if (b[0] == STREAM_COMMAND) {
			if (read_command(l, at, err) < 0)
				return -1;
			continue;
		}
		if ((b[0] != STREAM_PART && b[0] != STREAM_END) ||
			get_be32(b + 1) != l->layout->prefix.section_id)
			return error_set(err,
				b[0] == STREAM_START || b[0] == STREAM_FULL ? ERROR_UNSUPPORTED_CONFIG
									    : ERROR_DAMAGED,
				"image %s has a section of unknown kind (%u) at offset %" PRIu64,
				l->file->name, b[0], *at);
		*at += sizeof(b);
		if (read_section_end(l, at, err) < 0)
			return -1;
		if (b[0] == STREAM_END)
			return 0;
	}
}

static int read_layout(struct reading *l, struct error *err)
{
	uint64_t at = 0, left;
	uint8_t b[13];

	if (read_prefix(l, &at, err) < 0 || fetch(l, at, b, 8, err) < 0)
		return -1;
	left = get_be64(b);
	if ((left & (RAM_PAGE - 1)) != RAM_MEM_SIZE)
		return damaged(l, at, "no list of memory blocks", err);
	buf_add(&l->layout->head, b, 8);
	left &= ~(uint64_t)(RAM_PAGE - 1);
	if (left == 0 || left > RAM_LENGTH_MAX)
		return damaged(l, at, "an impossible amount of memory", err);
	at += 8;
	while (left > 0)
		if (read_block(l, &at, &left, err) < 0)
			return -1;
	if (read_section_end(l, &at, err) < 0)
		return -1;
	put_be64(b, RAM_EOS);
	b[8] = STREAM_FOOTER;
	put_be32(b + 9, l->layout->prefix.section_id);
	buf_add(&l->layout->head, b, sizeof(b));
	if (read_sections(l, &at, err) < 0)
		return -1;
	l->layout->tail_offset = at;
	return 0;
}

int mapped_layout_read(const struct mapped_file *file, struct mapped_layout *ret, struct error *err)
{
	struct reading reading = {.file = file, .layout = ret};

	*ret = (struct mapped_layout){0};
	if (read_layout(&reading, err) == 0)
		return 0;
	mapped_layout_fini(ret);
	return -1;
}

void mapped_layout_fini(struct mapped_layout *layout)
{
	for (unsigned i = 0; i < layout->n_blocks; i++)
		free(layout->blocks[i].bitmap);
	free(layout->blocks);
	buf_fini(&layout->head);
	buf_fini(&layout->commands);
	*layout = (struct mapped_layout){0};
}
