/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames: a length word, a header, a payload in XDR. */
#include "frame.h"

static void put_header(uint8_t *p, const struct rpc_header *h, size_t length)
{
	put_be32(p, (uint32_t)length);
	put_be32(p + 4, h->prog);
	put_be32(p + 8, h->vers);
	put_be32(p + 12, (uint32_t)h->proc);
	put_be32(p + 16, (uint32_t)h->type);
	put_be32(p + 20, h->serial);
	put_be32(p + 24, (uint32_t)h->status);
}

int frame_get_length(const void *data, size_t len, size_t max, size_t *ret_length, struct error *err)
{
	size_t length;

	if (len < 4)
		return 0;
	length = get_be32(data);
	if (length < RPC_FRAME_MIN)
		return error_set(err, ERROR_RPC, "frame of %zu bytes is shorter than its header", length);
	if (length > max)
		return error_set(err, ERROR_RPC, "frame of %zu bytes is longer than %zu", length, max);
	*ret_length = length;
	return 1;
}

void frame_decode_header(const void *data, struct rpc_header *ret)
{
	const uint8_t *p = data;

	ret->prog = get_be32(p + 4);
	ret->vers = get_be32(p + 8);
	ret->proc = (int)get_be32(p + 12);
	ret->type = (int)get_be32(p + 16);
	ret->serial = get_be32(p + 20);
	ret->status = (int)get_be32(p + 24);
}

/*
 * rpcgen's coders take a pointer to their own type each, and RPC has always called them as taking (XDR *, ...): what
 * clang's check of calls through pointers is there to find.
 */
#ifdef __clang__
__attribute__((no_sanitize("function")))
#endif
bool coder_run(xdrproc_t coder, XDR *xdrs, void *value)
{
	return coder(xdrs, value);
}

int frame_encode(struct buf *out, const struct rpc_header *header, xdrproc_t coder, const void *value,
	struct error *err)
{
	size_t len = 0;
	uint8_t *p;
	XDR xdrs;
	bool ok;

	if (coder) {
		/* xdr_sizeof gives 0 for what cannot be encoded, and no type of ours is empty */
		len = xdr_sizeof(coder, (void *)value);
		if (len == 0 || len > RPC_FRAME_MAX - RPC_FRAME_MIN)
			return error_set(err, ERROR_RPC,
				"encode procedure %d: the value is too large for a message", header->proc);
	}
	p = buf_reserve(out, RPC_FRAME_MIN + len);
	put_header(p, header, RPC_FRAME_MIN + len);
	if (coder) {
		xdrmem_create(&xdrs, (char *)p + RPC_FRAME_MIN, (u_int)len, XDR_ENCODE);
		ok = coder_run(coder, &xdrs, (void *)value);
		xdr_destroy(&xdrs);
		if (!ok)
			return error_set(err, ERROR_RPC, "encode procedure %d", header->proc);
	}
	out->len += RPC_FRAME_MIN + len;
	return 0;
}

void frame_encode_raw(struct buf *out, const struct rpc_header *header, const void *payload, size_t len)
{
	uint8_t *p = buf_reserve(out, RPC_FRAME_MIN + len);

	put_header(p, header, RPC_FRAME_MIN + len);
	if (len > 0)
		memcpy(p + RPC_FRAME_MIN, payload, len);
	out->len += RPC_FRAME_MIN + len;
}

int payload_decode(const void *data, size_t len, xdrproc_t coder, void *value, struct error *err)
{
	bool ok, used_up;
	XDR xdrs;

	xdrmem_create(&xdrs, (char *)data, (u_int)len, XDR_DECODE);
	ok = coder_run(coder, &xdrs, value);
	used_up = ok && xdr_getpos(&xdrs) == len;
	xdr_destroy(&xdrs);
	if (used_up)
		return 0;
	payload_free(coder, value);
	return error_set(err, ERROR_RPC,
		ok ? "decode message: bytes left over" : "decode message: not what it should be");
}

void payload_free(xdrproc_t coder, void *value)
{
	if (coder)
		xdr_free(coder, value);
}
