/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every world that two hosts can come to (lease-model.h) is visited, breadth first, and in each of them
 *
 *	- at most one QEMU runs its CPUs: never two writers;
 *	- who runs them holds the lock;
 *	- whoever a daemon believes to hold the lock holds it;
 *	- no event has come that the daemon's table of moves does not know there;
 *	- a free lease can be taken: where a VM is off and the lock free, starting it, and nothing else, leads to a guest that
 *	  runs and holds the lock;
 *
 * and, when all are known, from each of them orderly actions alone lead to one where the VM can be started on the one host, and
 * on the other.
 *
 * The moves and what a guest may do are those of lease-state.c, not copies. The model's own part is what surrounds them: that
 * daemons, helpers and QEMUs die at any moment, that the lock dies with its process, that nothing is heard at once. With lockd
 * the kernel keeps the lock. With sanlock a daemon of its own does, which may die; then the lease expires, but only when the
 * host was reset by its watchdog or its QEMU has ended.
 *
 * An exploration that finds nothing proves nothing unless it can find something: mutants of the rules must each lead to the
 * worlds that they are expected to, and to no kind of wrong but those. The shortest way there is printed.
 */
#include "lease-model.h"

#include "alloc.h"
#include "buf.h"
#include "tap.h"

enum wrong {
	TWO_WRITERS = 1 << 0,
	RUNS_UNLOCKED = 1 << 1,
	FALSE_BELIEF = 1 << 2,
	IMPOSSIBLE_EVENT = 1 << 3,
	CANNOT_BE_TAKEN = 1 << 4,
	NEVER_AGAIN = 1 << 5,
	WRONG_MAX_ = 1 << 6,
};
static const char *const wrong_names[] = {"two writers", "runs without the lock", "believed to hold the lock",
	"impossible event", "free, but cannot be taken", "cannot be started ever again"};

struct visit {
	struct world world;
	uint32_t from; /* itself: the first */
	uint8_t action, host;
};

struct edge {
	uint32_t from, to;
};

struct exploration {
	struct rules rules;
	struct visit *visits;
	size_t n, size;
	uint32_t *table; /* open addressing; 0: empty, else 1 + index */
	size_t table_size;
	struct edge *edges; /* of orderly actions */
	size_t n_edges, edges_size, n_transitions;
	unsigned wrongs, first; /* all that were met; the nearest */
	uint32_t first_wrong[WRONG_MAX_];
	bool acted[64];
};

/* ---- the set of worlds ---- */

static uint64_t hash(const struct world *w)
{
	const unsigned char *p = (const unsigned char *)w;
	uint64_t h = 0, word;

	_Static_assert(sizeof(*w) % sizeof(word) == 0, "pad struct world");
	for (size_t i = 0; i < sizeof(*w); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

static uint32_t *find_slot(const struct exploration *x, const struct world *w)
{
	size_t i = hash(w) & (x->table_size - 1);

	while (x->table[i] && memcmp(&x->visits[x->table[i] - 1].world, w, sizeof(*w)) != 0)
		i = (i + 1) & (x->table_size - 1);
	return &x->table[i];
}

static void grow_table(struct exploration *x)
{
	free(x->table);
	x->table_size = x->table_size ? x->table_size * 2 : 1024;
	x->table = xcalloc(x->table_size, sizeof(x->table[0]));
	for (size_t i = 0; i < x->n; i++)
		*find_slot(x, &x->visits[i].world) = (uint32_t)i + 1;
}

/* Its index; new or not. */
static uint32_t visit(
	struct exploration *x, const struct world *w, uint32_t from, uint8_t action, uint8_t host)
{
	uint32_t *slot;

	if (x->n * 2 >= x->table_size)
		grow_table(x);
	slot = find_slot(x, w);
	if (*slot)
		return *slot - 1;
	if (x->n == x->size) {
		x->size = x->size ? x->size * 2 : 1024;
		x->visits = xrealloc(x->visits, x->size, sizeof(x->visits[0]));
	}
	x->visits[x->n] = (struct visit){*w, from, action, host};
	*slot = (uint32_t)++x->n;
	return *slot - 1;
}

static void add_edge(struct exploration *x, uint32_t from, uint32_t to)
{
	if (x->n_edges == x->edges_size) {
		x->edges_size = x->edges_size ? x->edges_size * 2 : 1024;
		x->edges = xrealloc(x->edges, x->edges_size, sizeof(x->edges[0]));
	}
	x->edges[x->n_edges++] = (struct edge){from, to};
}

/* ---- what must hold ---- */

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; i < n_actions; i++)
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	printf("Bail out! no action is called %s\n", name);
	exit(1);
}

