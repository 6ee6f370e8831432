/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at a VM's disks as they are now, for the note of them (disk-note.h). Blocks as long as the storage does: for a child
 * process.
 */
#pragma once

#include "disk-note.h"
#include "domain.h"

/*
 * `saving`: what was written to the disks is made durable first, as the state will be; then one that is gone, or cannot be synced, is an error (ERROR_OPERATION_FAILED, ERROR_SYSTEM). Whatever
 * else cannot be looked at is noted as that.
 */
int disk_look(const struct domain *d, bool saving, struct disk_notes *ret, struct error *err);
