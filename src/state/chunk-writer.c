/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chunk writer (chunk-writer.h).
 *
 * The filling thread has one current chunk and a few pinned ones. A chunk it is done with goes to the queue, from which the writer
 * threads take it, sum it, write it and put its buffer back. Whole chunks of 4 MiB keep the device busy with two or three threads:
 * while one chunk is being written the next is summed.
 */
#include "chunk-writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "file.h"

#define PAGES	   (CHUNK_SIZE / CHUNK_PAGE)
#define PIECES	   (CHUNK_SIZE / TRAILER_PIECE)
#define WORD_BITS  64u
#define PINNED_MAX 32u
/* Buffers besides those the threads hold and the pinned ones: what the sender may run ahead. */
#define AHEAD 3u

struct chunk {
	uint8_t *data; /* CHUNK_SIZE, page-aligned */
	uint64_t index;
	uint64_t present[PAGES / WORD_BITS];
	bool pinned;
	struct chunk *next;
};

struct chunk_writer {
	struct chunk_writer_options options;
	int fd;		   /* our own, O_DIRECT when possible */
	bool device;	   /* has no holes: every byte is written */
	uint64_t zero_sum; /* of a whole piece */
	uint64_t data_end; /* known once settled */

	/* The filling thread's. */
	struct chunk *current;
	struct chunk *pinned;
	unsigned n_pinned;
	struct chunk *mapped; /* current or pinned: what map returned last */
	bool *seen;	      /* by chunk: was opened before */
	size_t n_seen;

	/* Shared. */
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct chunk *free, *queue, **queue_tail;
	unsigned busy; /* chunks queued or being written */
	bool stop;
	struct error error; /* the first one */
	uint64_t *sums;	    /* by piece; what was never written is zeros */
	size_t n_sums;

	pthread_t *threads;
	unsigned n_threads;
};

