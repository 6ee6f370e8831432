/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of a storage snapshot program. */
#include "snapshot-hook.h"

#include "clock.h"
#include "disk.h"
#include "program.h"

struct snapshot_hook {
	struct vm *vm; /* a reference */
	struct program *program;
	vm_done_fn done;
	void *userdata;
};

bool snapshot_is_manual(const struct snapshot *s)
{
	VEC_FOREACH (disk, &s->disks) {
		if (disk.location == SNAPSHOT_MANUAL)
			return true;
	}
	return false;
}

void snapshot_hook_free(struct snapshot_hook *h)
{
	if (!h)
		return;
	program_free(h->program);
	vm_unref(h->vm);
	free(h);
}

static void ended(const char *output, const struct error *err, void *userdata)
{
	struct snapshot_hook *h = userdata;
	struct vm *vm = vm_ref(h->vm);
	struct error outcome = ERROR_INIT;
	vm_done_fn done = h->done;
	void *done_userdata = h->userdata;

	if (err)
		outcome = *err;
	if (err)
		error_prefix(&outcome, "storage snapshot");
	snapshot_hook_free(h);
	done(vm, err ? &outcome : NULL, done_userdata);
	vm_unref(vm);
}

static int add_disks(const struct vm *vm, const struct snapshot *s, struct strv *argv, struct error *err)
{
	const struct domain *d = s->domain ? s->domain : vm_get_domain(vm);

	VEC_FOREACH (selected, &s->disks) {
		const struct disk *disk;

		if (selected.location != SNAPSHOT_MANUAL)
			continue;
		disk = domain_find_disk(d, selected.target);
		if (!disk || !disk->source)
			return error_set(err, ERROR_OPERATION_INVALID, "no disk '%s' in domain '%s'",
				selected.target, vm->name);
		strv_addf(argv, "%s=%s", disk->target, disk->source);
	}
	return 0;
}

int snapshot_hook_start(struct vm *vm, const char *program, enum snapshot_hook_action action,
	const struct snapshot *s, const char *name, vm_done_fn done, void *userdata,
	struct snapshot_hook **ret, struct error *err)
{
	static const char *const words[] = {
		[SNAPSHOT_HOOK_CREATE] = "create",
		[SNAPSHOT_HOOK_REVERT] = "revert",
		[SNAPSHOT_HOOK_DELETE] = "delete",
	};
	struct snapshot_hook *h = NEW(struct snapshot_hook);
	struct strv argv = {0};
	int r;

	*h = (struct snapshot_hook){.vm = vm_ref(vm), .done = done, .userdata = userdata};
	strv_add(&argv, program);
	strv_add(&argv, words[action]);
	strv_add(&argv, vm->name);
	strv_add(&argv, name);
	r = add_disks(vm, s, &argv, err);
	if (r == 0)
		r = program_start(vm->registry->loop, &argv, SNAPSHOT_HOOK_SECONDS * USEC_PER_SEC, ended, h,
			&h->program, err);
	strv_fini(&argv);
	if (r < 0)
		snapshot_hook_free(h);
	else
		*ret = h;
	return r;
}
