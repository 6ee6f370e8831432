/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that cannot be had: the image cannot be read, was altered, or no helper can be started.
 *
 * The guest is stopped, as for an I/O error of a disk, before it waits for such a page with half of its processors; the image stays as
 * it is, and `resume` tries again. Under TCG QEMU can stop only when no processor waits for a page: it is told to, and stands still as
 * soon as it can, while the VM counts as paused at once.
 */
#include "log.h"
#include "monitor.h"
#include "paging.h"
#include "vm-lease-internal.h"

static void answer_resume(struct paging *p, const struct error *err)
{
	vm_done_fn done = p->resume_done;

	p->resume_done = NULL;
	if (done)
		done(p->vm, err, p->resume_userdata);
}

void paging_in_trouble(struct paging *p, const struct error *why)
{
	struct vm *vm = p->vm;
	struct error err = *why;

	p->trouble = *why;
	log_write(LOG_LEVEL_ERROR, vm->name, NULL,
		"vm %s waits for memory that cannot be had, and is paused: %s; 'resume %s' tries again",
		vm->name, why->message, vm->name);
	registry_emit(vm->registry,
		&(struct vm_event){.type = VM_EVENT_IO_ERROR,
			.vm = vm,
			.io_error = {.path = p->image_path, .alias = "", .reason = "", .action = 1}});
	/* Of a paused one a `cont` may be on its way. */
	if ((vm->state == VM_RUNNING || vm->state == VM_PAUSED) && vm->qmp)
		qmp_command(vm->qmp, "stop", NULL, -1, 0, NULL, NULL);
	if (vm->state == VM_RUNNING || vm->state == VM_PAUSED)
		vm_become_paused(vm, PAUSED_IOERROR);
	paging_tell_waiters(p, why);
	error_prefix(&err, "resume %s", vm->name);
	answer_resume(p, &err);
}

void paging_mended(struct paging *p)
{
	struct vm *vm = p->vm;
	vm_done_fn done = p->resume_done;
	struct error err = ERROR_INIT;

	if (p->trouble.code == ERROR_NONE)
		return;
	log_write(LOG_LEVEL_NOTICE, vm->name, NULL, "vm %s has the memory it waited for", vm->name);
	p->trouble = (struct error)ERROR_INIT;
	p->resume_done = NULL;
	error_set(&err, ERROR_OPERATION_FAILED, "QEMU is gone");
	if (done && (!vm->qmp || vm_run_cpus(vm, done, p->resume_userdata, &err) < 0))
		done(vm, &err, p->resume_userdata);
}

int paging_resume(struct paging *p, vm_done_fn done, void *userdata, struct error *err)
{
	if (p->resume_done)
		return error_set(err, ERROR_BUSY, "domain '%s' is just being resumed", p->vm->name);
	if (paging_take_replacement(p) && p->pager)
		/* The helper has the old file. QEMU notices that it is gone, and recovers with the next. */
		pager_kill(p->pager);
	else if (p->state == PAGING_FILLING && p->pager)
		pager_retry(p->pager);
	else if (paging_recover_again(p, err) < 0)
		return -1;
	p->resume_done = done;
	p->resume_userdata = userdata;
	return 0;
}
