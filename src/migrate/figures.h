/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What QEMU says of a migration (query-migrate), as a job's figures. */
#pragma once

#include "cookie.h"
#include "json.h"
#include "vm.h"

/* What is not in `answer` (may be NULL) stays as it is in `info`. */
void migration_figures(json *answer, struct vm_job_info *info);
/* The same of what the other side says. Times that make no sense, as nothing is known of who says them, are left out. */
void statistics_figures(const struct cookie_statistics *t, struct vm_job_info *info);
