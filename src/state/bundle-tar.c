/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tar's headers as POSIX.1-2001 has them (ustar blocks, pax records for what does not fit), with GNU's sparse format 1.0 for files
 * with holes: GNU tar and libarchive unpack them with their holes, others find the map in front of the data.
 */
#include "bundle-tar.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "json.h"

/* A smaller hole is sent as zeros: a map costs more than it saves. */
#define HOLE_MIN    (64u << 10)
#define EXTENTS_MAX (1u << 20)
#define PIECE_SIZE  (256u << 10)
/* What eleven octal digits hold. */
#define OCTAL_MAX ((UINT64_C(1) << 33) - 1)

/* Offsets of a ustar header's fields. */
enum {
	AT_NAME = 0,
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_MAGIC = 257,
	NAME_SIZE = 100,
	NUMBER_SIZE = 12,
};

static void put_octal(uint8_t *at, unsigned digits, uint64_t value)
{
	for (unsigned i = digits; i-- > 0; value >>= 3)
		at[i] = (uint8_t)('0' + (value & 7));
}

static void add_ustar(struct buf *out, const char *name, uint64_t size, int64_t mtime, char type)
{
	uint8_t *b = buf_reserve(out, TAR_BLOCK);
	unsigned sum = 0;
	size_t len = strnlen(name, NAME_SIZE);

	memset(b, 0, TAR_BLOCK);
	memcpy(b + AT_NAME, name, len);
	put_octal(b + AT_MODE, 7, 0600);
	put_octal(b + AT_UID, 7, 0);
	put_octal(b + AT_GID, 7, 0);
	put_octal(b + AT_SIZE, 11, size <= OCTAL_MAX ? size : 0);
	put_octal(b + AT_MTIME, 11, (uint64_t)mtime <= OCTAL_MAX ? (uint64_t)mtime : 0);
	b[AT_TYPE] = (uint8_t)type;
	memcpy(b + AT_MAGIC, "ustar\00000", 8);
	memset(b + AT_CHECKSUM, ' ', 8);
	for (unsigned i = 0; i < TAR_BLOCK; i++)
		sum += b[i];
	put_octal(b + AT_CHECKSUM, 6, sum);
	b[AT_CHECKSUM + 6] = 0;
	out->len += TAR_BLOCK;
}

/* "LENGTH KEY=VALUE\n", where the length counts its own digits. */
static void add_record(struct buf *out, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;

	while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
		len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
	buf_addf(out, "%zu %s=%s\n", len, key, value);
}

static void add_number(struct buf *out, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	add_record(out, key, text);
}

static void pad(struct buf *out, size_t n)
{
	memset(buf_reserve(out, n), 0, n);
	out->len += n;
}

void tar_header_format(const struct tar_entry *e, struct buf *out)
{
	_cleanup_(buf_fini) struct buf records = {0};
	_cleanup_free_ char *sparse_name = NULL;

	if (e->has_mtime) {
		char text[40];

		snprintf(text, sizeof(text), "%" PRId64 ".%09" PRIu32, e->mtime_s, e->mtime_ns);
		add_record(&records, "mtime", text);
	}
	if (e->stored > OCTAL_MAX)
		add_number(&records, "size", e->stored);
	if (e->sparse) {
		add_number(&records, "GNU.sparse.major", 1);
		add_number(&records, "GNU.sparse.minor", 0);
		add_record(&records, "GNU.sparse.name", e->name);
		add_number(&records, "GNU.sparse.realsize", e->size);
		sparse_name = xasprintf("GNUSparseFile.0/%s", e->name);
	}
	if (records.len > 0) {
		size_t len = records.len;

		add_ustar(out, "pax-header", len, 0, 'x');
		buf_add(out, records.data, len);
		pad(out, tar_padding(len));
	}
	add_ustar(out, sparse_name ? sparse_name : e->name, e->stored, e->has_mtime ? e->mtime_s : 0, '0');
}

