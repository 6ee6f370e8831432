/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frame writer (frame-writer.h).
 *
 * Batches of some frames go round in a ring: the filling thread fills one, threads compress it, and before the filling thread
 * fills it again it puts what came out of it into the file. So frames stand in the file in the order of the stream.
 */
#include "frame-writer.h"

#include <pthread.h>
#include <zstd.h>

#include "alloc.h"

/* Of zstd's levels the one that keeps up with a disk: a freshly booted guest goes to a third of its size. */
#define LEVEL	     1
#define BATCH_FRAMES 8u
#define BATCH_PLAIN  (BATCH_FRAMES * ZSTD_FRAME_PLAIN)
/* Batches besides one for each thread: the one being filled, and one in stock. */
#define AHEAD 2u

enum batch_state { BATCH_FREE, BATCH_FULL, BATCH_DONE };

struct batch {
	enum batch_state state;
	uint8_t *plain, *packed;
	size_t plain_len;
	size_t sizes[BATCH_FRAMES];
	const char *trouble; /* zstd's words */
};

struct frame_writer {
	struct chunk_writer *writer;
	const char *name;
	size_t frame_max; /* room for a compressed frame */
	uint64_t end;	  /* of what is in the file */
	struct zstd_frames frames;

	/* Numbers of batches, which go to slot number % n_batches. */
	uint64_t filling, to_compress;
	struct batch *batches;
	unsigned n_batches;

	pthread_mutex_t lock;
	pthread_cond_t full, done;
	bool stop;
	pthread_t *threads;
	unsigned n_threads;
};

static struct batch *slot(struct frame_writer *w, uint64_t number)
{
	return &w->batches[number % w->n_batches];
}

static void compress(const struct frame_writer *w, ZSTD_CCtx *cctx, struct batch *b)
{
	for (size_t i = 0, at = 0; at < b->plain_len; i++, at += ZSTD_FRAME_PLAIN) {
		size_t len = b->plain_len - at < ZSTD_FRAME_PLAIN ? b->plain_len - at : ZSTD_FRAME_PLAIN;

		b->sizes[i] =
			ZSTD_compress2(cctx, b->packed + i * w->frame_max, w->frame_max, b->plain + at, len);
		if (ZSTD_isError(b->sizes[i]))
			b->trouble = ZSTD_getErrorName(b->sizes[i]);
	}
}

static ZSTD_CCtx *make_context(void)
{
	ZSTD_CCtx *cctx = ZSTD_createCCtx();

	if (cctx && !ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, LEVEL)) &&
		!ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1)))
		return cctx;
	ZSTD_freeCCtx(cctx);
	return NULL;
}

static void *compress_thread(void *arg)
{
	struct frame_writer *w = arg;
	ZSTD_CCtx *cctx = make_context();

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct batch *b = slot(w, w->to_compress);

		if (w->to_compress == w->filling) {
			pthread_cond_wait(&w->full, &w->lock);
			continue;
		}
		w->to_compress++;
		pthread_mutex_unlock(&w->lock);
		if (cctx)
			compress(w, cctx, b);
		else
			b->trouble = "it cannot be set up";
		pthread_mutex_lock(&w->lock);
		b->state = BATCH_DONE;
		pthread_cond_signal(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	ZSTD_freeCCtx(cctx);
	return NULL;
}

/* Make the batch free: wait for its frames, and put them into the file. */
static int drain(struct frame_writer *w, struct batch *b, struct error *err)
{
	pthread_mutex_lock(&w->lock);
	while (b->state == BATCH_FULL)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
	if (b->state == BATCH_FREE)
		return 0;
	if (b->trouble)
		return error_set(err, ERROR_INTERNAL, "compress %s: zstd: %s", w->name, b->trouble);
	for (size_t i = 0, at = 0; at < b->plain_len; i++, at += ZSTD_FRAME_PLAIN) {
		size_t len = b->plain_len - at < ZSTD_FRAME_PLAIN ? b->plain_len - at : ZSTD_FRAME_PLAIN;

		if (chunk_writer_put(w->writer, w->end, b->packed + i * w->frame_max, b->sizes[i], err) < 0)
			return -1;
		zstd_frames_add(&w->frames, b->sizes[i], len);
		w->end += b->sizes[i];
	}
	b->state = BATCH_FREE;
	b->plain_len = 0;
	return 0;
}

static void submit(struct frame_writer *w, struct batch *b)
{
	pthread_mutex_lock(&w->lock);
	b->state = BATCH_FULL;
	w->filling++;
	pthread_cond_signal(&w->full);
	pthread_mutex_unlock(&w->lock);
}

int frame_writer_map(struct frame_writer *w, uint8_t **ret, size_t *ret_room, struct error *err)
{
	struct batch *b = slot(w, w->filling);

	if (drain(w, b, err) < 0)
		return -1;
	*ret = b->plain + b->plain_len;
	*ret_room = BATCH_PLAIN - b->plain_len;
	return 0;
}

void frame_writer_mark(struct frame_writer *w, size_t len)
{
	struct batch *b = slot(w, w->filling);

	b->plain_len += len;
	if (b->plain_len == BATCH_PLAIN)
		submit(w, b);
}

int frame_writer_finish(
	struct frame_writer *w, struct zstd_frames *ret_frames, uint64_t *ret_end, struct error *err)
{
	if (slot(w, w->filling)->plain_len > 0)
		submit(w, slot(w, w->filling));
	/* The oldest first: it is the one that would be filled next. */
	for (unsigned i = 0; i < w->n_batches; i++)
		if (drain(w, slot(w, w->filling + i), err) < 0)
			return -1;
	*ret_frames = w->frames;
	w->frames = (struct zstd_frames){0};
	*ret_end = w->end;
	return 0;
}

int frame_writer_start(struct chunk_writer *writer, const char *name, unsigned threads, uint64_t offset,
	struct frame_writer **ret, struct error *err)
{
	struct frame_writer *w = NEW(struct frame_writer);

	w->writer = writer;
	w->name = name;
	w->end = offset;
	w->frame_max = ZSTD_compressBound(ZSTD_FRAME_PLAIN);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->full, NULL);
	pthread_cond_init(&w->done, NULL);
	w->n_batches = threads + AHEAD;
	w->batches = xcalloc(w->n_batches, sizeof(*w->batches));
	for (unsigned i = 0; i < w->n_batches; i++) {
		w->batches[i].plain = xcalloc(1, BATCH_PLAIN);
		w->batches[i].packed = xcalloc(BATCH_FRAMES, w->frame_max);
	}
	w->threads = xcalloc(threads, sizeof(*w->threads));
	while (w->n_threads < threads) {
		int e = pthread_create(&w->threads[w->n_threads], NULL, compress_thread, w);

		if (e != 0) {
			frame_writer_free(w);
			return error_errno(err, e, "start a thread");
		}
		w->n_threads++;
	}
	*ret = w;
	return 0;
}

void frame_writer_free(struct frame_writer *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->full);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	for (unsigned i = 0; i < w->n_batches; i++) {
		free(w->batches[i].plain);
		free(w->batches[i].packed);
	}
	zstd_frames_fini(&w->frames);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->full);
	pthread_cond_destroy(&w->done);
	free(w->threads);
	free(w->batches);
	free(w);
}
