/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The half of domain_fill_defaults that is about devices. */
#pragma once

#include "defaults.h"

/* Controllers, implicit devices and default models; runs when machine and CPU are known. */
int defaults_fill_devices(struct domain *d, const struct domain_host *host, struct error *err);

/* Serial ports and consoles are one device under two names: make both lists say so. */
int defaults_fill_chardevs(struct domain *d, struct error *err);
