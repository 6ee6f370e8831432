/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers: results, errors in libvirt's numbers and words, and what most handlers need around them. */
#include <ctype.h>

#include "alloc.h"
#include "constants.h"
#include "log.h"
#include "session.h"
#include "strv.h"

/*
 * Each code of ours: libvirt's number, the part it is said to come from, and the words libvirt puts before the
 * message, which scripts look for.
 */
static const struct {
	int code, domain;
	const char *prefix;
} error_table[] = {
	[ERROR_NONE] = {RPC_CODE_INTERNAL, RPC_FROM_QEMU, "internal error"},
	[ERROR_INTERNAL] = {RPC_CODE_INTERNAL, RPC_FROM_QEMU, "internal error"},
	[ERROR_SYSTEM] = {RPC_CODE_SYSTEM, RPC_FROM_QEMU, NULL},
	[ERROR_NO_MEMORY] = {RPC_CODE_NO_MEMORY, RPC_FROM_QEMU, "out of memory"},
	[ERROR_INVALID_ARGUMENT] = {RPC_CODE_INVALID_ARG, RPC_FROM_QEMU, "invalid argument"},
	[ERROR_XML] = {RPC_CODE_XML, RPC_FROM_DOMAIN, "XML error"},
	[ERROR_UNSUPPORTED_CONFIG] = {RPC_CODE_CONFIG_UNSUPPORTED, RPC_FROM_QEMU,
		"unsupported configuration"},
	[ERROR_UNSUPPORTED] = {RPC_CODE_OPERATION_UNSUPPORTED, RPC_FROM_QEMU, "Operation not supported"},
	[ERROR_ARGUMENT_UNSUPPORTED] = {RPC_CODE_ARGUMENT_UNSUPPORTED, RPC_FROM_QEMU, "argument unsupported"},
	[ERROR_OPERATION_INVALID] = {RPC_CODE_OPERATION_INVALID, RPC_FROM_QEMU,
		"Requested operation is not valid"},
	[ERROR_OPERATION_FAILED] = {RPC_CODE_OPERATION_FAILED, RPC_FROM_QEMU, "operation failed"},
	[ERROR_OPERATION_ABORTED] = {RPC_CODE_OPERATION_ABORTED, RPC_FROM_QEMU, "operation aborted"},
	[ERROR_OPERATION_DENIED] = {RPC_CODE_OPERATION_DENIED, RPC_FROM_QEMU, "operation forbidden"},
	[ERROR_TIMEOUT] = {RPC_CODE_OPERATION_TIMEOUT, RPC_FROM_QEMU, "Timed out during operation"},
	[ERROR_BUSY] = {RPC_CODE_OPERATION_TIMEOUT, RPC_FROM_QEMU, "Timed out during operation"},
	[ERROR_IN_USE] = {RPC_CODE_RESOURCE_BUSY, RPC_FROM_LOCKING, "resource busy"},
	[ERROR_EXISTS] = {RPC_CODE_OPERATION_FAILED, RPC_FROM_QEMU, "operation failed"},
	[ERROR_NO_DOMAIN] = {RPC_CODE_NO_DOMAIN, RPC_FROM_QEMU, "Domain not found"},
	[ERROR_NO_SNAPSHOT] = {RPC_CODE_NO_SNAPSHOT, RPC_FROM_QEMU, "Domain snapshot not found"},
	[ERROR_REVERT_RISKY] = {RPC_CODE_REVERT_RISKY, RPC_FROM_QEMU, "revert requires force"},
	[ERROR_NO_METADATA] = {RPC_CODE_NO_METADATA, RPC_FROM_QEMU, "metadata not found"},
	[ERROR_NO_SAVED_IMAGE] = {RPC_CODE_OPERATION_INVALID, RPC_FROM_QEMU,
		"Requested operation is not valid"},
	[ERROR_DAMAGED] = {RPC_CODE_OPERATION_FAILED, RPC_FROM_QEMU, "operation failed"},
	[ERROR_RPC] = {RPC_CODE_RPC, RPC_FROM_RPC, NULL},
	[ERROR_UNKNOWN_PROCEDURE] = {RPC_CODE_RPC, RPC_FROM_RPC,
		NULL}, /* "unknown procedure: 7" is what clients know */
	[ERROR_AUTH] = {RPC_CODE_AUTH_FAILED, RPC_FROM_AUTH, "authentication failed"},
	[ERROR_QEMU] = {RPC_CODE_INTERNAL, RPC_FROM_QEMU, "internal error"},
	[ERROR_NO_OBJECT] = {RPC_CODE_INVALID_ARG, RPC_FROM_QEMU, "invalid argument"},
	[ERROR_AGENT] = {RPC_CODE_AGENT_UNRESPONSIVE, RPC_FROM_QEMU, "Guest agent is not responding"},
	[ERROR_AGENT_TIMEOUT] = {RPC_CODE_AGENT_COMMAND_TIMEOUT, RPC_FROM_QEMU,
		"guest agent command timed out"},
	[ERROR_MIGRATE_UNSAFE] = {RPC_CODE_MIGRATE_UNSAFE, RPC_FROM_QEMU, "Unsafe migration"},
	[ERROR_MIGRATE_FINISH_OK] = {RPC_CODE_MIGRATE_FINISH_OK, RPC_FROM_QEMU,
		"migration successfully aborted"},
	[ERROR_MIGRATE_PERSIST_FAILED] = {RPC_CODE_MIGRATE_PERSIST_FAILED, RPC_FROM_QEMU,
		"Failed to make domain persistent after migration"},
	[ERROR_CPU_INCOMPATIBLE] = {RPC_CODE_CPU_INCOMPATIBLE, RPC_FROM_QEMU,
		"the CPU is incompatible with host CPU"},
	[ERROR_AGENT_REFUSED] = {RPC_CODE_AGENT_COMMAND_FAILED, RPC_FROM_QEMU, "guest agent command failed"},
};
_Static_assert(ARRAY_SIZE(error_table) == ERROR_CODE_MAX_, "a code without an answer");

