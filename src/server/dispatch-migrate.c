/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving a VM to another host: the five phases, as whoever drives them calls them, with typed parameters and as older clients say it. On the wire a cookie is
 * bytes, the last of them NUL.
 */
#include "migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "alloc.h"
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "migration.h"
#include "stream.h"

/* What a pipe holds between a client and QEMU, so that one turn of the loop moves more than 64 KiB. */
#define TUNNEL_PIPE_SIZE (1 << 20)

/* ---- arguments ---- */

static const char *optional(rpc_string *s)
{
	return s ? *s : NULL;
}

/* False: the call has failed. *ret is borrowed from the arguments, NULL when there is none. */
static bool get_cookie(struct call *call, const rpc_cookie *cookie, const char **ret)
{
	struct error err = ERROR_INIT;

	*ret = NULL;
	if (cookie->rpc_cookie_len == 0)
		return true;
	if (cookie->rpc_cookie_val[cookie->rpc_cookie_len - 1] == '\0') {
		*ret = cookie->rpc_cookie_val;
		return true;
	}
	error_set(&err, ERROR_INTERNAL, "migration cookie was not NULL terminated");
	call_fail(call, &err);
	return false;
}

/* False: the call has failed. `o` has to be freed either way. */
static bool get_options(
	struct call *call, uint64_t flags, const rpc_params *params, struct migrate_options *o)
{
	struct error err = ERROR_INIT;

	migrate_options_init(o);
	if (!call_check_flags(call, flags > UINT32_MAX ? UINT32_MAX : (unsigned)flags, MIGRATE_FLAGS_ALL))
		return false;
	if (migrate_options_parse(o, (unsigned)flags, params, &err) == 0)
		return true;
	call_fail(call, &err);
	return false;
}

/* What older clients can say, as parameters. Strings are borrowed. */
struct old_params {
	rpc_param items[4];
	rpc_params params;
};

static void add_text(struct old_params *p, const char *name, const char *value)
{
	rpc_param *item = &p->items[p->params.rpc_params_len];

	if (!value)
		return;
	item->field = (char *)name;
	item->value.type = RPC_PARAM_STRING;
	item->value.rpc_param_value_u.s = (char *)value;
	p->params.rpc_params_len++;
}

static void make_params(
	struct old_params *p, const char *xml, const char *uri, const char *name, uint64_t bandwidth)
{
	*p = (struct old_params){0};
	p->params.rpc_params_val = p->items;
	add_text(p, "destination_xml", xml);
	add_text(p, "migrate_uri", uri);
	add_text(p, "destination_name", name);
	if (bandwidth == 0)
		return;
	p->items[p->params.rpc_params_len] =
		(rpc_param){.field = (char *)"bandwidth", .value.type = RPC_PARAM_ULLONG};
	p->items[p->params.rpc_params_len++].value.rpc_param_value_u.ul = bandwidth;
}

/* ---- answers ---- */

static rpc_cookie cookie_of(const struct migrate_reply *reply)
{
	rpc_cookie cookie = {0};

	if (reply && reply->cookie) {
		cookie.rpc_cookie_val = (char *)reply->cookie;
		cookie.rpc_cookie_len = (u_int)strlen(reply->cookie) + 1;
	}
	return cookie;
}

static void begin_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_migrate_begin_ret){cookie_of(reply), (char *)reply->xml});
}

static void prepare_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	char *uri = reply ? (char *)reply->uri : NULL;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_migrate_prepare_ret){cookie_of(reply), uri ? &uri : NULL});
}

/* The end of the pipe that the stream will write to, while QEMU is being prepared. */
struct tunnel {
	int fd;
};

static void prepare_tunnel_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	struct tunnel *tunnel = call->state;
	int fd = take_fd(&tunnel->fd);
	struct error failed = ERROR_INIT;

	if (err) {
		close(fd);
		call_fail(call, err);
	} else if (stream_open_upload(call, "the migration's stream", fd, &failed) < 0) {
		call_fail(call, &failed);
	} else {
		call_reply(call, &(rpc_migrate_cookie_ret){cookie_of(reply)});
	}
}

