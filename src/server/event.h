/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who wants to hear of what, and telling them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "alloc.h"
#include "error.h"

struct server;
struct session;
struct vm_event;

#define SUBSCRIPTIONS_MAX 1024 /* of one session */

enum subscription_kind {
	SUBSCRIPTION_DOMAIN,
	SUBSCRIPTION_MONITOR, /* QEMU's own events */
	SUBSCRIPTION_NOTHING, /* networks, pools ...: there are none, so nothing ever comes */
};

struct subscription {
	enum subscription_kind kind;
	int callback_id;
	int event_id;
	bool has_uuid; /* of one domain only */
	uint8_t uuid[16];
	char *monitor_event; /* NULL: all */
	unsigned monitor_flags;
};

struct subscriptions {
	VEC(struct subscription) items;
	int last_id;
	uint32_t old_style; /* bits of event ids asked for without a callback id */
};

void subscriptions_fini(struct subscriptions *s);
/* Takes monitor_event. The callback id, or -1 when there are too many. */
int subscriptions_add(struct subscriptions *s, const struct subscription *item, struct error *err);
int subscriptions_remove(
	struct subscriptions *s, enum subscription_kind kind, int callback_id, struct error *err);

/* For registry_set_event_handler; userdata is the server. */
void event_broadcast(const struct vm_event *event, void *userdata);
