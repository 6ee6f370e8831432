/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Base64 with padding (RFC 4648, section 4). */
#pragma once

#include <stddef.h>

/* Owned by the caller. */
char *base64_encode(const void *data, size_t len);
