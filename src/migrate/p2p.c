/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A migration that this daemon carries out by itself, as the client of the other one. What is done, and what when it fails:
 *
 *	stage      where        when it fails
 *	open       there        nothing has been touched
 *	features   there        nothing has been touched
 *	begin      here         the job has undone itself
 *	prepare    there        confirm, canceled: the job here is undone
 *	perform    here         the job has undone itself; finish, canceled: nothing stays there
 *	finish     there        confirm, canceled: the guest goes on here
 *	confirm    here         it is told
 *
 * With a connection that breaks before finish the source's job is canceled. One that breaks in finish leaves open what the destination does: then the source finds
 * out by itself, as when any client that carried the phases has gone (migrate_client_gone).
 *
 * Tunnelled, QEMU writes into one end of a socketpair from perform on, and the connection carries what comes out of the other as a stream, whose end is
 * waited for before finish.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "alloc.h"
#include "constants.h"
#include "log.h"
#include "migration.h"
#include "peer.h"
#include "source.h"

enum stage_number {
	STAGE_OPEN,
	STAGE_FEATURES,
	STAGE_BEGIN,
	STAGE_PREPARE,
	STAGE_PERFORM,
	STAGE_FINISH,
	STAGE_CONFIRM,
	STAGE_END,
};

#define FEATURES 4

struct p2p;

struct question { /* whether the other side has a feature */
	struct p2p *m;
	bool answer;
};

struct p2p {
	struct vm *vm;
	struct peer *peer;		/* NULL: the connection is gone */
	struct migrate_options options; /* as they were asked for; xml: begin's */
	char *uri;			/* the other daemon's */
	char *cookie;			/* of the last phase */
	char *qemu_uri;			/* prepare's answer */
	enum stage_number stage;
	bool performed;	  /* the source's job waits for its confirm */
	bool canceled;	  /* finish and confirm are to undo */
	struct error err; /* the first one */
	struct question questions[FEATURES];
	unsigned n_questions; /* not answered yet */
	int stream_fd;	      /* QEMU's end, until perform */
	bool streaming, awaits_stream;
	struct phase_waiter caller;
};

static void enter(struct p2p *m, enum stage_number next);

static void free_p2p(struct p2p *m)
{
	peer_close(m->peer);
	close_p(&m->stream_fd);
	vm_unref(m->vm);
	migrate_options_fini(&m->options);
	free(m->uri);
	free(m->cookie);
	free(m->qemu_uri);
	free(m);
}

/* Flags for the destination: the others are about the source alone. */
static unsigned far_flags(const struct p2p *m)
{
	return m->options.flags & ~(unsigned)(MIGRATE_ABORT_ON_ERROR | MIGRATE_AUTO_CONVERGE);
}

static void take_cookie(struct p2p *m, const rpc_cookie *cookie)
{
	free(m->cookie);
	m->cookie =
		cookie->rpc_cookie_len > 0 ? xstrndup(cookie->rpc_cookie_val, cookie->rpc_cookie_len) : NULL;
}

/* Borrowed; a cookie's text goes with its NUL. */
static rpc_cookie give_cookie(const struct p2p *m)
{
	return (rpc_cookie){
		.rpc_cookie_len = m->cookie ? (u_int)strlen(m->cookie) + 1 : 0, .rpc_cookie_val = m->cookie};
}

/* ---- failing ---- */

static void note_failure(struct p2p *m, const struct error *err)
{
	if (m->err.code == ERROR_NONE)
		m->err = *err;
}

static void fail(struct p2p *m, const struct error *err)
{
	static const enum stage_number next[] = {
		[STAGE_OPEN] = STAGE_END,
		[STAGE_FEATURES] = STAGE_END,
		[STAGE_BEGIN] = STAGE_END,
		[STAGE_PREPARE] = STAGE_CONFIRM,
		[STAGE_PERFORM] = STAGE_FINISH,
		[STAGE_FINISH] = STAGE_CONFIRM,
		[STAGE_CONFIRM] = STAGE_END,
	};

	note_failure(m, err);
	m->canceled = true;
	enter(m, next[m->stage]);
}

