/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names for the protocol's numbers. "unknown" or the like for numbers that are not known. */
#pragma once

const char *domain_state_name(int state);
const char *domain_reason_name(int state, int reason);
const char *vcpu_state_name(int state);
const char *lifecycle_event_name(int event);
const char *lifecycle_detail_name(int event, int detail);
const char *watchdog_outcome_name(int action);
const char *io_error_action_name(int action);
const char *graphics_phase_name(int phase);
const char *graphics_family_name(int family);
const char *agent_state_name(int state);
const char *agent_reason_name(int reason);
const char *metadata_type_name(int type);
const char *job_type_name(int type);
const char *job_operation_name(int operation);
const char *control_state_name(int state);
const char *disk_error_name(int error);
const char *memory_stat_name(int tag); /* NULL: not known */
const char *event_type_name(int id);   /* NULL: not known */
