/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps that keep a saved state and its disks together. */
#pragma once

#include "job.h"
#include "process.h"

/* Of a save_operation: QEMU has let go of its disks; `disks` becomes the note about them. */
enum step_result save_note_disks(struct job *job, void *context, struct error *err);
/* Of a start_operation: are the disks what they were when the image was saved? */
enum step_result start_check_disks(struct job *job, void *context, struct error *err);

/* The answer of the child that looks is not wanted any more. NULL is fine. */
void disk_check_end(struct process **looker);
