/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notes of an image's trailer, whose sum would keep a fuzzer out. The first byte chooses: the page index, or the table of zstd's
 * frames. What is taken must lie within the state, and come back the same when it is written and read again.
 */
#include <assert.h>
#include <string.h>

#include "page-index.h"
#include "zstd-frames.h"

#define NAME  "/x/guest7.save"
#define STATE (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_offsets(const struct page_index *index)
{
	for (unsigned i = 0; i < index->n_blocks; i++)
		for (uint64_t n = 0; n < index->blocks[i].length / RAM_PAGE; n++) {
			uint64_t at = index->offsets[i][n];

			assert(at == PAGE_ZERO || at == PAGE_ABSENT ||
				(at >= index->head_len && at <= index->tail_offset - RAM_PAGE));
		}
}

static void look_at_index(const uint8_t *data, size_t size)
{
	_cleanup_(page_index_fini) struct page_index index = {0}, again = {0};
	_cleanup_(buf_fini) struct buf note = {0};
	struct error err = ERROR_INIT;

	if (page_index_decode(data, size, STATE, NAME, &index, &err) < 0) {
		assert(err.code != ERROR_NONE && !index.blocks);
		return;
	}
	check_offsets(&index);
	page_index_encode(&index, &note);
	assert(page_index_decode(note.data, note.len, STATE, NAME, &again, &err) == 0);
	assert(again.n_blocks == index.n_blocks && again.tail_offset == index.tail_offset);
	for (unsigned i = 0; i < index.n_blocks; i++)
		assert(memcmp(index.offsets[i], again.offsets[i], index.blocks[i].length / RAM_PAGE * 8) ==
			0);
}

static void look_at_frames(const uint8_t *data, size_t size)
{
	struct zstd_frames frames = {0};
	struct error err = ERROR_INIT;

	if (zstd_frames_decode(data, size, STATE, NAME, &frames, &err) < 0) {
		assert(err.code != ERROR_NONE && !frames.offsets);
		return;
	}
	assert(frames.n > 0 && frames.offsets[0] == 0 && frames.offsets[frames.n] == STATE);
	for (size_t i = 0; i < frames.n; i++)
		assert(frames.offsets[i + 1] > frames.offsets[i]);
	assert((frames.plain_size - 1) / frames.frame_plain == frames.n - 1);
	zstd_frames_fini(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'f')
		look_at_frames(data + 1, size - 1);
	else
		look_at_index(data + 1, size - 1);
	return 0;
}
