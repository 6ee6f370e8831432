/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A destination for tests (fixture-destination.h). */
#include "fixture-destination.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include "file.h"
#include "postcopy.h"

void destination_init(struct destination *d)
{
	*d = (struct destination){
		.main_fd = -1, .urgent_fd = -1, .server_main_fd = -1, .server_urgent_fd = -1};
	pthread_mutex_init(&d->lock, NULL);
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++) {
		d->seen[i] = xcalloc(fixture_blocks[i].pages, 1);
		d->n_pages += fixture_blocks[i].pages;
	}
}

void destination_hang_up(struct destination *d)
{
	close_p(&d->main_fd);
	close_p(&d->urgent_fd);
	d->main_fd = d->urgent_fd = -1;
}

void destination_fini(struct destination *d)
{
	destination_hang_up(d);
	close_p(&d->server_main_fd);
	close_p(&d->server_urgent_fd);
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++)
		free(d->seen[i]);
	buf_fini(&d->in);
	pthread_mutex_destroy(&d->lock);
}

void destination_listen(struct destination *d, bool preempt)
{
	int ends[2];

	destination_hang_up(d);
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	d->main_fd = ends[0];
	d->server_main_fd = ends[1];
	d->server_urgent_fd = -1;
	if (!preempt)
		return;
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
	d->urgent_fd = ends[0];
	d->server_urgent_fd = ends[1];
}

static bool take(int fd, void *data, size_t len)
{
	return read_full(fd, data, len) == (ssize_t)len;
}

/* The very bytes. */
static bool expect(int fd, const void *data, size_t len)
{
	_cleanup_free_ uint8_t *got = xcalloc(1, len);

	return take(fd, got, len) && memcmp(got, data, len) == 0;
}

/* ---- pages ---- */