/* ---- open, features ---- */

static const struct {
	int number;
	const char *what;
	unsigned flag; /* for migrations that have it; 0: for all */
} features[FEATURES] = {
	{RPC_FEATURE_MIGRATION_V3, "migration in five phases", 0},
	{RPC_FEATURE_MIGRATION_PARAMS, "parameters of a migration", 0},
	{RPC_FEATURE_MIGRATION_P2P, "migration from daemon to daemon", 0},
	{RPC_FEATURE_MIGRATION_OFFLINE, "offline migration", MIGRATE_OFFLINE},
};

static void features_known(struct p2p *m)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < FEATURES; i++) {
		if (m->questions[i].answer || (features[i].flag && !(m->options.flags & features[i].flag)))
			continue;
		error_set(&err, ERROR_UNSUPPORTED, "%s does not know %s", m->uri, features[i].what);
		fail(m, &err);
		return;
	}
	enter(m, STAGE_BEGIN);
}

static void on_feature(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	struct question *q = userdata;
	struct p2p *m = q->m;

	if (err)
		note_failure(m, err);
	else
		q->answer = ((const rpc_int_ret *)ret)->value == 1;
	if (--m->n_questions > 0)
		return;
	if (m->err.code != ERROR_NONE)
		fail(m, &m->err);
	else
		features_known(m);
}

static void ask_features(struct p2p *m)
{
	m->n_questions = FEATURES;
	for (size_t i = 0; i < FEATURES; i++) {
		m->questions[i].m = m;
		peer_call(m->peer, &(struct peer_call){.procedure = RPC_CONNECT_SUPPORTS_FEATURE,
					   .encode = (xdrproc_t)xdr_rpc_connect_supports_feature_args,
					   .args = &(rpc_connect_supports_feature_args){features[i].number},
					   .decode = (xdrproc_t)xdr_rpc_int_ret,
					   .ret_size = sizeof(rpc_int_ret),
					   .reply = on_feature,
					   .userdata = &m->questions[i]});
	}
}

/* ---- begin ---- */

static void on_begun(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct p2p *m = userdata;

	if (err) {
		fail(m, err);
		return;
	}
	replace_string(&m->cookie, reply->cookie);
	replace_string(&m->options.xml, reply->xml);
	enter(m, STAGE_PREPARE);
}

static void begin(struct p2p *m)
{
	struct error err = ERROR_INIT;

	if (migrate_begin(m->vm, &m->options, m, on_begun, m, &err) < 0)
		fail(m, &err);
}

/* ---- prepare ---- */

static void on_stream_done(struct peer *p, const struct error *err, void *userdata)
{
	struct p2p *m = userdata;
	struct error ignored = ERROR_INIT;

	m->streaming = false;
	if (err && m->stage == STAGE_PERFORM) {
		/* QEMU only sees that nobody reads: this is why */
		note_failure(m, err);
		if (!m->awaits_stream)
			(void)vm_abort_job(m->vm, &ignored);
	}
	if (!m->awaits_stream)
		return;
	if (err)
		fail(m, err);
	else
		enter(m, STAGE_FINISH);
}

static int open_tunnel(struct p2p *m, struct error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return error_errno(err, errno, "open the tunnel");
	m->stream_fd = fds[0];
	m->streaming = true;
	peer_send_stream(m->peer, RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS, peer_get_serial(m->peer), fds[1],
		on_stream_done, m);
	return 0;
}

static void on_prepared(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	const rpc_migrate_prepare_ret *prepared = ret;
	struct p2p *m = userdata;

	if (err) {
		fail(m, err);
		return;
	}
	take_cookie(m, &prepared->cookie);
	replace_string(&m->qemu_uri, prepared->uri ? *prepared->uri : m->options.uri);
	enter(m, STAGE_PERFORM);
}

