/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's side of this room. */
#pragma once

#include "vm-internal.h"

bool chardev_is_agent(const struct chardev *c);
/* The guest shut down, was reset, or closed the channel. */
void vm_agent_guest_ended(struct vm *vm);
/* All that wait are answered; the VM is about to be off. */
void vm_agent_qemu_ended(struct vm *vm);
/* Which channels has the guest open? QEMU's answer to query-chardev; later ones come as events. */
void vm_note_channels(struct vm *vm, json *chardevs);
/* Asks for it, before any command sent after this is answered: no daemon was there to hear the events. */
void vm_agent_adopt(struct vm *vm);

/* ---- console.c ---- */
/* To a channel whose socket QEMU listens on; -1 with *err. */
int vm_connect_channel(const struct chardev *c, struct error *err);