void error_to_rpc(const struct error *err, rpc_error *ret, struct error_texts *texts)
{
	enum error_code code = err->code < ERROR_CODE_MAX_ ? err->code : ERROR_INTERNAL;
	const char *prefix = error_table[code].prefix;

	if (prefix && !startswith(err->message, prefix))
		texts->message = xasprintf("%s: %s", prefix, err->message);
	else
		texts->message = xstrdup(err->message);
	texts->str1 = xstrdup(err->message);
	*ret = (rpc_error){.code = error_table[code].code,
		.domain = error_table[code].domain,
		.message = &texts->message,
		.level = RPC_LEVEL_ERROR,
		.str1 = &texts->str1,
		.int1 = code == ERROR_SYSTEM ? err->errnum : -1,
		.int2 = -1};
}

void error_texts_fini(struct error_texts *texts)
{
	free(texts->message);
	free(texts->str1);
}

static void free_call(struct call *call)
{
	struct session *s = call->session;

	list_remove(&call->link);
	payload_free(call->args ? call->procedure->args : NULL, call->args);
	free(call->args);
	vm_unref(call->vm);
	free(call->state);
	if (s)
		session_call_ended(s, call);
	free(call);
}

static struct rpc_header reply_header(const struct call *call, int status)
{
	struct rpc_header header = call->header;

	header.type = RPC_REPLY;
	header.status = status;
	return header;
}

static void send_error(struct call *call, const rpc_error *error)
{
	struct rpc_header header = reply_header(call, RPC_ERROR);
	struct error err = ERROR_INIT;

	if (connection_send(call->session->connection, &header, (xdrproc_t)xdr_rpc_error, error, &err) < 0)
		session_doom(call->session, err.message);
}

void call_reply(struct call *call, const void *ret)
{
	struct rpc_header header = reply_header(call, RPC_OK);
	struct error err = ERROR_INIT;

	if (call->session && connection_send(call->session->connection, &header,
				     ret ? call->procedure->ret : NULL, ret, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	free_call(call);
}

void call_ok(struct call *call)
{
	call_reply(call, NULL);
}

void call_fail(struct call *call, const struct error *err)
{
	struct error_texts texts = {0};
	rpc_error error;

	if (call->session) {
		error_to_rpc(err, &error, &texts);
		send_error(call, &error);
		error_texts_fini(&texts);
	} else {
		log_info("%s: %s, and nobody waits for the answer",
			call->procedure ? call->procedure->name : "call", err->message);
	}
	free_call(call);
}

void call_fail_code(struct call *call, int code, int domain, const char *fmt, ...)
{
	_cleanup_(buf_fini) struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	if (call->session) {
		rpc_error error = {.code = code,
			.domain = domain,
			.message = &text.data,
			.level = RPC_LEVEL_ERROR,
			.str1 = &text.data,
			.int1 = -1,
			.int2 = -1};

		send_error(call, &error);
	}
	free_call(call);
}

void call_vm_done(struct vm *vm, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_ok(call);
}

void call_vm_done_domain(struct vm *vm, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	rpc_domain_ret ret;

	if (err) {
		call_fail(call, err);
		return;
	}
	domain_handle(vm, &ret.dom);
	call_reply(call, &ret);
}

void call_check(struct call *call, int r, const struct error *err)
{
	if (r < 0)
		call_fail(call, err);
}

struct vm *call_find_vm(struct call *call, const rpc_domain *dom)
{
	struct vm *vm = registry_find_by_uuid(call->registry, (const uint8_t *)dom->uuid);
	struct error err = ERROR_INIT;
	char text[UUID_TEXT_MAX];

	if (vm) {
		call->vm = vm_ref(vm);
		return vm;
	}
	uuid_format((const uint8_t *)dom->uuid, text);
	error_set(&err, ERROR_NO_DOMAIN, "no domain with matching uuid '%s' (%.*s)", text, 255, dom->name);
	call_fail(call, &err);
	return NULL;
}

struct vm *call_find_active_vm(struct call *call, const rpc_domain *dom)
{
	struct vm *vm = call_find_vm(call, dom);
	struct error err = ERROR_INIT;

	if (!vm || vm_is_active(vm))
		return vm;
	error_set(&err, ERROR_OPERATION_INVALID, "domain is not running");
	call_fail(call, &err);
	return NULL;
}

bool call_check_flags(struct call *call, unsigned flags, unsigned known)
{
	struct error err = ERROR_INIT;
	char name[80];

	if ((flags & ~known) == 0)
		return true;
	procedure_api_name(call->procedure, name);
	error_set(&err, ERROR_ARGUMENT_UNSUPPORTED, "unsupported flags (0x%x) in function %s", flags & ~known,
		name);
	call_fail(call, &err);
	return false;
}

void domain_handle(const struct vm *vm, rpc_domain *ret)
{
	ret->name = (char *)vm_get_name(vm);
	memcpy(ret->uuid, vm_get_uuid(vm), sizeof(ret->uuid));
	ret->id = vm_get_id(vm);
}
