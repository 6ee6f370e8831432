/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a block job, without QEMU: what was entered, in order. */
#include "block-job-internal.h"
#include "buf.h"
#include "strv.h"
#include "tap.h"

static struct buf entered;

#define ENTER(name, letter)                                                                                  \
	static void name(struct block_job *job)                                                              \
	{                                                                                                    \
		buf_add(&entered, letter, 1);                                                                \
	}
ENTER(taking, "t")
ENTER(starting, "s")
ENTER(running, "r")
ENTER(ready, "R")
ENTER(completing, "c")
ENTER(settling, "S")
ENTER(finalizing, "f")
ENTER(cancelling, "x")
ENTER(recording, "w")
ENTER(clearing, "d")
ENTER(over, ".")

static const block_job_enter_fn recorder[BLOCK_JOB_STATE_MAX_] = {
	[BLOCK_JOB_TAKING] = taking,
	[BLOCK_JOB_STARTING] = starting,
	[BLOCK_JOB_RUNNING] = running,
	[BLOCK_JOB_READY] = ready,
	[BLOCK_JOB_COMPLETING] = completing,
	[BLOCK_JOB_SETTLING] = settling,
	[BLOCK_JOB_FINALIZING] = finalizing,
	[BLOCK_JOB_CANCELLING] = cancelling,
	[BLOCK_JOB_RECORDING] = recording,
	[BLOCK_JOB_CLEARING] = clearing,
	[BLOCK_JOB_OVER] = over,
};

/* Events by letter: + done, - failed, v pivot, x cancel, r ready, p pending, c concluded. */
static void check(const char *events, const char *expected, const char *what)
{
	static const char letters[] = "+-vxrpc";
	struct block_job job = {.enter = recorder, .id = (char *)"job"};

	buf_fini(&entered);
	block_job_begin(&job);
	for (; *events; events++)
		block_job_tell(&job, (enum block_job_event)(strchr(letters, *events) - letters));
	buf_add(&entered, "", 1);
	is_str(entered.data, expected, what);
}

/* What QEMU says of a job of an earlier daemon between its answer to "query-jobs" and the taking over. */
static void test_resume(void)
{
	struct block_job job = {.enter = recorder, .id = (char *)"job"};

	buf_fini(&entered);
	block_job_tell(&job, BLOCK_JOB_IS_READY);
	block_job_tell(&job, BLOCK_JOB_IS_PENDING);
	ok(block_job_resume(&job, BLOCK_JOB_RUNNING) && job.state == BLOCK_JOB_SETTLING, "nothing is missed");
	job.state = BLOCK_JOB_NOWHERE;
	ok(!block_job_resume(&job, BLOCK_JOB_RUNNING) && job.state == BLOCK_JOB_RUNNING, "nor told again");
}

int main(void)
{
	check("++p+c++", "tsrSfwd.", "an inner commit, a pull");
	check("++rvp+c++", "tsrRcSfwd.", "an active commit");
	check("-", "t.", "the lease is somebody else's");
	check("+-+", "tsd.", "QEMU refuses it");
	check("+p+", "tsrS", "pending before the command is answered");
	check("+r+vp", "tsrRcS", "ready before it is");
	check("+c+++", "tsrwd.", "concluded before it is");
	check("++c++", "tsrwd.", "it fails by itself");
	check("++xpc++", "tsrxwd.", "cancelled just before it is pending");
	check("++rxc++", "tsrRxwd.", "cancelled when ready");
	check("++rv-vp", "tsrRcRcS", "QEMU does not complete it; then it does");
	check("++p-c++", "tsrSxwd.", "what it did cannot be written down");
	check("++p+-c++", "tsrSfxwd.", "QEMU does not finalize it");
	check("++px+xc++", "tsrSfwd.", "too late to cancel");
	check("++vp+c++", "tsrSfwd.", "nothing to pivot while it is not ready");
	check("++rrr", "tsrR", "ready is told once");
	test_resume();
	buf_fini(&entered);
	return done_testing();
}
