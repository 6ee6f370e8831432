/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests: a small migration stream as QEMU would send it, and pumps that feed and drain descriptors. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "alloc.h"
#include "buf.h"
#include "ram-stream.h"
#include "stream-io.h"
#include "tap.h"

/* ok() with a name made of parts. */
#define okf(condition, ...)                                                                                  \
	do {                                                                                                 \
		bool okf_good_ = (condition);                                                                \
		_cleanup_free_ char *okf_name_ = xasprintf(__VA_ARGS__);                                     \
                                                                                                             \
		ok(okf_good_, okf_name_);                                                                    \
	} while (0)

#define FIXTURE_SECTION 2u
#define FIXTURE_BLOCKS	4u

struct fixture_block {
	const char *name;
	unsigned pages;
};

extern const struct fixture_block fixture_blocks[FIXTURE_BLOCKS];

/* What page `page` of block `block` holds: false for zeros. */
bool fixture_page(unsigned block, unsigned page, uint8_t ret[RAM_PAGE]);

void fixture_byte(struct buf *b, uint8_t v);
void fixture_be32(struct buf *b, uint32_t v);
void fixture_be64(struct buf *b, uint64_t v);
void fixture_name(struct buf *b, const char *name);

/* Magic, configuration, and RAM's START section with its list of blocks. */
void fixture_start(struct buf *b);
/* What PART and END begin with; records; EOS and footer. `data` NULL: a zero page. */
void fixture_section(struct buf *b, uint8_t type);
void fixture_record(struct buf *b, unsigned block, unsigned page, bool named, const uint8_t *data);
void fixture_section_end(struct buf *b);
/* Every page. `again`: some come a second time, with other contents before. */
void fixture_memory(struct buf *b, bool again);
/* Everything behind memory's pages. */
void fixture_end(struct buf *b);
/* All of these. */
void fixture_stream(struct buf *b, bool again);

/* A thread at the other end of a socket pair: sends a buffer and closes, or collects until the end. */
struct pump {
	pthread_t thread;
	int fd; /* the pump's end; closed by it */
	struct buf data;
	bool sends;
};

/* The descriptor for the code under test. `data` is copied; NULL: collect. */
int pump_start(struct pump *p, const void *data, size_t len);
/* Call after the descriptor given out was closed. */
void pump_finish(struct pump *p);
