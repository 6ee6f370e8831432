/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is this all of QEMU's state? For images without checksums: follows a plain stream through its memory and looks for the description
 * that ends it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct stream_walk;

struct stream_walk *stream_walk_new(void);
/* The same, for what follows memory only: devices, end, description. */
struct stream_walk *stream_walk_new_tail(void);
void stream_walk_free(struct stream_walk *w); /* accepts NULL */

/* ERROR_DAMAGED when it cannot be a state. Parts that are not understood are passed over. */
int stream_walk_feed(struct stream_walk *w, const void *data, size_t len, struct error *err);
/* The description was found: nothing behind it belongs to the state. */
bool stream_walk_is_whole(const struct stream_walk *w);
/* ERROR_DAMAGED when the state has no end. */
int stream_walk_finish(const struct stream_walk *w, struct error *err);
