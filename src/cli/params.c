/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol's typed parameters, as text and as JSON. */
#include "params.h"

#include <string.h>

#include "alloc.h"
#include "strv.h"

char *param_format(const struct rpc_param *p)
{
	switch (p->value.type) {
	case RPC_PARAM_INT:
		return xasprintf("%d", p->value.rpc_param_value_u.i);
	case RPC_PARAM_UINT:
		return xasprintf("%u", p->value.rpc_param_value_u.u);
	case RPC_PARAM_LLONG:
		return xasprintf("%lld", (long long)p->value.rpc_param_value_u.l);
	case RPC_PARAM_ULLONG:
		return xasprintf("%llu", (unsigned long long)p->value.rpc_param_value_u.ul);
	case RPC_PARAM_DOUBLE:
		return xasprintf("%f", p->value.rpc_param_value_u.d);
	case RPC_PARAM_BOOLEAN:
		return xstrdup(p->value.rpc_param_value_u.b ? "yes" : "no");
	case RPC_PARAM_STRING:
		return xstrdup(p->value.rpc_param_value_u.s);
	default:
		return xstrdup("?");
	}
}

json *param_to_json(const struct rpc_param *p)
{
	switch (p->value.type) {
	case RPC_PARAM_INT:
		return json_object_new_int(p->value.rpc_param_value_u.i);
	case RPC_PARAM_UINT:
		return json_object_new_int64(p->value.rpc_param_value_u.u);
	case RPC_PARAM_LLONG:
		return json_object_new_int64(p->value.rpc_param_value_u.l);
	case RPC_PARAM_ULLONG:
		return json_object_new_uint64(p->value.rpc_param_value_u.ul);
	case RPC_PARAM_DOUBLE:
		return json_object_new_double(p->value.rpc_param_value_u.d);
	case RPC_PARAM_BOOLEAN:
		return json_object_new_boolean(p->value.rpc_param_value_u.b);
	case RPC_PARAM_STRING:
		return json_object_new_string(p->value.rpc_param_value_u.s);
	default:
		return NULL;
	}
}

const struct rpc_param *param_find(const struct rpc_param *params, u_int n, const char *field)
{
	for (u_int i = 0; i < n; i++)
		if (streq(params[i].field, field))
			return &params[i];
	return NULL;
}

bool param_get_u64(const struct rpc_param *params, u_int n, const char *field, uint64_t *ret)
{
	const struct rpc_param *p = param_find(params, n, field);

	if (!p)
		return false;
	if (p->value.type == RPC_PARAM_ULLONG)
		*ret = p->value.rpc_param_value_u.ul;
	else if (p->value.type == RPC_PARAM_UINT)
		*ret = p->value.rpc_param_value_u.u;
	else if (p->value.type == RPC_PARAM_INT && p->value.rpc_param_value_u.i >= 0)
		*ret = (uint64_t)p->value.rpc_param_value_u.i;
	else if (p->value.type == RPC_PARAM_LLONG && p->value.rpc_param_value_u.l >= 0)
		*ret = (uint64_t)p->value.rpc_param_value_u.l;
	else
		return false;
	return true;
}

json *params_to_json(const struct rpc_param *params, u_int n)
{
	json *o = json_object_new_object();

	for (u_int i = 0; i < n; i++)
		json_object_object_add(o, params[i].field, param_to_json(&params[i]));
	return o;
}

json *params_to_json_tree(const struct rpc_param *params, u_int n)
{
	json *root = json_object_new_object();

	for (u_int i = 0; i < n; i++) {
		json *o = root;
		const char *p = params[i].field;

		for (const char *dot = strchr(p, '.'); dot; p = dot + 1, dot = strchr(p, '.')) {
			_cleanup_free_ char *key = xstrndup(p, (size_t)(dot - p));
			json *next = json_get(o, key);

			if (!json_object_is_type(next, json_type_object)) {
				/* "block" was a value before "block.0" came: the value moves inside */
				json *inner = json_object_new_object();

				if (next)
					json_object_object_add(inner, "value", json_object_get(next));
				json_object_object_add(o, key, inner);
				next = inner;
			}
			o = next;
		}
		json_object_object_add(o, p, param_to_json(&params[i]));
	}
	return root;
}
