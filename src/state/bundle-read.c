/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a bundle. The manifest, which is the first, says what comes; so every header is compared with the only one it can be, and
 * nothing in a bundle can name a file, a size or an order of its own choice. What a file holds already of an earlier try is
 * compared, and written only where it differs. Sums are compared at the end, when all have been read.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle-tar.h"
#include "bundle.h"
#include "file.h"

#define PIECE_SIZE (64u << 10) /* what a pipe holds */
/* A stream's continued.json: a sum for each member. */
#define CONTINUED_MAX (BUNDLE_MEMBERS_MAX * 40u + 256)

struct reader {
	int fd;
	const char *name;
	const struct bundle_read_ops *ops;
	void *userdata;
	uint8_t *buffer, *old; /* PIECE_SIZE each */
	struct bundle_manifest manifest;
	char *manifest_text;
	struct continued begin;
	struct sum sum;
	struct strv sums; /* of the members, as they are in the files now */
};

static int truncated(const struct reader *r, const char *member, struct error *err)
{
	return error_set(err, ERROR_DAMAGED, "bundle %s is cut: it ends within %s", r->name, member);
}

static int damaged(const struct reader *r, const char *member, const char *what, struct error *err)
{
	return error_set(err, ERROR_DAMAGED, "bundle %s is damaged: %s of %s", r->name, what, member);
}

static int take(struct reader *r, void *data, size_t len, const char *member, struct error *err)
{
	ssize_t n = read_full(r->fd, data, len);

	if (n < 0)
		return error_errno(err, errno, "read bundle %s", r->name);
	return (size_t)n < len ? truncated(r, member, err) : 0;
}

