/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU's migration stream, as far as it is about memory; everything integer is big-endian.
 *
 *	"QEVM", 3
 *	07 CONFIGURATION: u32 length, machine type; then 05 subsections
 *	08 COMMAND: u16 command, u16 length, payload			may stand between all sections
 *	01 START: u32 id, "ram", u32 0, u32 4; list of blocks; records	7e footer: u32 id
 *	02 PART: u32 id; records					footer, any number
 *	03 END: u32 id; records						footer
 *	04 devices, 00, 06 description					not looked into
 *
 * A background snapshot's has no END: its devices follow the last PART. Its pages come once, in any order.
 *
 * A record is u64 (offset in the block | flags), the block's name unless CONTINUE, and a page, or a zero byte, or nothing.
 * Numbers: QEMU's migration/savevm.h, migration/ram.c (10.0); the same since 2.x.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "error.h"

#define RAM_PAGE 4096u /* the target's page; other sizes are refused */

enum stream_section {
	STREAM_EOF = 0x00,
	STREAM_START = 0x01,
	STREAM_PART = 0x02,
	STREAM_END = 0x03,
	STREAM_FULL = 0x04,
	STREAM_SUBSECTION = 0x05,
	STREAM_DESCRIPTION = 0x06,
	STREAM_CONFIGURATION = 0x07,
	STREAM_COMMAND = 0x08,
	STREAM_FOOTER = 0x7e,
};

enum ram_flag {
	RAM_ZERO = 0x02,
	RAM_MEM_SIZE = 0x04,
	RAM_PAGE_DATA = 0x08,
	RAM_EOS = 0x10,
	RAM_CONTINUE = 0x20,
	RAM_MULTIFD_FLUSH = 0x200,
};

/* The stream up to the payload of RAM's START section. */
struct stream_prefix {
	size_t len;
	size_t start_at;	  /* of the START section: before it are configuration and commands */
	size_t config_end;	  /* a subsection can be put in here */
	size_t caps_at, caps_len; /* the subsection with capabilities; 0: none */
	bool mapped_ram;	  /* it names mapped-ram */
	uint32_t section_id;
};

/* A window as large as this holds any prefix, command or record. */
#define STREAM_WINDOW_MIN (128u << 10)

/* 1: parsed; 0: more bytes are needed; -1: ERROR_DAMAGED or, not understood, ERROR_UNSUPPORTED_CONFIG. */
int stream_prefix_parse(const uint8_t *data, size_t len, struct stream_prefix *ret, struct error *err);

/* The length of the COMMAND section at `data`; 0: more bytes are needed; -1: one that cannot be passed over. */
ssize_t stream_command_parse(const uint8_t *data, size_t len, struct error *err);

struct ram_block {
	char name[256];
	uint64_t length; /* bytes, a multiple of RAM_PAGE */
};

#define RAM_BLOCKS_MAX 1024u
#define RAM_LENGTH_MAX (UINT64_C(1) << 46)

/* Each returns 0, or -1 which ram_stream_feed passes on. NULL: not wanted. */
struct ram_stream_ops {
	/* Once, when all blocks are known. `data` is the prefix's bytes. */
	int (*head)(void *userdata, const uint8_t *data, const struct stream_prefix *prefix,
		const struct ram_block *blocks, unsigned n_blocks, struct error *err);
	/* `data` NULL: the page is zero. */
	int (*page)(void *userdata, unsigned block, uint64_t offset, const uint8_t *data, struct error *err);
	/* After `head`: commands, RAM's END section (without records; made where there is none), and all that follows, as it stands. */
	int (*verbatim)(void *userdata, const void *data, size_t len, struct error *err);
};

enum ram_stream_state {
	RAM_STREAM_PREFIX,
	RAM_STREAM_LIST,
	RAM_STREAM_RECORDS,
	RAM_STREAM_FOOTER,
	RAM_STREAM_SECTION,
	RAM_STREAM_TAIL, /* memory is over */
};

struct ram_stream {
	const struct ram_stream_ops *ops;
	void *userdata;
	enum ram_stream_state state;
	struct buf head; /* the prefix's bytes */
	struct stream_prefix prefix;
	struct ram_block *blocks; /* owned */
	unsigned n_blocks;
	uint64_t list_left; /* bytes of memory the list still has to name */
	int block;	    /* of the last record; -1: none yet */
	bool last_section;  /* in END */
	/* Offsets in the stream: of the element at hand; in ops->page, of the page's bytes; of what follows memory. */
	uint64_t at, page_at, tail_at;
	struct buf window; /* ram_stream_push's: an element of which more is needed */
};

void ram_stream_init(struct ram_stream *s, const struct ram_stream_ops *ops, void *userdata);
void ram_stream_fini(struct ram_stream *s);
/*
 * Bytes consumed: whole elements. What is left must be given again with more behind it; nothing consumed from
 * STREAM_WINDOW_MIN bytes never happens. -1: as stream_prefix_parse, or from the ops.
 */
ssize_t ram_stream_feed(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err);
/* The same for a stream in pieces of any size: everything is consumed, what is left is kept. */
int ram_stream_push(struct ram_stream *s, const uint8_t *data, size_t len, struct error *err);
