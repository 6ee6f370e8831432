/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sections of pages (page-section.h). Pages are read first and claimed last, so that nobody has to wait for the reading. */
#include "page-section.h"

bool section_is_full(const struct section *section)
{
	return section->n == SECTION_PAGES || section->n_data == SECTION_DATA;
}

int section_add(struct section *section, struct page_server *s, struct page_reader **reader,
	struct page_ref ref, struct error *err)
{
	struct section_page *page = &section->pages[section->n];
	uint8_t *data = section->data[section->n_data];
	bool zero;

	if (serving_read(s, reader, ref, data, &zero, err) < 0)
		return -1;
	page->ref = ref;
	page->data = zero ? NULL : data;
	section->n++;
	section->n_data += !zero;
	return 0;
}

int section_send(struct section *section, struct page_server *s, struct error *err)
{
	uint32_t id = page_source_section(s->source);
	uint8_t head[POSTCOPY_SECTION_SIZE], end[POSTCOPY_SECTION_END_SIZE];
	struct iovec iov[2 + 2 * SECTION_PAGES];
	uint64_t sent = 0;
	int n = 0, r = 0;

	postcopy_section_encode(head, STREAM_PART, id);
	postcopy_section_end_encode(end, id);
	iov[n++] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
	for (unsigned i = 0; i < section->n; i++) {
		struct section_page *page = &section->pages[i];
		struct page_ref ref = page->ref;

		if (!page_claims_take(&s->claims, ref.block, ref.page))
			continue;
		iov[n++] = (struct iovec){.iov_base = page->record,
			.iov_len = postcopy_record_encode(
				page->record, s->blocks[ref.block].name, ref.page * RAM_PAGE, !page->data)};
		if (page->data)
			iov[n++] = (struct iovec){
				.iov_base = (void *)(uintptr_t)page->data, .iov_len = RAM_PAGE};
		sent++;
	}
	iov[n++] = (struct iovec){.iov_base = end, .iov_len = sizeof(end)};
	section->n = section->n_data = 0;
	if (sent > 0)
		r = serving_send(s, iov, n, err);
	if (r == 0)
		serving_add_pages(s, sent);
	return r;
}
