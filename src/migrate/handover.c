/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The moves of both sides, as tables (handover.h). */
#include "handover.h"

#define NO -1

static const signed char source_moves[HANDOVER_SOURCE_MAX_][HANDOVER_SOURCE_EVENT_MAX_] = {
	[HANDOVER_OWNER] = {[HANDOVER_PASS] = HANDOVER_PASSED,
		[HANDOVER_ANSWER_RUNS] = NO,
		[HANDOVER_ANSWER_GONE] = HANDOVER_OWNER},
	[HANDOVER_PASSED] = {[HANDOVER_PASS] = HANDOVER_PASSED,
		[HANDOVER_ANSWER_RUNS] = HANDOVER_ENDED,
		[HANDOVER_ANSWER_GONE] = HANDOVER_OWNER},
	[HANDOVER_ENDED] =
		{[HANDOVER_PASS] = NO, [HANDOVER_ANSWER_RUNS] = HANDOVER_ENDED, [HANDOVER_ANSWER_GONE] = NO},
};

static const signed char target_moves[HANDOVER_TARGET_MAX_][HANDOVER_TARGET_EVENT_MAX_] = {
	[HANDOVER_WAITING] = {[HANDOVER_STATE_IN] = HANDOVER_DECIDED, [HANDOVER_LOST] = HANDOVER_GONE},
	/* It may have run: what is lost now is a machine that has moved. */
	[HANDOVER_DECIDED] = {[HANDOVER_STATE_IN] = HANDOVER_DECIDED, [HANDOVER_LOST] = HANDOVER_DECIDED},
	[HANDOVER_GONE] = {[HANDOVER_STATE_IN] = NO, [HANDOVER_LOST] = HANDOVER_GONE},
};

bool handover_source_move(enum handover_source *state, enum handover_source_event event)
{
	signed char to = source_moves[*state][event];

	if (to == NO)
		return false;
	*state = (enum handover_source)to;
	return true;
}

bool handover_target_move(enum handover_target *state, enum handover_target_event event)
{
	signed char to = target_moves[*state][event];

	if (to == NO)
		return false;
	*state = (enum handover_target)to;
	return true;
}

bool handover_source_may_run(enum handover_source state)
{
	return state == HANDOVER_OWNER;
}

bool handover_target_may_run(enum handover_target state)
{
	return state == HANDOVER_DECIDED;
}

enum handover_source handover_source_found(bool pass_written)
{
	return pass_written ? HANDOVER_PASSED : HANDOVER_OWNER;
}

enum handover_target handover_target_found(bool runs_written)
{
	return runs_written ? HANDOVER_DECIDED : HANDOVER_GONE;
}