static int take_padding(struct reader *r, uint64_t stored, const char *member, struct error *err)
{
	uint8_t block[TAR_BLOCK];
	size_t len = tar_padding(stored);

	if (take(r, block, len, member, err) < 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (block[i])
			return damaged(r, member, "the padding", err);
	return 0;
}

/* The header must be this one. `first`: its first block, when that was read already; or NULL. */
static int take_header(
	struct reader *r, const struct tar_entry *entry, const uint8_t *first, struct error *err)
{
	_cleanup_(buf_fini) struct buf want = {0};
	_cleanup_free_ uint8_t *got = NULL;
	size_t have = first ? TAR_BLOCK : 0;

	tar_header_format(entry, &want);
	got = xcalloc(1, want.len);
	if (first)
		memcpy(got, first, TAR_BLOCK);
	if (take(r, got + have, want.len - have, entry->name, err) < 0)
		return -1;
	return memcmp(got, want.data, want.len) != 0 ? damaged(r, entry->name, "the header", err) : 0;
}

/* The text of an entry whose header block was read. */
static int take_text(struct reader *r, const char *member, uint64_t size, struct buf *ret, struct error *err)
{
	if (take(r, buf_reserve(ret, size), size, member, err) < 0)
		return -1;
	ret->len += size;
	ret->data[ret->len] = '\0';
	return take_padding(r, size, member, err);
}

static int take_manifest(struct reader *r, struct error *err)
{
	_cleanup_(buf_fini) struct buf text = {0};
	uint8_t block[TAR_BLOCK];
	uint64_t size;
	ssize_t n = read_full(r->fd, block, sizeof(block));

	if (n < 0)
		return error_errno(err, errno, "read bundle %s", r->name);
	if (n == 0)
		return error_set(err, ERROR_DAMAGED, "bundle %s is empty", r->name);
	if ((size_t)n < sizeof(block) || !tar_header_parse(block, BUNDLE_MANIFEST_NAME, &size) ||
		size > BUNDLE_MANIFEST_MAX)
		return error_set(err, ERROR_DAMAGED, "%s is no bundle of godwit's", r->name);
	if (take_text(r, BUNDLE_MANIFEST_NAME, size, &text, err) < 0 ||
		bundle_manifest_parse(text.data, text.len, r->name, &r->manifest, err) < 0)
		return -1;
	r->manifest_text = buf_take(&text);
	return 0;
}

/* ---- where the stream begins ---- */

static int check_continued(struct reader *r, size_t n, uint64_t offset, struct error *err)
{
	const struct continued *c = &r->begin;
	uint64_t left = n < r->manifest.members.n ? r->manifest.members.items[n].size - offset : 0;

	if (c->position == 0 || c->position > bundle_manifest_total(&r->manifest) ||
		c->sums.n != n + (offset > 0) ||
		(offset == 0 ? c->sparse || c->stored > 0
			     : (c->sparse ? c->stored > left + TAR_MAP_MAX : c->stored != left)))
		return damaged(r, BUNDLE_CONTINUED_NAME, "the position", err);
	return 0;
}

/* `block` is the first one behind the manifest. *ret_used: it was continued.json's. */
static int take_continued(struct reader *r, const uint8_t *block, bool *ret_used, struct error *err)
{
	_cleanup_(buf_fini) struct buf text = {0};
	uint64_t size;

	*ret_used = tar_header_parse(block, BUNDLE_CONTINUED_NAME, &size);
	if (!*ret_used)
		return 0;
	if (size > CONTINUED_MAX)
		return damaged(r, BUNDLE_CONTINUED_NAME, "the size", err);
	if (take_text(r, BUNDLE_CONTINUED_NAME, size, &text, err) < 0 ||
		continued_parse(text.data, text.len, r->name, &r->begin, err) < 0)
		return -1;
	return 0;
}

/* ---- filling files ---- */

/* Put bytes (NULL: zeros) into the file at `at`, where it has `have` bytes already. */
static int put(struct reader *r, int fd, const uint8_t *data, size_t len, uint64_t at, uint64_t have)
{
	static const uint8_t zeros[PIECE_SIZE];

	if (at < have) {
		size_t there = have - at < len ? (size_t)(have - at) : len;
		const uint8_t *want = data ? data : zeros;

		if (pread_full(fd, r->old, there, (off_t)at) < (ssize_t)there)
			return -1;
		if (memcmp(r->old, want, there) != 0 && pwrite_full(fd, want, there, (off_t)at) < 0)
			return -1;
		at += there;
		len -= there;
		data = data ? data + there : NULL;
	}
	if (len == 0)
		return 0;
	return data ? pwrite_full(fd, data, len, (off_t)at) : ftruncate(fd, (off_t)(at + len));
}

struct target {
	int fd;
	const struct bundle_member *member;
	uint64_t have; /* bytes the file had before */
};

static int put_error(const struct target *t, struct error *err)
{
	return error_errno(err, errno ? errno : EIO, "write %s", t->member->name);
}

static int fill_zeros(struct reader *r, const struct target *t, uint64_t at, uint64_t len, struct error *err)
{
	sum_add_zeros(&r->sum, len);
	/* what was not there becomes one hole; what was is looked at piece by piece */
	while (len > 0) {
		uint64_t n = at >= t->have || len < PIECE_SIZE ? len : PIECE_SIZE;

		if (put(r, t->fd, NULL, n, at, t->have) < 0)
			return put_error(t, err);
		at += n;
		len -= n;
	}
	return 0;
}

static int fill_data(struct reader *r, const struct target *t, uint64_t at, uint64_t len, struct error *err)
{
	while (len > 0) {
		size_t n = len < PIECE_SIZE ? (size_t)len : PIECE_SIZE;
		ssize_t got = read_full(r->fd, r->buffer, n);

		if (got < 0)
			return error_errno(err, errno, "read bundle %s", r->name);
		/* also what came before the cut is kept */
		sum_add(&r->sum, r->buffer, (size_t)got);
		if (put(r, t->fd, r->buffer, (size_t)got, at, t->have) < 0)
			return put_error(t, err);
		if ((size_t)got < n)
			return truncated(r, t->member->name, err);
		at += n;
		len -= n;
	}
	return 0;
}

/* Numbers, one a line, up to the end of a block. *ret_len: the bytes of the map. */
static int take_map(
	struct reader *r, const char *member, struct map_parser *p, uint64_t *ret_len, struct error *err)
{
	uint64_t number = 0;
	unsigned digits = 0;
	int whole = 0;

	*ret_len = 0;
	while (!whole) {
		uint8_t block[TAR_BLOCK];

		if (*ret_len >= TAR_MAP_MAX)
			return damaged(r, member, "the map", err);
		if (take(r, block, sizeof(block), member, err) < 0)
			return -1;
		*ret_len += sizeof(block);
		for (size_t i = 0; i < sizeof(block); i++) {
			bool digit = block[i] >= '0' && block[i] <= '9';

			if (whole ? block[i] != 0
				  : !(digit && digits < 15) && !(block[i] == '\n' && digits > 0))
				return damaged(r, member, "the map", err);
			if (whole)
				continue;
			number = digit ? number * 10 + (block[i] - '0') : number;
			digits += digit;
			if (digit)
				continue;
			whole = map_parser_add(p, number);
			if (whole < 0)
				return damaged(r, member, "the map", err);
			number = digits = 0;
		}
	}
	return 0;
}

static int fill_extents(struct reader *r, const struct target *t, uint64_t offset,
	const struct extents *extents, struct error *err)
{
	uint64_t at = 0, size = t->member->size - offset;

	VEC_FOREACH (x, &extents->v) {
		if (fill_zeros(r, t, offset + at, x.offset - at, err) < 0 ||
			fill_data(r, t, offset + x.offset, x.len, err) < 0)
			return -1;
		at = x.offset + x.len;
	}
	return fill_zeros(r, t, offset + at, size - at, err);
}

static int fill_sparse(
	struct reader *r, const struct target *t, uint64_t offset, uint64_t stored, struct error *err)
{
	struct map_parser map = {.size = t->member->size - offset};
	uint64_t len, data = 0;
	int result = take_map(r, t->member->name, &map, &len, err);

	VEC_FOREACH (x, &map.extents.v)
		data += x.len;
	if (result == 0 && len + data != stored)
		result = damaged(r, t->member->name, "the map", err);
	if (result == 0)
		result = fill_extents(r, t, offset, &map.extents, err);
	VEC_FREE(&map.extents.v);
	return result;
}

/* One member from its header to its padding. `m`: as it stands in the stream. */
static int take_member(struct reader *r, const struct bundle_member *m, int fd, uint64_t offset,
	const uint8_t *first, struct error *err)
{
	_cleanup_free_ char *name = NULL;
	struct tar_entry entry = tar_entry_of(m, offset, &name);
	struct target t = {.fd = fd, .member = m};
	struct stat st;
	char text[BUNDLE_ID_SIZE];
	int result;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "look at %s", m->name);
	t.have = (uint64_t)st.st_size;
	if (t.have > m->size)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%s: what is there already is longer than what comes", m->name);
	if (take_header(r, &entry, first, err) < 0)
		return -1;
	result = m->sparse ? fill_sparse(r, &t, offset, m->stored, err)
			   : fill_data(r, &t, offset, m->size - offset, err);
	if (result < 0 || take_padding(r, m->stored, m->name, err) < 0)
		return -1;
	sum_format(&r->sum, text);
	strv_add(&r->sums, text);
	return 0;
}

