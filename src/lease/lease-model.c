/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The actions: what each needs, and what it does. */
#include "lease-model.h"

#include <string.h>

#include "cleanup.h"

/* ---- the daemon's rules, as they are or as a mutant has them ---- */

static void event(const struct rules *r, struct world *w, unsigned h, enum lease_event e)
{
	enum lease_state state = w->hosts[h].lease, before = state;

	if (r->mutant == MUTANT_REFUSED_IS_GRANTED && e == LEASE_EVENT_REFUSED)
		e = LEASE_EVENT_GRANTED;
	if (r->mutant == MUTANT_DEAF && e == LEASE_EVENT_GONE)
		return;
	if (r->mutant == MUTANT_ADOPTED_AS_HELD && e == LEASE_EVENT_FOUND_STOPPED)
		e = LEASE_EVENT_FOUND_RUNNING;
	if (!lease_state_move(&state, e))
		w->is_impossible = true;
	else if (r->moves)
		r->moves[before][e] = true;
	w->hosts[h].lease = (uint8_t)state;
}

static bool may_run(const struct rules *r, enum lease_state state)
{
	if (r->mutant == MUTANT_RUNS_RELEASED && state == LEASE_RELEASED)
		return true;
	return r->mutant != MUTANT_NEVER_RUNS && lease_may_run(state);
}

/* ---- the lock ---- */

bool host_holds(const struct world *w, unsigned h)
{
	return w->owner == h + 1 && !w->owner_is_gone;
}

/* With sanlock a host may have at once what one of its own dead QEMUs had. */
static bool is_free_for(const struct rules *r, const struct world *w, unsigned h)
{
	return w->owner == 0 || (r->sanlock && w->owner == h + 1 && w->owner_is_gone);
}

static void take(struct world *w, unsigned h)
{
	w->owner = (uint8_t)(h + 1);
	w->owner_is_gone = false;
}

/* Without its storage sanlock can only forget a lease, and the others must wait. */
static void give_up(struct world *w, unsigned h)
{
	if (!host_holds(w, h))
		return;
	if (w->hosts[h].keeper == KEEPER_WORKS)
		w->owner = 0;
	else
		w->owner_is_gone = true;
}

/* QEMU, or the child that was to become it. */
static void die(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (host->daemon_is_up && host->lease == LEASE_TAKING && host->qemu == QEMU_CHILD)
		host->report = REPORT_REFUSED;
	if (host->daemon_is_up && host->lease == LEASE_TAKING && host->qemu == QEMU_CHILD_DONE)
		host->report = REPORT_DONE;
	if (r->mutant != MUTANT_LOCK_OUTLIVES_QEMU)
		give_up(w, h);
	else if (host_holds(w, h))
		w->owner_is_gone = true;
	host->qemu = QEMU_NONE;
	host->stray = REQUEST_NONE;
	memset(host->commands, COMMAND_NONE, sizeof(host->commands));
	if (host->lease != LEASE_TAKING)
		host->takes_later = false;
}

/* ---- QMP: two commands wait at most, and a "stop" for a lost lease behind them ---- */

static enum model_command last_command(const struct host *host)
{
	for (size_t i = COMMANDS_MAX; i-- > 0;)
		if (host->commands[i])
			return host->commands[i];
	return COMMAND_NONE;
}

/* A second one of the same kind in a row does nothing. */
static bool send_command(struct host *host, enum model_command command)
{
	if (last_command(host) == command)
		return true;
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		if (host->commands[i])
			continue;
		host->commands[i] = (uint8_t)command;
		return true;
	}
	return false;
}

static bool is_program(const struct host *host)
{
	return host->qemu == QEMU_STOPPED || host->qemu == QEMU_RUNNING;
}

/* For all that the daemon has asked for. */
static bool will_run(const struct host *host)
{
	enum model_command last = last_command(host);

	return last == COMMAND_CONT || (last == COMMAND_NONE && host->qemu == QEMU_RUNNING);
}

static bool qemu_obeys(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!is_program(host) || host->commands[0] == COMMAND_NONE)
		return false;
	host->qemu = host->commands[0] == COMMAND_CONT ? QEMU_RUNNING : QEMU_STOPPED;
	memmove(host->commands, host->commands + 1, COMMANDS_MAX - 1);
	host->commands[COMMANDS_MAX - 1] = COMMAND_NONE;
	return true;
}

