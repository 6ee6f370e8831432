/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a name to a plan. The VM has no job while its images are looked at; what was looked at must be what is there when the plan is made, so
 * the descriptions of before and after are compared.
 */
#include "paging.h"
#include "snapshot-delete-internal.h"
#include "snapshot-hook.h"
#include "snapshot-images.h"
#include "snapshot-internal.h"
#include "snapshot-note.h"
#include "snapshot-store.h"
#include "vm-snapshot.h"

struct preparation {
	struct vm *vm; /* a reference */
	struct strv leaving;
	struct image_question question;
	char *before; /* what was known when it began */
	struct image_plan plan;
	struct process *looker;
	struct snapshot_notes *notes;
	vm_done_fn done;
	void *userdata;
};

static void preparation_free(struct preparation *p)
{
	strv_fini(&p->leaving);
	image_links_fini(&p->question.remembered);
	free(p->before);
	image_plan_fini(&p->plan);
	process_free(p->looker);
	snapshot_notes_free(p->notes);
	vm_unref(p->vm);
	free(p);
}

static void refuse(struct preparation *p, struct error *err)
{
	error_prefix(err, "delete snapshots of %s", p->vm->name);
	p->done(p->vm, err, p->userdata);
	preparation_free(p);
}

/* All that a plan is made of. Caller frees. */
static char *describe(const struct vm *vm)
{
	struct buf text = {0};

	VEC_FOREACH (s, &vm->snapshots.all) {
		_cleanup_free_ char *xml = snapshot_format(s, SNAPSHOT_FORMAT_INTERNAL, false);

		buf_adds(&text, xml);
	}
	for (size_t i = 0; i < 2; i++) {
		const struct domain *d = i == 0 ? vm->live : vm->persistent;
		_cleanup_free_ char *xml = d ? domain_format(d, 0) : xstrdup("-");

		buf_adds(&text, xml);
	}
	return buf_take(&text);
}

/* ---- what cannot be ---- */

static int check_internal(const struct vm *vm, const struct strv *leaving, struct error *err)
{
	for (size_t i = 0; i < leaving->n; i++) {
		const struct snapshot *s = snapshot_tree_find(&vm->snapshots, leaving->items[i]);

		if (snapshot_is_internal(s) && internal_check(vm, INTERNAL_DROP, s, err) < 0)
			return error_prefix(err, "snapshot %s", s->name);
	}
	return 0;
}

/* Of what the storage keeps for them: with which program. */
static int check_hooks(const struct vm *vm, const struct strv *leaving, struct error *err)
{
	for (size_t i = 0; i < leaving->n; i++) {
		const struct snapshot *s = snapshot_tree_find(&vm->snapshots, leaving->items[i]);
		_cleanup_free_ char *program = NULL;

		if (snapshot_is_manual(s) && snapshot_hook_find(vm, s->name, &program, err) < 0)
			return error_prefix(err, "snapshot %s", s->name);
	}
	return 0;
}

/* Another VM's memory may be coming in from what is to go. */
static int check_memory(const struct vm *vm, const struct strv *leaving, struct error *err)
{
	for (size_t i = 0; i < leaving->n; i++) {
		const struct snapshot *s = snapshot_tree_find(&vm->snapshots, leaving->items[i]);

		VEC_FOREACH (other, &vm->registry->vms) {
			if (other == vm || !other->paging || !s->memory_file ||
				!streq(other->paging->image_path, s->memory_file))
				continue;
			return error_set(err, ERROR_OPERATION_INVALID,
				"memory of domain '%s' is still coming in from that of snapshot %s",
				other->name, s->name);
		}
	}
	return 0;
}

static int check_possible(struct vm *vm, const struct strv *leaving, struct error *err)
{
	return vm_check_verb(vm, VERB_SNAPSHOT_DELETE, err) < 0 || check_internal(vm, leaving, err) < 0 ||
			       check_hooks(vm, leaving, err) < 0 || check_memory(vm, leaving, err) < 0
		       ? -1
		       : 0;
}

/* A saved state names the images of its disks, and has a note of them. */
static int check_saved(const struct vm *vm, const struct image_plan *plan, struct error *err)
{
	if (!vm_has_managed_save(vm))
		return 0;
	VEC_FOREACH (merge, &plan->merges) {
		if (merge.top)
			return error_set(err, ERROR_OPERATION_INVALID,
				"its managed save needs '%s', which would be merged into '%s'; start the "
				"domain or "
				"remove the managed save first",
				merge.image, merge.on);
	}
	return 0;
}