static void perform_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;

	if (err)
		call_fail(call, err);
	else
		call_reply(call, &(rpc_migrate_cookie_ret){cookie_of(reply)});
}

static void finish_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	struct call *call = userdata;
	rpc_migrate_finish_ret ret = {.cookie = cookie_of(reply)};

	if (err) {
		call_fail(call, err);
		return;
	}
	domain_handle(vm, &ret.dom);
	call_reply(call, &ret);
}

static void confirm_done(
	struct vm *vm, const struct migrate_reply *reply, const struct error *err, void *userdata)
{
	call_vm_done(vm, err, userdata);
}

/* ---- phases ---- */

static void begin(struct call *call, const rpc_domain *dom, uint64_t flags, const rpc_params *params)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!get_options(call, flags, params, &o))
		return;
	if (migrate_options_check_begin(&o, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	vm = call_find_vm(call, dom);
	if (vm)
		call_check(call, migrate_begin(vm, &o, call->session, begin_done, call, &err), &err);
}

/* A pipe: what the stream brings comes out of *ret_read. */
static int open_tunnel(struct call *call, int *ret_read, struct error *err)
{
	struct tunnel *tunnel = NEW(struct tunnel);
	int fds[2];

	call->state = tunnel;
	tunnel->fd = -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, errno, "make a pipe for the migration's stream");
	(void)fcntl(fds[1], F_SETPIPE_SZ, TUNNEL_PIPE_SIZE); /* less works, too */
	*ret_read = fds[0];
	tunnel->fd = fds[1];
	return 0;
}

static void prepare(struct call *call, uint64_t flags, const rpc_params *params, const rpc_cookie *bytes,
	bool is_tunnelled)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct error err = ERROR_INIT;
	const char *cookie;
	int fd = -1, r;

	if (!get_options(call, flags, params, &o) || !get_cookie(call, bytes, &cookie))
		return;
	if (is_tunnelled != ((o.flags & MIGRATE_TUNNELLED) != 0)) {
		error_set(&err, ERROR_INTERNAL, "%s",
			is_tunnelled ? "PrepareTunnel called but no TUNNELLED flag set"
				     : "Tunnelled requested but invalid RPC method called");
		call_fail(call, &err);
		return;
	}
	if (is_tunnelled && open_tunnel(call, &fd, &err) < 0) {
		call_fail(call, &err);
		return;
	}
	r = migrate_prepare(call->registry, &o, cookie, fd, call->session,
		is_tunnelled ? prepare_tunnel_done : prepare_done, call, &err);
	if (r < 0 && is_tunnelled)
		close(((struct tunnel *)call->state)->fd);
	call_check(call, r, &err);
}

static void perform(struct call *call, const rpc_domain *dom, const char *peer, uint64_t flags,
	const rpc_params *params, const rpc_cookie *bytes)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct error err = ERROR_INIT;
	const char *cookie;
	bool is_p2p;
	struct vm *vm;
	int r;

	if (!get_options(call, flags, params, &o) || !get_cookie(call, bytes, &cookie))
		return;
	is_p2p = o.flags & MIGRATE_PEER2PEER;
	if (is_p2p && cookie)
		error_set(&err, ERROR_OPERATION_INVALID, "received unexpected cookie with P2P migration");
	else if (is_p2p && !peer)
		error_set(
			&err, ERROR_INVALID_ARGUMENT, "peer-to-peer migration needs the other daemon's URI");
	else if (!is_p2p && peer)
		error_set(&err, ERROR_INTERNAL, "Unexpected dconnuri parameter with non-peer2peer migration");
	else if (is_p2p)
		migrate_options_check_begin(&o, &err);
	if (err.code != ERROR_NONE) {
		call_fail(call, &err);
		return;
	}
	vm = call_find_vm(call, dom);
	if (!vm)
		return;
	r = is_p2p ? migrate_to_peer(vm, peer, &o, perform_done, call, &err)
		   : migrate_perform(vm, &o, cookie, call->session, perform_done, call, &err);
	call_check(call, r, &err);
}