/* What a dead daemon has written may be read, or not. */
static bool commands_are_dropped(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (host->lease != LEASE_FREE || host->commands[0] == COMMAND_NONE)
		return false;
	memset(host->commands, COMMAND_NONE, sizeof(host->commands));
	return true;
}

static bool guest_stops_itself(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].qemu != QEMU_RUNNING)
		return false;
	w->hosts[h].qemu = QEMU_STOPPED;
	return true;
}

/* ---- start ---- */

static bool start_child(const struct rules *r, struct world *w, unsigned h, bool takes_later)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || host->lease != LEASE_FREE || host->qemu != QEMU_NONE)
		return false;
	host->qemu = QEMU_CHILD;
	host->takes_later = takes_later;
	event(r, w, h, LEASE_EVENT_START);
	return true;
}

static bool start(const struct rules *r, struct world *w, unsigned h)
{
	return start_child(r, w, h, false);
}

static bool start_target(const struct rules *r, struct world *w, unsigned h)
{
	return start_child(r, w, h, true);
}

static bool child_works(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (host->qemu != QEMU_CHILD)
		return false;
	if (host->keeper == KEEPER_WORKS && (host->takes_later || is_free_for(r, w, h))) {
		if (!host->takes_later)
			take(w, h);
		host->qemu = QEMU_CHILD_DONE;
	} else {
		die(r, w, h);
	}
	return true;
}

/* It may have been about to when its daemon died, too. */
static bool child_becomes_qemu(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (host->qemu != QEMU_CHILD_DONE)
		return false;
	host->qemu = QEMU_STOPPED;
	if (host->lease == LEASE_TAKING)
		host->report = REPORT_DONE;
	else
		host->takes_later = false;
	return true;
}

static bool child_of_dead_daemon_ends(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if ((host->qemu != QEMU_CHILD && host->qemu != QEMU_CHILD_DONE) || host->lease == LEASE_TAKING)
		return false;
	die(r, w, h);
	return true;
}

static bool hear_child(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || host->report == REPORT_NONE)
		return false;
	if (host->report == REPORT_REFUSED)
		event(r, w, h, LEASE_EVENT_REFUSED);
	else
		event(r, w, h, host->takes_later ? LEASE_EVENT_RELEASED : LEASE_EVENT_GRANTED);
	host->report = REPORT_NONE;
	host->takes_later = false;
	return true;
}

/* ---- requests ---- */

static bool issue(const struct rules *r, struct world *w, unsigned h, enum model_request request)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || host->request)
		return false;
	host->request = (uint8_t)request;
	host->phase = PHASE_ISSUED;
	event(r, w, h, request == REQUEST_RELEASE ? LEASE_EVENT_RELEASE : LEASE_EVENT_TAKE);
	return true;
}

/* vm_lease_release: its caller sees to it that the guest stands still. */
static bool release(const struct rules *r, struct world *w, unsigned h)
{
	const struct host *host = &w->hosts[h];
	bool stands_still = host->qemu != QEMU_RUNNING && host->commands[0] == COMMAND_NONE;

	if (!stands_still && r->mutant != MUTANT_RELEASES_RUNNING)
		return false;
	return (host->lease == LEASE_HELD || host->lease == LEASE_LOST) && issue(r, w, h, REQUEST_RELEASE);
}

/* vm_lease_take */
static bool retake(const struct rules *r, struct world *w, unsigned h)
{
	return w->hosts[h].lease == LEASE_RELEASED && issue(r, w, h, REQUEST_ACQUIRE);
}

/* vm_run_cpus */
static bool run(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || will_run(host) || host->commands[1])
		return false;
	if (may_run(r, host->lease))
		return is_program(host) && send_command(host, COMMAND_CONT);
	if (!retake(r, w, h))
		return false;
	host->runs_after = true;
	return true;
}

static bool suspend(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	return host->daemon_is_up && host->lease != LEASE_FREE && is_program(host) && will_run(host) &&
	       !host->commands[1] && send_command(host, COMMAND_STOP);
}

