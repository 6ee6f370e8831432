/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions about one domain that need nobody else to answer them, and its metadata. */
#include "call.h"
#include "clock.h"
#include "constants.h"
#include "dispatch.h"
#include "session.h"

void handle_domain_get_xml_desc(struct call *call)
{
	const unsigned known = RPC_XML_SECURE | RPC_XML_INACTIVE | RPC_XML_UPDATE_CPU | RPC_XML_MIGRATABLE;
	const rpc_domain_flags_args *args = call->args;
	_cleanup_free_ char *xml = NULL;
	struct error err = ERROR_INIT;
	unsigned flags = 0;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, known))
		return;
	if (call->session->read_only && args->flags & (RPC_XML_SECURE | RPC_XML_MIGRATABLE)) {
		error_set(&err, ERROR_OPERATION_DENIED, "virDomainGetXMLDesc with secure flag");
		call_fail(call, &err);
		return;
	}
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	flags |= args->flags & RPC_XML_SECURE ? DOMAIN_FORMAT_SECURE : 0;
	flags |= args->flags & RPC_XML_INACTIVE ? DOMAIN_FORMAT_INACTIVE : 0;
	/* what a migration needs includes the passwords */
	flags |= args->flags & RPC_XML_MIGRATABLE ? DOMAIN_FORMAT_MIGRATABLE | DOMAIN_FORMAT_SECURE : 0;
	xml = vm_format_xml(vm, flags);
	call_reply(call, &(rpc_string_ret){xml});
}

static uint64_t current_memory_kib(const struct vm *vm)
{
	return vm_is_active(vm) ? vm_get_balloon_kib(vm) : vm_get_domain(vm)->current_memory_kib;
}

void handle_domain_get_info(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	rpc_domain_info_ret ret = {0};
	const struct domain *d;
	struct vm_status status;

	if (!vm)
		return;
	d = vm_get_domain(vm);
	vm_get_status(vm, &status);
	ret.state = (u_char)status.state;
	ret.max_memory_kib = d->memory_kib;
	ret.memory_kib = current_memory_kib(vm);
	ret.vcpus = (u_short)d->vcpus_current;
	ret.cpu_time_ns = vm_is_active(vm) ? vm_get_cpu_time_ns(vm) : 0;
	call_reply(call, &ret);
}

void handle_domain_get_state(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct vm_status status;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	vm_get_status(vm, &status);
	call_reply(call, &(rpc_domain_state_ret){status.state, status.reason});
}

void handle_domain_get_control_info(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	rpc_domain_control_info_ret ret = {.state = RPC_CONTROL_OK};
	struct vm_job_info info;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return;
	vm_get_job_info(vm, false, &info);
	if (info.operation != VM_JOB_NONE) {
		ret.state = RPC_CONTROL_JOB;
		ret.state_time_ms = info.elapsed_ms;
	}
	call_reply(call, &ret);
}

void handle_domain_get_max_memory(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_u64_ret){vm_get_domain(vm)->memory_kib});
}

void handle_domain_get_max_vcpus(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_int_ret){(int)vm_get_domain(vm)->vcpus});
}

void handle_domain_get_os_type(struct call *call)
{
	const rpc_domain_args *args = call->args;

	if (call_find_vm(call, &args->dom))
		call_reply(call, &(rpc_string_ret){(char *)"hvm"});
}

void handle_domain_is_active(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_int_ret){vm_is_active(vm)});
}

void handle_domain_is_persistent(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_int_ret){vm_is_persistent(vm)});
}

/* There are no security labels: an empty one, with the NUL that libvirt counts in. */
void handle_domain_get_security_label(struct call *call)
{
	const rpc_domain_args *args = call->args;
	char nothing = '\0'; /* not a literal: libtirpc's xdr_char writes back what it encodes */
	rpc_security_label_ret ret = {.label = {1, &nothing}};

	if (call_find_vm(call, &args->dom))
		call_reply(call, &ret);
}

void handle_domain_get_security_label_list(struct call *call)
{
	const rpc_domain_args *args = call->args;

	if (call_find_vm(call, &args->dom))
		call_reply(call, &(rpc_security_labels_ret){0});
}

void handle_domain_get_messages(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (!call_check_flags(
		    call, args->flags, RPC_MESSAGE_DEPRECATION | RPC_MESSAGE_TAINTING | RPC_MESSAGE_IOERRORS))
		return;
	if (call_find_vm(call, &args->dom))
		call_reply(call, &(rpc_domain_messages_ret){0});
}

/* ---- metadata ---- */

static bool check_metadata(struct call *call, int type, unsigned flags)
{
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, flags, RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG))
		return false;
	if (type >= VM_METADATA_DESCRIPTION && type <= VM_METADATA_ELEMENT)
		return true;
	error_set(&err, ERROR_INVALID_ARGUMENT, "unknown metadata type %d", type);
	call_fail(call, &err);
	return false;
}

static const char *optional(rpc_string *s)
{
	return s ? *s : NULL;
}

void handle_domain_set_metadata(struct call *call)
{
	const rpc_set_metadata_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;
	int r;

	if (!check_metadata(call, args->type, args->flags))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	r = vm_set_metadata(vm, (enum vm_metadata)args->type, optional(args->metadata), optional(args->key),
		optional(args->uri), args->flags, &err);
	if (r < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

void handle_domain_get_metadata(struct call *call)
{
	const rpc_get_metadata_args *args = call->args;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!check_metadata(call, args->type, args->flags))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_get_metadata(vm, (enum vm_metadata)args->type, optional(args->uri), args->flags, &text, &err) <
		0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_string_ret){text});
}