/* The first `len` bytes of member i, which came earlier: they must be what the other side has. */
static int check_earlier(
	struct reader *r, size_t i, const struct bundle_member *m, int fd, uint64_t len, struct error *err)
{
	char text[BUNDLE_ID_SIZE];

	if (sum_add_file(&r->sum, fd, 0, len) < 0) {
		if (errno != ENODATA)
			return error_errno(err, errno, "read %s", m->name);
		return error_set(err, ERROR_OPERATION_FAILED,
			"bundle %s goes on at byte %" PRIu64 " of %s, which is not there up to that", r->name,
			len, m->name);
	}
	sum_format(&r->sum, text);
	if (!streq(text, r->begin.sums.items[i]))
		return error_set(err, ERROR_DAMAGED,
			"what is there of %s is not what bundle %s has: it has to be thrown away", m->name,
			r->name);
	return 0;
}

/* A member that lies before the position, in part (offset) or as a whole. */
static int take_earlier(struct reader *r, size_t i, int fd, uint64_t len, struct error *err)
{
	const struct bundle_member *m = &r->manifest.members.items[i];

	if (check_earlier(r, i, m, fd, len, err) < 0)
		return -1;
	if (len == m->size)
		strv_add(&r->sums, r->begin.sums.items[i]);
	return 0;
}

static int fill_member(
	struct reader *r, size_t i, size_t n_before, uint64_t offset, const uint8_t *first, struct error *err)
{
	struct bundle_member m = r->manifest.members.items[i];
	_cleanup_close_ int fd = r->ops->open(i, r->userdata, err);

