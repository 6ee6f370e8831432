/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job of QEMU's own that saves, loads or deletes state inside disk images (snapshot-save, snapshot-load, snapshot-delete): begun,
 * awaited, and dismissed when it has ended.
 *
 * QEMU does such a job in its main loop, in one go: what it answers to query-jobs comes when it is over, so it is asked rather than listened to, and
 * a job that an earlier daemon began is found in the same way.
 */
#pragma once

#include "vm-internal.h"

struct qemu_job;

/* `arguments` (taken) have a "job-id". done once, from the loop: err NULL, or QEMU's word. */
struct qemu_job *qemu_job_start(
	struct vm *vm, const char *command, json *arguments, vm_done_fn done, void *userdata);
/* One that may have been begun under this id, by whomever: done as well when there is none. */
struct qemu_job *qemu_job_await(struct vm *vm, const char *id, vm_done_fn done, void *userdata);

/* Nobody is told any more; QEMU goes on. Accepts NULL. Not needed once done was called. */
void qemu_job_forget(struct qemu_job *j);
