/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a connection broke: QEMU, in post-copy recovery on new sockets, is asked which pages of each block it has; that counts instead of
 * what was sent. So this process may as well be another one than the one that began.
 */
#include "page-serving.h"

/* Until QEMU has sent the maps of `n` blocks; -1: it will not. */
static int wait_for_bitmaps(struct page_server *s, unsigned n)
{
	bool connected;

	pthread_mutex_lock(&s->lock);
	while (serving_is_connected(s) && s->n_bitmaps < n)
		pthread_cond_wait(&s->changed, &s->lock);
	connected = serving_is_connected(s);
	pthread_mutex_unlock(&s->lock);
	return connected ? 0 : -1;
}

static int wait_for_resume(struct page_server *s)
{
	bool connected;

	pthread_mutex_lock(&s->lock);
	while (serving_is_connected(s) && !s->resumed)
		pthread_cond_wait(&s->changed, &s->lock);
	connected = serving_is_connected(s);
	pthread_mutex_unlock(&s->lock);
	return connected ? 0 : -1;
}

int serving_recover(struct page_server *s, struct error *err)
{
	_cleanup_(buf_fini) struct buf b = {0};

	for (unsigned i = 0; i < s->n_blocks; i++) {
		buf_clear(&b);
		postcopy_add_recv_bitmap(&b, s->blocks[i].name);
		if (serving_send_buf(s, &b, err) < 0 || wait_for_bitmaps(s, i + 1) < 0)
			return -1;
	}
	s->pages_in = s->n_received;
	pthread_mutex_lock(&s->lock);
	s->devices_loaded = true; /* or there was nothing to recover */
	pthread_mutex_unlock(&s->lock);
	buf_clear(&b);
	postcopy_add_command(&b, POSTCOPY_RESUME, NULL, 0);
	if (serving_send_buf(s, &b, err) < 0 || wait_for_resume(s) < 0)
		return -1;
	serving_move(s, SERVING_PAGES);
	return 0;
}