static void on_prepared_tunnel(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	const rpc_migrate_cookie_ret *prepared = ret;
	struct error failed = ERROR_INIT;
	struct p2p *m = userdata;

	if (err) {
		fail(m, err);
		return;
	}
	take_cookie(m, &prepared->cookie);
	if (open_tunnel(m, &failed) == 0) {
		enter(m, STAGE_PERFORM);
		return;
	}
	/* the destination is prepared: as if perform had failed */
	m->stage = STAGE_PERFORM;
	fail(m, &failed);
}

static void prepare(struct p2p *m)
{
	rpc_migrate_prepare_args args = {.cookie = give_cookie(m), .flags = far_flags(m)};
	bool tunnelled = m->options.flags & MIGRATE_TUNNELLED;
	struct peer_call call = {
		.procedure = tunnelled ? RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS
				       : RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS,
		.encode = (xdrproc_t)xdr_rpc_migrate_prepare_args,
		.args = &args,
		.decode = tunnelled ? (xdrproc_t)xdr_rpc_migrate_cookie_ret
				    : (xdrproc_t)xdr_rpc_migrate_prepare_ret,
		.ret_size = tunnelled ? sizeof(rpc_migrate_cookie_ret) : sizeof(rpc_migrate_prepare_ret),
		.reply = tunnelled ? on_prepared_tunnel : on_prepared,
		.userdata = m,
	};

	if (!m->peer) { /* it has ended in begin */
		fail(m, &m->err);
		return;
	}
	if (m->vm->state == VM_PAUSED)
		args.flags |= MIGRATE_PAUSED;
	migrate_options_format(&m->options, &args.params);
	peer_call(m->peer, &call);
	migrate_params_free(&args.params);
}

/* ---- perform ---- */

static void on_performed(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct p2p *m = userdata;

	if (err) {
		fail(m, err);
		return;
	}
	m->performed = true;
	replace_string(&m->cookie, reply->cookie);
	if (m->streaming)
		m->awaits_stream = true;
	else
		enter(m, STAGE_FINISH);
}

static void perform(struct p2p *m)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct source_operation *s = source_find(m->vm);
	struct error err = ERROR_INIT;

	migrate_options_init(&o);
	if (m->options.flags & MIGRATE_OFFLINE) {
		enter(m, STAGE_FINISH);
		return;
	}
	migrate_options_copy(&m->options, &o);
	replace_string(&o.uri, m->qemu_uri);
	if (s && m->stream_fd >= 0)
		s->stream_fd = take_fd(&m->stream_fd);
	if (migrate_perform(m->vm, &o, m->cookie, m, on_performed, m, &err) < 0)
		fail(m, &err);
}

/* ---- finish ---- */

/* What the destination does is not known: the source finds out by itself, if it has to. */
static void end_alone(struct p2p *m)
{
	if (m->performed)
		migrate_client_gone(m->vm->registry, m);
	enter(m, STAGE_END);
}

static void on_finished(struct peer *p, const void *ret, const struct error *err, void *userdata)
{
	const rpc_migrate_finish_ret *finished = ret;
	struct p2p *m = userdata;

	if (err && peer_is_broken(p)) {
		note_failure(m, err);
		end_alone(m);
	} else if (m->canceled) {
		if (err && err->code != ERROR_MIGRATE_FINISH_OK)
			log_warning(
				"migrate %s: undo it at %s: %s", vm_get_name(m->vm), m->uri, err->message);
		enter(m, m->performed ? STAGE_CONFIRM : STAGE_END);
	} else if (!err) {
		take_cookie(m, &finished->cookie);
		enter(m, STAGE_CONFIRM);
	} else {
		fail(m, err);
	}
}

