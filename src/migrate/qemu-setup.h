/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's migration capabilities and parameters for one migration, on either side. */
#pragma once

#include "capabilities.h"
#include "json.h"
#include "migrate-options.h"

struct migration_setup {
	const struct migrate_options *options;
	const struct qemu_capabilities *caps; /* of the QEMU here */
	const struct strv *theirs;	      /* capabilities of the other side's QEMU; NULL: unknown */
	bool is_target;
};

/* Is it asked for, and can both QEMUs do it? */
bool migration_uses(const struct migration_setup *setup, const char *capability);
/* Can it be done as it was asked for? ERROR_UNSUPPORTED_CONFIG names what one of the QEMUs lacks. */
int migration_check_setup(const struct migration_setup *setup, struct error *err);
/* Arguments of migrate-set-capabilities: every capability this QEMU has, on or off. A load or an earlier job may have left some behind. */
json *migration_capabilities(const struct migration_setup *setup);
/* Arguments of migrate-set-parameters: what was asked for, QEMU's defaults for the rest where an earlier job may have changed it. */
json *migration_parameters(const struct migration_setup *setup);