	if (fd < 0)
		return -1;
	sum_init(&r->sum);
	if (i < n_before) {
		if (take_earlier(r, i, fd, m.size, err) < 0)
			return -1;
	} else {
		if (i == n_before && offset > 0) {
			if (take_earlier(r, i, fd, offset, err) < 0)
				return -1;
			m.sparse = r->begin.sparse;
			m.stored = r->begin.stored;
		}
		if (take_member(r, &m, fd, i == n_before ? offset : 0, first, err) < 0)
			return -1;
	}
	return r->ops->filled(i, fd, r->userdata, err);
}

/* ---- the end ---- */

static void format_sums(const struct reader *r, struct buf *out)
{
	char id[BUNDLE_ID_SIZE];

	bundle_manifest_id(r->manifest_text, id);
	sums_line_format(id, BUNDLE_MANIFEST_NAME, out);
	for (size_t i = 0; i < r->sums.n; i++)
		sums_line_format(r->sums.items[i], r->manifest.members.items[i].name, out);
}

/* Whose line it is that differs; both texts have the same length. */
static int sums_differ(const struct reader *r, const char *got, const char *want, struct error *err)
{
	const char *line = want;

	for (size_t i = 0; got[i] == want[i]; i++)
		if (want[i] == '\n')
			line = want + i + 1;
	return error_set(err, ERROR_DAMAGED,
		"bundle %s is damaged: the contents of %.*s differ from what was exported", r->name,
		(int)(strcspn(line, "\n") - BUNDLE_ID_SIZE - 1), line + BUNDLE_ID_SIZE + 1);
}

static int take_sums(struct reader *r, const uint8_t *first, struct error *err)
{
	_cleanup_(buf_fini) struct buf want = {0}, got = {0};
	uint8_t end[TAR_END + 1];
	struct tar_entry entry = {.name = BUNDLE_SUMS_NAME};
	ssize_t n;

	format_sums(r, &want);
	entry.size = entry.stored = want.len;
	if (take_header(r, &entry, first, err) < 0 || take_text(r, BUNDLE_SUMS_NAME, want.len, &got, err) < 0)
		return -1;
	if (memcmp(got.data, want.data, want.len) != 0)
		return sums_differ(r, got.data, want.data, err);
	n = read_full(r->fd, end, sizeof(end));
	if (n < 0)
		return error_errno(err, errno, "read bundle %s", r->name);
	if (n < (ssize_t)TAR_END)
		return truncated(r, "the blocks that end it", err);
	for (size_t i = 0; i < TAR_END; i++)
		if (end[i])
			return damaged(r, "it", "the end", err);
	if (n > (ssize_t)TAR_END)
		return error_set(
			err, ERROR_DAMAGED, "bundle %s is damaged: something stands behind its end", r->name);
	return 0;
}

static int take_all(struct reader *r, struct error *err)
{
	uint8_t block[TAR_BLOCK];
	const uint8_t *first = block;
	size_t n_before = 0;
	uint64_t offset = 0;
	bool continued;
	int begun;

	if (take_manifest(r, err) < 0 || take(r, block, sizeof(block), "the manifest's end", err) < 0 ||
		take_continued(r, block, &continued, err) < 0)
		return -1;
	if (continued) {
		first = NULL;
		n_before = bundle_find_position(&r->manifest, r->begin.position, &offset);
		if (check_continued(r, n_before, offset, err) < 0)
			return -1;
	}
	begun = r->ops->begin(&r->manifest, r->manifest_text, r->begin.position, r->userdata, err);
	if (begun != 0)
		return begun;
	for (size_t i = 0; i < r->manifest.members.n; i++) {
		if (fill_member(r, i, n_before, offset, i >= n_before ? first : NULL, err) < 0)
			return -1;
		first = i >= n_before ? NULL : first;
	}
	return take_sums(r, first, err);
}

int bundle_read(
	int fd, const char *name, const struct bundle_read_ops *ops, void *userdata, struct error *err)
{
	_cleanup_free_ uint8_t *buffer = xrealloc(NULL, 1, PIECE_SIZE), *old = xrealloc(NULL, 1, PIECE_SIZE);
	struct reader r = {
		.fd = fd, .name = name, .ops = ops, .userdata = userdata, .buffer = buffer, .old = old};
	int result = take_all(&r, err);

	bundle_manifest_fini(&r.manifest);
	free(r.manifest_text);
	sum_fini(&r.sum);
	strv_fini(&r.begin.sums);
	strv_fini(&r.sums);
	return result;
}
