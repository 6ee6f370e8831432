/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every order of what can happen to two hosts between which a VM changes hands: the moves are those of handover.c, the rest (QEMUs, daemons, network,
 * what is on disk, the question) is modelled here. In no reachable state may both guests run; and from every one, once nothing fails any more, exactly one
 * runs in the end, unless the QEMU that had the right to is dead.
 *
 * Mutants of the rules must be found: a model that cannot fail proves nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "handover.h"
#include "tap.h"

enum record { RECORD_NONE, RECORD_OPEN, RECORD_RUNS };
/* The source's: before the switch-over; told to send the rest; has sent it; has given up. The destination's: waits; has everything. */
enum source_qemu { MOVED, SENDING, SENT, FAILED, SOURCE_DEAD };
enum target_qemu { WAITS, HAS_ALL, TARGET_DEAD };

struct world {
	unsigned char source, target; /* enum handover_source, handover_target */
	unsigned char source_qemu, target_qemu;
	unsigned char passed; /* on disk at the source */
	unsigned char record; /* on disk at the destination */
	unsigned char source_runs, target_runs;
	unsigned char source_up, target_up, network;
	unsigned char is_over;	      /* the source's job has ended */
	unsigned char may_be_none;    /* the QEMU that had the right to run has died */
	unsigned char is_thrown_away; /* a guest that ran, by a daemon that did not know it */
};

enum mutant {
	NO_MUTANT,
	RESUMES_UNASKED,    /* the source lets it run again after a restart, without an answer */
	RUNS_UNWRITTEN,	    /* the destination lets it run before that is written down */
	PASSES_UNWRITTEN,   /* the source passes without writing it down */
	ACCEPTS_AFTER_GONE, /* the destination says "gone" while it waits, and accepts later */
	FAILS_WITH_ALL,	    /* QEMU calls failed what has arrived (its return path) */
	FORGETS_UNSTARTED,  /* the record goes before the guest runs there */
	FORGETS_TOO_EARLY,  /* the record goes before the source has understood */
	RESOLVED_BLINDLY,   /* somebody gives the destination up who does not know that it is dead */
	MUTANT_MAX_,
};

static enum mutant mutant;

static bool move_source(struct world *w, enum handover_source_event event)
{
	enum handover_source state = w->source;
	bool moved = handover_source_move(&state, event);

	w->source = (unsigned char)state;
	return moved;
}

static bool move_target(struct world *w, enum handover_target_event event)
{
	enum handover_target state = w->target;
	bool moved = handover_target_move(&state, event);

	w->target = (unsigned char)state;
	return moved;
}

/* ---- what can happen; false: not now ---- */

static bool pass(struct world *w)
{
	if (!w->source_up || w->is_over || w->source != HANDOVER_OWNER || w->source_qemu != MOVED)
		return false;
	w->source_runs = 0;
	w->passed = mutant != PASSES_UNWRITTEN;
	return move_source(w, HANDOVER_PASS);
}

/* Canceled, or anything failed, before it was passed. */
static bool go_on_here(struct world *w)
{
	if (!w->source_up || w->is_over || !handover_source_may_run(w->source) || w->source_qemu != MOVED)
		return false;
	w->source_runs = w->is_over = 1;
	return true;
}

static bool let_send(struct world *w)
{
	if (!w->source_up || w->is_over || w->source != HANDOVER_PASSED || w->source_qemu != MOVED)
		return false;
	w->source_qemu = SENDING;
	return true;
}

static bool send_rest(struct world *w)
{
	if (w->source_qemu != SENDING)
		return false;
	if (w->network && w->target_qemu == WAITS) {
		w->target_qemu = HAS_ALL;
		w->source_qemu = SENT;
		if (mutant == FAILS_WITH_ALL) {
			w->source_qemu = FAILED;
			w->source_runs = 1;
		}
	} else {
		/* QEMU lets the guest run by itself. */
		w->source_qemu = FAILED;
		w->source_runs = 1;
	}
	return true;
}

/* Who only waits sees that nothing comes any more. */
static bool stream_breaks(struct world *w)
{
	bool ended = w->source_qemu == SOURCE_DEAD || w->source_qemu == FAILED || w->is_over;

	if (!ended || w->target_qemu != WAITS)
		return false;
	w->target_qemu = TARGET_DEAD;
	return true;
}

static bool accept_it(struct world *w)
{
	if (!w->target_up || w->target_qemu != HAS_ALL || w->target_runs ||
		!move_target(w, HANDOVER_STATE_IN))
		return false;
	if (w->record == RECORD_RUNS)
		return false;
	if (mutant == RUNS_UNWRITTEN)
		w->target_runs = 1;
	else
		w->record = RECORD_RUNS;
	return true;
}

static bool run_there(struct world *w)
{
	if (!w->target_up || w->target_qemu != HAS_ALL || w->target_runs ||
		!handover_target_may_run(w->target))
		return false;
	w->target_runs = 1;
	return true;
}

