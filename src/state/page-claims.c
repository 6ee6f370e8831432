/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pages were sent (page-claims.h): a bit for each, under one lock, held for a few instructions. */
#include "page-claims.h"

#include "alloc.h"
#include "buf.h"

#define WORD 64u

void page_claims_init(struct page_claims *c, const struct ram_block *blocks, unsigned n_blocks)
{
	*c = (struct page_claims){.n_blocks = n_blocks,
		.n_pages = xcalloc(n_blocks, sizeof(*c->n_pages)),
		.bits = xcalloc(n_blocks, sizeof(*c->bits))};
	pthread_mutex_init(&c->lock, NULL);
	for (unsigned i = 0; i < n_blocks; i++) {
		c->n_pages[i] = blocks[i].length / RAM_PAGE;
		c->bits[i] = xcalloc(c->n_pages[i] / WORD + 1, sizeof(uint64_t));
	}
}

void page_claims_fini(struct page_claims *c)
{
	for (unsigned i = 0; i < c->n_blocks; i++)
		free(c->bits[i]);
	free(c->bits);
	free(c->n_pages);
	pthread_mutex_destroy(&c->lock);
}

bool page_claims_take(struct page_claims *c, unsigned block, uint64_t page)
{
	uint64_t *word = &c->bits[block][page / WORD], bit = UINT64_C(1) << page % WORD;
	bool was_free;

	pthread_mutex_lock(&c->lock);
	was_free = !(*word & bit);
	*word |= bit;
	pthread_mutex_unlock(&c->lock);
	return was_free;
}

uint64_t page_claims_next(struct page_claims *c, unsigned block, uint64_t page)
{
	uint64_t end = c->n_pages[block];

	pthread_mutex_lock(&c->lock);
	while (page < end) {
		uint64_t missing = ~c->bits[block][page / WORD] >> page % WORD;

		if (missing) {
			page += (uint64_t)__builtin_ctzll(missing);
			break;
		}
		page = (page / WORD + 1) * WORD;
	}
	pthread_mutex_unlock(&c->lock);
	return page < end ? page : UINT64_MAX;
}

uint64_t page_claims_set(struct page_claims *c, unsigned block, const uint8_t *received)
{
	uint64_t n = c->n_pages[block], count = 0;

	pthread_mutex_lock(&c->lock);
	for (uint64_t page = 0; page < n; page++) {
		uint64_t *word = &c->bits[block][page / WORD], bit = UINT64_C(1) << page % WORD;
		bool has = received[page / 8] >> page % 8 & 1;

		*word = has ? *word | bit : *word & ~bit;
		count += has;
	}
	pthread_mutex_unlock(&c->lock);
	return count;
}
