/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The five phases, as libvirt's clients drive them:
 *
 *	begin (source) -> prepare (target) -> perform (source) -> finish (target) -> confirm (source)
 *
 * What fails decides what is still told: prepare: confirm that it is off; perform: finish that it is off, and nothing to the source, which knows; finish:
 * confirm that it is off. Offline nothing is performed.
 */
#include "migrate-drive.h"

#include "alloc.h"
#include "clock.h"
#include "constants.h"
#include "frame.h"
#include "job-watch.h"
#include "migration.h"
#include "params.h"
#include "strv.h"

/* Flags that only the source has a use for. */
#define SOURCE_ONLY (MIGRATE_ABORT_ON_ERROR | MIGRATE_AUTO_CONVERGE)

int drive_params_add(struct drive_params *p, const char *field, const char *value, struct error *err)
{
	if (!value)
		return 0;
	if (p->n >= DRIVE_PARAMS_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "more than %d parameters", DRIVE_PARAMS_MAX);
	p->items[p->n] = (struct rpc_param){.field = (char *)field, .value = {.type = RPC_PARAM_STRING}};
	p->items[p->n++].value.rpc_param_value_u.s = (char *)value;
	return 0;
}

int drive_params_set(struct drive_params *p, const char *field, const char *value, struct error *err)
{
	for (u_int i = 0; i < p->n; i++) {
		if (!streq(p->items[i].field, field))
			continue;
		p->items[i] = p->items[--p->n];
		break;
	}
	return drive_params_add(p, field, value, err);
}

int drive_choose(struct cli *cli, struct drive *d, struct error *err)
{
	int is_active, is_persistent;

	if (cli_ask_domain_int(cli, RPC_DOMAIN_IS_ACTIVE, d->dom, &is_active, err) < 0 ||
		cli_ask_domain_int(cli, RPC_DOMAIN_IS_PERSISTENT, d->dom, &is_persistent, err) < 0)
		return -1;
	if (is_persistent)
		d->flags |= MIGRATE_PERSIST_DEST | MIGRATE_UNDEFINE_SOURCE;
	if (!is_active)
		d->flags |= MIGRATE_OFFLINE;
	if (d->flags & MIGRATE_OFFLINE)
		return 0;
	d->flags |= MIGRATE_LIVE | MIGRATE_AUTO_CONVERGE;
	/* one connection is all that these have */
	if (!(d->flags & (MIGRATE_TUNNELLED | MIGRATE_POSTCOPY | MIGRATE_COMPRESSED)) &&
		!param_find(d->params.items, d->params.n, "compression"))
		d->flags |= MIGRATE_PARALLEL;
	return 0;
}

static rpc_params as_rpc(struct drive_params *p)
{
	return (rpc_params){p->n, p->items};
}

/* ---- what happens while memory moves ---- */

struct watcher {
	struct cli *cli;
	struct drive *d;
	uint64_t started;
	bool timed_out;
	bool passed; /* the first pass over the memory is over */
	bool switched;
	struct client_request *action; /* stopping the guest, or the switch */
	struct client_call call;
	struct rpc_domain_flags_args args;
};

static void act(struct watcher *w, bool postcopy)
{
	w->args = (struct rpc_domain_flags_args){*w->d->dom, 0};
	w->call = postcopy ? (struct client_call){.procedure = RPC_DOMAIN_MIGRATE_START_POST_COPY,
				     CLIENT_ARGS(rpc_domain_flags_args, &w->args)}
			   : (struct client_call){
				     .procedure = RPC_DOMAIN_SUSPEND, CLIENT_ARGS(rpc_domain, &w->args.dom)};
	if (client_start(w->cli->client, &w->call, &w->action, NULL) < 0)
		w->action = NULL;
	w->switched |= postcopy;
}

/* What it refuses is no reason to end what goes on well: it is said, and the migration goes its way. */
static void take_answer(struct watcher *w)
{
	struct error err = ERROR_INIT;

	if (client_finish(w->cli->client, TAKE_PTR(w->action), &err) == 0)
		return;
	error_prefix(&err, "%s",
		w->call.procedure == RPC_DOMAIN_SUSPEND ? "stop the guest after the timeout"
							: "switch to post-copy");
	cli_print_error(w->cli, &err);
}

static void on_tick(void *userdata)
{
	struct watcher *w = userdata;
	const struct drive *d = w->d;

	if (w->action && client_is_answered(w->action))
		take_answer(w);
	if (w->action)
		return;
	if (w->passed && d->postcopy_after_precopy && !w->switched) {
		act(w, true);
	} else if (d->timeout_s > 0 && !w->timed_out &&
		   clock_now() - w->started > d->timeout_s * USEC_PER_SEC) {
		w->timed_out = true;
		if (!d->timeout_postcopy || !w->switched)
			act(w, d->timeout_postcopy);
	}
}

