/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far a long job is: percent, rate, and the time it will still take. Plain arithmetic on numbers and a clock that
 * the caller reads, so that tests need neither a job nor time.
 *
 * Two promises. The percentage never falls. The remaining time never rises: when things go faster than said it drops,
 * when they go slower it stands still, and when it has become wrong by more than half it is taken back (unknown)
 * rather than corrected upwards; it comes back when it is at most what was said last.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_ETA_UNKNOWN UINT64_MAX

struct progress {
	uint64_t started_us;
	uint64_t last_us, last_done; /* of the last sample that counted for the rate */
	uint64_t done, total;
	double rate;	      /* bytes a second, smoothed; 0: not known yet */
	unsigned permyriad;   /* shown, hundredths of a percent; 10000 only by progress_finish */
	uint64_t eta_us;      /* shown when `eta_known` */
	uint64_t promised_us; /* the last time remaining ever shown, minus what has passed since */
	uint64_t promised_at_us;
	bool eta_known, promised;
	uint64_t left;			/* bytes, as said last: it rises when a guest dirties its memory */
	uint64_t sent_bps, dirtied_bps; /* bytes a second; 0: not known */
};

void progress_init(struct progress *p, uint64_t now_us);
/* `total` may grow while a guest dirties its memory; 0: not known. */
void progress_update(struct progress *p, uint64_t now_us, uint64_t done, uint64_t total);
/*
 * What comes again while it is being sent: the time that is left is counted by what is gained, and where nothing is gained there is none. Before
 * progress_update. 0: not known.
 */
void progress_set_dirtying(struct progress *p, uint64_t sent_bps, uint64_t dirtied_bps);
/* It would never end by itself: the guest dirties as much as is sent. */
bool progress_is_hopeless(const struct progress *p);
void progress_finish(struct progress *p, uint64_t now_us);

unsigned progress_permyriad(const struct progress *p);
uint64_t progress_eta_us(const struct progress *p); /* PROGRESS_ETA_UNKNOWN */

/*
 * One line of at most `columns` characters, without its end:
 * "Save guest7 [#######.....]  57 %  2.3 GiB of 4.0 GiB  512 MiB/s  0:04 left". Owned by the caller.
 */
char *progress_format(const struct progress *p, const char *title, unsigned columns, uint64_t now_us);
