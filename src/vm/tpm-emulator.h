/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A software TPM (swtpm) beside QEMU, for <tpm><backend type='emulator'/>. */
#pragma once

#include "vm-internal.h"

/*
 * Start it when the domain has one: its state lives in lib/tpm/UUID, its control socket in the VM's run directory,
 * and it ends by itself when QEMU closes the connection. Sets vm->resources->tpm_socket.
 */
int tpm_emulator_start(struct vm *vm, struct error *err);
