/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's mapped-ram layout (format sparse): each page of memory has its place in the file. From a plain stream, and back into one.
 *
 *	prefix with the capability "mapped-ram", START of RAM, u64 total | MEM_SIZE
 *	per block: name, u64 length, header:
 *		u32 version 1, u64 page size, u64 offset of the bitmap, u64 offset of the pages
 *		bitmap, directly behind: bit set = the page is there, clear = it is zero (words of the host's byte order)
 *		pages, from the next multiple of 1 MiB on; the stream goes on behind them
 *	u64 EOS, footer; PART sections without records; commands; END; devices and all that follows
 *
 * Offsets are counted from the beginning of the file. Numbers: QEMU's migration/ram.c (9.0 and later).
 */
#pragma once

#include "chunk-reader.h"
#include "chunk-writer.h"
#include "image-save.h"

#define MAPPED_RAM_VERSION     1u
#define MAPPED_RAM_HEADER_SIZE 28u
#define MAPPED_RAM_ALIGN       (UINT64_C(1) << 20)

static inline uint64_t mapped_ram_bitmap_size(uint64_t length)
{
	return (length / CHUNK_PAGE + 63) / 64 * 8;
}

/*
 * The stream, to its end, into the layout beginning at `stream_offset`. *ret_end: behind its last byte. Streams with
 * other sections of unknown length than devices at their end are ERROR_UNSUPPORTED_CONFIG.
 */
int mapped_ram_save(struct chunk_writer *writer, int stream_fd, uint64_t stream_offset, uint64_t *ret_end,
	struct image_progress *progress, struct error *err);

struct mapped_ram_load {
	struct chunk_reader *reader;
	uint64_t stream_offset, data_end;
	bool trailer;  /* the end is known; otherwise it is looked for */
	int stream_fd; /* -1: only check */
	const char *name;
	struct image_progress *progress;
};

int mapped_ram_load(const struct mapped_ram_load *options, struct error *err);