/* ---- the way to a plan ---- */

static void begin(struct preparation *p, const struct strv *renew)
{
	struct strv names = {0};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < renew->n; i++)
		if (!strv_contains(&p->leaving, renew->items[i]))
			strv_add(&names, renew->items[i]);
	if (snapshot_delete_begin(p->vm, &p->leaving, &p->plan, &names, p->done, p->userdata, &err) < 0)
		p->done(p->vm, &err, p->userdata);
	preparation_free(p);
}

static int check_unchanged(struct preparation *p, struct error *err)
{
	_cleanup_free_ char *now = describe(p->vm);

	if (!streq(now, p->before))
		return error_set(err, ERROR_BUSY, "they were changed meanwhile");
	return check_possible(p->vm, &p->leaving, err);
}

static void notes_checked(struct vm *vm, const struct strv *names, const struct error *err, void *userdata)
{
	struct preparation *p = userdata;
	struct error failure = ERROR_INIT;

	p->notes = NULL;
	if (err)
		failure = *err;
	if (err || check_unchanged(p, &failure) < 0)
		refuse(p, &failure);
	else
		begin(p, names);
}

/* Merging changes the files of those that stay: whose memory fits its disks now is to fit them then. */
static int check_notes(struct preparation *p, struct error *err)
{
	const struct strv none = {0};

	if (p->plan.merges.n > 0)
		return snapshot_notes_check(p->vm, notes_checked, p, &p->notes, err);
	begin(p, &none);
	return 0;
}

static int make_plan(struct preparation *p, const struct image_look *look, struct error *err)
{
	const struct image_graph_input input = {.tree = &p->vm->snapshots,
		.leaving = &p->leaving,
		.live = vm_is_active(p->vm) ? p->vm->live : NULL,
		.persistent = p->vm->persistent,
		.looked = &look->links,
		.remembered = &p->question.remembered,
		.foreign = &look->foreign};

	image_plan_make(&input, &p->plan);
	return check_saved(p->vm, &p->plan, err);
}

static void looked(
	struct process *child, const struct error *err, const char *result, size_t len, void *userdata)
{
	struct preparation *p = userdata;
	struct image_look look = {0};
	struct error failure = ERROR_INIT;
	int r = -1;

	process_free(TAKE_PTR(p->looker));
	if (err)
		failure = *err;
	else if (image_look_take(&look, result, len, &failure) == 0 && check_unchanged(p, &failure) == 0)
		r = make_plan(p, &look, &failure);
	image_look_fini(&look);
	if (r < 0 || check_notes(p, &failure) < 0)
		refuse(p, &failure);
}

static int start_look(struct preparation *p, struct error *err)
{
	struct process_options options = {.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1,
		.dies_with_daemon = true,
		.work = image_look_work,
		.work_userdata = &p->question,
		.worked = looked};

	p->question.vm = p->vm;
	if (image_links_read(p->vm, &p->question.remembered, err) < 0)
		return -1;
	return process_start(p->vm->registry->loop, &options, NULL, p, &p->looker, err);
}

/* Leaves first: what is above goes before what it stands on. */
static void add_leaving(const struct snapshot_tree *tree, const char *name, bool itself, struct strv *ret)
{
	VEC_FOREACH (s, &tree->all) {
		if (streq(s->parent, name))
			add_leaving(tree, s->name, true, ret);
	}
	if (itself)
		strv_add(ret, name);
}

int vm_snapshot_delete(struct vm *vm, const struct vm_snapshot_delete_options *options, vm_done_fn done,
	void *userdata, struct error *err)
{
	struct preparation *p;

	if (snapshot_store_check_readable(vm, err) < 0)
		return -1;
	if (!snapshot_tree_find(&vm->snapshots, options->name))
		return error_set(
			err, ERROR_NO_SNAPSHOT, "no domain snapshot with matching name '%s'", options->name);
	p = NEW(struct preparation);
	*p = (struct preparation){
		.vm = vm_ref(vm), .before = describe(vm), .done = done, .userdata = userdata};
	if (options->children || options->children_only)
		add_leaving(&vm->snapshots, options->name, !options->children_only, &p->leaving);
	else
		strv_add(&p->leaving, options->name);
	if (check_possible(vm, &p->leaving, err) == 0 && start_look(p, err) == 0)
		return 0;
	preparation_free(p);
	return -1;
}
