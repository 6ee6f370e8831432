/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a post-copy migration (postcopy.h). */
#include "postcopy.h"

#include <string.h>

static void add_name(struct buf *b, const char *name)
{
	uint8_t len = (uint8_t)strlen(name);

	buf_add(b, &len, 1);
	buf_add(b, name, len);
}

void postcopy_add_command(struct buf *b, enum postcopy_command command, const void *payload, size_t len)
{
	uint8_t head[5] = {STREAM_COMMAND};

	put_be16(head + 1, (uint16_t)command);
	put_be16(head + 3, (uint16_t)len);
	buf_add(b, head, sizeof(head));
	if (len > 0)
		buf_add(b, payload, len);
}

void postcopy_add_ping(struct buf *b, uint32_t number)
{
	uint8_t payload[4];

	put_be32(payload, number);
	postcopy_add_command(b, POSTCOPY_PING, payload, sizeof(payload));
}

void postcopy_add_advise(struct buf *b)
{
	uint8_t payload[16];

	put_be64(payload, RAM_PAGE);	 /* all page sizes of the host, or-ed */
	put_be64(payload + 8, RAM_PAGE); /* the target's */
	postcopy_add_command(b, POSTCOPY_ADVISE, payload, sizeof(payload));
}

void postcopy_add_discard(struct buf *b, const char *block)
{
	_cleanup_(buf_fini) struct buf payload = {0};
	uint8_t range[1 + 16] = {0}; /* the name's NUL */

	buf_add(&payload, "", 1); /* version */
	add_name(&payload, block);
	put_be64(range + 1, 0);
	put_be64(range + 9, RAM_PAGE);
	buf_add(&payload, range, sizeof(range));
	postcopy_add_command(b, POSTCOPY_RAM_DISCARD, payload.data, payload.len);
}

void postcopy_add_recv_bitmap(struct buf *b, const char *block)
{
	_cleanup_(buf_fini) struct buf payload = {0};

	add_name(&payload, block);
	postcopy_add_command(b, POSTCOPY_RECV_BITMAP, payload.data, payload.len);
}

void postcopy_add_package(struct buf *b, const struct buf *devices, uint32_t ping)
{
	_cleanup_(buf_fini) struct buf package = {0};
	uint8_t len[4];

	postcopy_add_command(&package, POSTCOPY_LISTEN, NULL, 0);
	buf_add(&package, devices->data, devices->len);
	postcopy_add_ping(&package, ping);
	postcopy_add_command(&package, POSTCOPY_RUN, NULL, 0);
	put_be32(len, (uint32_t)package.len);
	postcopy_add_command(b, POSTCOPY_PACKAGED, len, sizeof(len));
	buf_add(b, package.data, package.len);
}

void postcopy_section_encode(uint8_t ret[POSTCOPY_SECTION_SIZE], enum stream_section type, uint32_t id)
{
	ret[0] = (uint8_t)type;
	put_be32(ret + 1, id);
}

void postcopy_section_end_encode(uint8_t ret[POSTCOPY_SECTION_END_SIZE], uint32_t id)
{
	put_be64(ret, RAM_EOS);
	ret[8] = STREAM_FOOTER;
	put_be32(ret + 9, id);
}

size_t postcopy_record_encode(uint8_t ret[POSTCOPY_RECORD_MAX], const char *block, uint64_t offset, bool zero)
{
	size_t len = strlen(block);

	put_be64(ret, offset | (zero ? RAM_ZERO : RAM_PAGE_DATA));
	ret[8] = (uint8_t)len;
	memcpy(ret + 9, block, len);
	if (!zero)
		return 9 + len;
	ret[9 + len] = 0;
	return 10 + len;
}

/* ---- back ---- */

static int odd(const struct postcopy_message *m, struct error *err)
{
	return error_set(err, ERROR_RPC,
		"QEMU sent an impossible message of type %u while its memory is served", (unsigned)m->type);
}

/* The name of a block fills the payload's rest. */
static int parse_name(struct postcopy_message *m, const uint8_t *data, size_t len, struct error *err)
{
	if (len < 1 || len != 1u + data[0] || data[0] == 0 || memchr(data + 1, '\0', data[0]))
		return odd(m, err);
	memcpy(m->block, data + 1, data[0]);
	m->block[data[0]] = '\0';
	return 0;
}

static int parse_payload(struct postcopy_message *m, const uint8_t *data, size_t len, struct error *err)
{
	switch (m->type) {
	case POSTCOPY_SHUT:
	case POSTCOPY_PONG:
	case POSTCOPY_RESUME_ACK:
		if (len != 4)
			return odd(m, err);
		m->number = get_be32(data);
		return 0;
	case POSTCOPY_REQ_PAGES_ID:
	case POSTCOPY_REQ_PAGES:
		if (len < 12 || (m->type == POSTCOPY_REQ_PAGES && len != 12))
			return odd(m, err);
		m->start = get_be64(data);
		m->len = get_be32(data + 8);
		return m->type == POSTCOPY_REQ_PAGES ? 0 : parse_name(m, data + 12, len - 12, err);
	case POSTCOPY_BITMAP:
		return parse_name(m, data, len, err);
	case POSTCOPY_SWITCHOVER_ACK:
		return len == 0 ? 0 : odd(m, err);
	}
	return odd(m, err);
}

ssize_t postcopy_message_parse(
	const uint8_t *data, size_t len, struct postcopy_message *ret, struct error *err)
{
	size_t payload;

	if (len < 4)
		return 0;
	*ret = (struct postcopy_message){.type = (enum postcopy_reply)get_be16(data)};
	payload = get_be16(data + 2);
	if (len < 4 + payload)
		return 0;
	return parse_payload(ret, data + 4, payload, err) < 0 ? -1 : (ssize_t)(4 + payload);
}
