/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the place of the migrate room, for this room's tests: remembers what it was asked, and answers from the loop. */
#pragma once

#include "migrate.h"

/* Forget everything; answers come from this loop. */
void fake_migrate_init(sd_event *loop);
/* What the last call was asked for: "perform guest flags=1 cookie=<c/> uri=tcp:b:1 xml=- name=- bandwidth=10 peer=- cancelled=0" */
const char *fake_migrate_last(void);
/* Calls from now on end so; ERROR_NONE: well. */
void fake_migrate_fail(enum error_code code, const char *message);
/* The end that a tunnelled migration's QEMU would read; the caller closes it. */
int fake_migrate_take_stream(void);
unsigned fake_migrate_count_gone(void);
