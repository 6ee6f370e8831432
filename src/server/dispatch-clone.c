/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit's own program: clones of saved guests. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "domain-clone.h"
#include "own.h"

static void cloned(struct vm *vm, const struct error *err, void *userdata)
{
	rpc_clone_ret ret = {0};

	if (err) {
		call_fail(userdata, err);
		return;
	}
	domain_handle(vm, &ret.dom);
	/* It may have ended again by now. */
	if (vm_get_live(vm) && vm_get_persistent(vm))
		ret.n_unplugged = domain_count_unplugged(vm_get_live(vm), vm_get_persistent(vm));
	call_reply(userdata, &ret);
}

void handle_domain_clone(struct call *call)
{
	const rpc_clone_args *args = call->args;
	struct vm_clone_options options = {
		.path = args->image,
		.name = args->name,
		.paused = args->flags & RPC_CLONE_PAUSED,
		.verify = args->flags & RPC_CLONE_VERIFY,
	};
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, RPC_CLONE_PAUSED | RPC_CLONE_VERIFY))
		return;
	call_check(call, registry_clone(call->registry, &options, cloned, call, &err), &err);
}
