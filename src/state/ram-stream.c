/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsing QEMU's stream up to the end of memory (ram-stream.h). Everything in it may be wrong: nothing is taken without a check. */
#include "ram-stream.h"

#include <inttypes.h>

#include "alloc.h"

#define MAGIC	    0x5145564du /* "QEVM" */
#define VERSION	    3u
#define RAM_VERSION 4u
#define CONFIG_MAX  1024u
#define CAPS_MAX    64u

#define COMMAND_PACKAGED 7u

/* More than a page's record. */
#define PUSH_STEP (8u << 10)

#define FLAGS_MASK ((uint64_t)RAM_PAGE - 1)

static int odd(struct error *err, const char *what)
{
	return error_set(err, ERROR_DAMAGED, "QEMU's state has %s", what);
}

/* ---- up to the memory ---- */

/* A cursor over bytes that may not all be there yet. */
struct cursor {
	const uint8_t *data;
	size_t len, at;
	bool more; /* something was asked for that is not there */
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->data + c->at;

	if (c->more || n > c->len - c->at) {
		c->more = true;
		return NULL;
	}
	c->at += n;
	return p;
}

static uint32_t take_be32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p ? get_be32(p) : 0;
}

/* u8 length and that many bytes; false when they are not `name`. */
static bool take_name(struct cursor *c, const char *name)
{
	const uint8_t *len = take(c, 1), *p = len ? take(c, *len) : NULL;

	return p && *len == strlen(name) && memcmp(p, name, *len) == 0;
}

static int parse_caps(struct cursor *c, struct stream_prefix *ret, struct error *err)
{
	uint32_t n = take_be32(c);

	if (n > CAPS_MAX)
		return odd(err, "an impossible list of capabilities");
	for (uint32_t i = 0; i < n; i++) {
		if (take_name(c, "mapped-ram"))
			ret->mapped_ram = true;
		else if (!c->more)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"QEMU's state uses a migration capability that is not known");
	}
	return 0;
}

static int parse_subsection(struct cursor *c, struct stream_prefix *ret, struct error *err)
{
	size_t start = c->at, len_at = c->at + 1;
	const uint8_t *len;

	take(c, 1);
	len = take(c, 1);
	if (!len || !take(c, *len) || !take(c, 4))
		return 0;
	c->at = len_at;
	if (take_name(c, "configuration/capabilities")) {
		take(c, 4);
		if (parse_caps(c, ret, err) < 0)
			return -1;
		ret->caps_at = start;
		ret->caps_len = c->at - start;
		return 0;
	}
	c->at = len_at;
	if (take_name(c, "configuration/uuid")) {
		take(c, 4 + 16);
		return 0;
	}
	c->at = len_at;
	if (take_name(c, "configuration/target-page-bits")) {
		uint32_t bits;

		take(c, 4);
		bits = take_be32(c);
		if (!c->more && bits != 12)
			return error_set(
				err, ERROR_UNSUPPORTED_CONFIG, "QEMU's state has pages of 2^%u bytes", bits);
		return 0;
	}
	return error_set(
		err, ERROR_UNSUPPORTED_CONFIG, "QEMU's state has a configuration entry that is not known");
}

static int parse_configuration(struct cursor *c, struct stream_prefix *ret, struct error *err)
{
	uint32_t len;

	take(c, 1);
	len = take_be32(c);
	if (len > CONFIG_MAX)
		return odd(err, "an impossible machine type");
	take(c, len);
	while (!c->more) {
		/* One byte more decides whether another subsection follows. */
		if (c->at == c->len) {
			c->more = true;
			break;
		}
		if (c->data[c->at] != STREAM_SUBSECTION)
			break;
		if (parse_subsection(c, ret, err) < 0)
			return -1;
	}
	ret->config_end = c->at;
	return 0;
}