/* Is it done? */
static bool carry_out(const struct rules *r, struct world *w, unsigned h, enum model_request request)
{
	const struct host *host = &w->hosts[h];

	if (!is_program(host) || host->keeper == KEEPER_DEAD)
		return false;
	if (request == REQUEST_RELEASE) {
		give_up(w, h);
		return true;
	}
	if (host->keeper != KEEPER_WORKS || (!host_holds(w, h) && !is_free_for(r, w, h)))
		return false;
	take(w, h);
	return true;
}

static bool request_works(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];
	bool is_busy = host->stray && r->mutant != MUTANT_STRAY_REQUESTS;

	if (!host->request || host->phase != PHASE_ISSUED)
		return false;
	host->phase = !is_busy && carry_out(r, w, h, host->request) ? PHASE_DONE : PHASE_FAILED;
	return true;
}

/* Of a helper that dies; sanlock may have its request already. */
static void stray(const struct rules *r, struct host *host)
{
	if (r->sanlock && host->request && host->phase == PHASE_ISSUED && is_program(host) &&
		host->keeper != KEEPER_DEAD && !host->stray)
		host->stray = host->request;
}

static bool request_dies(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->request || host->phase == PHASE_FAILED)
		return false;
	stray(r, host);
	host->phase = PHASE_FAILED;
	return true;
}

static bool hear_request(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];
	enum model_request request = host->request;
	bool runs_after = host->runs_after;

	if (!host->daemon_is_up || !request || host->phase == PHASE_ISSUED)
		return false;
	if (request == REQUEST_RELEASE)
		event(r, w, h, LEASE_EVENT_RELEASED);
	else
		event(r, w, h, host->phase == PHASE_DONE ? LEASE_EVENT_GRANTED : LEASE_EVENT_REFUSED);
	host->request = host->phase = host->runs_after = 0;
	if (runs_after && host->lease == LEASE_HELD && is_program(host))
		return send_command(host, COMMAND_CONT);
	return true;
}

static bool stray_is_carried_out(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->stray)
		return false;
	carry_out(r, w, h, host->stray);
	host->stray = REQUEST_NONE;
	return true;
}

static bool stray_is_lost(const struct rules *r, struct world *w, unsigned h)
{
	if (!w->hosts[h].stray)
		return false;
	w->hosts[h].stray = REQUEST_NONE;
	return true;
}

/* ---- the daemon's ends and beginnings ---- */

static void forget(struct host *host)
{
	host->lease = LEASE_FREE;
	host->report = host->request = host->phase = host->runs_after = 0;
	if (host->qemu != QEMU_CHILD)
		host->takes_later = false;
}

static bool kill_daemon(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up)
		return false;
	stray(r, host); /* its helper dies with it */
	host->daemon_is_up = false;
	forget(host);
	return true;
}

static bool restart_daemon(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].daemon_is_up)
		return false;
	w->hosts[h].daemon_is_up = true;
	return true;
}

/* vm_lease_adopt, when QEMU has answered: so it has read all that the earlier daemon sent. */
static bool adopt(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || host->lease != LEASE_FREE || !is_program(host) || host->commands[0])
		return false;
	event(r, w, h, host->qemu == QEMU_RUNNING ? LEASE_EVENT_FOUND_RUNNING : LEASE_EVENT_FOUND_STOPPED);
	return true;
}

/* ---- QEMU's end ---- */

static bool kill_qemu(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].qemu == QEMU_NONE)
		return false;
	die(r, w, h);
	return true;
}

/* Also the undoing of a start, and the end of a source whose guest runs elsewhere. */
static bool destroy(const struct rules *r, struct world *w, unsigned h)
{
	return w->hosts[h].daemon_is_up && w->hosts[h].lease != LEASE_FREE && kill_qemu(r, w, h);
}

static bool hear_of_end(const struct rules *r, struct world *w, unsigned h)
{
	struct host *host = &w->hosts[h];

	if (!host->daemon_is_up || host->lease == LEASE_FREE || host->qemu != QEMU_NONE)
		return false;
	event(r, w, h, LEASE_EVENT_GONE);
	host->report = host->request = host->phase = host->runs_after = host->takes_later = 0;
	return true;
}

/* ---- lost: told by sanlock, or not confirmed when asked ---- */

static bool lost(const struct rules *r, struct world *w, unsigned h)
{
	if (!w->hosts[h].daemon_is_up || w->hosts[h].lease != LEASE_HELD || !is_program(&w->hosts[h]))
		return false;
	event(r, w, h, LEASE_EVENT_LOST);
	return true;
}

