/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps that keep a saved state and its disks together. */
#pragma once

#include "domain.h"
#include "job.h"
#include "process.h"

struct state_stream;

/* A step: nobody writes to the disks of `d` any more; `s->disks` becomes the note about them. Ends with state_stream_fail too. */
enum step_result state_stream_note_disks(struct state_stream *s, const struct domain *d, struct error *err);
/* Of a start_operation: are the disks what they were when the image was saved? */
enum step_result start_check_disks(struct job *job, void *context, struct error *err);

/* The answer of the child that looks is not wanted any more. NULL is fine. */
void disk_check_end(struct process **looker);