/* QEMU or the stream failed, the client is gone, it was canceled. */
static bool refuse(struct world *w)
{
	if (!w->target_up || w->target != HANDOVER_WAITING || !move_target(w, HANDOVER_LOST))
		return false;
	w->target_qemu = TARGET_DEAD;
	return true;
}

static void come_back(struct world *w)
{
	if (!move_source(w, HANDOVER_ANSWER_GONE))
		return;
	w->passed = 0;
	w->is_over = 1;
	if (w->source_qemu != SOURCE_DEAD)
		w->source_runs = 1;
	else
		w->may_be_none = 1;
}

static bool know_failure(struct world *w)
{
	if (!w->source_up || w->is_over || w->source != HANDOVER_PASSED || w->source_qemu != FAILED)
		return false;
	come_back(w);
	return true;
}

static bool ask(struct world *w)
{
	if (!w->source_up || !w->target_up || !w->network || w->is_over || w->source != HANDOVER_PASSED ||
		(w->source_qemu != SENT && w->source_qemu != SOURCE_DEAD))
		return false;
	if (w->record == RECORD_RUNS) {
		move_source(w, HANDOVER_ANSWER_RUNS);
		w->source_qemu = SOURCE_DEAD;
		w->source_runs = w->passed = 0;
		w->is_over = 1;
		return true;
	}
	/* Not decided: the answer comes when it is. */
	if (w->record == RECORD_OPEN && w->target == HANDOVER_WAITING && mutant != ACCEPTS_AFTER_GONE)
		return false;
	if (w->target == HANDOVER_DECIDED && w->record == RECORD_OPEN)
		return false;
	come_back(w);
	return true;
}

/* Somebody says that it does not run there, and never will, where no answer is to be had. */
static bool resolve(struct world *w)
{
	bool is_silent = !w->network || !w->target_up, is_dead = w->target_qemu == TARGET_DEAD;

	if (!w->source_up || w->is_over || w->source != HANDOVER_PASSED || !is_silent ||
		(w->source_qemu != SENT && w->source_qemu != SOURCE_DEAD) ||
		(!is_dead && mutant != RESOLVED_BLINDLY))
		return false;
	come_back(w);
	return true;
}

/* The source, whatever it has heard, needs no answer any more. */
static bool forget(struct world *w)
{
	bool understood = w->is_over || mutant == FORGETS_TOO_EARLY;

	if (!w->target_up || !understood || w->record == RECORD_NONE || w->target == HANDOVER_WAITING)
		return false;
	/* A daemon that comes after this one must still know that it may run. */
	if (mutant != FORGETS_UNSTARTED && w->target == HANDOVER_DECIDED && !w->target_runs &&
		w->target_qemu != TARGET_DEAD)
		return false;
	w->record = RECORD_NONE;
	return true;
}

/* ---- what can fail ---- */

static bool source_daemon_dies(struct world *w)
{
	bool was = w->source_up;

	w->source_up = 0;
	return was != 0;
}

static bool target_daemon_dies(struct world *w)
{
	bool was = w->target_up;

	w->target_up = 0;
	return was != 0;
}

static bool source_daemon_comes(struct world *w)
{
	if (w->source_up)
		return false;
	w->source_up = 1;
	if (w->is_over)
		return true;
	w->source = (unsigned char)handover_source_found(mutant != RESUMES_UNASKED && w->passed);
	/* What was not passed is undone. */
	if (handover_source_may_run(w->source)) {
		w->is_over = 1;
		w->source_runs = w->source_qemu != SOURCE_DEAD;
		w->may_be_none |= w->source_qemu == SOURCE_DEAD;
	}
	return true;
}

static bool target_daemon_comes(struct world *w)
{
	if (w->target_up)
		return false;
	w->target_up = 1;
	if (w->target == HANDOVER_DECIDED && w->target_runs && w->record == RECORD_NONE)
		return true; /* its job had ended */
	w->target = (unsigned char)handover_target_found(w->record == RECORD_RUNS);
	if (w->target == HANDOVER_GONE) {
		w->is_thrown_away |= w->target_runs;
		w->target_qemu = TARGET_DEAD;
		w->target_runs = 0;
	}
	return true;
}

static bool source_qemu_dies(struct world *w)
{
	if (w->source_qemu == SOURCE_DEAD)
		return false;
	w->may_be_none |= w->source_runs || w->source == HANDOVER_OWNER;
	w->source_qemu = SOURCE_DEAD;
	w->source_runs = 0;
	return true;
}

static bool target_qemu_dies(struct world *w)
{
	if (w->target_qemu == TARGET_DEAD)
		return false;
	w->may_be_none |= w->target == HANDOVER_DECIDED;
	w->target_qemu = TARGET_DEAD;
	w->target_runs = 0;
	return true;
}

static bool network_goes(struct world *w)
{
	bool was = w->network;

	w->network = 0;
	return was != 0;
}

static bool network_comes(struct world *w)
{
	bool was = w->network;

	w->network = 1;
	return was != 1;
}

/* A destination whose QEMU is dead before it has decided finds that out. */
static bool see_dead(struct world *w)
{
	return w->target_qemu == TARGET_DEAD && refuse(w);
}

