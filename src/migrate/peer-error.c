/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors of other daemons: libvirt's numbers as our codes, so that whoever asked us gets the number that we were given. */
#include "constants.h"
#include "peer-internal.h"
#include "strv.h"

static const struct {
	int wire;
	enum error_code code;
} codes[] = {
	{RPC_CODE_INTERNAL, ERROR_INTERNAL},
	{RPC_CODE_NO_MEMORY, ERROR_NO_MEMORY},
	{RPC_CODE_NO_SUPPORT, ERROR_UNSUPPORTED},
	{RPC_CODE_INVALID_ARG, ERROR_INVALID_ARGUMENT},
	{RPC_CODE_OPERATION_FAILED, ERROR_OPERATION_FAILED},
	{RPC_CODE_XML, ERROR_XML},
	{RPC_CODE_DOMAIN_EXISTS, ERROR_EXISTS},
	{RPC_CODE_OPERATION_DENIED, ERROR_OPERATION_DENIED},
	{RPC_CODE_SYSTEM, ERROR_SYSTEM},
	{RPC_CODE_RPC, ERROR_RPC},
	{RPC_CODE_NO_DOMAIN, ERROR_NO_DOMAIN},
	{RPC_CODE_AUTH_FAILED, ERROR_AUTH},
	{RPC_CODE_OPERATION_INVALID, ERROR_OPERATION_INVALID},
	{RPC_CODE_CONFIG_UNSUPPORTED, ERROR_UNSUPPORTED_CONFIG},
	{RPC_CODE_OPERATION_TIMEOUT, ERROR_TIMEOUT},
	{RPC_CODE_NO_SNAPSHOT, ERROR_NO_SNAPSHOT},
	{RPC_CODE_ARGUMENT_UNSUPPORTED, ERROR_ARGUMENT_UNSUPPORTED},
	{RPC_CODE_REVERT_RISKY, ERROR_REVERT_RISKY},
	{RPC_CODE_OPERATION_ABORTED, ERROR_OPERATION_ABORTED},
	{RPC_CODE_NO_METADATA, ERROR_NO_METADATA},
	{RPC_CODE_MIGRATE_UNSAFE, ERROR_MIGRATE_UNSAFE},
	{RPC_CODE_OPERATION_UNSUPPORTED, ERROR_UNSUPPORTED},
	{RPC_CODE_AGENT_UNRESPONSIVE, ERROR_AGENT},
	{RPC_CODE_RESOURCE_BUSY, ERROR_IN_USE},
	{RPC_CODE_MIGRATE_FINISH_OK, ERROR_MIGRATE_FINISH_OK},
	{RPC_CODE_AGENT_COMMAND_TIMEOUT, ERROR_AGENT_TIMEOUT},
	{RPC_CODE_AGENT_COMMAND_FAILED, ERROR_AGENT_REFUSED},
};

static enum error_code find_code(const rpc_error *e)
{
	if (e->code == RPC_CODE_RPC && e->message && startswith(*e->message, "unknown procedure"))
		return ERROR_UNKNOWN_PROCEDURE;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].wire == e->code)
			return codes[i].code;
	return ERROR_OPERATION_FAILED;
}

int peer_error_decode(const void *payload, size_t len, struct error *err)
{
	rpc_error e = {0};

	if (payload_decode(payload, len, (xdrproc_t)xdr_rpc_error, &e, err) < 0)
		return error_prefix(err, "its error cannot be read");
	error_set(err, find_code(&e), "%s", e.message && **e.message ? *e.message : "it gave no reason");
	/* an errno is sent on only with the code that it belongs to */
	if (err && e.code == RPC_CODE_SYSTEM && e.int1 > 0)
		err->errnum = e.int1;
	payload_free((xdrproc_t)xdr_rpc_error, &e);
	return -1;
}
