/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whoever asks a job for its figures gets them at once; QEMU does not answer at once. So it is asked now and then, and what it said last
 * is what is told.
 */
#include "block-job-internal.h"

#include "clock.h"
#include "qmp.h"
#include "registry.h"
#include "strv.h"

#define ASK_USEC (250 * USEC_PER_MSEC)

struct block_job_progress {
	struct block_job *job;
	struct qmp *asked; /* has to answer yet */
	sd_event_source *timer;
	uint64_t done, total;
};

void block_job_progress_free(struct block_job_progress *p)
{
	if (!p)
		return;
	if (p->asked && p->asked == p->job->vm->qmp)
		qmp_forget(p->asked, p);
	sd_event_source_disable_unref(p->timer);
	free(p);
}

static void answered(struct qmp *q, json *ret, const struct error *err, void *userdata)
{
	struct block_job_progress *p = userdata;

	p->asked = NULL;
	JSON_FOREACH (entry, err ? NULL : ret) {
		if (!streq(json_get_string(entry, "device"), p->job->id))
			continue;
		p->done = json_get_uint(entry, "offset", 0);
		p->total = json_get_uint(entry, "len", 0);
	}
}

static int ask(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct block_job_progress *p = userdata;

	if (!p->asked && p->job->vm->qmp) {
		p->asked = p->job->vm->qmp;
		qmp_command(p->asked, "query-block-jobs", NULL, -1, 0, answered, p);
	}
	sd_event_source_set_time_relative(source, ASK_USEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

void block_job_watch(struct block_job *job)
{
	struct block_job_progress *p;

	if (job->progress)
		return;
	p = NEW(struct block_job_progress);
	*p = (struct block_job_progress){.job = job};
	job->progress = p;
	/* without a timer it shows no progress, and is no worse for it */
	sd_event_add_time_relative(job->vm->registry->loop, &p->timer, CLOCK_MONOTONIC, ASK_USEC, 0, ask, p);
}

unsigned block_job_get_permyriad(const struct vm *vm, const void *userdata)
{
	VEC_FOREACH (job, &vm->block_jobs) {
		const struct block_job_progress *p = job->progress;

		if (!job->ended || job->ended_userdata != userdata || !p || p->total == 0)
			continue;
		return p->done < p->total ? (unsigned)((double)p->done * 10000 / (double)p->total) : 10000;
	}
	return 0;
}