bool tar_header_parse(const uint8_t block[TAR_BLOCK], const char *name, uint64_t *ret_size)
{
	_cleanup_(buf_fini) struct buf want = {0};
	uint64_t size = 0;

	for (unsigned i = 0; i < NUMBER_SIZE - 1; i++) {
		uint8_t c = block[AT_SIZE + i];

		if (c < '0' || c > '7')
			return false;
		size = size << 3 | (uint64_t)(c - '0');
	}
	tar_header_format(&(struct tar_entry){.name = name, .size = size, .stored = size}, &want);
	if (memcmp(want.data, block, TAR_BLOCK) != 0)
		return false;
	*ret_size = size;
	return true;
}

struct tar_entry tar_entry_of(const struct bundle_member *m, uint64_t offset, char **name)
{
	*name = offset ? xasprintf("%s.from-%" PRIu64, m->name, offset) : xstrdup(m->name);
	return (struct tar_entry){.name = *name,
		.size = m->size - offset,
		.stored = m->stored,
		.sparse = m->sparse,
		.has_mtime = true,
		.mtime_s = m->mtime_s,
		.mtime_ns = m->mtime_ns};
}

/* ---- holes ---- */

/* One look over the file with holes of at least `hole_min`; false: too many pieces. */
static int find(int fd, uint64_t from, uint64_t to, uint64_t hole_min, struct extents *e)
{
	uint64_t at = from;

	while (at < to) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;
		struct extent *last = e->v.n ? &e->v.items[e->v.n - 1] : NULL;
		uint64_t end;

		if (data < 0 && errno == ENXIO)
			break; /* nothing but a hole up to the end */
		if (data < 0 || (hole = lseek(fd, data, SEEK_HOLE)) < 0)
			return -1;
		if ((uint64_t)data >= to)
			break;
		end = (uint64_t)hole < to ? (uint64_t)hole : to;
		if (last && (uint64_t)data - from - (last->offset + last->len) < hole_min) {
			last->len = end - from - last->offset;
		} else {
			if (e->v.n == EXTENTS_MAX)
				return 0;
			VEC_ADD(&e->v, ((struct extent){(uint64_t)data - from, end - (uint64_t)data}));
		}
		at = end;
	}
	return 1;
}

int extents_find(int fd, uint64_t from, uint64_t to, const char *path, struct extents *ret, struct error *err)
{
	int r = 0;

	for (uint64_t hole_min = HOLE_MIN; r == 0; hole_min *= 2) {
		ret->v.n = 0;
		r = find(fd, from, to, hole_min, ret);
	}
	return r < 0 ? error_errno(err, errno, "look for holes in %s", path) : 0;
}

bool extents_are_whole(const struct extents *e, uint64_t size)
{
	return size == 0 || (e->v.n == 1 && e->v.items[0].offset == 0 && e->v.items[0].len == size);
}

/* A file that ends in a hole has an empty piece at its end, by which old readers know its size. */
void extents_format(const struct extents *e, uint64_t size, struct buf *out)
{
	const struct extent *last = e->v.n ? &e->v.items[e->v.n - 1] : NULL;
	bool tail = !last || last->offset + last->len < size;
	size_t begin = out->len;

	buf_addf(out, "%zu\n", e->v.n + tail);
	VEC_FOREACH (x, &e->v)
		buf_addf(out, "%" PRIu64 "\n%" PRIu64 "\n", x.offset, x.len);
	if (tail)
		buf_addf(out, "%" PRIu64 "\n0\n", size);
	pad(out, tar_padding(out->len - begin));
}

int map_parser_add(struct map_parser *p, uint64_t number)
{
	if (!p->have_n) {
		if (number == 0 || number > EXTENTS_MAX + 1)
			return -1;
		p->n = number;
		p->have_n = true;
		return 0;
	}
	if (!p->have_offset) {
		if (number < p->end || number > p->size)
			return -1;
		p->pending = number;
		p->have_offset = true;
		return 0;
	}
	if (number > p->size - p->pending)
		return -1;
	p->have_offset = false;
	p->n--;
	p->end = p->pending + number;
	if (number > 0)
		VEC_ADD(&p->extents.v, ((struct extent){p->pending, number}));
	else if (p->n > 0)
		return -1;
	if (p->n == 0 && p->end != p->size)
		return -1;
	return p->n == 0;
}

/* ---- sums ---- */

void sum_init(struct sum *s)
{
	if (!s->state)
		s->state = XXH3_createState();
	if (!s->state)
		abort();
	XXH3_128bits_reset(s->state);
}

