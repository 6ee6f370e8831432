/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An empty qcow2 image over another one: what is written goes into it, what was never written is read from below. */
#pragma once

#include "domain.h"

#define OVERLAY_BASE_MAX 1023 /* bytes of its path; qcow2 has room for no more */

/*
 * Make `name` in `dirfd` (it must not exist), readable by its owner only, as large as `base` is now: the absolute path of an image of
 * `format` (NONE is raw), a regular file or a block device. Durable on return but for the directory; nothing is left of one that fails. Blocks.
 */
int overlay_create(int dirfd, const char *name, const char *base, enum disk_format format, struct error *err);
