/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sparse image without its main memory, as a stream (mapped-clone.h). */
#include "mapped-clone.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"
#include "image-memory.h"
#include "mapped-layout.h"
#include "stream-io.h"
#include "stream-walk.h"
#include "strv.h"

/* What is collected before it goes to QEMU. */
#define PIECE_SIZE (256u << 10)

struct clone {
	const struct mapped_ram_load *options;
	struct mapped_layout layout;
	struct buf out;
};

static int fetch_checked(void *userdata, uint64_t at, void *data, size_t len, struct error *err)
{
	return chunk_reader_fetch(userdata, at, data, len, err);
}

static int fetch(struct clone *c, uint64_t at, void *data, size_t len, struct error *err)
{
	return chunk_reader_fetch(c->options->reader, at, data, len, err);
}

static int flush(struct clone *c, struct error *err)
{
	int r = c->out.len > 0 && c->options->stream_fd >= 0
			? stream_write(c->options->stream_fd, c->out.data, c->out.len, err)
			: 0;

	buf_clear(&c->out);
	return r;
}

/* ---- memory that is mapped: nothing may stand where nothing should ---- */

static int check_stale_pages(
	struct clone *c, int fd, const struct mapped_block *b, uint64_t from, uint64_t to, struct error *err)
{
	static const uint8_t zeros[RAM_PAGE];

	for (uint64_t page = from / RAM_PAGE; page * RAM_PAGE < to; page++) {
		uint8_t data[RAM_PAGE];
		ssize_t n;

		if (mapped_block_has(b, page))
			continue;
		n = pread_full(fd, data, RAM_PAGE, (off_t)(b->pages_offset + page * RAM_PAGE));
		if (n < 0)
			return error_errno(err, errno, "read %s", c->options->name);
		if ((size_t)n < RAM_PAGE)
			return error_set(err, ERROR_DAMAGED, "image %s is truncated", c->options->name);
		if (memcmp(data, zeros, RAM_PAGE) != 0)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"image %s cannot be mapped: where memory is zero it has older contents (at "
				"offset %" PRIu64 "), as one of a running guest has; 'godwit image convert "
				"--format sparse' makes one of it that can",
				c->options->name, b->pages_offset + page * RAM_PAGE);
	}
	return 0;
}

/* Where the file has no data there is nothing to look at; a file system that cannot tell has data everywhere. */
static int check_stale(struct clone *c, int fd, const struct mapped_block *b, struct error *err)
{
	off_t start = (off_t)b->pages_offset, end = start + (off_t)b->length, at = start;

	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			data = at;
		if (data >= end)
			return 0;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > end)
			hole = end;
		if (check_stale_pages(c, fd, b, (uint64_t)(data - start), (uint64_t)(hole - start), err) < 0)
			return -1;
		at = hole;
	}
	return 0;
}

/* ---- the rest ---- */

static int send_block(struct clone *c, const struct mapped_block *b, struct error *err)
{
	for (uint64_t page = 0; page < b->length / RAM_PAGE; page++) {
		bool has_page = mapped_block_has(b, page);
		uint8_t word[8];

		put_be64(word, page * RAM_PAGE | (has_page ? RAM_PAGE_DATA : RAM_ZERO) |
				       (page == 0 ? 0 : RAM_CONTINUE));
		buf_add(&c->out, word, sizeof(word));
		if (page == 0) {
			uint8_t len = (uint8_t)strlen(b->name);

			buf_add(&c->out, &len, 1);
			buf_add(&c->out, b->name, len);
		}
		if (!has_page) {
			buf_add(&c->out, "", 1);
		} else {
			if (fetch(c, b->pages_offset + page * RAM_PAGE, buf_reserve(&c->out, RAM_PAGE),
				    RAM_PAGE, err) < 0)
				return -1;
			c->out.len += RAM_PAGE;
		}
		if (c->out.len >= PIECE_SIZE && flush(c, err) < 0)
			return -1;
	}
	return 0;
}

static int send_memory(struct clone *c, int file_fd, struct error *err)
{
	const struct mapped_layout *l = &c->layout;
	bool found = false;
	uint8_t b[13];

	buf_add(&c->out, l->head.data, l->head.len);
	buf_add(&c->out, l->commands.data, l->commands.len);
	b[0] = STREAM_END;
	put_be32(b + 1, l->prefix.section_id);
	buf_add(&c->out, b, 5);
	for (unsigned i = 0; i < l->n_blocks; i++) {
		const struct mapped_block *block = &l->blocks[i];

		if (!streq(block->name, IMAGE_MAIN_MEMORY)) {
			if (send_block(c, block, err) < 0)
				return -1;
			continue;
		}
		found = true;
		if (!c->options->trailer && check_stale(c, file_fd, block, err) < 0)
			return -1;
	}
	if (!found)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s has no memory called '%s' that could be mapped", c->options->name,
			IMAGE_MAIN_MEMORY);
	put_be64(b, RAM_EOS);
	b[8] = STREAM_FOOTER;
	put_be32(b + 9, l->prefix.section_id);
	buf_add(&c->out, b, sizeof(b));
	return 0;
}

/* Devices, and the description that ends them; without a trailer the file may go on behind it. */
static int send_tail(struct clone *c, struct stream_walk *walk, struct error *err)
{
	uint64_t at = c->layout.tail_offset, end = c->options->data_end;

	while (at < end && !(walk && stream_walk_is_whole(walk))) {
		size_t len = end - at < PIECE_SIZE ? (size_t)(end - at) : PIECE_SIZE;
		uint8_t *data = buf_reserve(&c->out, len);

		if (fetch(c, at, data, len, err) < 0 || (walk && stream_walk_feed(walk, data, len, err) < 0))
			return -1;
		c->out.len += len;
		at += len;
		if (flush(c, err) < 0)
			return -1;
	}
	if (walk && stream_walk_finish(walk, err) < 0)
		return error_prefix(err, "image %s is truncated", c->options->name);
	return flush(c, err);
}

int mapped_ram_clone(const struct mapped_ram_load *options, int file_fd, struct error *err)
{
	const struct mapped_file file = {.fetch = fetch_checked,
		.userdata = options->reader,
		.stream_offset = options->stream_offset,
		.data_end = options->data_end,
		.name = options->name};
	struct clone c = {.options = options};
	struct stream_walk *walk = options->trailer ? NULL : stream_walk_new_tail();
	int r = -1;

	if (mapped_layout_read(&file, &c.layout, err) == 0 && send_memory(&c, file_fd, err) == 0 &&
		send_tail(&c, walk, err) == 0)
		r = 0;
	stream_walk_free(walk);
	mapped_layout_fini(&c.layout);
	buf_fini(&c.out);
	return r;
}
