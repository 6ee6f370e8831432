/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A software TPM (swtpm) beside QEMU, for <tpm><backend type='emulator'/>. */
#pragma once

#include "vm-internal.h"

/*
 * Its state while another machine of the VM has its own: lib/tpm/`aside`. Whoever works on it now goes on doing so, since it has the directory
 * open, whatever that is called. `keep`: the other one begins with a copy, as if the power was cut. Blocks: for a child. Durable on return.
 */
int tpm_state_set_aside(const struct vm *vm, const char *aside, bool keep, struct error *err);
/* The VM's again; what the other machine had goes. Idempotent: no effect when nothing is aside. */
int tpm_state_bring_back(const struct vm *vm, const char *aside, struct error *err);
int tpm_state_forget(const struct vm *vm, const char *aside, struct error *err);

/*
 * Start it when the domain has one: its state lives in lib/tpm/UUID, its control socket in the VM's run directory,
 * and it ends by itself when QEMU closes the connection. Sets vm->resources->tpm_socket.
 */
int tpm_emulator_start(struct vm *vm, struct error *err);
