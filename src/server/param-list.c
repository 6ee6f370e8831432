/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing list of typed parameters whose names are made by a format. */
#include "param-list.h"

#include "buf.h"

void param_list_fini(struct param_list *l)
{
	VEC_FOREACH (p, &l->params) {
		free(p.field);
		if (p.value.type == RPC_PARAM_STRING)
			free(p.value.rpc_param_value_u.s);
	}
	VEC_FREE(&l->params);
}

/* Add one of the type, named by `fmt`; its value is for the caller to set. */
static rpc_param_value *add(struct param_list *l, int type, const char *fmt, va_list ap) _printf_(3, 0);
static rpc_param_value *add(struct param_list *l, int type, const char *fmt, va_list ap)
{
	struct buf name = {0};
	rpc_param p = {.value.type = type};

	buf_addv(&name, fmt, ap);
	p.field = buf_take(&name);
	VEC_ADD(&l->params, p);
	return &l->params.items[l->params.n - 1].value;
}

void param_list_int(struct param_list *l, int value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, RPC_PARAM_INT, fmt, ap)->rpc_param_value_u.i = value;
	va_end(ap);
}

void param_list_uint(struct param_list *l, unsigned value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, RPC_PARAM_UINT, fmt, ap)->rpc_param_value_u.u = value;
	va_end(ap);
}

void param_list_ull(struct param_list *l, uint64_t value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, RPC_PARAM_ULLONG, fmt, ap)->rpc_param_value_u.ul = value;
	va_end(ap);
}

void param_list_double(struct param_list *l, double value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, RPC_PARAM_DOUBLE, fmt, ap)->rpc_param_value_u.d = value;
	va_end(ap);
}

void param_list_bool(struct param_list *l, bool value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(l, RPC_PARAM_BOOLEAN, fmt, ap)->rpc_param_value_u.b = value;
	va_end(ap);
}

void param_list_string(struct param_list *l, const char *value, const char *fmt, ...)
{
	va_list ap;

	if (!value)
		return;
	va_start(ap, fmt);
	add(l, RPC_PARAM_STRING, fmt, ap)->rpc_param_value_u.s = xstrdup(value);
	va_end(ap);
}