void sum_fini(struct sum *s)
{
	XXH3_freeState(s->state);
	s->state = NULL;
}

void sum_add(struct sum *s, const void *data, size_t len)
{
	XXH3_128bits_update(s->state, data, len);
}

void sum_add_zeros(struct sum *s, uint64_t len)
{
	static const uint8_t zeros[16384];

	for (; len > sizeof(zeros); len -= sizeof(zeros))
		sum_add(s, zeros, sizeof(zeros));
	sum_add(s, zeros, (size_t)len);
}

void sum_format(const struct sum *s, char ret[BUNDLE_ID_SIZE])
{
	XXH128_canonical_t bytes;

	XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(s->state));
	for (size_t i = 0; i < sizeof(bytes.digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes.digest[i]);
}

static int add_range(struct sum *s, int fd, uint64_t from, uint64_t len, uint8_t *buffer)
{
	while (len > 0) {
		size_t want = len < PIECE_SIZE ? (size_t)len : PIECE_SIZE;
		ssize_t n = pread_full(fd, buffer, want, (off_t)from);

		if (n >= 0 && (size_t)n < want)
			errno = ENODATA;
		if (n < 0 || (size_t)n < want)
			return -1;
		sum_add(s, buffer, want);
		from += want;
		len -= want;
	}
	return 0;
}

int sum_add_file(struct sum *s, int fd, uint64_t from, uint64_t to)
{
	_cleanup_free_ uint8_t *buffer = xrealloc(NULL, 1, PIECE_SIZE);
	struct extents e = {0};
	uint64_t done = 0;
	int r = 0;

	if (lseek(fd, 0, SEEK_END) < (off_t)to) {
		errno = ENODATA;
		return -1;
	}
	if (extents_find(fd, from, to, "", &e, NULL) < 0)
		return -1;
	VEC_FOREACH (x, &e.v) {
		sum_add_zeros(s, x.offset - done);
		r = add_range(s, fd, from + x.offset, x.len, buffer);
		if (r < 0)
			break;
		done = x.offset + x.len;
	}
	if (r == 0)
		sum_add_zeros(s, to - from - done);
	VEC_FREE(&e.v);
	return r;
}

void sums_line_format(const char sum[BUNDLE_ID_SIZE], const char *name, struct buf *out)
{
	buf_addf(out, "%s  %s\n", sum, name);
}

/* ---- where a stream begins that goes on with another one ---- */

char *continued_format(const struct continued *c)
{
	json *sums = json_object_new_array();
	_cleanup_json_ json *o = NULL;
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < c->sums.n; i++)
		json_object_array_add(sums, json_object_new_string(c->sums.items[i]));
	o = json_pack("u:position", c->position, "u:stored", c->stored, "b:sparse", (int)c->sparse, "o:sums",
		sums, NULL);
	text = json_format(o);
	return xasprintf("%s\n", text);
}

int continued_parse(
	const char *text, size_t len, const char *bundle, struct continued *ret, struct error *err)
{
	_cleanup_free_ char *again = NULL;
	_cleanup_json_ json *o = NULL;

	*ret = (struct continued){0};
	if (json_parse(text, len, &o, NULL) == 0) {
		ret->position = json_get_uint(o, "position", 0);
		ret->stored = json_get_uint(o, "stored", 0);
		ret->sparse = json_get_bool(o, "sparse", false);
		JSON_FOREACH (sum, json_get(o, "sums"))
			if (json_object_is_type(sum, json_type_string))
				strv_add(&ret->sums, json_object_get_string(sum));
		again = continued_format(ret);
		if (strlen(again) == len && memcmp(again, text, len) == 0)
			return 0;
		strv_fini(&ret->sums);
	}
	return error_set(err, ERROR_DAMAGED, "bundle %s is damaged: %s is not what godwit writes", bundle,
		BUNDLE_CONTINUED_NAME);
}

size_t bundle_find_position(const struct bundle_manifest *m, uint64_t position, uint64_t *ret_offset)
{
	size_t i = 0;

	while (i < m->members.n && position >= m->members.items[i].size)
		position -= m->members.items[i++].size;
	*ret_offset = position;
	return i;
}
