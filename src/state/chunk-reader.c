/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chunk reader (chunk-reader.h).
 *
 * Chunk i goes to slot i % n. A thread takes the next chunk as soon as its slot is free, reads and sums it and marks the slot ready;
 * the user takes slots in order. An error is kept in its slot, so that it is met at its place in the file.
 */
#include "chunk-reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"

/* Slots besides one for each thread: how far reading may run ahead of its user. */
#define AHEAD 4u

struct slot {
	uint8_t *data; /* CHUNK_SIZE, page-aligned */
	bool ready;
	bool zero; /* a hole: data was not filled */
	struct error error;
};

struct chunk_reader {
	struct chunk_reader_options options;
	int fd;
	bool own_position;   /* the file position is nobody else's */
	uint64_t first, end; /* chunk numbers: [first, end) */

	/* The user's. */
	uint64_t next;
	struct slot scratch; /* for fetch */
	uint64_t scratch_index;

	/* Shared. */
	pthread_mutex_t lock;
	pthread_cond_t freed, ready;
	struct slot *slots;
	unsigned n_slots;
	uint64_t to_read; /* the next chunk for a thread to take */
	uint64_t taken;	  /* chunks before this one are done with */
	bool stop;

	pthread_t *threads;
	unsigned n_threads;
};

static void chunk_bounds(const struct chunk_reader *r, uint64_t index, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t start = index * CHUNK_SIZE, end = start + CHUNK_SIZE;

	*ret_from = start > r->options.from ? start : r->options.from;
	*ret_to = end < r->options.to ? end : r->options.to;
}

static bool is_hole(const struct chunk_reader *r, uint64_t index)
{
	off_t start = (off_t)(index * CHUNK_SIZE), data;

	if (!r->own_position)
		return false;
	data = lseek(r->fd, start, SEEK_DATA);
	return data < 0 ? errno == ENXIO : data >= start + (off_t)CHUNK_SIZE;
}

static int truncated(const struct chunk_reader *r, uint64_t end, struct error *err)
{
	return error_set(err, ERROR_DAMAGED, "image %s is truncated: it has %" PRIu64 " bytes of %" PRIu64,
		r->options.name, end, r->options.to);
}

/* A chunk is checked piece by piece, so that the message says where to look. */
static int check(
	const struct chunk_reader *r, const struct slot *s, uint64_t from, uint64_t to, struct error *err)
{
	const struct trailer *t = r->options.trailer;

	if (!t || !t->n_sums)
		return 0;
	while (from < to) {
		const uint8_t *data = s->zero ? NULL : s->data + from % CHUNK_SIZE;
		uint64_t piece, end;

		trailer_piece_bounds(t, from, &piece, &end);
		if (trailer_check(t, r->options.name, data, from, end, err) < 0)
			return -1;
		from = end;
	}
	return 0;
}

static int read_chunk(const struct chunk_reader *r, uint64_t index, struct slot *s, struct error *err)
{
	uint64_t start = index * CHUNK_SIZE, from, to;
	ssize_t n;

	chunk_bounds(r, index, &from, &to);
	s->zero = to - from == CHUNK_SIZE && is_hole(r, index);
	if (!s->zero) {
		n = pread_full(r->fd, s->data, CHUNK_SIZE, (off_t)start);
		if (n < 0)
			return error_errno(err, errno, "read %s", r->options.name);
		if (start + (uint64_t)n < to)
			return truncated(r, start + (uint64_t)n, err);
	}
	return check(r, s, from, to, err);
}

