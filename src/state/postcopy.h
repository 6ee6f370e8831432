/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two ends of a post-copy migration say to each other, as far as its source needs it. Everything integer is big-endian.
 *
 *	to the destination, among the sections of ram-stream.h
 *	08 COMMAND: u16 command, u16 length, payload
 *
 *	back: u16 type, u16 length, payload
 *	1 SHUT: u32 error			the destination is done
 *	2 PONG: u32				the number of a PING
 *	3 REQ_PAGES_ID: u64 offset, u32 length, name of a block
 *	4 REQ_PAGES: u64 offset, u32 length	in the block last named
 *	5 RECV_BITMAP: name of a block		then, outside the message: u64 size, bits (little-endian words), u64 0x0123456789abcdef
 *	6 RESUME_ACK: u32 1
 *	7 SWITCHOVER_ACK
 *
 * Numbers: QEMU's migration/savevm.c and migration/migration.h (10.0); the same since 4.0, the last one since 8.1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"
#include "ram-stream.h"

enum postcopy_command {
	POSTCOPY_OPEN_RETURN_PATH = 1,
	POSTCOPY_PING = 2,
	POSTCOPY_ADVISE = 3,
	POSTCOPY_LISTEN = 4,
	POSTCOPY_RUN = 5,
	POSTCOPY_RAM_DISCARD = 6,
	POSTCOPY_PACKAGED = 7,
	POSTCOPY_RESUME = 9,
	POSTCOPY_RECV_BITMAP = 10,
};

void postcopy_add_command(struct buf *b, enum postcopy_command command, const void *payload, size_t len);
void postcopy_add_ping(struct buf *b, uint32_t number);
/* Every block has pages of RAM_PAGE bytes on the host: QEMU refuses when its own are larger. */
void postcopy_add_advise(struct buf *b);
/* Of the first page of `block`. */
void postcopy_add_discard(struct buf *b, const char *block);
void postcopy_add_recv_bitmap(struct buf *b, const char *block);

/* The device sections between LISTEN and RUN, with PING `ping` before RUN: answered when the devices are loaded. */
void postcopy_add_package(struct buf *b, const struct buf *devices, uint32_t ping);

/* What begins and ends a PART or END of memory. */
#define POSTCOPY_SECTION_SIZE	  5u
#define POSTCOPY_SECTION_END_SIZE 13u
void postcopy_section_encode(uint8_t ret[POSTCOPY_SECTION_SIZE], enum stream_section type, uint32_t id);
void postcopy_section_end_encode(uint8_t ret[POSTCOPY_SECTION_END_SIZE], uint32_t id);

/*
 * A page's record, without its data; it names the block, so that it means the same wherever it stands. Returns its length.
 */
#define POSTCOPY_RECORD_MAX (8u + 1u + 255u + 1u)
size_t postcopy_record_encode(
	uint8_t ret[POSTCOPY_RECORD_MAX], const char *block, uint64_t offset, bool zero);

enum postcopy_reply {
	POSTCOPY_SHUT = 1,
	POSTCOPY_PONG = 2,
	POSTCOPY_REQ_PAGES_ID = 3,
	POSTCOPY_REQ_PAGES = 4,
	POSTCOPY_BITMAP = 5,
	POSTCOPY_RESUME_ACK = 6,
	POSTCOPY_SWITCHOVER_ACK = 7,
};

#define POSTCOPY_BITMAP_END UINT64_C(0x0123456789abcdef)

struct postcopy_message {
	enum postcopy_reply type;
	uint32_t number; /* SHUT, PONG, RESUME_ACK */
	uint64_t start;	 /* REQ_PAGES: bytes from the block's beginning */
	uint32_t len;	 /* REQ_PAGES */
	char block[256]; /* REQ_PAGES_ID, BITMAP */
};

/* The length of the message at `data`; 0: more bytes are needed; -1: ERROR_RPC. */
ssize_t postcopy_message_parse(
	const uint8_t *data, size_t len, struct postcopy_message *ret, struct error *err);
