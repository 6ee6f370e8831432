/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who waits for the answer to a phase. */
#pragma once

#include "migrate.h"
#include "vm-internal.h"

struct phase_waiter {
	migrate_done_fn done; /* NULL: nobody */
	void *userdata;
};

/* Nobody waits afterwards. `reply` may be NULL. */
void phase_answer(
	struct phase_waiter *w, struct vm *vm, const struct migrate_reply *reply, const struct error *err);
/* From the loop, once; what `reply` points to is copied. `vm` may be NULL. */
void phase_answer_later(struct registry *r, migrate_done_fn done, void *userdata, struct vm *vm,
	const struct migrate_reply *reply);
/* For what refuses a second call of the same phase. */
int phase_wait(
	struct phase_waiter *w, const char *phase, migrate_done_fn done, void *userdata, struct error *err);
