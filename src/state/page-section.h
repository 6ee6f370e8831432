/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the page server (page-serving.h): a section of pages nobody asked for, on its way to the main socket. */
#pragma once

#include "page-serving.h"

#define SECTION_PAGES 64u /* records; zero pages are short, but QEMU needs a while for them too */
#define SECTION_DATA  15u /* of them with data: 60 KiB, which a request may have to wait for */

struct section_page {
	struct page_ref ref;
	const uint8_t *data; /* NULL: zero */
	uint8_t record[POSTCOPY_RECORD_MAX];
};

struct section {
	struct section_page pages[SECTION_PAGES];
	unsigned n, n_data;
	uint8_t data[SECTION_DATA][RAM_PAGE];
};

bool section_is_full(const struct section *section);
/* Read the page into the section. */
int section_add(struct section *section, struct page_server *s, struct page_reader **reader,
	struct page_ref ref, struct error *err);
/* Those of its pages that nobody has sent meanwhile. Leaves the section empty. */
int section_send(struct section *section, struct page_server *s, struct error *err);
