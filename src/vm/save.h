/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A save in progress; save-verb.c checks and fills it, save.c does it. */
#pragma once

#include "state-stream.h"

struct save_operation {
	struct operation op;
	struct state_stream stream;
	bool was_running;   /* the guest, when asked: an undo lets it go on */
	bool awaits_memory; /* of a lazy restore, before it begins */
};

extern const struct state_stream_ops save_stream_ops;