static bool can_be_started(const struct rules *r, struct world w, unsigned h)
{
	static const char *const names[] = {
		"start", "child_works", "child_becomes_qemu", "hear_child", "run", "qemu_obeys"};
	static const struct action *steps[ARRAY_SIZE(names)];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!steps[i])
			steps[i] = find_action(names[i]);
		if (!steps[i]->act(r, &w, h))
			return false;
	}
	return w.hosts[h].qemu == QEMU_RUNNING && host_holds(&w, h) && !w.is_impossible;
}

static unsigned judge(const struct rules *r, const struct world *w)
{
	unsigned wrongs = w->is_impossible ? IMPOSSIBLE_EVENT : 0, writers = 0;

	for (unsigned h = 0; h < HOSTS; h++) {
		const struct host *host = &w->hosts[h];

		if (host->qemu == QEMU_RUNNING) {
			writers++;
			if (!host_holds(w, h))
				wrongs |= RUNS_UNLOCKED;
		}
		if (host->daemon_is_up && host->lease == LEASE_HELD && host->qemu != QEMU_NONE &&
			!host_holds(w, h))
			wrongs |= FALSE_BELIEF;
		if (host_may_start(r, w, h) && !can_be_started(r, *w, h))
			wrongs |= CANNOT_BE_TAKEN;
	}
	return writers > 1 ? wrongs | TWO_WRITERS : wrongs;
}

static void note_wrongs(struct exploration *x, uint32_t i, unsigned wrongs)
{
	for (unsigned bit = 1; bit < WRONG_MAX_; bit <<= 1)
		if ((wrongs & bit) && !(x->wrongs & bit))
			x->first_wrong[bit] = i;
	if (!x->first)
		x->first = wrongs;
	x->wrongs |= wrongs;
}

/* The edges by where they lead: those to i are sorted[starts[i]] up to sorted[starts[i + 1]]. */
static void sort_edges(const struct exploration *x, uint32_t **ret_starts, uint32_t **ret_sorted)
{
	uint32_t *starts = xcalloc(x->n + 2, sizeof(starts[0])),
		 *sorted = xcalloc(x->n_edges + 1, sizeof(sorted[0]));

	for (size_t i = 0; i < x->n_edges; i++)
		starts[x->edges[i].to + 2]++;
	for (size_t i = 2; i < x->n + 2; i++)
		starts[i] += starts[i - 1];
	for (size_t i = 0; i < x->n_edges; i++)
		sorted[starts[x->edges[i].to + 1]++] = x->edges[i].from;
	*ret_starts = starts;
	*ret_sorted = sorted;
}

/* Backwards from where it can be started on host h. */
static void judge_ways_back(struct exploration *x, unsigned h, const uint32_t *starts, const uint32_t *sorted)
{
	_cleanup_free_ uint32_t *queue = xcalloc(x->n, sizeof(queue[0]));
	_cleanup_free_ bool *reached = xcalloc(x->n, sizeof(reached[0]));
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		if (host_may_start(&x->rules, &x->visits[i].world, h)) {
			reached[i] = true;
			queue[n++] = (uint32_t)i;
		}
	for (size_t i = 0; i < n; i++)
		for (uint32_t e = starts[queue[i]]; e < starts[queue[i] + 1]; e++)
			if (!reached[sorted[e]]) {
				reached[sorted[e]] = true;
				queue[n++] = sorted[e];
			}
	for (size_t i = 0; i < x->n; i++)
		if (!reached[i] && !x->visits[i].world.is_impossible) {
			note_wrongs(x, (uint32_t)i, NEVER_AGAIN);
			return;
		}
}

/* ---- exploring ---- */

static void expand(struct exploration *x, uint32_t i)
{
	for (size_t a = 0; a < n_actions; a++) {
		if (actions[a].needs_sanlock && !x->rules.sanlock)
			continue;
		for (uint8_t h = 0; h < HOSTS; h++) {
			struct world w = x->visits[i].world;
			uint32_t to;

			if (!actions[a].act(&x->rules, &w, h))
				continue;
			x->acted[a] = true;
			x->n_transitions++;
			to = visit(x, &w, i, (uint8_t)a, h);
			if (actions[a].kind == ACTION_ORDERLY && to != i)
				add_edge(x, i, to);
		}
	}
}