typedef bool (*event_fn)(struct world *w);

static const event_fn events[] = {pass, go_on_here, let_send, send_rest, stream_breaks, accept_it, run_there,
	refuse, know_failure, ask, resolve, forget, source_daemon_dies, target_daemon_dies,
	source_daemon_comes, target_daemon_comes, source_qemu_dies, target_qemu_dies, network_goes,
	network_comes};
/* What happens by itself when nothing fails any more. */
static const event_fn fair[] = {source_daemon_comes, target_daemon_comes, network_comes, send_rest,
	stream_breaks, accept_it, run_there, see_dead, know_failure, ask, let_send, go_on_here, pass};
/* The same where the destination never comes back, and somebody says so. */
static const event_fn fair_alone[] = {
	source_daemon_comes, send_rest, know_failure, resolve, let_send, go_on_here, pass};

/* ---- exploration ---- */

enum { WORLDS_MAX = 1 << 18 };

static struct world *worlds;
static size_t n_worlds;
static uint32_t *table;

static size_t hash(const struct world *w)
{
	const unsigned char *bytes = (const unsigned char *)w;
	uint64_t h = 1469598103934665603ull;

	for (size_t i = 0; i < sizeof(*w); i++)
		h = (h ^ bytes[i]) * 1099511628211ull;
	return (size_t)(h ^ h >> 29) % (WORLDS_MAX * 2);
}

static void note(const struct world *w)
{
	size_t i = hash(w);

	for (; table[i]; i = (i + 1) % (WORLDS_MAX * 2))
		if (memcmp(&worlds[table[i] - 1], w, sizeof(*w)) == 0)
			return;
	if (n_worlds == WORLDS_MAX)
		abort();
	worlds[n_worlds] = *w;
	table[i] = (uint32_t)++n_worlds;
}

static struct world go_on(struct world w, const event_fn *moves, size_t n)
{
	bool moved = true;

	for (int rounds = 0; moved && rounds < 100; rounds++) {
		moved = false;
		for (size_t i = 0; i < n && !moved; i++) {
			struct world next = w;

			moved = moves[i](&next) && memcmp(&next, &w, sizeof(w)) != 0;
			if (moved)
				w = next;
		}
	}
	return w;
}

static bool ends_well(struct world w)
{
	w = go_on(w, fair, ARRAY_SIZE(fair));
	return w.source_runs + w.target_runs == 1 || (w.may_be_none && w.source_runs + w.target_runs == 0);
}

/* Unless the source had ended because it ran there, or is dead itself. */
static bool survives_loss(struct world w)
{
	if (w.is_over || w.source == HANDOVER_ENDED)
		return true;
	w.target_up = w.network = w.target_runs = 0;
	w.target_qemu = TARGET_DEAD;
	w = go_on(w, fair_alone, ARRAY_SIZE(fair_alone));
	return w.source_runs || w.source_qemu == SOURCE_DEAD;
}

/* NULL: nothing is wrong. */
static const char *explore(enum mutant m)
{
	const struct world first = {
		.record = RECORD_OPEN, .source_runs = 1, .source_up = 1, .target_up = 1, .network = 1};

	mutant = m;
	n_worlds = 0;
	memset(table, 0, sizeof(*table) * WORLDS_MAX * 2);
	note(&first);
	for (size_t at = 0; at < n_worlds; at++) {
		if (worlds[at].source_runs && worlds[at].target_runs)
			return "two run";
		if (worlds[at].is_thrown_away)
			return "what had run there was thrown away";
		if (!ends_well(worlds[at]))
			return "none runs in the end";
		if (!survives_loss(worlds[at]))
			return "none runs when the destination is lost";
		for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
			struct world next = worlds[at];

			if (events[i](&next))
				note(&next);
		}
	}
	return NULL;
}

int main(void)
{
	static const char *const names[MUTANT_MAX_] = {
		[RESUMES_UNASKED] = "a source that runs again unasked",
		[RUNS_UNWRITTEN] = "a destination that runs unwritten",
		[PASSES_UNWRITTEN] = "a source that passes unwritten",
		[ACCEPTS_AFTER_GONE] = "a destination that accepts after it said \"gone\"",
		[FAILS_WITH_ALL] = "a QEMU that calls failed what has arrived",
		[FORGETS_UNSTARTED] = "a record that goes before it runs",
		[FORGETS_TOO_EARLY] = "a record that goes too early",
		[RESOLVED_BLINDLY] = "a destination that is given up while it lives",
	};
	const char *wrong;

	worlds = calloc(WORLDS_MAX, sizeof(*worlds));
	table = calloc(WORLDS_MAX * 2, sizeof(*table));
	wrong = explore(NO_MUTANT);
	is_str(wrong ? wrong : "", "", "never two, and one in the end");
	printf("# %zu states\n", n_worlds);
	ok(n_worlds > 200, "that was all of it");
	for (int m = NO_MUTANT + 1; m < MUTANT_MAX_; m++)
		ok(explore((enum mutant)m) != NULL, names[m]);
	free(worlds);
	free(table);
	return done_testing();
}
