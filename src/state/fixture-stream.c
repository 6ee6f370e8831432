/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A synthetic migration stream for tests (fixture-stream.h). */
#include "fixture-stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "stream-io.h"

const struct fixture_block fixture_blocks[FIXTURE_BLOCKS] = {
	{"pc.ram", 2600}, {"/rom@etc/acpi/tables", 32}, {"pc.bios", 64}, {"/rom@etc/acpi/rsdp", 1}};
static const char fixture_description[] = "{\"page_size\": 4096, \"devices\": []}";

bool fixture_page(unsigned block, unsigned page, uint8_t ret[RAM_PAGE])
{
	uint32_t x = 2463534242u + block * 7919u + page * 104729u;

	/* Single zero pages, and a run longer than a chunk of the file. */
	if (page % 7 == 3 || (block == 0 && page >= 700 && page < 2400)) {
		memset(ret, 0, RAM_PAGE);
		return false;
	}
	for (unsigned i = 0; i < RAM_PAGE; i += 4) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		put_be32(ret + i, x);
	}
	return true;
}

void fixture_be32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	put_be32(bytes, v);
	buf_add(b, bytes, 4);
}

void fixture_be64(struct buf *b, uint64_t v)
{
	uint8_t bytes[8];

	put_be64(bytes, v);
	buf_add(b, bytes, 8);
}

void fixture_byte(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void fixture_name(struct buf *b, const char *name)
{
	fixture_byte(b, (uint8_t)strlen(name));
	buf_adds(b, name);
}

void fixture_section_end(struct buf *b)
{
	fixture_be64(b, RAM_EOS);
	fixture_byte(b, STREAM_FOOTER);
	fixture_be32(b, FIXTURE_SECTION);
}

void fixture_start(struct buf *b)
{
	uint64_t total = 0;

	fixture_be32(b, 0x5145564d);
	fixture_be32(b, 3);
	fixture_byte(b, STREAM_CONFIGURATION);
	fixture_be32(b, 11);
	buf_adds(b, "pc-q35-10.0");
	fixture_byte(b, STREAM_START);
	fixture_be32(b, FIXTURE_SECTION);
	fixture_name(b, "ram");
	fixture_be32(b, 0);
	fixture_be32(b, 4);
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++)
		total += (uint64_t)fixture_blocks[i].pages * RAM_PAGE;
	fixture_be64(b, total | RAM_MEM_SIZE);
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++) {
		fixture_name(b, fixture_blocks[i].name);
		fixture_be64(b, (uint64_t)fixture_blocks[i].pages * RAM_PAGE);
	}
	fixture_section_end(b);
}

void fixture_record(struct buf *b, unsigned block, unsigned page, bool named, const uint8_t *data)
{
	fixture_be64(b,
		(uint64_t)page * RAM_PAGE | (data ? RAM_PAGE_DATA : RAM_ZERO) | (named ? 0 : RAM_CONTINUE));
	if (named)
		fixture_name(b, fixture_blocks[block].name);
	if (data)
		buf_add(b, data, RAM_PAGE);
	else
		fixture_byte(b, 0);
}

void fixture_section(struct buf *b, uint8_t type)
{
	fixture_byte(b, type);
	fixture_be32(b, FIXTURE_SECTION);
}

void fixture_memory(struct buf *b, bool again)
{
	uint8_t data[RAM_PAGE], stale[RAM_PAGE];

	memset(stale, 0x5a, sizeof(stale));
	if (again) {
		fixture_section(b, STREAM_PART);
		fixture_record(b, 0, 3, true, stale); /* will be zero */
		fixture_record(b, 0, 2500, false, stale);
		fixture_record(b, 0, 4, false, NULL); /* will not be zero */
		fixture_section_end(b);
	}
	for (unsigned i = 0; i < FIXTURE_BLOCKS; i++) {
		fixture_section(b, STREAM_PART);
		for (unsigned page = 0; page < fixture_blocks[i].pages; page++)
			fixture_record(b, i, page, page == 0, fixture_page(i, page, data) ? data : NULL);
		fixture_section_end(b);
	}
	if (again) {
		fixture_section(b, STREAM_PART);
		fixture_record(b, 0, 5, true, fixture_page(0, 5, data) ? data : NULL);
		fixture_section_end(b);
	}
}

void fixture_end(struct buf *b)
{
	static const uint8_t switchover[] = {STREAM_COMMAND, 0, 11, 0, 0};

	buf_add(b, switchover, sizeof(switchover));
	fixture_section(b, STREAM_END);
	fixture_section_end(b);
	fixture_byte(b, STREAM_FULL);
	fixture_be32(b, 0);
	fixture_name(b, "globalstate");
	for (unsigned i = 0; i < 5000; i++)
		fixture_be32(b, i * 2654435761u);
	fixture_byte(b, STREAM_EOF);
	fixture_byte(b, STREAM_DESCRIPTION);
	fixture_be32(b, sizeof(fixture_description) - 1);
	buf_adds(b, fixture_description);
}

void fixture_stream(struct buf *b, bool again)
{
	fixture_start(b);
	fixture_memory(b, again);
	fixture_end(b);
}

static void *pump_thread(void *arg)
{
	struct pump *p = arg;

	if (p->sends) {
		stream_write(p->fd, p->data.data, p->data.len, NULL);
	} else {
		for (;;) {
			void *to = buf_reserve(&p->data, 1 << 16);
			ssize_t n = stream_read(p->fd, to, 1 << 16, NULL);

			if (n <= 0)
				break;
			p->data.len += (size_t)n;
		}
	}
	close(p->fd);
	return NULL;
}

int pump_start(struct pump *p, const void *data, size_t len)
{
	int fds[2];

	*p = (struct pump){.sends = data != NULL};
	if (data)
		buf_add(&p->data, data, len);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	p->fd = fds[1];
	pthread_create(&p->thread, NULL, pump_thread, p);
	return fds[0];
}

void pump_finish(struct pump *p)
{
	pthread_join(p->thread, NULL);
}