static void *reader_thread(void *arg)
{
	struct chunk_reader *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop && r->to_read < r->end) {
		uint64_t index = r->to_read;
		struct slot *s = &r->slots[index % r->n_slots];

		if (index >= r->taken + r->n_slots) {
			pthread_cond_wait(&r->freed, &r->lock);
			continue;
		}
		r->to_read++;
		pthread_mutex_unlock(&r->lock);
		error_clear(&s->error);
		read_chunk(r, index, s, &s->error);
		pthread_mutex_lock(&r->lock);
		s->ready = true;
		pthread_cond_signal(&r->ready);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int chunk_reader_next(struct chunk_reader *r, struct chunk_view *ret, struct error *err)
{
	uint64_t index = r->next, from, to;
	struct slot *s = &r->slots[index % r->n_slots];

	pthread_mutex_lock(&r->lock);
	if (index > r->first) {
		r->slots[(index - 1) % r->n_slots].ready = false;
		r->taken = index;
		pthread_cond_broadcast(&r->freed);
	}
	while (index < r->end && !s->ready)
		pthread_cond_wait(&r->ready, &r->lock);
	pthread_mutex_unlock(&r->lock);
	if (index >= r->end)
		return 0;
	if (s->error.code != ERROR_NONE)
		return error_copy(err, &s->error);
	chunk_bounds(r, index, &from, &to);
	*ret = (struct chunk_view){.offset = from,
		.data = s->zero ? NULL : s->data + from % CHUNK_SIZE,
		.len = (size_t)(to - from)};
	r->next++;
	return 1;
}

int chunk_reader_fetch(struct chunk_reader *r, uint64_t offset, void *data, size_t len, struct error *err)
{
	uint8_t *to = data;

	if (offset < r->options.from || offset > r->options.to || len > r->options.to - offset)
		return error_set(err, ERROR_DAMAGED,
			"image %s is damaged or truncated: %zu bytes at offset %" PRIu64
			" are beyond its end (%" PRIu64 ")",
			r->options.name, len, offset, r->options.to);
	while (len > 0) {
		uint64_t index = offset / CHUNK_SIZE;
		size_t room = CHUNK_SIZE - offset % CHUNK_SIZE;

		if (room > len)
			room = len;
		if (index != r->scratch_index) {
			r->scratch_index = UINT64_MAX;
			if (read_chunk(r, index, &r->scratch, err) < 0)
				return -1;
			r->scratch_index = index;
		}
		if (r->scratch.zero)
			memset(to, 0, room);
		else
			memcpy(to, r->scratch.data + offset % CHUNK_SIZE, room);
		offset += room;
		to += room;
		len -= room;
	}
	return 0;
}

static int slot_init(struct slot *s, struct error *err)
{
	s->data = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->data == MAP_FAILED) {
		s->data = NULL;
		return error_errno(err, errno, "no memory for a buffer");
	}
	madvise(s->data, CHUNK_SIZE, MADV_HUGEPAGE); /* fewer faults and pages to pin */
	return 0;
}

/*
 * A description with a file position of its own: looking for holes moves it, and QEMU may be reading the very
 * description we were given.
 */
static int open_again(const struct chunk_reader_options *o, bool *ret_own_position)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", o->fd);
	int fd = o->direct ? open(path, O_RDONLY | O_CLOEXEC | O_DIRECT) : -1;

	if (fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_own_position = fd >= 0;
	return fd >= 0 ? fd : fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
}

static int prepare(struct chunk_reader *r, struct error *err)
{
	unsigned n_slots;

	r->fd = open_again(&r->options, &r->own_position);
	if (r->fd < 0)
		return error_errno(err, errno, "open %s", r->options.name);
	posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (slot_init(&r->scratch, err) < 0)
		return -1;
	n_slots = r->options.threads + AHEAD < r->end - r->first ? r->options.threads + AHEAD
								 : (unsigned)(r->end - r->first);
	r->slots = xcalloc(n_slots, sizeof(*r->slots));
	while (r->n_slots < n_slots) {
		if (slot_init(&r->slots[r->n_slots], err) < 0)
			return -1;
		r->n_slots++;
	}
	return 0;
}

static int start_threads(struct chunk_reader *r, struct error *err)
{
	r->threads = xcalloc(r->options.threads, sizeof(*r->threads));
	while (r->n_threads < r->options.threads) {
		int e = pthread_create(&r->threads[r->n_threads], NULL, reader_thread, r);

		if (e != 0)
			return error_errno(err, e, "start a thread");
		r->n_threads++;
	}
	return 0;
}

int chunk_reader_start(
	const struct chunk_reader_options *options, struct chunk_reader **ret, struct error *err)
{
	struct chunk_reader *r = NEW(struct chunk_reader);

	assert(options->to > options->from);
	r->options = *options;
	r->fd = -1;
	r->first = options->from / CHUNK_SIZE;
	r->end = (options->to - 1) / CHUNK_SIZE + 1;
	/* A small image needs few of both. */
	if (r->options.threads > r->end - r->first)
		r->options.threads = (unsigned)(r->end - r->first);
	r->next = r->to_read = r->taken = r->first;
	r->scratch_index = UINT64_MAX;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->freed, NULL);
	pthread_cond_init(&r->ready, NULL);
	if (prepare(r, err) < 0 || start_threads(r, err) < 0) {
		chunk_reader_free(r);
		return -1;
	}
	*ret = r;
	return 0;
}

void chunk_reader_free(struct chunk_reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_broadcast(&r->freed);
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < r->n_threads; i++)
		pthread_join(r->threads[i], NULL);
	for (unsigned i = 0; i < r->n_slots; i++)
		munmap(r->slots[i].data, CHUNK_SIZE);
	if (r->scratch.data)
		munmap(r->scratch.data, CHUNK_SIZE);
	if (r->fd >= 0)
		close(r->fd);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->freed);
	pthread_cond_destroy(&r->ready);
	free(r->threads);
	free(r->slots);
	free(r);
}
