/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filter flags of LIST_ALL_DOMAINS and GET_ALL_DOMAIN_STATS. */
#pragma once

#include "constants.h"
#include "vm.h"

#define DOMAIN_FILTER_ALL (RPC_LIST_NO_CHECKPOINT * 2 - 1)

/* The flags form groups; of each group that has one set, one must hold. */
bool domain_filter_matches(const struct vm *vm, unsigned flags);
