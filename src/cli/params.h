/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The protocol's typed parameters, as text and as JSON. */
#pragma once

#include <stdbool.h>

#include "godwit.h"
#include "json.h"

char *param_format(const struct rpc_param *p); /* owned by the caller */
json *param_to_json(const struct rpc_param *p);

const struct rpc_param *param_find(
	const struct rpc_param *params, u_int n, const char *field); /* NULL: not there */
/* Any number that is not negative; false when the field is missing or another kind. */
bool param_get_u64(const struct rpc_param *params, u_int n, const char *field, uint64_t *ret);

/* {"field": value, ...} */
json *params_to_json(const struct rpc_param *params, u_int n);
/* "cpu.time" becomes {"cpu": {"time": ...}}: what domstats calls its fields by. */
json *params_to_json_tree(const struct rpc_param *params, u_int n);
