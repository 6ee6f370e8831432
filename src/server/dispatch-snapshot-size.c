/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit's own program: snapshots, with what their files take on this host. */
#include "alloc.h"
#include "call.h"
#include "dispatch.h"
#include "own.h"
#include "strv.h"
#include "vm-snapshot.h"

/* "mixed" when they are not all in one kind of place; those left out do not count. */
static const char *disks_word(const struct snapshot *s)
{
	const char *word = NULL;

	for (size_t i = 0; i < s->disks.n; i++) {
		enum snapshot_location location = s->disks.items[i].location;

		if (location == SNAPSHOT_NO || location == SNAPSHOT_DEFAULT)
			continue;
		if (word && !streq(word, snapshot_location_name(location)))
			return "mixed";
		word = snapshot_location_name(location);
	}
	return word ? word : "no";
}

static const struct vm_snapshot_size *find_size(
	const struct vm_snapshot_size *sizes, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(sizes[i].name, name))
			return &sizes[i];
	return NULL;
}

/* Borrows from the snapshot. */
static void fill(const struct snapshot_tree *t, struct snapshot *s, const struct vm_snapshot_size *size,
	rpc_snapshot_item *ret)
{
	bool has_memory = snapshot_has_memory(s);

	*ret = (rpc_snapshot_item){
		.name = s->name,
		.parent = s->parent ? &s->parent : NULL,
		.description = s->description ? &s->description : NULL,
		.state = (char *)snapshot_state_name(s->state),
		.created_s = s->created_s,
		.is_current = s == snapshot_tree_get_current(t),
		.memory = (char *)snapshot_location_name(has_memory ? s->memory : SNAPSHOT_NO),
		.disks = (char *)disks_word(s),
		.memory_bytes = size ? size->memory : -1, /* made since they were measured */
		.disk_bytes = size ? size->disks : -1,
	};
}

static void measured(struct vm *vm, const struct vm_snapshot_size *sizes, size_t n, const struct error *err,
	void *userdata)
{
	const struct snapshot_tree *t = vm_get_snapshots(vm);
	_cleanup_free_ rpc_snapshot_item *items = NULL;
	size_t n_items = t->all.n < RPC_SNAPSHOTS_MAX ? t->all.n : RPC_SNAPSHOTS_MAX;

	if (err) {
		call_fail(userdata, err);
		return;
	}
	items = xcalloc(n_items + 1, sizeof(*items));
	for (size_t i = 0; i < n_items; i++)
		fill(t, t->all.items[i], find_size(sizes, n, t->all.items[i]->name), &items[i]);
	call_reply(userdata, &(rpc_snapshot_items_ret){.snapshots = {(u_int)n_items, items}});
}

void handle_godwit_snapshot_list(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct error err = ERROR_INIT;

	if (vm)
		call_check(call, vm_snapshot_measure(vm, measured, call, &err), &err);
}
