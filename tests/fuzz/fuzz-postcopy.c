/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a page server reads beside an image. The first byte chooses: messages of the QEMU it serves, or the list of hot pages (to which its sum
 * is added here: it would keep a fuzzer out).
 */
#include <assert.h>

#include "hot-list.h"
#include "image-layout.h"
#include "postcopy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_messages(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	size_t at = 0;
	ssize_t n;

	do {
		/* Of exactly the right size, so that reading behind it is seen. */
		_cleanup_free_ uint8_t *copy = xmemdup(data + at, size - at);
		struct postcopy_message m;

		n = postcopy_message_parse(copy, size - at, &m, &err);
		if (n > 0) {
			assert((size_t)n <= size - at && memchr(m.block, '\0', sizeof(m.block)));
			at += (size_t)n;
		}
	} while (n > 0);
	assert(n == 0 || err.code == ERROR_RPC);
}

static void look_at_hot_pages(const uint8_t *data, size_t size)
{
	static const struct ram_block blocks[] = {
		{.name = "pc.ram", .length = 1000 * RAM_PAGE}, {.name = "pc.bios", .length = 64 * RAM_PAGE}};
	_cleanup_(hot_list_fini) struct hot_list list = {0};
	_cleanup_free_ uint8_t *summed = xcalloc(1, size + 4);

	memcpy(summed, data, size);
	put_le32(summed + size, (uint32_t)checksum(summed, size));
	hot_list_decode(summed, size + 4, blocks, ARRAY_SIZE(blocks), &list);
	assert(list.pages.n <= HOT_LIST_PAGES_MAX);
	VEC_FOREACH (p, &list.pages)
		assert(p.block < 2 && p.page < blocks[p.block].length / RAM_PAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'h')
		look_at_hot_pages(data + 1, size - 1);
	else
		look_at_messages(data + 1, size - 1);
	return 0;
}
