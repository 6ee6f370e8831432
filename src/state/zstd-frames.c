/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of frames (zstd-frames.h) and its bytes, little-endian:
 *
 *	 0  u32  version, 1
 *	 4  u32  plain bytes in each frame but the last
 *	 8  u64  plain bytes in all
 *	16  u32  each frame's size
 */
#include "zstd-frames.h"

#include <stdbool.h>

#include "alloc.h"

#define VERSION 1u
#define FIXED	16u
/* Of one frame: what a reader must hold. */
#define PLAIN_MAX  (16u << 20)
#define PACKED_MAX (2 * PLAIN_MAX)

void zstd_frames_fini(struct zstd_frames *frames)
{
	free(frames->offsets);
	*frames = (struct zstd_frames){0};
}

void zstd_frames_add(struct zstd_frames *frames, uint64_t size, uint64_t plain)
{
	/* Room doubles: before frames 0, 1, 3, 7 ... */
	if ((frames->n & (frames->n + 1)) == 0)
		frames->offsets = xrealloc(frames->offsets, 2 * frames->n + 2, sizeof(*frames->offsets));
	if (frames->n == 0)
		frames->offsets[0] = 0;
	frames->offsets[frames->n + 1] = frames->offsets[frames->n] + size;
	frames->n++;
	frames->plain_size += plain;
}

void zstd_frames_encode(const struct zstd_frames *frames, struct buf *ret)
{
	uint8_t b[FIXED];

	put_le32(b, VERSION);
	put_le32(b + 4, ZSTD_FRAME_PLAIN);
	put_le64(b + 8, frames->plain_size);
	buf_add(ret, b, sizeof(b));
	for (size_t i = 0; i < frames->n; i++) {
		put_le32(b, (uint32_t)(frames->offsets[i + 1] - frames->offsets[i]));
		buf_add(ret, b, 4);
	}
}

static int misfit(const char *name, struct error *err)
{
	return error_set(
		err, ERROR_DAMAGED, "image %s is damaged: the table of its zstd frames was altered", name);
}

int zstd_frames_decode(const void *data, size_t len, uint64_t compressed_size, const char *name,
	struct zstd_frames *ret, struct error *err)
{
	const uint8_t *b = data;
	struct zstd_frames frames = {0};
	bool fits = true;

	if (len < FIXED || len % 4 != 0)
		return misfit(name, err);
	if (get_le32(b) != VERSION)
		return error_set(err, ERROR_UNSUPPORTED_CONFIG,
			"image %s: the table of its zstd frames is of a version not known (%u)", name,
			get_le32(b));
	frames.frame_plain = get_le32(b + 4);
	frames.plain_size = get_le64(b + 8);
	frames.n = (len - FIXED) / 4;
	if (frames.frame_plain == 0 || frames.frame_plain > PLAIN_MAX || frames.n == 0 ||
		frames.plain_size > (uint64_t)frames.n * frames.frame_plain ||
		frames.plain_size <= (uint64_t)(frames.n - 1) * frames.frame_plain)
		return misfit(name, err);
	frames.offsets = xcalloc(frames.n + 1, sizeof(*frames.offsets));
	for (size_t i = 0; i < frames.n; i++) {
		uint32_t size = get_le32(b + FIXED + i * 4);

		frames.offsets[i + 1] = frames.offsets[i] + size;
		fits = fits && size > 0 && size <= PACKED_MAX;
	}
	if (!fits || frames.offsets[frames.n] != compressed_size) {
		zstd_frames_fini(&frames);
		return misfit(name, err);
	}
	*ret = frames;
	return 0;
}