ssize_t stream_command_parse(const uint8_t *data, size_t len, struct error *err)
{
	struct cursor c = {.data = data, .len = len};
	const uint8_t *p = take(&c, 5);

	if (!p)
		return 0;
	if (get_be16(p + 1) == COMMAND_PACKAGED)
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "QEMU's state is that of a post-copy migration");
	return take(&c, get_be16(p + 3)) ? (ssize_t)c.at : 0;
}

static int parse_start(struct cursor *c, struct stream_prefix *ret, struct error *err)
{
	bool ram;

	ret->start_at = c->at;
	take(c, 1);
	ret->section_id = take_be32(c);
	ram = take_name(c, "ram");
	if (c->more)
		return 0;
	if (!ram)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"QEMU's state has a section of unknown length before its memory");
	if (take_be32(c) != 0 || take_be32(c) != RAM_VERSION) {
		if (!c->more)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"QEMU's memory is in a version that is not known");
	}
	ret->len = c->at;
	return 0;
}

static int parse_prefix(struct cursor *c, struct stream_prefix *ret, struct error *err)
{
	uint32_t magic = take_be32(c), version = take_be32(c);

	if (c->more)
		return 0;
	if (magic != MAGIC)
		return odd(err, "no beginning");
	if (version != VERSION)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG, "QEMU's state is of version %u", version);
	ret->config_end = c->at;
	while (!c->more) {
		ssize_t n;

		if (c->at == c->len) {
			c->more = true;
			break;
		}
		switch (c->data[c->at]) {
		case STREAM_CONFIGURATION:
			if (c->at != 8)
				return odd(err, "a configuration in its middle");
			if (parse_configuration(c, ret, err) < 0)
				return -1;
			continue;
		case STREAM_COMMAND:
			n = stream_command_parse(c->data + c->at, c->len - c->at, err);
			if (n < 0)
				return -1;
			if (n == 0)
				c->more = true;
			c->at += (size_t)n;
			continue;
		case STREAM_START:
			return parse_start(c, ret, err);
		case STREAM_FULL:
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"QEMU's state has a device of unknown length before its memory");
		default:
			return odd(err, "a section of unknown kind");
		}
	}
	return 0;
}

int stream_prefix_parse(const uint8_t *data, size_t len, struct stream_prefix *ret, struct error *err)
{
	struct cursor c = {.data = data, .len = len};

	*ret = (struct stream_prefix){0};
	if (parse_prefix(&c, ret, err) < 0)
		return -1;
	/* Longer than any window: it would be asked for again and again. */
	if (c.more && len >= STREAM_WINDOW_MIN)
		return odd(err, "no memory in it");
	return c.more ? 0 : 1;
}

/* ---- memory ---- */

void ram_stream_init(struct ram_stream *s, const struct ram_stream_ops *ops, void *userdata)
{
	*s = (struct ram_stream){.ops = ops, .userdata = userdata, .block = -1};
}

void ram_stream_fini(struct ram_stream *s)
{
	buf_fini(&s->head);
	buf_fini(&s->window);
	free(s->blocks);
	*s = (struct ram_stream){0};
}

static int verbatim(struct ram_stream *s, const void *data, size_t len, struct error *err)
{
	return s->ops->verbatim ? s->ops->verbatim(s->userdata, data, len, err) : 0;
}

static int find_block(const struct ram_stream *s, const uint8_t *name, size_t len)
{
	for (unsigned i = 0; i < s->n_blocks; i++)
		if (strlen(s->blocks[i].name) == len && memcmp(s->blocks[i].name, name, len) == 0)
			return (int)i;
	return -1;
}

static ssize_t feed_prefix(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	int r = stream_prefix_parse(data, len, &s->prefix, err);

	if (r <= 0)
		return r;
	if (s->prefix.mapped_ram)
		return error_set(
			err, ERROR_UNSUPPORTED_CONFIG, "QEMU's state is not a stream but a mapped-ram file");
	buf_add(&s->head, data, s->prefix.len);
	s->state = RAM_STREAM_RECORDS;
	return (ssize_t)s->prefix.len;
}

