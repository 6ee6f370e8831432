/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of lease-sanlock.c where there was no libsanlock to build with; the configuration then refuses "sanlock". */
#include "lease-driver.h"

const struct lease_driver *const lease_driver_sanlock = NULL;