static void finish(struct p2p *m)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	rpc_migrate_finish_args args = {
		.cookie = give_cookie(m), .flags = far_flags(m), .cancelled = m->canceled};
	struct error err = ERROR_INIT;

	migrate_options_init(&o);
	if (!m->peer || peer_is_broken(m->peer)) {
		error_set(&err, ERROR_OPERATION_FAILED, "the connection to %s ended", m->uri);
		note_failure(m, &err);
		end_alone(m);
		return;
	}
	migrate_options_copy(&m->options, &o);
	if (!o.name)
		o.name = xstrdup(vm_get_name(m->vm));
	migrate_options_format(&o, &args.params);
	peer_call(m->peer, &(struct peer_call){.procedure = RPC_DOMAIN_MIGRATE_FINISH3_PARAMS,
				   .encode = (xdrproc_t)xdr_rpc_migrate_finish_args,
				   .args = &args,
				   .decode = (xdrproc_t)xdr_rpc_migrate_finish_ret,
				   .ret_size = sizeof(rpc_migrate_finish_ret),
				   .reply = on_finished,
				   .userdata = m});
	migrate_params_free(&args.params);
}

/* ---- confirm, and the end ---- */

static void on_confirmed(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct p2p *m = userdata;

	if (err)
		note_failure(m, err);
	enter(m, STAGE_END);
}

static void confirm(struct p2p *m)
{
	struct error err = ERROR_INIT;

	if (migrate_confirm(m->vm, &m->options, m->cookie, m->canceled, on_confirmed, m, &err) < 0)
		fail(m, &err);
}

static void end(struct p2p *m)
{
	struct phase_waiter caller = m->caller;
	struct error err = m->err;
	struct vm *vm = vm_ref(m->vm);

	free_p2p(m);
	phase_answer(&caller, vm, NULL, err.code == ERROR_NONE ? NULL : &err);
	vm_unref(vm);
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*run)(struct p2p *m);
} stages[] = {
	[STAGE_OPEN] = {"open", NULL}, /* is how it starts */
	[STAGE_FEATURES] = {"features", ask_features},
	[STAGE_BEGIN] = {"begin", begin},
	[STAGE_PREPARE] = {"prepare", prepare},
	[STAGE_PERFORM] = {"perform", perform},
	[STAGE_FINISH] = {"finish", finish},
	[STAGE_CONFIRM] = {"confirm", confirm},
	[STAGE_END] = {"end", end},
};

static void enter(struct p2p *m, enum stage_number next)
{
	log_debug("migrate %s to %s: %s%s", vm_get_name(m->vm), m->uri, stages[next].name,
		m->canceled ? ", canceled" : "");
	m->stage = next;
	stages[next].run(m);
}

static void on_opened(struct peer *p, void *userdata)
{
	enter(userdata, STAGE_FEATURES);
}

/* Whatever was asked of the other side has failed before; what goes on is ours. */
static void on_closed(struct peer *p, const struct error *err, void *userdata)
{
	struct p2p *m = userdata;
	struct error ignored = ERROR_INIT;

	peer_close(TAKE_PTR(m->peer));
	if (m->stage == STAGE_OPEN) {
		fail(m, err);
	} else if (m->stage == STAGE_PERFORM) {
		note_failure(m, err);
		(void)vm_abort_job(m->vm, &ignored);
	} else if (m->stage == STAGE_BEGIN) {
		note_failure(m, err);
	}
}

int migrate_to_peer(struct vm *vm, const char *uri, const struct migrate_options *o, migrate_done_fn done,
	void *userdata, struct error *err)
{
	static const struct peer_ops ops = {on_opened, on_closed};
	struct p2p *m = NEW(struct p2p);

	*m = (struct p2p){.vm = vm_ref(vm), .uri = xstrdup(uri), .stream_fd = -1, .caller = {done, userdata}};
	migrate_options_init(&m->options);
	migrate_options_copy(o, &m->options);
	if (peer_open(vm->registry->loop, uri, &ops, m, &m->peer, err) < 0) {
		free_p2p(m);
		return error_prefix(err, "migrate %s", vm_get_name(vm));
	}
	return 0;
}