static void finish(struct call *call, uint64_t flags, const rpc_params *params, const rpc_cookie *bytes,
	bool is_cancelled)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct error err = ERROR_INIT;
	const char *cookie;

	if (!get_options(call, flags, params, &o) || !get_cookie(call, bytes, &cookie))
		return;
	if (!o.name) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "missing domain name");
		call_fail(call, &err);
		return;
	}
	call_check(call,
		migrate_finish(call->registry, o.name, &o, cookie, is_cancelled, finish_done, call, &err),
		&err);
}

static void confirm(struct call *call, const rpc_domain *dom, uint64_t flags, const rpc_params *params,
	const rpc_cookie *bytes, bool is_cancelled)
{
	_cleanup_(migrate_options_fini) struct migrate_options o;
	struct error err = ERROR_INIT;
	const char *cookie;
	struct vm *vm;

	if (!get_options(call, flags, params, &o) || !get_cookie(call, bytes, &cookie))
		return;
	vm = call_find_vm(call, dom);
	if (vm)
		call_check(
			call, migrate_confirm(vm, &o, cookie, is_cancelled, confirm_done, call, &err), &err);
}

/* ---- with typed parameters ---- */

void handle_domain_migrate_begin3_params(struct call *call)
{
	const rpc_domain_params_args *args = call->args;

	begin(call, &args->dom, args->flags, &args->params);
}

void handle_domain_migrate_prepare3_params(struct call *call)
{
	const rpc_migrate_prepare_args *args = call->args;

	prepare(call, args->flags, &args->params, &args->cookie, false);
}

void handle_domain_migrate_prepare_tunnel3_params(struct call *call)
{
	const rpc_migrate_prepare_args *args = call->args;

	prepare(call, args->flags, &args->params, &args->cookie, true);
}

void handle_domain_migrate_perform3_params(struct call *call)
{
	const rpc_migrate_perform_args *args = call->args;

	perform(call, &args->dom, optional(args->peer), args->flags, &args->params, &args->cookie);
}

void handle_domain_migrate_finish3_params(struct call *call)
{
	const rpc_migrate_finish_args *args = call->args;

	finish(call, args->flags, &args->params, &args->cookie, args->cancelled);
}

void handle_domain_migrate_confirm3_params(struct call *call)
{
	const rpc_migrate_confirm_args *args = call->args;

	confirm(call, &args->dom, args->flags, &args->params, &args->cookie, args->cancelled);
}

/* ---- as older clients say it ---- */

void handle_domain_migrate_begin3(struct call *call)
{
	const rpc_migrate_begin3_args *args = call->args;
	struct old_params p;

	make_params(&p, optional(args->xml), NULL, optional(args->name), args->bandwidth);
	begin(call, &args->dom, args->flags, &p.params);
}

void handle_domain_migrate_prepare3(struct call *call)
{
	const rpc_migrate_prepare3_args *args = call->args;
	struct old_params p;

	make_params(&p, args->xml, optional(args->uri), optional(args->name), args->bandwidth);
	prepare(call, args->flags, &p.params, &args->cookie, false);
}

void handle_domain_migrate_prepare_tunnel3(struct call *call)
{
	const rpc_migrate_prepare_tunnel3_args *args = call->args;
	struct old_params p;

	make_params(&p, args->xml, NULL, optional(args->name), args->bandwidth);
	prepare(call, args->flags, &p.params, &args->cookie, true);
}

void handle_domain_migrate_perform3(struct call *call)
{
	const rpc_migrate_perform3_args *args = call->args;
	struct old_params p;

	make_params(&p, optional(args->xml), optional(args->uri), optional(args->name), args->bandwidth);
	perform(call, &args->dom, optional(args->peer), args->flags, &p.params, &args->cookie);
}

void handle_domain_migrate_finish3(struct call *call)
{
	const rpc_migrate_finish3_args *args = call->args;
	struct old_params p;

	make_params(&p, NULL, NULL, args->name, 0);
	finish(call, args->flags, &p.params, &args->cookie, args->cancelled);
}

void handle_domain_migrate_confirm3(struct call *call)
{
	const rpc_migrate_confirm3_args *args = call->args;
	struct old_params p;

	make_params(&p, NULL, NULL, NULL, 0);
	confirm(call, &args->dom, args->flags, &p.params, &args->cookie, args->cancelled);
}
