/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing a connection, and what the server says about itself. */
#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "session.h"
#include "strv.h"

/* The libvirt whose calls and meanings are followed, for clients that decide by it. */
#define LIBVIRT_LEVEL (11 * 1000000 + 3 * 1000)

void handle_auth_list(struct call *call)
{
	int none = RPC_AUTH_TYPE_NONE;

	/* the kernel has said who it is (access.c), or that does not count (auth_tcp) */
	call_reply(call, &(rpc_auth_list_ret){{1, &none}});
}

void handle_connect_supports_feature(struct call *call)
{
	const rpc_connect_supports_feature_args *args = call->args;
	int supported = 0;

	switch (args->feature) {
	case RPC_FEATURE_KEEPALIVE:
		/* who asks understands it */
		session_start_keepalive(call->session);
		supported = 1;
		break;
	case RPC_FEATURE_MIGRATION_P2P:
	case RPC_FEATURE_MIGRATION_V3:
	case RPC_FEATURE_CHANGE_PROTECTION:
	case RPC_FEATURE_MIGRATION_OFFLINE:
	case RPC_FEATURE_MIGRATION_PARAMS:
	case RPC_FEATURE_TYPED_PARAM_STRING:
	case RPC_FEATURE_XML_MIGRATABLE:
	case RPC_FEATURE_EVENT_CALLBACK:
	case RPC_FEATURE_CLOSE_CALLBACK:
	case RPC_FEATURE_NETWORK_UPDATE_ORDER:
		supported = 1;
		break;
	default:
		break; /* above all migration as it was before version 3 */
	}
	call_reply(call, &(rpc_int_ret){supported});
}

/* The client has taken transport and its own parameters off the URI: "qemu:///system", "godwit:///system", or nothing. */
static bool is_ours(const char *uri)
{
	return uri[0] == '\0' || startswith(uri, "qemu:///") || startswith(uri, "godwit:///");
}

void handle_connect_open(struct call *call)
{
	const rpc_connect_open_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, RPC_OPEN_READ_ONLY | RPC_OPEN_NO_ALIASES))
		return;
	if (call->session->state != SESSION_NEW) {
		error_set(&err, ERROR_INTERNAL, "connection already open");
		call_fail(call, &err);
	} else if (args->name && !is_ours(*args->name)) {
		call_fail_code(call, RPC_CODE_NO_CONNECT, RPC_FROM_NONE,
			"no connection driver available for %.255s", *args->name);
	} else {
		session_set_open(call->session, args->flags & RPC_OPEN_READ_ONLY);
		call_ok(call);
	}
}

void handle_connect_close(struct call *call)
{
	session_set_closed(call->session);
	call_ok(call);
}

/* The client wants to hear CONNECTION_CLOSED; a connection here ends only together with its socket. */
void handle_accept(struct call *call)
{
	call_ok(call);
}

void handle_connect_get_type(struct call *call)
{
	call_reply(call, &(rpc_string_ret){(char *)"QEMU"});
}

void handle_connect_get_lib_version(struct call *call)
{
	call_reply(call, &(rpc_u64_ret){LIBVIRT_LEVEL});
}

void handle_connect_get_hostname(struct call *call)
{
	call_reply(call, &(rpc_string_ret){(char *)call->server->settings.hostname});
}

void handle_connect_get_uri(struct call *call)
{
	call_reply(call, &(rpc_string_ret){(char *)call->server->settings.uri});
}

void handle_connect_is_secure(struct call *call)
{
	/* a UNIX socket does not leave the host */
	call_reply(call, &(rpc_int_ret){call->session->origin.way != CLIENT_TCP});
}

static void native_done(const char *text, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_string_ret){(char *)text});
}

void handle_connect_domain_xml_to_native(struct call *call)
{
	const rpc_xml_to_native_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, 0))
		return;
	if (!streq(args->format, "qemu-argv")) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "unsupported config type %.64s", args->format);
		call_fail(call, &err);
		return;
	}
	call_check(call, registry_xml_to_native(call->registry, args->xml, native_done, call, &err), &err);
}
