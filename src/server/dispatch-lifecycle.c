/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions, starting and stopping. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "own.h"
#include "session.h"
#include "vm-agent.h"

/* ---- definitions ---- */

static void define(struct call *call, const char *xml, bool validate)
{
	struct error err = ERROR_INIT;

	call_check(
		call, registry_define(call->registry, xml, validate, call_vm_done_domain, call, &err), &err);
}

void handle_domain_define_xml(struct call *call)
{
	const rpc_xml_args *args = call->args;

	define(call, args->xml, false);
}

void handle_domain_define_xml_flags(struct call *call)
{
	const rpc_xml_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, RPC_DEFINE_VALIDATE))
		define(call, args->xml, args->flags & RPC_DEFINE_VALIDATE);
}

static void undefine(struct call *call, const rpc_domain *dom, const struct vm_undefine_options *options)
{
	struct vm *vm = call_find_vm(call, dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, vm_undefine(vm, options, call_vm_done, call, &err), &err);
}

void handle_domain_undefine(struct call *call)
{
	const rpc_domain_args *args = call->args;

	undefine(call, &args->dom, &(struct vm_undefine_options){0});
}

void handle_domain_undefine_flags(struct call *call)
{
	/* There are no checkpoints whose metadata could stand in the way. */
	const unsigned known = RPC_UNDEFINE_MANAGED_SAVE | RPC_UNDEFINE_NVRAM | RPC_UNDEFINE_KEEP_NVRAM |
			       RPC_UNDEFINE_SNAPSHOTS_METADATA | RPC_UNDEFINE_CHECKPOINTS_METADATA;
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, known))
		return;
	if (args->flags & RPC_UNDEFINE_NVRAM && args->flags & RPC_UNDEFINE_KEEP_NVRAM) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "cannot both keep and delete nvram");
		call_fail(call, &err);
		return;
	}
	undefine(call, &args->dom,
		&(struct vm_undefine_options){.managed_save = args->flags & RPC_UNDEFINE_MANAGED_SAVE,
			.nvram = args->flags & RPC_UNDEFINE_NVRAM,
			.keep_nvram = args->flags & RPC_UNDEFINE_KEEP_NVRAM,
			.snapshots_metadata = args->flags & RPC_UNDEFINE_SNAPSHOTS_METADATA});
}

void handle_domain_rename(struct call *call)
{
	const rpc_rename_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (!args->name) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "rename %s: no name was given", vm_get_name(vm));
		call_fail(call, &err);
	} else if (vm_rename(vm, *args->name, &err) < 0) {
		call_fail(call, &err);
	} else {
		call_reply(call, &(rpc_int_ret){0});
	}
}

void handle_domain_get_autostart(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_int_ret){vm_get_autostart(vm)});
}

void handle_domain_get_autostart_once(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);

	if (vm)
		call_reply(call, &(rpc_int_ret){vm_get_autostart_once(vm)});
}

static void set_autostart(struct call *call, int (*set)(struct vm *vm, bool on, struct error *err))
{
	const rpc_domain_int_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct error err = ERROR_INIT;

	if (!vm)
		return;
	if (set(vm, args->value != 0, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

void handle_domain_set_autostart(struct call *call)
{
	set_autostart(call, vm_set_autostart);
}

void handle_domain_set_autostart_once(struct call *call)
{
	set_autostart(call, vm_set_autostart_once);
}

/* ---- starting ---- */

static void ignore(struct vm *vm, const struct error *err, void *userdata)
{
}

/* As call_vm_done_domain, for a VM that is to end with its client. */
static void created_for_client(struct vm *vm, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	struct autodestroy mark = {.id = -1};

	if (!err && call->session && call->session->state == SESSION_OPEN) {
		memcpy(mark.uuid, vm_get_uuid(vm), sizeof(mark.uuid));
		mark.id = vm_get_id(vm);
		VEC_ADD(&call->session->autodestroys, mark);
	} else if (!err) {
		vm_destroy(vm, false, ignore, NULL, NULL);
	}
	call_vm_done_domain(vm, err, userdata);
}

static vm_done_fn start_done(unsigned flags)
{
	return flags & RPC_START_AUTODESTROY ? created_for_client : call_vm_done_domain;
}

static struct vm_start_options start_options(unsigned flags)
{
	return (struct vm_start_options){.paused = flags & RPC_START_PAUSED,
		.force_boot = flags & RPC_START_FORCE_BOOT,
		.bypass_cache = flags & RPC_START_BYPASS_CACHE,
		.reset_nvram = flags & RPC_START_RESET_NVRAM};
}

void handle_domain_create_xml(struct call *call)
{
	const unsigned known =
		RPC_START_PAUSED | RPC_START_AUTODESTROY | RPC_START_VALIDATE | RPC_START_RESET_NVRAM;
	const rpc_xml_flags_args *args = call->args;
	struct vm_start_options options = start_options(args->flags);
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, known))
		return;
	call_check(call,
		registry_create(call->registry, args->xml, &options, start_done(args->flags), call, &err),
		&err);
}

void handle_domain_create(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, vm_start(vm, &(struct vm_start_options){0}, call_vm_done, call, &err), &err);
}

