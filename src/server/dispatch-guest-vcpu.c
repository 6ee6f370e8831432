/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of its vCPUs a guest uses: its agent knows, and can change it. */
#include "alloc.h"
#include "call-agent.h"
#include "constants.h"
#include "dispatch.h"
#include "guest.h"

/* ---- how many are online ---- */

static void vcpus_done(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	int n = 0;

	if (err) {
		call_fail(call, err);
		return;
	}
	JSON_FOREACH (vcpu, ret)
		n += json_get_bool(vcpu, "online", false);
	call_reply(call, &(rpc_int_ret){n});
}

void call_count_guest_vcpus(struct call *call)
{
	call_ask_agent(call, "guest-get-vcpus", NULL, VM_AGENT_TIMEOUT, vcpus_done);
}

/* ---- and how many shall be ---- */

/* What guest-set-vcpus is to be told. */
struct vcpu_change {
	json *list;  /* [{"logical-id": N, "online": true}, ...] */
	size_t done; /* so many from its beginning */
};

static void end_change(struct call *call, const struct error *err)
{
	struct vcpu_change *change = call->state;

	json_object_put(change->list);
	if (err)
		call_fail(call, err);
	else
		call_ok(call);
}

static void go_on_changing(struct call *call);

/* The agent says with how many, from the first on, it has come through. */
static void vcpus_set(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	struct vcpu_change *change = call->state;
	size_t left = json_count_(change->list) - change->done;
	int64_t n = json_object_is_type(ret, json_type_int) ? json_object_get_int64(ret) : -1;
	struct error none = ERROR_INIT;

	if (err) {
		end_change(call, err);
		return;
	}
	if (n <= 0 || (uint64_t)n > left) {
		error_set(&none, ERROR_AGENT_REFUSED, "it has changed %zu of %zu vCPUs", change->done,
			json_count_(change->list));
		end_change(call, &none);
		return;
	}
	change->done += (size_t)n;
	go_on_changing(call);
}

static void go_on_changing(struct call *call)
{
	struct vcpu_change *change = call->state;
	json *rest = json_object_new_array();
	struct error err = ERROR_INIT;

	for (size_t i = change->done; i < json_count_(change->list); i++)
		json_object_array_add(rest, json_object_get(json_object_array_get_idx(change->list, i)));
	if (json_count_(rest) == 0) {
		json_object_put(rest);
		end_change(call, NULL);
	} else if (vm_agent_command(call->vm, "guest-set-vcpus", json_pack("o:vcpus", rest, NULL),
			   VM_AGENT_TIMEOUT, vcpus_set, call, &err) < 0) {
		end_change(call, &err);
	}
}

/* Those that `count` online vCPUs need, of what the guest has; nothing of what cannot be taken off line. */
static int plan_change(json *vcpus, unsigned count, json *list, struct error *err)
{
	size_t online = 0, fixed = 0, n = json_count_(vcpus);

	JSON_FOREACH (vcpu, vcpus) {
		online += json_get_bool(vcpu, "online", false);
		fixed += json_get_bool(vcpu, "online", false) && !json_get_bool(vcpu, "can-offline", false);
	}
	if (count > n)
		return error_set(err, ERROR_INVALID_ARGUMENT, "the guest has %zu vCPUs, not %u", n, count);
	if (count < fixed)
		return error_set(err, ERROR_OPERATION_FAILED,
			"%zu vCPUs of the guest cannot be taken off line", fixed);
	JSON_FOREACH (vcpu, vcpus) {
		bool is_online = json_get_bool(vcpu, "online", false), wanted = online < count;

		if (online == count || is_online == wanted ||
			(is_online && !json_get_bool(vcpu, "can-offline", false)))
			continue;
		json_object_array_add(list, json_pack("i:logical-id", json_get_int(vcpu, "logical-id", -1),
						    "b:online", wanted, NULL));
		online += wanted ? 1 : (size_t)-1;
	}
	return 0;
}

static void vcpus_known(json *ret, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	const rpc_set_vcpus_args *args = call->args;
	struct vcpu_change *change = call->state;
	struct error refusal = ERROR_INIT;

	if (err)
		end_change(call, err);
	else if (plan_change(ret, args->count, change->list, &refusal) < 0)
		end_change(call, &refusal);
	else
		go_on_changing(call);
}

static int check_set_vcpus(const rpc_set_vcpus_args *args, struct error *err)
{
	if (args->count == 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "a guest has at least one vCPU");
	if (!(args->flags & RPC_VCPU_GUEST))
		return error_set(err, ERROR_UNSUPPORTED,
			"plugging vCPUs in or out; the guest's agent can take them off line (--guest)");
	if (args->flags & (RPC_AFFECT_CONFIG | RPC_VCPU_MAXIMUM | RPC_VCPU_HOTPLUGGABLE))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"what the guest does with its vCPUs is not in its definition");
	return 0;
}

void handle_domain_set_vcpus_flags(struct call *call)
{
	const rpc_set_vcpus_args *args = call->args;
	struct vcpu_change *change;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags,
		    RPC_AFFECT_LIVE | RPC_AFFECT_CONFIG | RPC_VCPU_MAXIMUM | RPC_VCPU_GUEST |
			    RPC_VCPU_HOTPLUGGABLE))
		return;
	if (check_set_vcpus(args, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	if (!call_find_active_vm(call, &args->dom))
		return;
	change = NEW(struct vcpu_change);
	*change = (struct vcpu_change){.list = json_object_new_array()};
	call->state = change;
	if (vm_agent_command(call->vm, "guest-get-vcpus", NULL, VM_AGENT_TIMEOUT, vcpus_known, call, &err) <
		0)
		end_change(call, &err);
}
