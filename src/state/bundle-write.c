/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a bundle, from files that nobody must write meanwhile. One pass: sums come behind what they are of. A stream that goes on
 * with another reads what lies before its position once more, for the sums.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "bundle-tar.h"
#include "bundle.h"
#include "file.h"

#define PIECE_SIZE (256u << 10)

struct writer {
	const struct bundle_write_options *o;
	uint8_t *buffer;	/* PIECE_SIZE */
	struct sum sum;		/* of the member being read */
	struct strv sums;	/* of the members that are over */
	struct continued begin; /* where the stream begins */
};

static int emit(struct writer *w, const void *data, size_t len, struct error *err)
{
	return len > 0 ? w->o->write(data, len, w->o->userdata, err) : 0;
}

static int emit_padding(struct writer *w, uint64_t stored, struct error *err)
{
	static const uint8_t zeros[TAR_BLOCK];

	return emit(w, zeros, tar_padding(stored), err);
}

static int emit_header(struct writer *w, const struct tar_entry *e, struct error *err)
{
	_cleanup_(buf_fini) struct buf header = {0};

	tar_header_format(e, &header);
	return emit(w, header.data, header.len, err);
}

static int emit_text(struct writer *w, const char *name, const char *text, struct error *err)
{
	size_t len = strlen(text);

	if (emit_header(w, &(struct tar_entry){.name = name, .size = len, .stored = len}, err) < 0 ||
		emit(w, text, len, err) < 0)
		return -1;
	return emit_padding(w, len, err);
}

static int changed(const struct bundle_source *source, struct error *err)
{
	return error_set(err, ERROR_OPERATION_FAILED, "%s was changed while it was read", source->path);
}

static int copy(
	struct writer *w, const struct bundle_source *source, uint64_t at, uint64_t len, struct error *err)
{
	while (len > 0) {
		size_t want = len < PIECE_SIZE ? (size_t)len : PIECE_SIZE;
		ssize_t n = pread_full(source->fd, w->buffer, want, (off_t)at);

		if (n < 0)
			return error_errno(err, errno, "read %s", source->path);
		if ((size_t)n < want)
			return changed(source, err);
		sum_add(&w->sum, w->buffer, want);
		if (emit(w, w->buffer, want, err) < 0)
			return -1;
		at += want;
		len -= want;
	}
	return 0;
}

/* What a member is in the tar: with holes, a map and the pieces between them. */
static void set_stored(struct extents *e, uint64_t size, bool *ret_sparse, uint64_t *ret_stored)
{
	_cleanup_(buf_fini) struct buf map = {0};

	*ret_sparse = !extents_are_whole(e, size);
	*ret_stored = size;
	if (!*ret_sparse)
		return;
	extents_format(e, size, &map);
	*ret_stored = map.len;
	VEC_FOREACH (x, &e->v)
		*ret_stored += x.len;
}

static int emit_extents(struct writer *w, const struct bundle_source *source, const struct extents *e,
	const struct bundle_member *m, uint64_t offset, struct error *err)
{
	uint64_t done = 0, size = m->size - offset;

	if (m->sparse) {
		_cleanup_(buf_fini) struct buf map = {0};

		extents_format(e, size, &map);
		if (emit(w, map.data, map.len, err) < 0)
			return -1;
	}
	VEC_FOREACH (x, &e->v) {
		sum_add_zeros(&w->sum, x.offset - done);
		if (copy(w, source, offset + x.offset, x.len, err) < 0)
			return -1;
		done = x.offset + x.len;
	}
	sum_add_zeros(&w->sum, size - done);
	return emit_padding(w, m->stored, err);
}

/* `m` has the size of the whole, and is otherwise what stands in the stream from `offset` on. */
static int emit_data(struct writer *w, const struct bundle_source *source, const struct bundle_member *m,
	uint64_t offset, struct error *err)
{
	_cleanup_free_ char *name = NULL;
	struct tar_entry entry = tar_entry_of(m, offset, &name);
	struct extents e = {0};
	uint64_t stored;
	bool sparse;
	int r = -1;

	if (extents_find(source->fd, offset, m->size, source->path, &e, err) < 0)
		goto out;
	set_stored(&e, m->size - offset, &sparse, &stored);
	if (sparse != m->sparse || stored != m->stored) {
		changed(source, err);
		goto out;
	}
	r = emit_header(w, &entry, err);
	if (r == 0)
		r = emit_extents(w, source, &e, m, offset, err);
out:
	VEC_FREE(&e.v);
	return r;
}

int bundle_member_measure(struct bundle_member *m, const struct bundle_source *source, struct error *err)
{
	struct extents e = {0};
	struct stat st;
	int r;

	if (fstat(source->fd, &st) < 0)
		return error_errno(err, errno, "look at %s", source->path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_UNSUPPORTED, "%s is no regular file", source->path);
	m->size = (uint64_t)st.st_size;
	/* the definition is made anew each time, and is older than none of them */
	m->mtime_s = m->kind == BUNDLE_DEFINITION || st.st_mtim.tv_sec < 0 ? 0 : st.st_mtim.tv_sec;
	m->mtime_ns = m->mtime_s == 0 ? 0 : (uint32_t)st.st_mtim.tv_nsec;
	if (m->kind == BUNDLE_DEFINITION) {
		m->sparse = false;
		m->stored = m->size;
		return 0;
	}
	r = extents_find(source->fd, 0, m->size, source->path, &e, err);
	if (r == 0)
		set_stored(&e, m->size, &m->sparse, &m->stored);
	VEC_FREE(&e.v);
	return r;
}