static void start(struct call *call, const rpc_domain *dom, unsigned flags, unsigned extra)
{
	const unsigned known = RPC_START_PAUSED | RPC_START_AUTODESTROY | RPC_START_BYPASS_CACHE |
			       RPC_START_FORCE_BOOT | RPC_START_RESET_NVRAM;
	struct vm_start_options options = start_options(flags);
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, flags, known) ||
		!call_check_flags(call, extra, RPC_GODWIT_FORCE | RPC_GODWIT_EAGER))
		return;
	options.force = extra & RPC_GODWIT_FORCE;
	options.eager = extra & RPC_GODWIT_EAGER;
	vm = call_find_vm(call, dom);
	if (vm)
		call_check(call, vm_start(vm, &options, start_done(flags), call, &err), &err);
}

void handle_domain_create_with_flags(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	start(call, &args->dom, args->flags, 0);
}

void handle_godwit_start(struct call *call)
{
	const rpc_godwit_start_args *args = call->args;

	start(call, &args->dom, args->flags, args->extra);
}

/* ---- while it runs, and stopping ---- */

typedef int (*vm_verb_fn)(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);

static void run_verb(struct call *call, const rpc_domain *dom, vm_verb_fn verb)
{
	struct vm *vm = call_find_vm(call, dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, verb(vm, call_vm_done, call, &err), &err);
}

void handle_domain_suspend(struct call *call)
{
	run_verb(call, &((const rpc_domain_args *)call->args)->dom, vm_suspend);
}

void handle_domain_resume(struct call *call)
{
	run_verb(call, &((const rpc_domain_args *)call->args)->dom, vm_resume);
}

void handle_domain_shutdown(struct call *call)
{
	struct vm *vm = call_find_vm(call, &((const rpc_domain_args *)call->args)->dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, vm_ask_to_end(vm, 0, false, call_vm_done, call, &err), &err);
}

/* The modes of SHUTDOWN_FLAGS and REBOOT. */
static void ask_to_end(struct call *call, bool reboot)
{
	const rpc_domain_flags_args *args = call->args;
	unsigned ways = (args->flags & RPC_SHUTDOWN_ACPI ? VM_ASK_ACPI : 0u) |
			(args->flags & RPC_SHUTDOWN_AGENT ? VM_ASK_AGENT : 0u);
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_SHUTDOWN_ACPI | RPC_SHUTDOWN_AGENT))
		return;
	vm = call_find_vm(call, &args->dom);
	if (vm)
		call_check(call, vm_ask_to_end(vm, ways, reboot, call_vm_done, call, &err), &err);
}

void handle_domain_shutdown_flags(struct call *call)
{
	ask_to_end(call, false);
}

void handle_domain_reboot(struct call *call)
{
	ask_to_end(call, true);
}

void handle_domain_reset(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		run_verb(call, &args->dom, vm_reset);
}

void handle_domain_inject_nmi(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, 0))
		run_verb(call, &args->dom, vm_inject_nmi);
}

static void destroy(struct call *call, const rpc_domain *dom, bool graceful)
{
	struct vm *vm = call_find_vm(call, dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, vm_destroy(vm, graceful, call_vm_done, call, &err), &err);
}

void handle_domain_destroy(struct call *call)
{
	const rpc_domain_args *args = call->args;

	destroy(call, &args->dom, false);
}

void handle_domain_destroy_flags(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	if (call_check_flags(call, args->flags, RPC_DESTROY_GRACEFUL))
		destroy(call, &args->dom, args->flags & RPC_DESTROY_GRACEFUL);
}