static int finish_list(struct ram_stream *s, struct error *err)
{
	s->state = RAM_STREAM_RECORDS;
	if (!s->ops->head)
		return 0;
	return s->ops->head(
		s->userdata, (const uint8_t *)s->head.data, &s->prefix, s->blocks, s->n_blocks, err);
}

/* One entry of the list of blocks: name, length. */
static ssize_t feed_list(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	size_t name_len = len ? data[0] : 0;
	struct ram_block *b;

	if (len < 1 + name_len + 8)
		return 0;
	if (s->n_blocks == RAM_BLOCKS_MAX || name_len == 0 || memchr(data + 1, 0, name_len) ||
		find_block(s, data + 1, name_len) >= 0)
		return odd(err, "an impossible list of memory blocks");
	s->blocks = xrealloc(s->blocks, s->n_blocks + 1, sizeof(*s->blocks));
	b = &s->blocks[s->n_blocks++];
	memset(b, 0, sizeof(*b));
	memcpy(b->name, data + 1, name_len);
	b->length = get_be64(data + 1 + name_len);
	if (b->length % RAM_PAGE != 0 || b->length > s->list_left)
		return odd(err, "a memory block of impossible length");
	s->list_left -= b->length;
	if (s->list_left == 0 && finish_list(s, err) < 0)
		return -1;
	return (ssize_t)(1 + name_len + 8);
}

static int start_list(struct ram_stream *s, uint64_t total, struct error *err)
{
	if (s->n_blocks > 0 || total == 0 || total > RAM_LENGTH_MAX)
		return odd(err, "an impossible amount of memory");
	s->list_left = total;
	s->state = RAM_STREAM_LIST;
	return 0;
}

/* The block a record is about: that of the last one, or named behind the 8 bytes. Its name's length goes to *ret_len. */
static int record_block(struct ram_stream *s, uint64_t flags, const uint8_t *data, size_t len,
	size_t *ret_len, struct error *err)
{
	*ret_len = 0;
	if (flags & RAM_CONTINUE) {
		if (s->block < 0)
			return odd(err, "a page of no block");
		return 1;
	}
	if (len < 9 || len < 9u + data[8])
		return 0;
	s->block = find_block(s, data + 9, data[8]);
	if (s->block < 0)
		return odd(err, "a page of an unknown block");
	*ret_len = 1u + data[8];
	return 1;
}

/* A PAGE or ZERO record. */
static ssize_t feed_page(
	struct ram_stream *s, uint64_t word, const uint8_t *data, size_t len, struct error *err)
{
	uint64_t flags = word & FLAGS_MASK, offset = word & ~FLAGS_MASK;
	size_t name_len, payload = flags & RAM_ZERO ? 1 : RAM_PAGE;
	int r = record_block(s, flags, data, len, &name_len, err);

	if (r <= 0)
		return r;
	if (len < 8 + name_len + payload)
		return 0;
	data += 8 + name_len;
	s->page_at = s->at + 8 + name_len;
	if (offset >= s->blocks[s->block].length)
		return odd(err, "a page beyond its block");
	if ((flags & RAM_ZERO) && *data != 0)
		return odd(err, "a page filled with something else than zeros");
	if (s->ops->page && s->ops->page(s->userdata, (unsigned)s->block, offset,
				    flags & RAM_ZERO ? NULL : data, err) < 0)
		return -1;
	return (ssize_t)(8 + name_len + payload);
}

static ssize_t feed_record(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	uint64_t word;

	if (len < 8)
		return 0;
	word = get_be64(data);
	switch (word & FLAGS_MASK & ~(uint64_t)RAM_CONTINUE) {
	case RAM_PAGE_DATA:
	case RAM_ZERO:
		return feed_page(s, word, data, len, err);
	case RAM_MEM_SIZE:
		return start_list(s, word & ~FLAGS_MASK, err) < 0 ? -1 : 8;
	case RAM_EOS:
		if (s->n_blocks == 0)
			return odd(err, "memory without blocks");
		s->state = RAM_STREAM_FOOTER;
		return 8;
	default:
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"QEMU's memory has a record of unknown kind (0x%" PRIx64 ")", word & FLAGS_MASK);
	}
}

