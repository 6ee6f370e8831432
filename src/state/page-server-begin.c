/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the first byte to the devices, in the order QEMU wants (docs/decisions/lazy-restore.md):
 *
 *	head | OPEN_RETURN_PATH | ADVISE | START of RAM | RAM_DISCARD | PART with hot pages | PACKAGED { LISTEN, devices, PING, RUN }
 *
 * Up to LISTEN pages are placed with a copy, which is fast, and may be wanted in any number; from then on each page is placed once.
 */
#include "alloc.h"
#include "page-section.h"

#define DEVICES_PING 3u /* QEMU's own source numbers it so */

/* One that cannot be read is not worth a word yet: the guest will ask for it if it needs it. */
static int send_hot_pages(struct page_server *s, struct page_reader **reader, struct error *err)
{
	_cleanup_free_ struct section *section = NEW(struct section);
	struct error ignored = ERROR_INIT;

	VEC_FOREACH (ref, &s->hot.pages) {
		section_add(section, s, reader, ref, &ignored);
		if (section_is_full(section) && section_send(section, s, err) < 0)
			return -1;
	}
	return section_send(section, s, err);
}

static int send_head(struct page_server *s, struct error *err)
{
	const struct buf *head = page_source_head(s->source), *start = page_source_start(s->source);
	_cleanup_(buf_fini) struct buf b = {0};

	buf_add(&b, head->data, head->len);
	postcopy_add_command(&b, POSTCOPY_OPEN_RETURN_PATH, NULL, 0);
	postcopy_add_advise(&b);
	buf_add(&b, start->data, start->len);
	postcopy_add_discard(&b, s->blocks[0].name);
	return serving_send_buf(s, &b, err);
}

int serving_begin(struct page_server *s, struct page_reader **reader, struct error *err)
{
	_cleanup_(buf_fini) struct buf package = {0};

	if (send_head(s, err) < 0 || send_hot_pages(s, reader, err) < 0)
		return -1;
	pthread_mutex_lock(&s->lock);
	s->recording = true;
	pthread_mutex_unlock(&s->lock);
	postcopy_add_package(&package, page_source_devices(s->source), DEVICES_PING);
	if (serving_send_buf(s, &package, err) < 0)
		return -1;
	serving_move(s, SERVING_PAGES);
	return 0;
}
