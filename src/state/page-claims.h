/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages QEMU was sent. Placing a page a second time is an error there that ends the connection, so every thread that is about to
 * send a page claims it first, and only one gets it.
 */
#pragma once

#include <pthread.h>

#include "ram-stream.h"

struct page_claims {
	pthread_mutex_t lock;
	unsigned n_blocks;
	uint64_t *n_pages; /* per block; owned */
	uint64_t **bits;   /* per block: words; owned */
};

void page_claims_init(struct page_claims *c, const struct ram_block *blocks, unsigned n_blocks);
void page_claims_fini(struct page_claims *c);

/* false: it was taken before. */
bool page_claims_take(struct page_claims *c, unsigned block, uint64_t page);
/* The first page from `page` on that nobody took; UINT64_MAX: none in this block. */
uint64_t page_claims_next(struct page_claims *c, unsigned block, uint64_t page);
/*
 * What QEMU says it has of a block, which counts instead of what was sent before: bits by bytes, lowest first, at least one for
 * each page. Returns how many pages that are.
 */
uint64_t page_claims_set(struct page_claims *c, unsigned block, const uint8_t *received);
