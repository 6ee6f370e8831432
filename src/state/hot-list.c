/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of hot pages (hot-list.h): runs of pages, as differences, since ext4 has room for little more than HOT_SIZE_MAX bytes. */
#include "hot-list.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "image-layout.h"

#define HOT_MAGIC     "GHL1"
#define HOT_HEAD_SIZE 5u /* magic, generation */
#define HOT_SUM_SIZE  4u
#define HOT_SIZE_MAX  3000u
#define HOT_TURNS     16u

void hot_list_fini(struct hot_list *l)
{
	VEC_FREE(&l->pages);
}

/* ---- reading ---- */

struct hot_cursor {
	const uint8_t *data;
	size_t len, at;
	bool bad;
};

static uint8_t take_byte(struct hot_cursor *c)
{
	if (c->at >= c->len) {
		c->bad = true;
		return 0;
	}
	return c->data[c->at++];
}

/* Little-endian groups of seven bits, all but the last with bit 7 set. */
static uint64_t take_number(struct hot_cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 56; shift += 7) {
		uint8_t b = take_byte(c);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	c->bad = true;
	return 0;
}

static int find_block(const struct ram_block *blocks, unsigned n_blocks, const char *name)
{
	for (unsigned i = 0; i < n_blocks; i++)
		if (strcmp(blocks[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* As much of the run as lies in a block of `end` pages, and fits. */
static void add_run(struct hot_list *ret, unsigned block, uint64_t page, uint64_t run, uint64_t end)
{
	for (; run > 0 && page < end && ret->pages.n < HOT_LIST_PAGES_MAX; run--, page++)
		VEC_ADD(&ret->pages, ((struct page_ref){.block = block, .page = page}));
}

static void decode_block(
	struct hot_cursor *c, const struct ram_block *blocks, unsigned n_blocks, struct hot_list *ret)
{
	char name[256] = "";
	uint64_t n_runs, page = 0;
	size_t len = take_byte(c);
	int block;

	if (len > c->len - c->at) {
		c->bad = true;
		return;
	}
	memcpy(name, c->data + c->at, len);
	c->at += len;
	block = find_block(blocks, n_blocks, name);
	n_runs = take_number(c);
	while (n_runs-- > 0 && !c->bad) {
		uint64_t run;

		page += take_number(c);
		run = take_number(c);
		if (block >= 0)
			add_run(ret, (unsigned)block, page, run, blocks[block].length / RAM_PAGE);
		page += run;
	}
}

void hot_list_decode(const uint8_t *data, size_t len, const struct ram_block *blocks, unsigned n_blocks,
	struct hot_list *ret)
{
	struct hot_cursor c = {.data = data};

	if (len < HOT_HEAD_SIZE + HOT_SUM_SIZE || memcmp(data, HOT_MAGIC, 4) != 0)
		return;
	c.len = len - HOT_SUM_SIZE;
	if (get_le32(data + c.len) != (uint32_t)checksum(data, c.len))
		return;
	ret->generation = data[4];
	c.at = HOT_HEAD_SIZE;
	while (c.at < c.len && !c.bad)
		decode_block(&c, blocks, n_blocks, ret);
}

void hot_list_read(int fd, const struct ram_block *blocks, unsigned n_blocks, struct hot_list *ret)
{
	uint8_t data[HOT_SIZE_MAX];
	ssize_t len = fgetxattr(fd, HOT_LIST_ATTRIBUTE, data, sizeof(data));

	*ret = (struct hot_list){0};
	if (len > 0)
		hot_list_decode(data, (size_t)len, blocks, n_blocks, ret);
}

/* ---- writing ---- */

static int compare(const void *a, const void *b)
{
	const struct page_ref *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->page < y->page ? -1 : x->page > y->page;
}

/* Returns how many there are when each is there once. */
static size_t sort_pages(struct page_ref *pages, size_t n)
{
	size_t kept = 0;

	qsort(pages, n, sizeof(*pages), compare);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare(&pages[kept - 1], &pages[i]) != 0)
			pages[kept++] = pages[i];
	return kept;
}

static void add_number(struct buf *b, uint64_t v)
{
	do {
		uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));

		buf_add(b, &byte, 1);
		v >>= 7;
	} while (v > 0);
}

/* Behind the last of the run that begins with `p`. */
static const struct page_ref *run_end(const struct page_ref *p, const struct page_ref *end)
{
	const struct page_ref *q = p + 1;

	while (q < end && q->block == p->block && q->page == q[-1].page + 1)
		q++;
	return q;
}

/* The sorted pages from `p` on that are of one block; returns behind them. */
static const struct page_ref *encode_block(
	struct buf *b, const char *name, const struct page_ref *p, const struct page_ref *end)
{
	const struct page_ref *last = p;
	uint8_t name_len = (uint8_t)strlen(name);
	uint64_t n_runs = 0, page = 0;

	for (; last < end && last->block == p->block; n_runs++)
		last = run_end(last, end);
	buf_add(b, &name_len, 1);
	buf_add(b, name, name_len);
	add_number(b, n_runs);
	while (p < last) {
		const struct page_ref *next = run_end(p, last);

		add_number(b, p->page - page);
		add_number(b, (uint64_t)(next - p));
		page = next[-1].page + 1;
		p = next;
	}
	return last;
}

/* The first `n` pages, which need not be sorted. */
static void encode(struct buf *b, const struct ram_block *blocks, uint8_t generation,
	const struct page_ref *pages, size_t n)
{
	_cleanup_free_ struct page_ref *sorted = xmemdup(pages, n * sizeof(*pages));
	const struct page_ref *p = sorted, *end;
	uint8_t sum[HOT_SUM_SIZE];

	end = sorted + sort_pages(sorted, n);
	buf_clear(b);
	buf_add(b, HOT_MAGIC, 4);
	buf_add(b, &generation, 1);
	while (p < end)
		p = encode_block(b, blocks[p->block].name, p, end);
	put_le32(sum, (uint32_t)checksum(b->data, b->len));
	buf_add(b, sum, sizeof(sum));
}

/* In the order in which they should stay. */
static void merge(struct hot_list *next, const struct hot_list *asked, const struct hot_list *before)
{
	_cleanup_free_ struct page_ref *sorted =
		xmemdup(asked->pages.items, asked->pages.n * sizeof(struct page_ref));
	size_t n = sort_pages(sorted, asked->pages.n);

	next->generation = (uint8_t)(before->generation + 1);
	VEC_FOREACH (p, &asked->pages)
		VEC_ADD(&next->pages, p);
	VEC_FOREACH (p, &before->pages)
		if ((p.page + p.block) % HOT_TURNS != next->generation % HOT_TURNS &&
			!bsearch(&p, sorted, n, sizeof(*sorted), compare))
			VEC_ADD(&next->pages, p);
}

void hot_list_write(
	int fd, const struct ram_block *blocks, const struct hot_list *asked, const struct hot_list *before)
{
	_cleanup_(hot_list_fini) struct hot_list next = {0};
	_cleanup_(buf_fini) struct buf b = {0};
	size_t fits = 0, over;

	merge(&next, asked, before);
	over = (next.pages.n < HOT_LIST_PAGES_MAX ? next.pages.n : HOT_LIST_PAGES_MAX) + 1;
	if (over == 1)
		return;
	/* Few pages more may need fewer bytes, where they close a gap; close enough to the largest number that fits. */
	while (over - fits > 1) {
		size_t middle = fits + (over - fits) / 2;

		encode(&b, blocks, next.generation, next.pages.items, middle);
		if (b.len <= HOT_SIZE_MAX)
			fits = middle;
		else
			over = middle;
	}
	encode(&b, blocks, next.generation, next.pages.items, fits);
	(void)!fsetxattr(fd, HOT_LIST_ATTRIBUTE, b.data, b.len, 0);
}

int hot_list_copy(int from_fd, int to_fd)
{
	uint8_t data[HOT_SIZE_MAX];
	ssize_t len = fgetxattr(from_fd, HOT_LIST_ATTRIBUTE, data, sizeof(data));

	return len < 0 ? -1 : fsetxattr(to_fd, HOT_LIST_ATTRIBUTE, data, (size_t)len, 0);
}