/* The event's number is of the pass that begins. */
static void on_event(unsigned program, int procedure, const void *payload, size_t len, void *userdata)
{
	struct watcher *w = userdata;
	rpc_event_migration_iteration body = {0};

	if (program != RPC_PROGRAM_REMOTE || procedure != RPC_EVENT_CALLBACK_MIGRATION_ITERATION || len < 4)
		return;
	if (payload_decode((const uint8_t *)payload + 4, len - 4,
		    (xdrproc_t)xdr_rpc_event_migration_iteration, &body, NULL) < 0)
		return;
	w->passed |= body.iteration > 1;
	payload_free((xdrproc_t)xdr_rpc_event_migration_iteration, &body);
}

static int listen_for_passes(struct watcher *w, struct error *err)
{
	struct rpc_event_register_args args = {
		.event_id = RPC_EVENT_ID_MIGRATION_ITERATION, .dom = (struct rpc_domain *)w->d->dom};
	struct rpc_int_ret ret = {0};
	struct client_call call = {.procedure = RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY,
		CLIENT_ARGS(rpc_event_register_args, &args),
		CLIENT_RET(rpc_int_ret, &ret)};

	client_set_event_handler(w->cli->client, on_event, w);
	return cli_call(w->cli, &call, err);
}

/* ---- phases ---- */

static int begin(struct cli *cli, struct drive *d, rpc_migrate_begin_ret *ret, struct error *err)
{
	struct rpc_domain_params_args args = {
		*d->dom, as_rpc(&d->params), d->flags | MIGRATE_CHANGE_PROTECTION};
	struct client_call call = {.procedure = RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS,
		CLIENT_ARGS(rpc_domain_params_args, &args),
		CLIENT_RET(rpc_migrate_begin_ret, ret)};

	return cli_call(cli, &call, err);
}

/* A guest that stands still shall do so over there. */
static int note_state(struct cli *cli, struct drive *d, struct error *err)
{
	struct rpc_domain_flags_args args = {*d->dom, 0};
	struct rpc_domain_state_ret state = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_STATE,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_domain_state_ret, &state)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	if (state.state == RPC_STATE_PAUSED)
		d->flags |= MIGRATE_PAUSED;
	return 0;
}

static int prepare(struct drive *d, struct drive_params *params, const rpc_cookie *cookie,
	rpc_migrate_prepare_ret *ret, struct error *err)
{
	struct rpc_migrate_prepare_args args = {as_rpc(params), *cookie, d->flags & ~(unsigned)SOURCE_ONLY};
	struct client_call call = {.procedure = RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS,
		CLIENT_ARGS(rpc_migrate_prepare_args, &args),
		CLIENT_RET(rpc_migrate_prepare_ret, ret)};

	return client_call(d->target, &call, err);
}

/* Also of the peer-to-peer way, where it is all there is. */
static int perform(struct cli *cli, struct drive *d, struct drive_params *params, const rpc_cookie *cookie,
	rpc_migrate_cookie_ret *ret, struct error *err)
{
	char *peer = (char *)d->peer;
	struct rpc_migrate_perform_args args = {
		*d->dom, peer ? &peer : NULL, as_rpc(params), *cookie, d->flags};
	struct client_call call = {.procedure = RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS,
		CLIENT_ARGS(rpc_migrate_perform_args, &args),
		CLIENT_RET(rpc_migrate_cookie_ret, ret)};
	struct watcher w = {.cli = cli, .d = d, .started = clock_now()};
	struct job_watch watch = {.call = &call,
		.dom = d->dom,
		.title = "Migration",
		.object = d->dom->name,
		.show = d->show,
		.tick = on_tick,
		.userdata = &w};
	int r;

	if (cli_connect(cli, err) < 0 || (d->postcopy_after_precopy && listen_for_passes(&w, err) < 0))
		return -1;
	r = job_watch_run(cli, &watch, err);
	client_forget(cli->client, w.action);
	client_set_event_handler(cli->client, NULL, NULL);
	return r;
}

static int finish(struct drive *d, struct drive_params *params, const rpc_cookie *cookie, bool is_cancelled,
	rpc_migrate_finish_ret *ret, struct error *err)
{
	struct rpc_migrate_finish_args args = {
		as_rpc(params), *cookie, d->flags & ~(unsigned)SOURCE_ONLY, is_cancelled};
	struct client_call call = {.procedure = RPC_DOMAIN_MIGRATE_FINISH3_PARAMS,
		CLIENT_ARGS(rpc_migrate_finish_args, &args),
		CLIENT_RET(rpc_migrate_finish_ret, ret)};

	return client_call(d->target, &call, err);
}

