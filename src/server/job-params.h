/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job's figures in the forms of the protocol. */
#pragma once

#include "godwit.h"
#include "vm.h"

#define JOB_PARAMS_MAX 40

/* Fill at most JOB_PARAMS_MAX parameters; the number of them. Names and values are not owned by them. */
unsigned job_params_fill(const struct vm_job_info *info, rpc_param *params);
/* For clients that know no parameters. */
void job_info_fill(const struct vm_job_info *info, rpc_job_info_ret *ret);
int job_type(const struct vm_job_info *info);