/* Memory is over: what follows it begins `behind` bytes from here. */
static int finish_memory(struct ram_stream *s, size_t behind, struct error *err)
{
	uint8_t end[5 + 8 + 5];

	s->state = RAM_STREAM_TAIL;
	s->tail_at = s->at + behind;
	end[0] = STREAM_END;
	put_be32(end + 1, s->prefix.section_id);
	put_be64(end + 5, RAM_EOS);
	end[13] = STREAM_FOOTER;
	put_be32(end + 14, s->prefix.section_id);
	return verbatim(s, end, sizeof(end), err);
}

static ssize_t feed_footer(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	if (len < 5)
		return 0;
	if (data[0] != STREAM_FOOTER || get_be32(data + 1) != s->prefix.section_id)
		return odd(err, "a section without its end");
	s->state = RAM_STREAM_SECTION;
	return s->last_section && finish_memory(s, 5, err) < 0 ? -1 : 5;
}

static ssize_t feed_tail(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	return verbatim(s, data, len, err) < 0 ? -1 : (ssize_t)len;
}

static ssize_t feed_section(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	ssize_t n;

	if (len < 5)
		return 0;
	switch (data[0]) {
	case STREAM_COMMAND:
		n = stream_command_parse(data, len, err);
		if (n > 0 && verbatim(s, data, (size_t)n, err) < 0)
			return -1;
		return n;
	case STREAM_PART:
	case STREAM_END:
		if (get_be32(data + 1) != s->prefix.section_id)
			return error_set(err, ERROR_UNSUPPORTED_CONFIG,
				"QEMU's state has a section of unknown length");
		s->last_section = data[0] == STREAM_END;
		s->state = RAM_STREAM_RECORDS;
		return 5;
	case STREAM_FULL:
		/* Devices come when all iterable sections are over: this was a background snapshot's last PART. */
		if (s->block >= 0)
			return finish_memory(s, 0, err) < 0 ? -1 : feed_tail(s, data, len, err);
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"QEMU's state has a device of unknown length before its memory");
	case STREAM_START:
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"QEMU's state has a section of unknown length amid its memory");
	default:
		return odd(err, "a section of unknown kind");
	}
}

static ssize_t feed_one(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	switch (s->state) {
	case RAM_STREAM_PREFIX:
		return feed_prefix(s, data, len, err);
	case RAM_STREAM_LIST:
		return feed_list(s, data, len, err);
	case RAM_STREAM_RECORDS:
		return feed_record(s, data, len, err);
	case RAM_STREAM_FOOTER:
		return feed_footer(s, data, len, err);
	case RAM_STREAM_SECTION:
		return feed_section(s, data, len, err);
	case RAM_STREAM_TAIL:
		return feed_tail(s, data, len, err);
	}
	return -1;
}

ssize_t ram_stream_feed(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = feed_one(s, data + at, len - at, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		at += (size_t)n;
		s->at += (size_t)n;
	}
	return (ssize_t)at;
}

int ram_stream_push(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err)
{
	ssize_t n;

	/* Complete the leftover with a little more, so that the rest can be walked where it is. */
	while (s->window.len > 0 && len > 0) {
		size_t before = s->window.len, add = len < PUSH_STEP ? len : PUSH_STEP;

		buf_add(&s->window, data, add);
		n = ram_stream_feed(s, (const uint8_t *)s->window.data, s->window.len, err);
		if (n < 0)
			return -1;
		if ((size_t)n < before) {
			/* Not even the leftover was consumed: it needs all there is. */
			buf_drop_front(&s->window, (size_t)n);
			data += add;
			len -= add;
			continue;
		}
		data += (size_t)n - before;
		len -= (size_t)n - before;
		buf_clear(&s->window);
	}
	if (len == 0)
		return 0;
	n = ram_stream_feed(s, data, len, err);
	if (n < 0)
		return -1;
	if ((size_t)n < len)
		buf_add(&s->window, data + n, len - (size_t)n);
	return 0;
}