static bool lost_pause(const struct rules *r, struct world *w, unsigned h)
{
	return lost(r, w, h) && send_command(&w->hosts[h], COMMAND_STOP);
}

static bool lost_poweroff(const struct rules *r, struct world *w, unsigned h)
{
	return lost(r, w, h) && kill_qemu(r, w, h);
}

/* ---- sanlock ---- */

static bool sanlock_dies(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].keeper == KEEPER_DEAD)
		return false;
	w->hosts[h].keeper = KEEPER_DEAD;
	w->hosts[h].stray = REQUEST_NONE;
	return true;
}

static bool storage_fails(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].keeper != KEEPER_WORKS)
		return false;
	w->hosts[h].keeper = KEEPER_FAILS;
	return true;
}

static bool storage_returns(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].keeper != KEEPER_FAILS)
		return false;
	w->hosts[h].keeper = KEEPER_WORKS;
	return true;
}

/* On a host where a QEMU of its predecessor lives the watchdog is still armed. */
static bool sanlock_restarts(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].keeper != KEEPER_DEAD || w->hosts[h].qemu != QEMU_NONE)
		return false;
	w->hosts[h].keeper = KEEPER_WORKS;
	return true;
}

static bool watchdog_resets(const struct rules *r, struct world *w, unsigned h)
{
	if (w->hosts[h].keeper == KEEPER_WORKS)
		return false;
	if (w->owner == h + 1)
		w->owner_is_gone = true;
	w->hosts[h] = (struct host){0};
	return true;
}

/* Renewed by nobody; and those who could write by it are gone, for which the watchdog stands. */
static bool lease_expires(const struct rules *r, struct world *w, unsigned h)
{
	bool unwatched = r->mutant == MUTANT_NO_WATCHDOG && w->hosts[h].keeper != KEEPER_WORKS;

	if (w->owner != h + 1 || (!w->owner_is_gone && !unwatched))
		return false;
	w->owner = 0;
	w->owner_is_gone = false;
	return true;
}

#define ORDERLY(act)                                                                                         \
	{                                                                                                    \
#act, ACTION_ORDERLY, false, act                                                             \
	}
#define MISHAP(act)                                                                                          \
	{                                                                                                    \
#act, ACTION_MISHAP, false, act                                                              \
	}

const struct action actions[] = {
	ORDERLY(start),
	ORDERLY(start_target),
	ORDERLY(child_works),
	ORDERLY(child_becomes_qemu),
	ORDERLY(child_of_dead_daemon_ends),
	ORDERLY(hear_child),
	ORDERLY(run),
	ORDERLY(suspend),
	ORDERLY(qemu_obeys),
	ORDERLY(commands_are_dropped),
	ORDERLY(release),
	ORDERLY(retake),
	ORDERLY(request_works),
	ORDERLY(hear_request),
	ORDERLY(restart_daemon),
	ORDERLY(adopt),
	ORDERLY(destroy),
	ORDERLY(hear_of_end),
	MISHAP(guest_stops_itself),
	MISHAP(request_dies),
	MISHAP(kill_daemon),
	MISHAP(kill_qemu),
	MISHAP(lost_pause),
	MISHAP(lost_poweroff),
	{"stray_is_carried_out", ACTION_ORDERLY, true, stray_is_carried_out},
	{"stray_is_lost", ACTION_ORDERLY, true, stray_is_lost},
	{"storage_returns", ACTION_ORDERLY, true, storage_returns},
	{"sanlock_restarts", ACTION_ORDERLY, true, sanlock_restarts},
	{"watchdog_resets", ACTION_ORDERLY, true, watchdog_resets},
	{"lease_expires", ACTION_ORDERLY, true, lease_expires},
	{"sanlock_dies", ACTION_MISHAP, true, sanlock_dies},
	{"storage_fails", ACTION_MISHAP, true, storage_fails},
};
const size_t n_actions = ARRAY_SIZE(actions);

bool host_may_start(const struct rules *r, const struct world *w, unsigned h)
{
	const struct host *host = &w->hosts[h];

	return host->daemon_is_up && host->lease == LEASE_FREE && host->qemu == QEMU_NONE &&
	       host->keeper == KEEPER_WORKS && is_free_for(r, w, h);
}
