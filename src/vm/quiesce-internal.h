/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a VM knows of its being frozen for a job. */
#pragma once

#include <systemd/sd-event.h>

#include "vm.h"

struct quiesce {
	bool is_frozen; /* for a job, or about to be; in the status file */
	bool is_busy;	/* the agent has been asked */
	json *mountpoints;
	vm_done_fn done; /* who waits; NULL */
	void *userdata;
	sd_event_source *later; /* an answer, or another try */
	unsigned tries;
};

/* No job is at work: is it to be thawed? */
void quiesce_settle(struct vm *vm);
/* It runs again, or its agent is there: do not wait for the next try. */
void quiesce_hurry(struct vm *vm);
/* Nothing is frozen any more: the guest boots anew, has ended, or has refused. */
void quiesce_forget(struct vm *vm);
void quiesce_fini(struct quiesce *q);