static int confirm(struct cli *cli, struct drive *d, struct drive_params *params, const rpc_cookie *cookie,
	bool is_cancelled, struct error *err)
{
	struct rpc_migrate_confirm_args args = {*d->dom, as_rpc(params), *cookie, d->flags, is_cancelled};
	struct client_call call = {.procedure = RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS,
		CLIENT_ARGS(rpc_migrate_confirm_args, &args)};

	return cli_call(cli, &call, err);
}

/* ---- the whole ---- */

/* Only for telling people: what is not known is not told. */
static void learn_downtime(struct client *c, const struct rpc_domain *dom, struct drive *d)
{
	struct rpc_domain_flags_args args = {*dom, RPC_JOB_STATS_COMPLETED | RPC_JOB_STATS_KEEP_COMPLETED};
	struct rpc_job_stats_ret ret = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_JOB_STATS,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_job_stats_ret, &ret)};

	if (d->has_downtime || client_call(c, &call, NULL) < 0)
		return;
	d->has_downtime = param_get_u64(
		ret.params.rpc_params_val, ret.params.rpc_params_len, "downtime", &d->downtime_ms);
	payload_free((xdrproc_t)xdr_rpc_job_stats_ret, &ret);
}

/* What the phases have said; freed together. */
struct answers {
	rpc_migrate_begin_ret begun;
	rpc_migrate_prepare_ret prepared;
	rpc_migrate_cookie_ret performed;
	rpc_migrate_finish_ret finished;
};

static void answers_fini(struct answers *a)
{
	payload_free((xdrproc_t)xdr_rpc_migrate_begin_ret, &a->begun);
	payload_free((xdrproc_t)xdr_rpc_migrate_prepare_ret, &a->prepared);
	payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &a->performed);
	payload_free((xdrproc_t)xdr_rpc_migrate_finish_ret, &a->finished);
}

/* Behind prepare: what the target will be told with is what it was prepared with, under its name there. */
static int move_and_finish(
	struct cli *cli, struct drive *d, struct drive_params *params, struct answers *a, struct error *err)
{
	const rpc_cookie *cookie = &a->prepared.cookie;
	static const rpc_cookie none;
	struct drive_params end;
	struct error first = ERROR_INIT;
	bool is_offline = d->flags & MIGRATE_OFFLINE, failed = false;

	if (a->prepared.uri && drive_params_set(params, "migrate_uri", *a->prepared.uri, err) < 0)
		return -1;
	if (!is_offline) {
		failed = perform(cli, d, params, cookie, &a->performed, &first) < 0;
		cookie = failed ? &none : &a->performed.cookie;
	}
	end = *params;
	drive_params_set(&end, "destination_xml", NULL, NULL);
	if (!param_find(end.items, end.n, "destination_name"))
		drive_params_add(&end, "destination_name", d->dom->name, NULL);
	if (failed) {
		/* the target's own "it does not run here" is what was wanted */
		finish(d, &end, cookie, true, &a->finished, NULL);
		return error_copy(err, &first);
	}
	failed = finish(d, &end, cookie, false, &a->finished, &first) < 0;
	if (confirm(cli, d, &end, &a->finished.cookie, failed, failed ? NULL : err) < 0 && !failed)
		return error_prefix(err, "%s runs there, and could not be ended here", d->dom->name);
	return failed ? error_copy(err, &first) : 0;
}

static int drive_phases(struct cli *cli, struct drive *d, struct error *err)
{
	_cleanup_(answers_fini) struct answers a = {0};
	struct drive_params params = d->params;
	static const rpc_cookie none;

	if (begin(cli, d, &a.begun, err) < 0)
		return -1;
	if (note_state(cli, d, err) < 0 ||
		drive_params_set(&params, "destination_xml", a.begun.xml, err) < 0 ||
		prepare(d, &params, &a.begun.cookie, &a.prepared, err) < 0) {
		confirm(cli, d, &d->params, &none, true, NULL);
		return -1;
	}
	if (move_and_finish(cli, d, &params, &a, err) < 0)
		return -1;
	learn_downtime(d->target, &a.finished.dom, d);
	return 0;
}

int drive_migration(struct cli *cli, struct drive *d, struct error *err)
{
	rpc_migrate_cookie_ret ret = {0};
	static const rpc_cookie none;
	int r;

	if (cli_connect(cli, err) < 0)
		return -1;
	if (d->peer) {
		d->flags |= MIGRATE_PEER2PEER;
		r = perform(cli, d, &d->params, &none, &ret, err);
		payload_free((xdrproc_t)xdr_rpc_migrate_cookie_ret, &ret);
	} else {
		r = drive_phases(cli, d, err);
	}
	if (r == 0)
		learn_downtime(cli->client, d->dom, d);
	return r;
}