/* Until all is seen, or all kinds of wrong that were wanted. */
static void explore(struct exploration *x, unsigned want)
{
	struct world first = {.hosts = {{.daemon_is_up = true}, {.daemon_is_up = true}}};
	_cleanup_free_ uint32_t *starts = NULL, *sorted = NULL;

	visit(x, &first, 0, 0, 0);
	for (uint32_t i = 0; i < x->n; i++) {
		note_wrongs(x, i, judge(&x->rules, &x->visits[i].world));
		if (want && (x->wrongs & want) == want)
			return;
		if (!x->visits[i].world.is_impossible)
			expand(x, i);
	}
	sort_edges(x, &starts, &sorted);
	for (unsigned h = 0; h < HOSTS; h++)
		judge_ways_back(x, h, starts, sorted);
}

static void exploration_fini(struct exploration *x)
{
	free(x->visits);
	free(x->table);
	free(x->edges);
}

/* "#   two writers: A start, A child_works, ..." */
static void print_ways(const struct exploration *x)
{
	for (unsigned bit = 1, i = 0; bit < WRONG_MAX_; bit <<= 1, i++) {
		_cleanup_free_ uint32_t *way = NULL;
		size_t n = 0;

		if (!(x->wrongs & bit))
			continue;
		for (uint32_t at = x->first_wrong[bit]; at != 0; at = x->visits[at].from)
			n++;
		way = xcalloc(n + 1, sizeof(way[0]));
		for (uint32_t at = x->first_wrong[bit], left = (uint32_t)n; at != 0; at = x->visits[at].from)
			way[--left] = at;
		printf("#   %s:", wrong_names[i]);
		for (size_t step = 0; step < n; step++)
			printf("%s %c %s", step ? "," : "", 'A' + x->visits[way[step]].host,
				actions[x->visits[way[step]].action].name);
		printf("\n");
	}
}

/* ---- tests ---- */

static bool moves_made[LEASE_STATE_MAX_][LEASE_EVENT_MAX_];

static void test_rules(bool sanlock)
{
	struct exploration x = {.rules = {.sanlock = sanlock, .moves = moves_made}};
	const char *name = sanlock ? "sanlock" : "lockd";
	_cleanup_free_ char *title = xasprintf("%s: nothing is wrong anywhere", name),
			    *all = xasprintf("%s: every action was possible somewhere", name);
	bool acted = true;

	explore(&x, 0);
	printf("# %s: %zu states, %zu transitions\n", name, x.n, x.n_transitions);
	if (!ok(x.wrongs == 0, title))
		print_ways(&x);
	for (size_t a = 0; a < n_actions; a++)
		if (x.acted[a] != (sanlock || !actions[a].needs_sanlock)) {
			printf("# %s\n", actions[a].name);
			acted = false;
		}
	ok(acted, all);
	exploration_fini(&x);
}

/* All that the table knows was needed; but for the end of a VM that is off, which is harmless. */
static void test_moves_made(void)
{
	for (enum lease_state from = 0; from < LEASE_STATE_MAX_; from++)
		for (enum lease_event event = 0; event < LEASE_EVENT_MAX_; event++) {
			enum lease_state to = from;
			bool known = lease_state_move(&to, event) &&
				     !(from == LEASE_FREE && event == LEASE_EVENT_GONE);

			if (known == moves_made[from][event])
				continue;
			printf("# from %s by event %d\n", lease_state_name(from), (int)event);
			ok(false, "a move that is never made");
		}
	ok(true, "moves: compared");
}

struct mutant {
	enum model_mutant mutant;
	bool sanlock;
	unsigned first, all; /* kinds of wrong: the nearest, and what follows from it */
	const char *name;
};

static void test_mutant(const struct mutant *m)
{
	struct exploration x = {.rules = {.sanlock = m->sanlock, .mutant = m->mutant}};

	explore(&x, m->all);
	if (!ok(x.first == m->first && x.wrongs == m->all, m->name))
		printf("#  got: %#x, %#x\n# want: %#x, %#x\n", x.first, x.wrongs, m->first, m->all);
	printf("# %zu states, %zu transitions\n", x.n, x.n_transitions);
	print_ways(&x);
	exploration_fini(&x);
}

/* A guest that runs when it must not is found running by the next daemon, which then believes in its lock. */
#define UNSAFE (TWO_WRITERS | RUNS_UNLOCKED | FALSE_BELIEF)

