/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent in a VM's guest (agent.h), behind the channel "org.qemu.guest_agent.0". */
#pragma once

#include "agent.h"
#include "vm.h"

/* In the place of a command's timeout: what vm_agent_set_timeout said, at first AGENT_BLOCK. */
#define VM_AGENT_TIMEOUT (-3)

/*
 * -1 when it is refused at once: the guest does not run (ERROR_OPERATION_INVALID), has no agent's channel
 * (ERROR_ARGUMENT_UNSUPPORTED), or has not opened it (ERROR_AGENT). Otherwise `reply` is called exactly once, later, also when QEMU ends.
 * `arguments` is taken either way, NULL for none; `timeout` as in agent.h. Beside any job.
 */
int vm_agent_command(struct vm *vm, const char *name, json *arguments, int timeout, agent_reply_fn reply,
	void *userdata, struct error *err);
/* Nobody waits with this userdata any more. */
void vm_agent_forget(struct vm *vm, void *userdata);
/* Would vm_agent_command be refused? */
int vm_check_agent(const struct vm *vm, struct error *err);

/* For all commands that name no other: AGENT_BLOCK, AGENT_DEFAULT, AGENT_NOWAIT or seconds. Kept while the VM is known. */
int vm_agent_set_timeout(struct vm *vm, int timeout, struct error *err);

/*
 * Have the guest shut down, or boot anew, in these ways: VM_ASK_AGENT first when both are given, and the power button when the agent
 * fails; 0: both, if there is an agent. done when one of the two took the request.
 */
enum { VM_ASK_ACPI = 1 << 0, VM_ASK_AGENT = 1 << 1 };
int vm_ask_to_end(
	struct vm *vm, unsigned ways, bool reboot, vm_done_fn done, void *userdata, struct error *err);
