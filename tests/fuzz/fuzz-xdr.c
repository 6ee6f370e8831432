/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments and results of every procedure: what can be decoded can be encoded, to as many bytes, and decoded again. */
#include <assert.h>

#include "alloc.h"
#include "procedure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger than any result type; argument types have their size in the table. */
#define VALUE_MAX 512

/* Bytes 0 and 1: the procedure (big-endian; its number, and bit 15: of QEMU's program); byte 2: 0 arguments, else results. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(buf_fini) struct buf again = {0};
	struct rpc_header header = {0};
	const struct procedure *p;
	char value[VALUE_MAX] = {0};
	xdrproc_t coder;

	if (size < 3)
		return 0;
	p = procedure_find(data[0] & 0x80 ? RPC_PROGRAM_QEMU : RPC_PROGRAM_REMOTE, get_be16(data) & 0x7fff);
	if (!p)
		return 0;
	coder = data[2] == 0 ? p->args : p->ret;
	if (!coder || payload_decode(data + 3, size - 3, coder, value, NULL) < 0)
		return 0;
	assert(frame_encode(&again, &header, coder, value, NULL) == 0);
	payload_free(coder, value);
	assert(again.len == size - 3 + RPC_FRAME_MIN);
	memset(value, 0, sizeof(value));
	assert(payload_decode(again.data + RPC_FRAME_MIN, size - 3, coder, value, NULL) == 0);
	payload_free(coder, value);
	return 0;
}
