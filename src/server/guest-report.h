/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent says of its guest, as typed parameters and as what the protocol has for it. */
#pragma once

#include "domain.h"
#include "guest.h"
#include "json.h"
#include "param-list.h"

/*
 * One group of GET_GUEST_INFO: what asks for it, and how its answer is told. A guest may answer anything: what is not of the right kind is left out,
 * and no more is added than RPC_GUEST_INFO_MAX parameters.
 */
struct guest_report {
	unsigned type; /* RPC_GUEST_INFO_* */
	const char *command;
	void (*tell)(struct param_list *l, const struct domain *d, json *ret);
};

/* Ends with one of type 0. */
extern const struct guest_report guest_reports[];

/* The disk that guest-get-fsinfo and guest-get-disks mean by an address; NULL: none of ours. */
const struct disk *guest_find_disk(const struct domain *d, json *address);
