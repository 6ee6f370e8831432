/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of a domain: making, taking and leaving them, and what is known of them. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "images.h"
#include "own.h"
#include "session.h"
#include "snapshot-filter.h"
#include "strv.h"
#include "vm-snapshot.h"

/* ---- handles ---- */

static void snapshot_handle(const struct vm *vm, const char *name, rpc_snapshot *ret)
{
	ret->name = (char *)name;
	domain_handle(vm, &ret->domain);
}

static void reply_snapshot(struct call *call, const struct vm *vm, const char *name)
{
	rpc_snapshot_ret ret;

	snapshot_handle(vm, name, &ret.snapshot);
	call_reply(call, &ret);
}

/* Answers and returns NULL when there is none. */
static const struct snapshot *find_named(struct call *call, const struct vm *vm, const char *name)
{
	const struct snapshot *s = snapshot_tree_find(vm_get_snapshots(vm), name);
	struct error err = ERROR_INIT;

	if (s)
		return s;
	if (vm_snapshot_is_unreadable(vm, name))
		error_set(&err, ERROR_OPERATION_INVALID,
			"the metadata of snapshot '%s' of domain '%s' cannot be read", name, vm_get_name(vm));
	else
		error_set(&err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", name);
	call_fail(call, &err);
	return NULL;
}

static const struct snapshot *find_snapshot(struct call *call, const rpc_snapshot *handle, struct vm **ret_vm)
{
	struct vm *vm = call_find_vm(call, &handle->domain);

	*ret_vm = vm;
	return vm ? find_named(call, vm, handle->name) : NULL;
}

/* ---- making, taking, leaving ---- */

/* Answers and returns false when two flags are there that exclude each other. */
static bool check_exclusive(struct call *call, unsigned flags, unsigned a, unsigned b, const char *text)
{
	struct error err = ERROR_INIT;

	if (!(flags & a) || !(flags & b))
		return true;
	error_set(&err, ERROR_INVALID_ARGUMENT, "flags %s are mutually exclusive", text);
	call_fail(call, &err);
	return false;
}

static bool check_create_flags(struct call *call, unsigned flags)
{
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, flags, RPC_SNAPSHOT_CREATE_VALIDATE * 2 - 1) ||
		!check_exclusive(call, flags, RPC_SNAPSHOT_CREATE_REDEFINE, RPC_SNAPSHOT_CREATE_NO_METADATA,
			"REDEFINE and NO_METADATA") ||
		!check_exclusive(call, flags, RPC_SNAPSHOT_CREATE_REDEFINE, RPC_SNAPSHOT_CREATE_HALT,
			"REDEFINE and HALT") ||
		!check_exclusive(call, flags, RPC_SNAPSHOT_CREATE_REDEFINE, RPC_SNAPSHOT_CREATE_LIVE,
			"REDEFINE and LIVE"))
		return false;
	if (flags & RPC_SNAPSHOT_CREATE_CURRENT && !(flags & RPC_SNAPSHOT_CREATE_REDEFINE))
		error_set(&err, ERROR_INVALID_ARGUMENT, "flag CURRENT requires flag REDEFINE");
	else if (flags & RPC_SNAPSHOT_CREATE_QUIESCE && !(flags & RPC_SNAPSHOT_CREATE_DISK_ONLY))
		error_set(&err, ERROR_INVALID_ARGUMENT, "flag QUIESCE requires flag DISK_ONLY");
	if (err.code == ERROR_NONE)
		return true;
	call_fail(call, &err);
	return false;
}

static void created(struct vm *vm, const char *name, const struct error *err, void *userdata)
{
	if (err)
		call_fail(userdata, err);
	else
		reply_snapshot(userdata, vm, name);
}

static int create(struct call *call, struct vm *vm, const char *xml, unsigned flags, const char *hook,
	struct error *err)
{
	/* Every snapshot is taken whole or not at all (ATOMIC), and every document read strictly (VALIDATE). */
	struct vm_snapshot_create_options options = {.xml = xml,
		.hook = hook,
		.no_metadata = flags & RPC_SNAPSHOT_CREATE_NO_METADATA,
		.halt = flags & RPC_SNAPSHOT_CREATE_HALT,
		.disk_only = flags & RPC_SNAPSHOT_CREATE_DISK_ONLY,
		.reuse_external = flags & RPC_SNAPSHOT_CREATE_REUSE_EXTERNAL,
		.quiesce = flags & RPC_SNAPSHOT_CREATE_QUIESCE,
		.live = flags & RPC_SNAPSHOT_CREATE_LIVE};

	return vm_snapshot_create(vm, &options, created, call, err);
}

void handle_domain_snapshot_create_xml(struct call *call)
{
	const rpc_device_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	const char *name;
	struct vm *vm;

	if (!check_create_flags(call, args->flags))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (!(args->flags & RPC_SNAPSHOT_CREATE_REDEFINE))
		(void)create(call, vm, args->device, args->flags, NULL, &err);
	else if (vm_snapshot_redefine(
			 vm, args->device, args->flags & RPC_SNAPSHOT_CREATE_CURRENT, &name, &err) == 0)
		reply_snapshot(call, vm, name);
	if (err.code != ERROR_NONE)
		call_fail(call, &err);
}

