/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pages a guest needed at once when it was last restored, kept with the image as its extended attribute `user.godwit.hot`
 * (docs/formats/hot-list.md), so that the next restore brings them before the guest runs. A hint and nothing more: missing, damaged
 * or stale, the guest asks for what it needs.
 */
#pragma once

#include <stdint.h>

#include "alloc.h"
#include "ram-stream.h"

#define HOT_LIST_ATTRIBUTE "user.godwit.hot"
#define HOT_LIST_PAGES_MAX 2048u /* 8 MiB: more would keep the guest waiting for what it may not need */

struct page_ref {
	unsigned block;
	uint64_t page; /* number in the block */
};

struct hot_list {
	uint8_t generation; /* counts restores, modulo 256 */
	VEC(struct page_ref) pages;
};

void hot_list_fini(struct hot_list *l);

/* By block and page. What cannot be read, or means pages that `blocks` do not have, is left out. */
void hot_list_read(int fd, const struct ram_block *blocks, unsigned n_blocks, struct hot_list *ret);

/* The same of the attribute's bytes, into an empty list. */
void hot_list_decode(const uint8_t *data, size_t len, const struct ram_block *blocks, unsigned n_blocks,
	struct hot_list *ret);

/*
 * Make the next list from the pages asked for this time (in the order of asking) and those that were sent unasked
 * because they stood in `before`: whether those were needed nobody can see, so each restore one in sixteen of them, always others, must
 * be asked for again to stay. Fewer than all when they do not fit; then the first ones asked for stay. Failure to store is none.
 */
void hot_list_write(
	int fd, const struct ram_block *blocks, const struct hot_list *asked, const struct hot_list *before);

/* From one image to another, which replaces it; -1 with errno when there is none or it cannot be stored. */
int hot_list_copy(int from_fd, int to_fd);
