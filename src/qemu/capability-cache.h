/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only tests may change about the cache of capabilities.h. */
#pragma once

#include "capabilities.h"

/* Instead of /dev/kvm; `path` must live as long as the cache. */
void capability_cache_set_kvm_device(struct capability_cache *c, const char *path);

/* Take /dev/kvm for usable when it can be opened, without trying a guest. */
void capability_cache_trust_kvm(struct capability_cache *c);
