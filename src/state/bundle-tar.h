/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts a bundle is made of: tar's headers, maps of holes, and sums. Private to state/.
 *
 * Only what is written is here, for that is all that is read, too: a reader knows from the manifest what each header must be and
 * compares it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <xxhash.h>

#include "alloc.h"
#include "buf.h"
#include "bundle.h"
#include "error.h"

#define TAR_BLOCK   512u
#define TAR_END	    (2 * TAR_BLOCK) /* two blocks of zeros end it */
#define TAR_MAP_MAX (64u << 20)

#define BUNDLE_MANIFEST_NAME  "manifest.json"
#define BUNDLE_CONTINUED_NAME "continued.json"
#define BUNDLE_SUMS_NAME      "SUMS.xxh128"

struct tar_entry {
	const char *name;
	uint64_t size, stored; /* as in struct bundle_member */
	bool sparse;
	bool has_mtime;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

/* Every block in front of the entry's data. */
void tar_header_format(const struct tar_entry *e, struct buf *out);
/* The size of a plain entry called `name`, out of a block; false when it is none. */
bool tar_header_parse(const uint8_t block[TAR_BLOCK], const char *name, uint64_t *ret_size);
/* The entry of member `m` from `offset` on (0: whole). `name` gets its owned name. */
struct tar_entry tar_entry_of(const struct bundle_member *m, uint64_t offset, char **name);
static inline size_t tar_padding(uint64_t stored)
{
	return (size_t)(-stored % TAR_BLOCK);
}

/* ---- holes ---- */

struct extent {
	uint64_t offset, len;
};

struct extents {
	VEC(struct extent) v; /* where data is, ascending, apart from one another, none empty */
};

/* Of the bytes from..to of a file; offsets count from `from`. Small holes count as data. */
int extents_find(
	int fd, uint64_t from, uint64_t to, const char *path, struct extents *ret, struct error *err);
bool extents_are_whole(const struct extents *e, uint64_t size);
/* GNU's map, format 1.0: padded to whole blocks. */
void extents_format(const struct extents *e, uint64_t size, struct buf *out);
/*
 * The other way, line by line: feed numbers in the order of the map. 1: the map is whole, 0: more is to come, -1: no map of
 * ours (offsets must rise, `size` is the file's).
 */
struct map_parser {
	struct extents extents;
	uint64_t size, n, end, pending;
	bool have_n, have_offset;
};
int map_parser_add(struct map_parser *p, uint64_t number);

/* ---- sums: XXH3 with 128 bits, as xxh128sum prints them ---- */

struct sum {
	XXH3_state_t *state; /* NULL: not begun */
};

void sum_init(struct sum *s); /* of nothing yet; also anew */
void sum_fini(struct sum *s);
void sum_add(struct sum *s, const void *data, size_t len);
void sum_add_zeros(struct sum *s, uint64_t len);
void sum_format(const struct sum *s, char ret[BUNDLE_ID_SIZE]); /* more may be added afterwards */
/* Of the bytes from..to of a file. -1 with errno; ENODATA: the file ends before. */
int sum_add_file(struct sum *s, int fd, uint64_t from, uint64_t to);

/* continued.json: what a stream that does not begin at the beginning says. `sums`: of each member before, and of the part. */
struct continued {
	uint64_t position, stored;
	bool sparse;
	struct strv sums;
};

char *continued_format(const struct continued *c);
int continued_parse(
	const char *text, size_t len, const char *bundle, struct continued *ret, struct error *err);
/* The member a position lies in, and where; n_members when it is the end. */
size_t bundle_find_position(const struct bundle_manifest *m, uint64_t position, uint64_t *ret_offset);
/* The text of SUMS.xxh128 behind the manifest's line. */
void sums_line_format(const char sum[BUNDLE_ID_SIZE], const char *name, struct buf *out);
