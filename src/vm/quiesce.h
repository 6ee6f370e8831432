/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest whose filesystems stand still while a job copies its disks, by its agent's freeze and thaw.
 *
 * It is thawed again whatever happens: that a job has it frozen stands in the status file before the agent is told, and as long as it stands
 * there and no job is at work the VM is thawed, again and again until the agent says that it is (or the guest boots anew, or ends), by
 * this daemon or the next. What a user freezes by himself (virsh domfsfreeze) stays frozen until he thaws it.
 *
 * For steps of jobs: both may be called again after a crash.
 */
#pragma once

#include "vm.h"

/* The agent's answers to freeze and thaw are waited for as long as the writers of a Windows guest may stand still. */
#define FREEZE_SECONDS 60

/*
 * `mountpoints`: an array of strings, taken; NULL: all filesystems. A guest that a user has frozen is left as it is, now and by vm_thaw.
 * When it fails the VM may be frozen: vm_thaw, or the job's end, sees to that.
 */
int vm_freeze(struct vm *vm, json *mountpoints, vm_done_fn done, void *userdata, struct error *err);

/* The guest must run. Well at once (but later) for a VM that no job froze, or whose QEMU has ended. When it fails, it goes on by itself when the job has ended. */
int vm_thaw(struct vm *vm, vm_done_fn done, void *userdata, struct error *err);

/* May a user freeze or thaw it by hand? Not while a job has it frozen. */
int vm_check_freeze(const struct vm *vm, struct error *err);
