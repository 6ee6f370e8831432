/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may run, in a migration between two godwits. One rule: at every instant at most one side may run, and whoever cannot fail back lets the other
 * one go on.
 *
 *	source                                             destination
 *	OWNER      the guest runs here, or stands still      WAITING   its QEMU takes what comes, and may still be undone
 *	  | pass: written down; leases are given back            | all of the state is in, leases taken
 *	PASSED     never runs again without an answer        DECIDED   "runs" is written down, then the guest runs
 *	  | runs         | gone                              GONE      undone: never runs, and says so
 *	ENDED          OWNER (leases taken again)
 *
 * Up to PASSED the source decides: when anything fails the destination will never have the whole state, since the last of it (the devices) is not sent
 * before. From then on the destination decides, and the source asks it (verdict.h). The functions here are all that source.c and target.c decide by;
 * test-handover-model.c explores every order of them, of losses and of deaths.
 */
#pragma once

#include <stdbool.h>

enum handover_source { HANDOVER_OWNER, HANDOVER_PASSED, HANDOVER_ENDED, HANDOVER_SOURCE_MAX_ };
enum handover_target { HANDOVER_WAITING, HANDOVER_DECIDED, HANDOVER_GONE, HANDOVER_TARGET_MAX_ };

enum handover_source_event {
	HANDOVER_PASS, /* memory is over, the guest stands still: written down durably before QEMU may send the rest */
	HANDOVER_ANSWER_RUNS,
	HANDOVER_ANSWER_GONE,
	HANDOVER_SOURCE_EVENT_MAX_
};

enum handover_target_event {
	HANDOVER_STATE_IN, /* QEMU has all of the state, and the leases are taken: written down durably before `cont` */
	HANDOVER_LOST, /* QEMU or the stream failed, the client went, it was cancelled, or the source asked and said that it failed */
	HANDOVER_TARGET_EVENT_MAX_
};

/* False: cannot be now, and nothing has changed. */
bool handover_source_move(enum handover_source *state, enum handover_source_event event);
bool handover_target_move(enum handover_target *state, enum handover_target_event event);
/* May the guest's CPUs run here? */
bool handover_source_may_run(enum handover_source state);
bool handover_target_may_run(enum handover_target state);
/* What a daemon finds after a restart: from what was written down. */
enum handover_source handover_source_found(bool pass_written);
enum handover_target handover_target_found(bool runs_written);