static int find_block(const char *name)
{
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++)
		if (strcmp(fixture_blocks[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void place(struct destination *d, unsigned block, uint64_t page, const uint8_t *data)
{
	uint8_t want[RAM_PAGE];
	bool zero = !fixture_page(block, (unsigned)page, want);

	pthread_mutex_lock(&d->lock);
	if (d->seen[block][page]++)
		d->n_twice++;
	else
		d->n_seen++;
	if (data ? memcmp(data, want, RAM_PAGE) != 0 : !zero)
		d->n_wrong++;
	pthread_mutex_unlock(&d->lock);
}

bool destination_has(struct destination *d, unsigned block, uint64_t page)
{
	bool has;

	pthread_mutex_lock(&d->lock);
	has = d->seen[block][page];
	pthread_mutex_unlock(&d->lock);
	return has;
}

/* 1: a page; 0: EOS; -1: neither. Every record of ours names its block. */
static int take_record(struct destination *d, int fd)
{
	uint8_t word[8], len, data[RAM_PAGE];
	uint64_t flags, offset;
	char name[256] = "";
	int block;

	if (!take(fd, word, 8))
		return -1;
	flags = get_be64(word) & (RAM_PAGE - 1);
	offset = get_be64(word) - flags;
	if (flags == RAM_EOS)
		return 0;
	if ((flags != RAM_PAGE_DATA && flags != RAM_ZERO) || !take(fd, &len, 1) || !take(fd, name, len) ||
		!take(fd, data, flags == RAM_ZERO ? 1 : RAM_PAGE))
		return -1;
	block = find_block(name);
	if (block < 0 || offset / RAM_PAGE >= fixture_blocks[block].pages ||
		(flags == RAM_ZERO && data[0] != 0))
		return -1;
	place(d, (unsigned)block, offset / RAM_PAGE, flags == RAM_ZERO ? NULL : data);
	return 1;
}

/* Behind the section's first byte. */
static bool take_section(struct destination *d)
{
	uint8_t id[4], footer[5];
	int r;

	if (!take(d->main_fd, id, 4) || get_be32(id) != FIXTURE_SECTION)
		return false;
	while ((r = take_record(d, d->main_fd)) > 0)
		;
	return r == 0 && take(d->main_fd, footer, 5) && footer[0] == STREAM_FOOTER &&
	       get_be32(footer + 1) == FIXTURE_SECTION;
}

bool destination_section(struct destination *d)
{
	uint8_t type, eof;

	if (!take(d->main_fd, &type, 1))
		return false;
	if (type == STREAM_PART)
		return take_section(d);
	/* Whoever still writes to the urgent socket would do so in vain. */
	d->lost_race = d->has_thread && !d->preempt_over;
	if (type != STREAM_END || !take_section(d) || !take(d->main_fd, &eof, 1) || eof != STREAM_EOF)
		d->n_wrong++;
	return false;
}

bool destination_urgent(struct destination *d)
{
	return take_record(d, d->urgent_fd) == 1;
}

static void *preempt_thread(void *arg)
{
	struct destination *d = arg;

	prctl(PR_SET_NAME, "mig/dst/preempt");
	while (destination_urgent(d))
		;
	usleep(20000); /* END must not be there before this thread is gone */
	d->preempt_over = true;
	return NULL;
}

void destination_preempt(struct destination *d)
{
	d->has_thread = true;
	d->preempt_over = false;
	pthread_create(&d->preempt, NULL, preempt_thread, d);
}

/* ---- the beginning ---- */

static bool take_head(struct destination *d)
{
	_cleanup_(buf_fini) struct buf start = {0}, want = {0};
	size_t config = 4 + 4 + 1 + 4 + strlen("pc-q35-10.0");

	fixture_start(&start);
	buf_add(&want, start.data, config);
	postcopy_add_command(&want, POSTCOPY_OPEN_RETURN_PATH, NULL, 0);
	postcopy_add_advise(&want);
	buf_add(&want, start.data + config, start.len - config);
	postcopy_add_discard(&want, fixture_blocks[0].name);
	return expect(d->main_fd, want.data, want.len);
}

/* LISTEN, the devices without the end of the stream, PING, RUN. */
static bool take_package(struct destination *d)
{
	_cleanup_(buf_fini) struct buf end = {0}, devices = {0}, want = {0};
	size_t skipped = 5 + 5 + 8 + 5; /* switchover, END */

	fixture_end(&end);
	buf_add(&devices, end.data + skipped, end.len - skipped);
	while (devices.len > 0 && devices.data[devices.len - 1] != STREAM_DESCRIPTION)
		devices.len--;
	devices.len -= 2;
	postcopy_add_package(&want, &devices, 3);
	/* Its first byte was read. */
	return expect(d->main_fd, want.data + 1, want.len - 1);
}

static void reply(struct destination *d, uint16_t type, const void *payload, size_t len)
{
	uint8_t head[4];

	put_be16(head, type);
	put_be16(head + 2, (uint16_t)len);
	if (write_full(d->main_fd, head, 4) < 0 || write_full(d->main_fd, payload, len) < 0)
		d->n_wrong++;
}

static void reply_number(struct destination *d, uint16_t type, uint32_t number)
{
	uint8_t payload[4];

	put_be32(payload, number);
	reply(d, type, payload, sizeof(payload));
}

bool destination_begin(struct destination *d)
{
	uint8_t type;

	if (!take_head(d) || !take(d->main_fd, &type, 1))
		return false;
	while (type == STREAM_PART)
		if (!take_section(d) || !take(d->main_fd, &type, 1))
			return false;
	d->n_hot = d->n_seen;
	if (type != STREAM_COMMAND || !take_package(d))
		return false;
	reply_number(d, POSTCOPY_PONG, 3);
	return true;
}

/* ---- back ---- */

void destination_request(struct destination *d, unsigned block, uint64_t page, bool named)
{
	const char *name = fixture_blocks[block].name;
	uint8_t payload[12 + 256];
	size_t len = 12;

	put_be64(payload, page * RAM_PAGE);
	put_be32(payload + 8, RAM_PAGE);
	if (named) {
		payload[len++] = (uint8_t)strlen(name);
		memcpy(payload + len, name, strlen(name));
		len += strlen(name);
	}
	reply(d, named ? POSTCOPY_REQ_PAGES_ID : POSTCOPY_REQ_PAGES, payload, len);
}

void destination_shut(struct destination *d, uint32_t status)
{
	reply_number(d, POSTCOPY_SHUT, status);
}

static void send_bitmap(struct destination *d, unsigned block)
{
	unsigned pages = fixture_blocks[block].pages;
	uint64_t size = (pages + 63) / 64 * 8;
	_cleanup_free_ uint8_t *bits = xcalloc(1, size + 16);
	const char *name = fixture_blocks[block].name;
	char payload[257];

	payload[0] = (char)strlen(name);
	memcpy(payload + 1, name, strlen(name));
	reply(d, POSTCOPY_BITMAP, payload, 1 + strlen(name));
	put_be64(bits, size);
	for (unsigned page = 0; page < pages; page++)
		if (d->seen[block][page])
			bits[8 + page / 8] |= (uint8_t)(1u << page % 8);
	put_be64(bits + 8 + size, POSTCOPY_BITMAP_END);
	if (write_full(d->main_fd, bits, size + 16) < 0)
		d->n_wrong++;
}

bool destination_recover(struct destination *d)
{
	_cleanup_(buf_fini) struct buf want = {0};

	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++) {
		buf_clear(&want);
		postcopy_add_recv_bitmap(&want, fixture_blocks[i].name);
		if (!expect(d->main_fd, want.data, want.len))
			return false;
		send_bitmap(d, i);
	}
	buf_clear(&want);
	postcopy_add_command(&want, POSTCOPY_RESUME, NULL, 0);
	if (!expect(d->main_fd, want.data, want.len))
		return false;
	reply_number(d, POSTCOPY_RESUME_ACK, 1);
	return true;
}

bool destination_finish(struct destination *d)
{
	while (destination_section(d))
		;
	if (d->has_thread)
		pthread_join(d->preempt, NULL);
	d->has_thread = false;
	destination_shut(d, 0);
	return d->n_seen == d->n_pages && d->n_twice == 0 && d->n_wrong == 0 && !d->lost_race;
}
