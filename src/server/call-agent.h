/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that the agent in the guest answers. */
#pragma once

#include "call.h"
#include "vm-agent.h"

/*
 * Ask the agent of call->vm; `reply` gets the call and answers it. What is refused at once is answered here. `arguments` is taken, `timeout` as in
 * vm_agent_command.
 */
void call_ask_agent(struct call *call, const char *name, json *arguments, int timeout, agent_reply_fn reply);
/* How many vCPUs are online in the guest (vcpucount --guest). */
void call_count_guest_vcpus(struct call *call);