void handle_godwit_snapshot_create(struct call *call)
{
	const rpc_godwit_snapshot_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags & RPC_SNAPSHOT_CREATE_REDEFINE, 0) ||
		!check_create_flags(call, args->flags))
		return;
	vm = call_find_vm(call, &args->dom);
	if (vm && create(call, vm, args->xml, args->flags, args->hook, &err) < 0)
		call_fail(call, &err);
}

void handle_domain_revert_to_snapshot(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	const struct vm_snapshot_revert_options options = {.name = args->snapshot.name,
		.running = args->flags & RPC_SNAPSHOT_REVERT_RUNNING,
		.paused = args->flags & RPC_SNAPSHOT_REVERT_PAUSED,
		.force = args->flags & RPC_SNAPSHOT_REVERT_FORCE,
		.reset_nvram = args->flags & RPC_SNAPSHOT_REVERT_RESET_NVRAM};
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_SNAPSHOT_REVERT_RESET_NVRAM * 2 - 1) ||
		!check_exclusive(call, args->flags, RPC_SNAPSHOT_REVERT_RUNNING, RPC_SNAPSHOT_REVERT_PAUSED,
			"RUNNING and PAUSED"))
		return;
	vm = call_find_vm(call, &args->snapshot.domain);
	if (vm)
		call_check(call, vm_snapshot_revert(vm, &options, call_vm_done, call, &err), &err);
}

void handle_domain_snapshot_delete(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	const struct vm_snapshot_delete_options options = {.name = args->snapshot.name,
		.children = args->flags & RPC_SNAPSHOT_DELETE_CHILDREN,
		.children_only = args->flags & RPC_SNAPSHOT_DELETE_CHILDREN_ONLY};
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_SNAPSHOT_DELETE_CHILDREN_ONLY * 2 - 1) ||
		!check_exclusive(call, args->flags, RPC_SNAPSHOT_DELETE_CHILDREN,
			RPC_SNAPSHOT_DELETE_CHILDREN_ONLY, "CHILDREN and CHILDREN_ONLY") ||
		!(vm = call_find_vm(call, &args->snapshot.domain)))
		return;
	/* They know also of what cannot be read. */
	if (!(args->flags & RPC_SNAPSHOT_DELETE_METADATA_ONLY))
		call_check(call, vm_snapshot_delete(vm, &options, call_vm_done, call, &err), &err);
	else if (vm_snapshot_forget(vm, options.name, options.children, options.children_only, &err) == 0)
		call_ok(call);
	else
		call_fail(call, &err);
}

/* ---- one of them ---- */

void handle_domain_snapshot_get_xml_desc(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	bool secure = args->flags & RPC_XML_SECURE;
	_cleanup_free_ char *xml = NULL;
	struct error err = ERROR_INIT;
	const struct snapshot *s;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_XML_SECURE))
		return;
	if (call->session->read_only && secure) {
		error_set(&err, ERROR_OPERATION_DENIED, "virDomainSnapshotGetXMLDesc with secure flag");
		call_fail(call, &err);
		return;
	}
	s = find_snapshot(call, &args->snapshot, &vm);
	if (!s)
		return;
	xml = snapshot_format(s, secure ? SNAPSHOT_FORMAT_SECURE : 0, false);
	call_reply(call, &(rpc_string_ret){xml});
}

void handle_domain_snapshot_lookup_by_name(struct call *call)
{
	const rpc_domain_path_flags_args *args = call->args; /* path: the name */
	const struct snapshot *s;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	/* A handle, so that its metadata can be deleted. */
	if (vm && vm_snapshot_is_unreadable(vm, args->path)) {
		reply_snapshot(call, vm, args->path);
		return;
	}
	s = vm ? find_named(call, vm, args->path) : NULL;
	if (s)
		reply_snapshot(call, vm, s->name);
}

void handle_domain_has_current_snapshot(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (vm)
		call_reply(call, &(rpc_int_ret){!!snapshot_tree_get_current(vm_get_snapshots(vm))});
}

void handle_domain_snapshot_current(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	const struct snapshot *s;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	s = snapshot_tree_get_current(vm_get_snapshots(vm));
	if (s) {
		reply_snapshot(call, vm, s->name);
		return;
	}
	error_set(&err, ERROR_NO_SNAPSHOT, "the domain does not have a current snapshot");
	call_fail(call, &err);
}

void handle_domain_snapshot_get_parent(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	const struct snapshot *s, *parent;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	s = find_snapshot(call, &args->snapshot, &vm);
	if (!s)
		return;
	parent = snapshot_tree_get_parent(vm_get_snapshots(vm), s);
	if (parent) {
		reply_snapshot(call, vm, parent->name);
		return;
	}
	error_set(&err, ERROR_NO_SNAPSHOT, "snapshot '%s' does not have a parent", s->name);
	call_fail(call, &err);
}