static bool is_present(const struct chunk *c, unsigned page)
{
	return c->present[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

static void set_present(struct chunk *c, unsigned page)
{
	c->present[page / WORD_BITS] |= UINT64_C(1) << (page % WORD_BITS);
}

static struct chunk *chunk_new(struct error *err)
{
	struct chunk *c = NEW(struct chunk);

	c->data = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Fewer faults, and fewer pages for direct I/O to pin. */
	if (c->data != MAP_FAILED)
		madvise(c->data, CHUNK_SIZE, MADV_HUGEPAGE);
	if (c->data == MAP_FAILED) {
		error_errno(err, errno, "no memory for a buffer");
		free(c);
		return NULL;
	}
	return c;
}

static void chunk_free_all(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		munmap(c->data, CHUNK_SIZE);
		free(c);
		c = next;
	}
}

/* The part of a piece, by its number in the file, that is state; false when there is none. */
static bool piece_range(const struct chunk_writer *w, uint64_t piece, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t start = piece * TRAILER_PIECE, end = start + TRAILER_PIECE;

	*ret_from = w->options.sum_from > start ? w->options.sum_from : start;
	*ret_to = w->data_end < end ? w->data_end : end;
	return *ret_from < *ret_to;
}

static void sum_pieces(const struct chunk_writer *w, const struct chunk *c, uint64_t ret[PIECES])
{
	for (unsigned i = 0; i < PIECES; i++) {
		uint64_t from, to;

		if (piece_range(w, c->index * PIECES + i, &from, &to))
			ret[i] = checksum(c->data + from % CHUNK_SIZE, (size_t)(to - from));
	}
}

static void fill_gaps(struct chunk_writer *w, struct chunk *c)
{
	bool tail = w->data_end != UINT64_MAX; /* the device may end with the image */
	unsigned last = 0;

	for (unsigned i = 0; i < PAGES; i++) {
		if (!is_present(c, i))
			memset(c->data + (size_t)i * CHUNK_PAGE, 0, CHUNK_PAGE);
		else
			last = i;
	}
	if (w->device)
		for (unsigned i = 0; i < (tail ? last : PAGES); i++)
			set_present(c, i);
}

/* Direct I/O that the file system refuses only now is done through the page cache. */
static int write_at(struct chunk_writer *w, const void *data, size_t len, uint64_t offset)
{
	int flags;

	if (pwrite_full(w->fd, data, len, (off_t)offset) == 0)
		return 0;
	flags = fcntl(w->fd, F_GETFL);
	if (errno != EINVAL || flags < 0 || !(flags & O_DIRECT))
		return -1;
	if (fcntl(w->fd, F_SETFL, flags & ~O_DIRECT) < 0)
		return -1;
	return pwrite_full(w->fd, data, len, (off_t)offset);
}

static int write_chunk(struct chunk_writer *w, struct chunk *c, uint64_t ret_sums[PIECES], struct error *err)
{
	uint64_t start = c->index * CHUNK_SIZE;

	fill_gaps(w, c);
	sum_pieces(w, c, ret_sums);
	for (unsigned i = 0; i < PAGES;) {
		unsigned end = i;

		while (end < PAGES && is_present(c, end))
			end++;
		if (end > i) {
			size_t len = (size_t)(end - i) * CHUNK_PAGE, at = (size_t)i * CHUNK_PAGE;

			if (write_at(w, c->data + at, len, start + at) < 0)
				return error_errno(err, errno, "write %s", w->options.name);
			if (w->options.written)
				*w->options.written += len;
		}
		i = end + 1;
	}
	return 0;
}

/* Under the lock. */
static void set_sums(struct chunk_writer *w, uint64_t index, const uint64_t sums[PIECES])
{
	size_t first = index * PIECES;

	if (first >= w->n_sums) {
		size_t n = (index + index / 2 + 256) * PIECES;

		w->sums = xrealloc(w->sums, n, sizeof(*w->sums));
		for (size_t i = w->n_sums; i < n; i++)
			w->sums[i] = w->zero_sum;
		w->n_sums = n;
	}
	memcpy(w->sums + first, sums, PIECES * sizeof(*sums));
}

static void put_back(struct chunk_writer *w, struct chunk *c)
{
	if (c->pinned) {
		/* Its buffer came on top of the pool. */
		munmap(c->data, CHUNK_SIZE);
		free(c);
		return;
	}
	c->next = w->free;
	w->free = c;
}

static void *writer_thread(void *arg)
{
	struct chunk_writer *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct chunk *c = w->queue;
		struct error err = ERROR_INIT;
		uint64_t sums[PIECES] = {0};

		if (!c) {
			if (w->stop)
				break;
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		w->queue = c->next;
		if (!w->queue)
			w->queue_tail = &w->queue;
		if (w->error.code == ERROR_NONE) {
			pthread_mutex_unlock(&w->lock);
			write_chunk(w, c, sums, &err);
			pthread_mutex_lock(&w->lock);
			if (err.code != ERROR_NONE && w->error.code == ERROR_NONE)
				w->error = err;
			set_sums(w, c->index, sums);
		}
		put_back(w, c);
		w->busy--;
		pthread_cond_broadcast(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void submit(struct chunk_writer *w, struct chunk *c)
{
	pthread_mutex_lock(&w->lock);
	c->next = NULL;
	*w->queue_tail = c;
	w->queue_tail = &c->next;
	w->busy++;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

static int wait_idle(struct chunk_writer *w, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	while (w->busy)
		pthread_cond_wait(&w->done, &w->lock);
	if (w->error.code != ERROR_NONE)
		r = error_copy(err, &w->error);
	pthread_mutex_unlock(&w->lock);
	return r;
}

static struct chunk *take_free(struct chunk_writer *w, struct error *err)
{
	struct chunk *c = NULL;

	pthread_mutex_lock(&w->lock);
	while (!w->free && w->error.code == ERROR_NONE)
		pthread_cond_wait(&w->done, &w->lock);
	if (w->error.code != ERROR_NONE) {
		error_copy(err, &w->error);
	} else {
		c = w->free;
		w->free = c->next;
	}
	pthread_mutex_unlock(&w->lock);
	return c;
}

/* Has this chunk been given to the writers before? From now on it has. */
static bool see(struct chunk_writer *w, uint64_t index)
{
	bool before;

	if (index >= w->n_seen) {
		size_t n = index + index / 2 + 256;

		w->seen = xrealloc(w->seen, n, sizeof(*w->seen));
		memset(w->seen + w->n_seen, 0, n - w->n_seen);
		w->n_seen = n;
	}
	before = w->seen[index];
	w->seen[index] = true;
	return before;
}

/* The chunk went to the file before: everything in it is taken as present from now on. */
static int read_back(struct chunk_writer *w, struct chunk *c, struct error *err)
{
	ssize_t n = pread_full(w->fd, c->data, CHUNK_SIZE, (off_t)(c->index * CHUNK_SIZE));

	if (n < 0)
		return error_errno(err, errno, "read back %s", w->options.name);
	memset(c->data + n, 0, CHUNK_SIZE - (size_t)n);
	for (unsigned i = 0; i < ((size_t)n + CHUNK_PAGE - 1) / CHUNK_PAGE; i++)
		set_present(c, i);
	return 0;
}

static struct chunk *open_chunk(struct chunk_writer *w, uint64_t index, bool pin, struct error *err)
{
	bool again = see(w, index);
	struct chunk *c;

	if (again && wait_idle(w, err) < 0)
		return NULL;
	c = pin ? chunk_new(err) : take_free(w, err);
	if (!c)
		return NULL;
	c->index = index;
	c->pinned = pin;
	c->next = NULL;
	memset(c->present, 0, sizeof(c->present));
	if (again && read_back(w, c, err) < 0) {
		pthread_mutex_lock(&w->lock);
		put_back(w, c);
		pthread_mutex_unlock(&w->lock);
		return NULL;
	}
	return c;
}

/* The open chunk of this index, opened when it is not. */
static struct chunk *get_chunk(struct chunk_writer *w, uint64_t index, struct error *err)
{
	struct chunk *c = w->current;

	if (c && c->index == index)
		return c;
	for (c = w->pinned; c; c = c->next)
		if (c->index == index)
			return c;
	if (w->current)
		submit(w, TAKE_PTR(w->current));
	w->current = open_chunk(w, index, false, err);
	return w->current;
}

int chunk_writer_map(
	struct chunk_writer *w, uint64_t offset, uint8_t **ret, size_t *ret_room, struct error *err)
{
	struct chunk *c = get_chunk(w, offset / CHUNK_SIZE, err);

	if (!c)
		return -1;
	*ret = c->data + offset % CHUNK_SIZE;
	*ret_room = CHUNK_SIZE - offset % CHUNK_SIZE;
	w->mapped = c;
	return 0;
}

void chunk_writer_mark(struct chunk_writer *w, uint64_t offset, size_t len)
{
	struct chunk *c = w->mapped;
	size_t from = offset % CHUNK_SIZE, to = from + len;

	assert(c && c->index == offset / CHUNK_SIZE && to <= CHUNK_SIZE);
	for (unsigned i = (unsigned)(from / CHUNK_PAGE); (size_t)i * CHUNK_PAGE < to; i++) {
		size_t start = (size_t)i * CHUNK_PAGE, end = start + CHUNK_PAGE;

		if (is_present(c, i))
			continue;
		/* What nobody filled of a new page is zero, not what the buffer held before. */
		if (start < from)
			memset(c->data + start, 0, from - start);
		if (end > to)
			memset(c->data + to, 0, end - to);
		set_present(c, i);
	}
}

int chunk_writer_put(struct chunk_writer *w, uint64_t offset, const void *data, size_t len, struct error *err)
{
	const uint8_t *from = data;

	while (len > 0) {
		uint8_t *to;
		size_t room;

		if (chunk_writer_map(w, offset, &to, &room, err) < 0)
			return -1;
		if (room > len)
			room = len;
		memcpy(to, from, room);
		chunk_writer_mark(w, offset, room);
		offset += room;
		from += room;
		len -= room;
	}
	return 0;
}

int chunk_writer_pin(struct chunk_writer *w, uint64_t offset, struct error *err)
{
	uint64_t index = offset / CHUNK_SIZE;
	struct chunk *c;

	for (c = w->pinned; c; c = c->next)
		if (c->index == index)
			return 0;
	/* Beyond the limit, and for a chunk already open, reading back is good enough. */
	if (w->n_pinned == PINNED_MAX || (w->current && w->current->index == index))
		return 0;
	c = open_chunk(w, index, true, err);
	if (!c)
		return -1;
	c->next = w->pinned;
	w->pinned = c;
	w->n_pinned++;
	return 0;
}

int chunk_writer_check_room(struct chunk_writer *w, uint64_t end, struct error *err)
{
	int64_t size = w->device ? image_file_size(w->fd) : INT64_MAX;

	if (size < 0)
		return error_errno(err, errno, "look at %s", w->options.name);
	if (end > (uint64_t)size)
		return error_errno(err, ENOSPC,
			"write %s: %" PRIu64 " bytes are needed, %" PRId64 " are there", w->options.name, end,
			size);
	return 0;
}

/* Give all open chunks to the writers, in order of their place, and wait. */
static int flush(struct chunk_writer *w, const struct chunk *except, struct error *err)
{
	struct chunk **c = &w->pinned;

	if (w->current && w->current != except)
		submit(w, TAKE_PTR(w->current));
	while (*c) {
		struct chunk *taken = *c;

		if (taken == except) {
			c = &taken->next;
			continue;
		}
		*c = taken->next;
		w->n_pinned--;
		submit(w, taken);
	}
	return wait_idle(w, err);
}

/* A device has no holes: what was never filled is zeroed there. */
static int zero_device(struct chunk_writer *w, uint64_t index, struct error *err)
{
	_cleanup_free_ uint8_t *zeros = NULL;

	if (fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(index * CHUNK_SIZE),
		    CHUNK_SIZE) == 0)
		return 0;
	zeros = aligned_alloc(CHUNK_PAGE, CHUNK_SIZE);
	if (!zeros)
		return error_errno(err, ENOMEM, "write %s", w->options.name);
	memset(zeros, 0, CHUNK_SIZE);
	if (write_at(w, zeros, CHUNK_SIZE, index * CHUNK_SIZE) < 0)
		return error_errno(err, errno, "write %s", w->options.name);
	return 0;
}

/* Chunks that were never opened are zeros. */
static int zero_gaps(struct chunk_writer *w, const struct trailer *t, struct error *err)
{
	for (uint64_t i = t->stream_offset / CHUNK_SIZE; w->device && i < (t->data_end - 1) / CHUNK_SIZE; i++)
		if ((i >= w->n_seen || !w->seen[i]) && zero_device(w, i, err) < 0)
			return -1;
	return 0;
}

static void collect_sums(const struct chunk_writer *w, struct trailer *t)
{
	uint64_t first = t->stream_offset / TRAILER_PIECE;

	t->sums = xcalloc(t->n_sums + 1, sizeof(uint64_t));
	for (size_t i = 0; i < t->n_sums; i++)
		t->sums[i] = first + i < w->n_sums ? w->sums[first + i] : w->zero_sum;
}

int chunk_writer_settle(struct chunk_writer *w, uint64_t data_end, struct error *err)
{
	const struct chunk *last = get_chunk(w, (data_end - 1) / CHUNK_SIZE, err);

	/* The last chunk waits: it is summed, and written to a device, only as far as the state goes. */
	if (!last || flush(w, last, err) < 0)
		return -1;
	w->data_end = data_end;
	return flush(w, NULL, err);
}

int chunk_writer_finish(struct chunk_writer *w, struct trailer *t, struct error *err)
{
	_cleanup_free_ uint8_t *encoded = NULL;
	uint64_t end = t->data_end + trailer_size(t);
	struct stat st;

	assert(w->data_end == t->data_end);
	if (zero_gaps(w, t, err) < 0)
		return -1;
	collect_sums(w, t);
	encoded = trailer_encode(t);
	if (chunk_writer_put(w, t->data_end, encoded, trailer_size(t), err) < 0 || flush(w, NULL, err) < 0)
		return -1;
	/* Direct I/O wrote whole pages. */
	if (fstat(w->fd, &st) < 0 || (S_ISREG(st.st_mode) && ftruncate(w->fd, (off_t)end) < 0))
		return error_errno(err, errno, "write %s", w->options.name);
	return 0;
}

int chunk_writer_publish(struct chunk_writer *w, const uint8_t *first_page, struct error *err)
{
	_cleanup_free_ uint8_t *page = aligned_alloc(CHUNK_PAGE, CHUNK_PAGE);

	if (!page)
		return error_errno(err, ENOMEM, "write %s", w->options.name);
	memcpy(page, first_page, CHUNK_PAGE);
	/* The complete header must not reach the disk before what it promises. */
	if (fdatasync(w->fd) < 0 || write_at(w, page, CHUNK_PAGE, 0) < 0 || fdatasync(w->fd) < 0)
		return error_errno(err, errno, "write %s", w->options.name);
	return 0;
}

/* A descriptor of our own: the flag for direct I/O must not reach the caller's. */
static int open_again(const struct chunk_writer_options *o)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", o->fd);
	int fd = o->direct ? open(path, O_RDWR | O_CLOEXEC | O_DIRECT) : -1;

	return fd >= 0 ? fd : fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
}

static int prepare(struct chunk_writer *w, struct error *err)
{
	struct stat st;

	w->fd = open_again(&w->options);
	if (w->fd < 0 || fstat(w->fd, &st) < 0)
		return error_errno(err, errno, "open %s", w->options.name);
	w->device = !S_ISREG(st.st_mode);
	if (w->device && !S_ISBLK(st.st_mode))
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s is neither a file nor a block device",
			w->options.name);
	if (!w->device && ftruncate(w->fd, 0) < 0)
		return error_errno(err, errno, "truncate %s", w->options.name);
	for (unsigned i = 0; i < w->options.threads + AHEAD; i++) {
		struct chunk *c = chunk_new(err);

		if (!c)
			return -1;
		c->next = w->free;
		w->free = c;
	}
	return 0;
}

int chunk_writer_start(
	const struct chunk_writer_options *options, struct chunk_writer **ret, struct error *err)
{
	struct chunk_writer *w = NEW(struct chunk_writer);
	int r;

	w->options = *options;
	w->fd = -1;
	w->data_end = UINT64_MAX;
	w->queue_tail = &w->queue;
	w->zero_sum = sum_of_zeros(TRAILER_PIECE);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->done, NULL);
	if (prepare(w, err) < 0)
		goto fail;
	w->threads = xcalloc(options->threads, sizeof(*w->threads));
	while (w->n_threads < options->threads) {
		r = pthread_create(&w->threads[w->n_threads], NULL, writer_thread, w);
		if (r != 0) {
			error_errno(err, r, "start a thread");
			goto fail;
		}
		w->n_threads++;
	}
	*ret = w;
	return 0;
fail:
	chunk_writer_free(w);
	return -1;
}

void chunk_writer_free(struct chunk_writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	chunk_free_all(w->current);
	chunk_free_all(w->pinned);
	chunk_free_all(w->free);
	chunk_free_all(w->queue);
	if (w->fd >= 0)
		close(w->fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->done);
	free(w->threads);
	free(w->sums);
	free(w->seen);
	free(w);
}
