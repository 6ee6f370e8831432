/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Percent, rate and remaining time of a long job. */
#include "progress.h"

#include "alloc.h"
#include "clock.h"
#include "report.h"

/* A rate is taken over at least this long: two samples close together say nothing. */
#define SAMPLE_MIN_US (200 * USEC_PER_MSEC)
/* How much of the past the rate remembers. */
#define MEMORY_US (3 * USEC_PER_SEC)
/* No promise before this much has been seen. */
#define PROMISE_AFTER_US (1 * USEC_PER_SEC)

void progress_init(struct progress *p, uint64_t now_us)
{
	*p = (struct progress){.started_us = now_us, .last_us = now_us};
}

static void update_rate(struct progress *p, uint64_t now_us)
{
	uint64_t passed = now_us - p->last_us;
	double now_rate, weight;

	if (passed < SAMPLE_MIN_US)
		return;
	now_rate = (double)(p->done - p->last_done) * USEC_PER_SEC / (double)passed;
	weight = passed >= MEMORY_US ? 1 : (double)passed / MEMORY_US;
	/* the first sample is all there is */
	p->rate = p->last_done == 0 && p->rate == 0 ? now_rate : p->rate * (1 - weight) + now_rate * weight;
	p->last_us = now_us;
	p->last_done = p->done;
}

/* What is left of the last promise at `now_us`. */
static uint64_t promise_left(const struct progress *p, uint64_t now_us)
{
	uint64_t passed = now_us - p->promised_at_us;

	return passed < p->promised_us ? p->promised_us - passed : 0;
}

void progress_set_dirtying(struct progress *p, uint64_t sent_bps, uint64_t dirtied_bps)
{
	p->sent_bps = sent_bps;
	p->dirtied_bps = dirtied_bps;
}

bool progress_is_hopeless(const struct progress *p)
{
	return p->sent_bps > 0 && p->dirtied_bps >= p->sent_bps && p->permyriad < 10000;
}

/* Without dirtying, what the rate of all that has been done says. */
static double seconds_left(const struct progress *p)
{
	if (p->sent_bps > 0 && p->dirtied_bps > 0)
		return (double)p->left / (double)(p->sent_bps - p->dirtied_bps);
	return (double)(p->total - p->done) / p->rate;
}

static void update_eta(struct progress *p, uint64_t now_us)
{
	uint64_t fresh, left;
	double seconds;

	p->eta_known = p->eta_known && p->total > 0;
	if (progress_is_hopeless(p)) {
		/* what was promised before was of another guest, as it were */
		p->promised = p->eta_known = false;
		return;
	}
	if (p->total == 0 || now_us - p->started_us < PROMISE_AFTER_US || p->rate < 1)
		return;
	seconds = seconds_left(p);
	if (seconds > 1e6) {
		p->eta_known = false;
		return;
	}
	fresh = (uint64_t)(seconds * USEC_PER_SEC);
	if (!p->promised || fresh <= p->promised_us) {
		p->promised = p->eta_known = true;
		p->promised_us = p->eta_us = fresh;
		p->promised_at_us = now_us;
		return;
	}
	/* Slower than said. Stand still while that is nearly true, else say nothing. */
	left = promise_left(p, now_us);
	p->eta_known = fresh <= left + p->promised_us / 2 + USEC_PER_SEC;
}

void progress_update(struct progress *p, uint64_t now_us, uint64_t done, uint64_t total)
{
	if (total < done)
		total = total ? done : 0;
	p->left = total - (done < total ? done : total);
	/* a second pass over dirtied memory is not a step back */
	if (done > p->done)
		p->done = done;
	p->total = total > p->done || total == 0 ? total : p->done;
	update_rate(p, now_us);
	if (p->total > 0) {
		unsigned permyriad = (unsigned)((double)p->done * 10000 / (double)p->total);

		/* the job is finished when it says so, not when its bytes are */
		if (permyriad > 9999)
			permyriad = 9999;
		if (permyriad > p->permyriad)
			p->permyriad = permyriad;
	}
	update_eta(p, now_us);
}

void progress_finish(struct progress *p, uint64_t now_us)
{
	p->permyriad = 10000;
	p->last_us = now_us;
	if (p->total > 0)
		p->done = p->total;
	p->eta_known = false;
	/* over the whole job: what it really was */
	if (now_us > p->started_us)
		p->rate = (double)p->done * USEC_PER_SEC / (double)(now_us - p->started_us);
}

unsigned progress_permyriad(const struct progress *p)
{
	return p->permyriad;
}

uint64_t progress_eta_us(const struct progress *p)
{
	return p->eta_known ? p->eta_us : PROGRESS_ETA_UNKNOWN;
}

static void add_bytes(struct buf *out, uint64_t bytes)
{
	const char *unit;
	double value = scale_bytes(bytes, &unit);

	buf_addf(out, value < 10 && bytes >= 1024 ? "%.1f %s" : "%.0f %s", value, unit);
}

static void add_time(struct buf *out, uint64_t us)
{
	/* rounded up: "0:00 left" while something is left would be a lie */
	uint64_t s = (us + USEC_PER_SEC - 1) / USEC_PER_SEC;

	if (s >= 3600)
		buf_addf(out, "%llu:%02u:%02u", (unsigned long long)(s / 3600), (unsigned)(s / 60 % 60),
			(unsigned)(s % 60));
	else
		buf_addf(out, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

static void add_figures(struct buf *out, const struct progress *p, uint64_t now_us)
{
	buf_addf(out, "%3u %%", p->permyriad / 100);
	if (p->total > 0) {
		buf_adds(out, "  ");
		add_bytes(out, p->done);
		if (p->permyriad < 10000) {
			buf_adds(out, " of ");
			add_bytes(out, p->total);
		}
	}
	if (p->rate >= 1) {
		buf_adds(out, "  ");
		add_bytes(out, (uint64_t)p->rate);
		buf_adds(out, "/s");
	}
	if (p->permyriad == 10000) {
		buf_adds(out, "  in ");
		if (now_us - p->started_us < 60 * USEC_PER_SEC)
			buf_addf(out, "%.1f s", (double)(now_us - p->started_us) / USEC_PER_SEC);
		else
			add_time(out, now_us - p->started_us);
	} else if (progress_is_hopeless(p)) {
		buf_adds(out, "  does not converge");
	} else if (p->eta_known) {
		buf_adds(out, "  ");
		add_time(out, p->eta_us);
		buf_adds(out, " left");
	}
}

char *progress_format(const struct progress *p, const char *title, unsigned columns, uint64_t now_us)
{
	struct buf figures = {0}, out = {0};
	size_t used, bar;
	char *line;

	add_figures(&figures, p, now_us);
	used = text_width(title) + figures.len + 5; /* " [" and "]  " */
	bar = columns > used ? columns - used : 0;
	if (bar > 30)
		bar = 30;
	buf_adds(&out, title);
	if (bar >= 5) {
		size_t full = bar * p->permyriad / 10000;

		buf_adds(&out, " [");
		for (size_t i = 0; i < bar; i++)
			buf_adds(&out, i < full ? "#" : ".");
		buf_adds(&out, "]");
	}
	buf_adds(&out, " ");
	buf_add(&out, figures.data, figures.len);
	buf_fini(&figures);
	line = buf_take(&out);
	/* a line that wraps could not be drawn over */
	if (text_width(line) > columns && strlen(line) > columns)
		line[columns] = '\0';
	return line;
}
