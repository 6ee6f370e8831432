/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames: a length word, a header, a payload in XDR. Plain bytes in and out; no I/O, so that a blocking
 * client can use it as well as the daemon.
 *
 *      0        4       8       12      16      20       24       28
 *      | length | prog  | vers  | proc  | type  | serial | status | payload ...
 *
 * All big-endian 32-bit words; `length` counts the whole frame, itself included.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"
#include "godwit.h"

/*
 * The frame that begins at `data`: 1 and its whole length once the length word is there, 0 when more bytes are
 * needed for that, -1 (ERROR_RPC) when the length cannot be: less than a header, or more than `max`.
 */
int frame_get_length(const void *data, size_t len, size_t max, size_t *ret_length, struct error *err);

/* Header of a whole frame of at least RPC_FRAME_MIN bytes. The payload begins at RPC_FRAME_MIN. */
void frame_decode_header(const void *data, struct rpc_header *ret);

/*
 * Append a frame whose payload is `value` coded by `coder` (both NULL: none). Fails with ERROR_RPC, and `out` as
 * it was, when the value is larger than its type or a frame may be.
 */
int frame_encode(struct buf *out, const struct rpc_header *header, xdrproc_t coder, const void *value,
	struct error *err);

/* The same around bytes that are there already (streams). At most RPC_FRAME_MAX - RPC_FRAME_MIN. */
void frame_encode_raw(struct buf *out, const struct rpc_header *header, const void *payload, size_t len);

/*
 * Decode a payload into `value`, which the caller zeroed; all of it must be used up. On success the contents belong to
 * the caller, who gives them back with payload_free; on failure nothing is left allocated.
 */
int payload_decode(const void *data, size_t len, xdrproc_t coder, void *value, struct error *err);
void payload_free(xdrproc_t coder, void *value);

/* One value, in the direction of `xdrs`. No other code of ours calls a coder itself. */
bool coder_run(xdrproc_t coder, XDR *xdrs, void *value);
