/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate at which QEMU's background snapshot is held: behind its setup, in which it touches all of the guest's memory, and before it stops the guest,
 * saves the devices and write-protects memory.
 *
 * QEMU writes the trace event "migration_thread_setup_complete" there, from the migration's own thread and without its big lock. It is made to
 * write it into a FIFO that is full, and so waits until the FIFO is drained. Nothing else of QEMU is held: it logs nothing else. A gate whose daemon
 * dies is open: the writer gets EPIPE, which QEMU does not mind.
 */
#pragma once

#include "vm-internal.h"

struct snapshot_gate {
	int fifo;  /* both ends; -1: not there */
	bool used; /* QEMU was told of it */
	/* While it is being shut. */
	struct vm *vm;
	vm_done_fn done;
	void *userdata;
};

void gate_init(struct snapshot_gate *g);
void gate_fini(struct snapshot_gate *g);
/* done: the next background snapshot will stop there. ERROR_QEMU: this QEMU cannot. */
int gate_shut(struct snapshot_gate *g, struct vm *vm, vm_done_fn done, void *userdata, struct error *err);
/* Who stands there goes on. */
void gate_open(struct snapshot_gate *g);
/* Open, and QEMU knows nothing of it any more, also of an earlier daemon's. False: there is none, and done (may be NULL) is not called. */
bool gate_remove(struct snapshot_gate *g, struct vm *vm, vm_done_fn done, void *userdata);