/* After a member was read: it must be what it was when it was measured. */
static int check_unchanged(
	const struct bundle_member *m, const struct bundle_source *source, struct error *err)
{
	struct stat st;

	if (fstat(source->fd, &st) < 0)
		return error_errno(err, errno, "look at %s", source->path);
	if ((uint64_t)st.st_size == m->size &&
		(m->mtime_s == 0 || (st.st_mtim.tv_sec == m->mtime_s && st.st_mtim.tv_nsec == m->mtime_ns)))
		return 0;
	return changed(source, err);
}

/* The sum of what lies before the position, without writing it. */
static int pass_over(
	struct writer *w, const struct bundle_source *source, uint64_t from, uint64_t to, struct error *err)
{
	char text[BUNDLE_ID_SIZE];

	if (sum_add_file(&w->sum, source->fd, from, to) < 0)
		return errno == ENODATA ? changed(source, err)
					: error_errno(err, errno, "read %s", source->path);
	sum_format(&w->sum, text);
	strv_add(&w->begin.sums, text);
	return 0;
}

/* Reads everything before the position and says so in the stream. *ret_member: the first that has something to be written. */
static int begin_continued(struct writer *w, size_t *ret_member, uint64_t *ret_offset, struct error *err)
{
	const struct bundle_manifest *m = w->o->manifest;
	_cleanup_free_ char *text = NULL;
	size_t n = bundle_find_position(m, w->o->position, ret_offset);

	for (size_t i = 0; i < n; i++) {
		sum_init(&w->sum);
		if (pass_over(w, &w->o->sources[i], 0, m->members.items[i].size, err) < 0)
			return -1;
		strv_add(&w->sums, w->begin.sums.items[i]);
	}
	sum_init(&w->sum);
	w->begin.position = w->o->position;
	if (*ret_offset > 0) {
		const struct bundle_source *source = &w->o->sources[n];
		uint64_t size = m->members.items[n].size;
		struct extents e = {0};

		if (pass_over(w, source, 0, *ret_offset, err) < 0 ||
			extents_find(source->fd, *ret_offset, size, source->path, &e, err) < 0)
			return -1;
		set_stored(&e, size - *ret_offset, &w->begin.sparse, &w->begin.stored);
		VEC_FREE(&e.v);
	}
	*ret_member = n;
	text = continued_format(&w->begin);
	return emit_text(w, BUNDLE_CONTINUED_NAME, text, err);
}

static int write_members(struct writer *w, struct error *err)
{
	const struct bundle_manifest *m = w->o->manifest;
	size_t first = 0;
	uint64_t offset = 0;

	sum_init(&w->sum);
	if (w->o->position > 0 && begin_continued(w, &first, &offset, err) < 0)
		return -1;
	for (size_t i = first; i < m->members.n; i++) {
		struct bundle_member member = m->members.items[i];
		char text[BUNDLE_ID_SIZE];

		if (offset > 0) {
			member.sparse = w->begin.sparse;
			member.stored = w->begin.stored;
		}
		if (emit_data(w, &w->o->sources[i], &member, offset, err) < 0)
			return -1;
		sum_format(&w->sum, text);
		strv_add(&w->sums, text);
		sum_init(&w->sum);
		offset = 0;
	}
	/* all at the end, for the first may have changed while the last was read */
	for (size_t i = 0; i < m->members.n; i++)
		if (check_unchanged(&m->members.items[i], &w->o->sources[i], err) < 0)
			return -1;
	return 0;
}

static int write_sums(struct writer *w, const char *manifest, struct error *err)
{
	static const uint8_t end[TAR_END];
	_cleanup_(buf_fini) struct buf text = {0};
	char id[BUNDLE_ID_SIZE];

	bundle_manifest_id(manifest, id);
	sums_line_format(id, BUNDLE_MANIFEST_NAME, &text);
	for (size_t i = 0; i < w->sums.n; i++)
		sums_line_format(w->sums.items[i], w->o->manifest->members.items[i].name, &text);
	if (emit_text(w, BUNDLE_SUMS_NAME, text.data, err) < 0)
		return -1;
	return emit(w, end, sizeof(end), err);
}

int bundle_write(const struct bundle_write_options *options, struct error *err)
{
	_cleanup_free_ char *manifest = bundle_manifest_format(options->manifest);
	_cleanup_free_ uint8_t *buffer = xrealloc(NULL, 1, PIECE_SIZE);
	struct writer w = {.o = options, .buffer = buffer};
	int r = -1;

	if (options->position > bundle_manifest_total(options->manifest))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"the position %" PRIu64 " is behind the end of the bundle, which has %" PRIu64
			" bytes",
			options->position, bundle_manifest_total(options->manifest));
	if (emit_text(&w, BUNDLE_MANIFEST_NAME, manifest, err) == 0 && write_members(&w, err) == 0 &&
		(!options->confirm || options->confirm(options->userdata, err) == 0))
		r = write_sums(&w, manifest, err);
	sum_fini(&w.sum);
	strv_fini(&w.sums);
	strv_fini(&w.begin.sums);
	return r;
}
