/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For this room's tests: an agent in every guest, which answers what the test wants. */
#pragma once

#include <systemd/sd-event.h>

/* Of every command from now on: what stands behind "return", as JSON; NULL: there is no agent. `text` must live on. */
void fake_agent_answer(sd_event *loop, const char *text);
/* What it was told last: name, space, arguments. */
const char *fake_agent_last(void);