static const struct mutant mutants[] = {
	{MUTANT_RUNS_RELEASED, false, RUNS_UNLOCKED, UNSAFE, "mutant: runs while its lease is released"},
	{MUTANT_NEVER_RUNS, false, CANNOT_BE_TAKEN, CANNOT_BE_TAKEN, "mutant: does not run while it is held"},
	{MUTANT_ADOPTED_AS_HELD, false, FALSE_BELIEF, UNSAFE, "mutant: a stopped QEMU is adopted as held"},
	{MUTANT_RELEASES_RUNNING, false, RUNS_UNLOCKED, UNSAFE, "mutant: releases while it runs"},
	{MUTANT_REFUSED_IS_GRANTED, false, FALSE_BELIEF, UNSAFE, "mutant: refused is as good as granted"},
	{MUTANT_LOCK_OUTLIVES_QEMU, false, NEVER_AGAIN, NEVER_AGAIN, "mutant: the lock outlives QEMU"},
	{MUTANT_DEAF, false, NEVER_AGAIN, NEVER_AGAIN, "mutant: that QEMU is gone is not heard of"},
	{MUTANT_NO_WATCHDOG, true, FALSE_BELIEF, UNSAFE, "mutant: a lease expires without a reset"},
	{MUTANT_STRAY_REQUESTS, true, FALSE_BELIEF, UNSAFE, "mutant: a dead helper's request comes later"},
};
_Static_assert(ARRAY_SIZE(mutants) == MUTANT_MAX_ - 1, "a mutant that is not tried");

static void test_mutants(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mutants); i++)
		test_mutant(&mutants[i]);
}

/* ---- hand-overs, told one by one: the exploration has them, and this is how they end ---- */

/* "A start, B start_target": each must be possible. */
static struct world play(const char *story)
{
	struct world w = {.hosts = {{.daemon_is_up = true}, {.daemon_is_up = true}}};
	_cleanup_free_ char *copy = xstrdup(story);
	const struct rules rules = {0};
	char *left = copy, *word;

	while ((word = strsep(&left, ","))) {
		word += strspn(word, " ");
		if (!find_action(word + 2)->act(&rules, &w, (unsigned)(word[0] - 'A')) || w.is_impossible) {
			printf("# not possible: %s\n", word);
			return (struct world){.is_impossible = true};
		}
	}
	return w;
}

#define RUNS(h)                                                                                              \
	h " start," h " child_works," h " child_becomes_qemu," h " hear_child," h " run," h " qemu_obeys,"
#define TARGET(h)  h " start_target," h " child_works," h " child_becomes_qemu," h " hear_child,"
#define RELEASE(h) h " suspend," h " qemu_obeys," h " release," h " request_works," h " hear_request,"
#define TAKE(h)	   h " retake," h " request_works," h " hear_request,"

static bool ends(const char *story, char runs, enum lease_state a, enum lease_state b)
{
	struct world w = play(story);

	return !w.is_impossible && w.hosts[0].lease == a && w.hosts[1].lease == b &&
	       (w.hosts[0].qemu == QEMU_RUNNING) == (runs == 'A') &&
	       (w.hosts[1].qemu == QEMU_RUNNING) == (runs == 'B') &&
	       (runs == '-' || host_holds(&w, (unsigned)(runs - 'A')));
}

static void test_hand_over(void)
{
	ok(ends(RUNS("A") TARGET("B") RELEASE("A") TAKE("B") "B run,B qemu_obeys,A destroy,A hear_of_end",
		   'B', LEASE_FREE, LEASE_HELD),
		"hand-over: done");
	ok(ends(RUNS("A") TARGET("B") RELEASE("A") TAKE("B") "B kill_qemu,A run,A request_works,"
							     "A hear_request,A qemu_obeys,B hear_of_end",
		   'A', LEASE_HELD, LEASE_FREE),
		"hand-over: the target dies, the source goes on");
	ok(ends(RUNS("A") TARGET("B") RELEASE("A") TAKE("B") "B run,A run,B qemu_obeys,A request_works,"
							     "A hear_request",
		   'B', LEASE_RELEASED, LEASE_HELD),
		"hand-over: the source wants to go on, and is refused");
	ok(ends(RUNS("A") TARGET("B") "B run,B request_works,B hear_request", 'A', LEASE_HELD,
		   LEASE_RELEASED),
		"hand-over: the target is too early");
	ok(ends(RUNS("A") TARGET("B") RELEASE("A") "A kill_daemon," TAKE(
			"B") "A restart_daemon,A adopt,A run,A request_works,A hear_request",
		   '-', LEASE_RELEASED, LEASE_HELD),
		"hand-over: the source's daemon dies, and its QEMU is not taken for the holder");
}

int main(void)
{
	test_rules(false);
	test_rules(true);
	test_moves_made();
	test_mutants();
	test_hand_over();
	return done_testing();
}