void handle_domain_snapshot_is_current(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	const struct snapshot *s;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	s = find_snapshot(call, &args->snapshot, &vm);
	if (s)
		call_reply(call, &(rpc_int_ret){s == snapshot_tree_get_current(vm_get_snapshots(vm))});
}

void handle_domain_snapshot_has_metadata(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	struct vm *vm;

	if (call_check_flags(call, args->flags, 0) && find_snapshot(call, &args->snapshot, &vm))
		call_reply(call, &(rpc_int_ret){1});
}

/* ---- lists ---- */

/* What a list call asked for: of a VM, or below `from`. */
struct selection {
	struct vm *vm;
	const struct snapshot *from;
	snapshot_list list;
};

static bool select_all(struct call *call, const rpc_domain *dom, unsigned flags, struct selection *ret)
{
	*ret = (struct selection){0};
	if (!call_check_flags(call, flags, RPC_SNAPSHOTS_TOPOLOGICAL * 2 - 1))
		return false;
	ret->vm = call_find_vm(call, dom);
	if (!ret->vm)
		return false;
	snapshot_filter(vm_get_snapshots(ret->vm), NULL, flags, &ret->list);
	return true;
}

static bool select_below(struct call *call, const rpc_snapshot *from, unsigned flags, struct selection *ret)
{
	*ret = (struct selection){0};
	if (!call_check_flags(call, flags, RPC_SNAPSHOTS_TOPOLOGICAL * 2 - 1))
		return false;
	ret->from = find_snapshot(call, from, &ret->vm);
	if (!ret->from)
		return false;
	snapshot_filter(vm_get_snapshots(ret->vm), ret->from, flags, &ret->list);
	return true;
}

static void reply_number(struct call *call, struct selection *selection)
{
	call_reply(call, &(rpc_int_ret){(int)selection->list.n});
	VEC_FREE(&selection->list);
}

static void reply_names(struct call *call, struct selection *selection, int maximum)
{
	size_t n = maximum < 0 ? 0 : (size_t)maximum;
	_cleanup_free_ rpc_string *names = NULL;

	if (n > RPC_OBJECTS_MAX)
		n = RPC_OBJECTS_MAX;
	if (n > selection->list.n)
		n = selection->list.n;
	names = xcalloc(n + 1, sizeof(*names));
	for (size_t i = 0; i < n; i++)
		names[i] = selection->list.items[i]->name;
	call_reply(call, &(rpc_strings_ret){.values = {.values_len = (u_int)n, .values_val = names}});
	VEC_FREE(&selection->list);
}

static void reply_list(struct call *call, struct selection *selection, bool need_results)
{
	_cleanup_free_ rpc_snapshot *snapshots = NULL;
	rpc_snapshots_ret ret = {.ret = (int)selection->list.n};
	struct error err = ERROR_INIT;

	if (need_results && selection->list.n > RPC_SNAPSHOTS_MAX) {
		error_set(&err, ERROR_OPERATION_FAILED, "%zu snapshots are more than a list can hold, %d",
			selection->list.n, RPC_SNAPSHOTS_MAX);
		call_fail(call, &err);
	} else {
		snapshots = xcalloc(selection->list.n + 1, sizeof(*snapshots));
		for (size_t i = 0; i < selection->list.n; i++)
			snapshot_handle(selection->vm, selection->list.items[i]->name, &snapshots[i]);
		if (need_results) {
			ret.snapshots.snapshots_val = snapshots;
			ret.snapshots.snapshots_len = (u_int)selection->list.n;
		}
		call_reply(call, &ret);
	}
	VEC_FREE(&selection->list);
}

void handle_domain_snapshot_num(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct selection selection;

	if (select_all(call, &args->dom, args->flags, &selection))
		reply_number(call, &selection);
}

void handle_domain_snapshot_list_names(struct call *call)
{
	const rpc_domain_maximum_flags_args *args = call->args;
	struct selection selection;

	if (select_all(call, &args->dom, args->flags, &selection))
		reply_names(call, &selection, args->maximum);
}

void handle_domain_list_all_snapshots(struct call *call)
{
	const rpc_domain_list_args *args = call->args;
	struct selection selection;

	if (select_all(call, &args->dom, args->flags, &selection))
		reply_list(call, &selection, args->need_results);
}

void handle_domain_snapshot_num_children(struct call *call)
{
	const rpc_snapshot_flags_args *args = call->args;
	struct selection selection;

	if (select_below(call, &args->snapshot, args->flags, &selection))
		reply_number(call, &selection);
}

void handle_domain_snapshot_list_children_names(struct call *call)
{
	const rpc_snapshot_maximum_flags_args *args = call->args;
	struct selection selection;

	if (select_below(call, &args->snapshot, args->flags, &selection))
		reply_names(call, &selection, args->maximum);
}

void handle_domain_snapshot_list_all_children(struct call *call)
{
	const rpc_snapshot_list_args *args = call->args;
	struct selection selection;

	if (select_below(call, &args->snapshot, args->flags, &selection))
		reply_list(call, &selection, args->need_results);
}
