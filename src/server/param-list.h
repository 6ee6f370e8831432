/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing list of typed parameters whose names are made by a format. */
#pragma once

#include <stdbool.h>

#include "alloc.h"
#include "godwit.h"

struct param_list {
	VEC(rpc_param) params;
};

void param_list_fini(struct param_list *l);
void param_list_int(struct param_list *l, int value, const char *fmt, ...) _printf_(3, 4);
void param_list_uint(struct param_list *l, unsigned value, const char *fmt, ...) _printf_(3, 4);
void param_list_ull(struct param_list *l, uint64_t value, const char *fmt, ...) _printf_(3, 4);
void param_list_double(struct param_list *l, double value, const char *fmt, ...) _printf_(3, 4);
void param_list_bool(struct param_list *l, bool value, const char *fmt, ...) _printf_(3, 4);
void param_list_string(struct param_list *l, const char *value, const char *fmt, ...)
	_printf_(3, 4); /* copies; NULL: nothing */
