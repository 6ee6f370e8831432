/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit's own program: the check before a migration, at both ends. */
#include "call.h"
#include "check.h"
#include "dispatch.h"
#include "own.h"

static void checked(const char *text, const struct error *err, void *userdata)
{
	if (err)
		call_fail(userdata, err);
	else
		call_reply(userdata, &(rpc_string_ret){(char *)text});
}

void handle_godwit_migrate_check(struct call *call)
{
	const rpc_migrate_check_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct migrate_options o;
	struct error err = ERROR_INIT;
	int r;

	if (!vm || !call_check_flags(call, args->flags, MIGRATE_FLAGS_ALL))
		return;
	migrate_options_init(&o);
	r = migrate_options_parse(&o, args->flags, &args->params, &err);
	if (r == 0)
		r = migrate_check(vm, args->uri, &o, checked, call, &err);
	migrate_options_fini(&o);
	call_check(call, r, &err);
}

void handle_godwit_migrate_compare(struct call *call)
{
	const rpc_json_args *args = call->args;
	struct error err = ERROR_INIT;

	call_check(call, migrate_compare(call->registry, args->json, checked, call, &err), &err);
}
