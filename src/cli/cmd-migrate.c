/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command that moves a VM to another host. */
#include <unistd.h>

#include "alloc.h"
#include "commands.h"
#include "connect.h"
#include "job-watch.h"
#include "migrate-check.h"
#include "migrate-drive.h"
#include "strv.h"

/* virsh's options that are flags of the call. */
static const struct {
	const char *option;
	unsigned flag;
} flags[] = {
	{"live", MIGRATE_LIVE},
	{"offline", MIGRATE_OFFLINE},
	{"tunnelled", MIGRATE_TUNNELLED},
	{"persistent", MIGRATE_PERSIST_DEST},
	{"undefinesource", MIGRATE_UNDEFINE_SOURCE},
	{"suspend", MIGRATE_PAUSED},
	{"copy-storage-all", MIGRATE_NON_SHARED_DISK},
	{"copy-storage-inc", MIGRATE_NON_SHARED_INC},
	{"copy-storage-synchronous-writes", MIGRATE_NON_SHARED_SYNC_WRITES},
	{"change-protection", MIGRATE_CHANGE_PROTECTION},
	{"unsafe", MIGRATE_UNSAFE},
	{"compressed", MIGRATE_COMPRESSED},
	{"auto-converge", MIGRATE_AUTO_CONVERGE},
	{"rdma-pin-all", MIGRATE_RDMA_PIN_ALL},
	{"abort-on-error", MIGRATE_ABORT_ON_ERROR},
	{"postcopy", MIGRATE_POSTCOPY},
	{"postcopy-resume", MIGRATE_POSTCOPY_RESUME},
	{"zerocopy", MIGRATE_ZEROCOPY},
	{"tls", MIGRATE_TLS},
	{"parallel", MIGRATE_PARALLEL},
};

/* Those that are parameters. LIST: words with commas between, each a parameter. */
static const struct {
	const char *option, *parameter;
	enum { TEXT, LIST, INT, ULLONG } kind;
} parameters[] = {
	{"migrateuri", "migrate_uri", TEXT},
	{"graphicsuri", "graphics_uri", TEXT},
	{"listen-address", "listen_address", TEXT},
	{"dname", "destination_name", TEXT},
	{"migrate-disks", "migrate_disks", LIST},
	{"migrate-disks-detect-zeroes", "migrate_disks_detect_zeroes", LIST},
	{"disks-port", "disks_port", INT},
	{"disks-uri", "disks_uri", TEXT},
	{"comp-methods", "compression", LIST},
	{"comp-mt-level", "compression.mt.level", INT},
	{"comp-mt-threads", "compression.mt.threads", INT},
	{"comp-mt-dthreads", "compression.mt.dthreads", INT},
	{"comp-xbzrle-cache", "compression.xbzrle.cache", ULLONG},
	{"comp-zlib-level", "compression.zlib.level", INT},
	{"comp-zstd-level", "compression.zstd.level", INT},
	{"auto-converge-initial", "auto_converge.initial", INT},
	{"auto-converge-increment", "auto_converge.increment", INT},
	{"parallel-connections", "parallel.connections", INT},
	{"bandwidth", "bandwidth", ULLONG},
	{"postcopy-bandwidth", "bandwidth.postcopy", ULLONG},
	{"available-switchover-bandwidth", "bandwidth.avail.switchover", ULLONG},
	{"tls-destination", "tls.destination", TEXT},
};

static int add_number(struct drive_params *p, const char *option, const char *field, bool is_int,
	uint64_t value, struct error *err)
{
	rpc_param_value *v;

	if (is_int && value > INT32_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT, "--%s is too large", option);
	if (drive_params_add(p, field, "", err) < 0)
		return -1;
	v = &p->items[p->n - 1].value;
	v->type = is_int ? RPC_PARAM_INT : RPC_PARAM_ULLONG;
	if (is_int)
		v->rpc_param_value_u.i = (int)value;
	else
		v->rpc_param_value_u.ul = value;
	return 0;
}

/* The words are added to `words`, which must live as long as the parameters. */
static int add_list(
	struct drive_params *p, const char *field, const char *list, struct strv *words, struct error *err)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (n > 0) {
			strv_take(words, xstrndup(list, n));
			if (drive_params_add(p, field, words->items[words->n - 1], err) < 0)
				return -1;
		}
		list += n + (list[n] == ',');
	}
	return 0;
}

static int add_parameters(
	struct drive_params *p, const struct arguments *args, struct strv *words, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		const char *option = parameters[i].option, *field = parameters[i].parameter;
		const char *value = arguments_string(args, option);
		int r = 0;

		if (!value)
			continue;
		if (parameters[i].kind == TEXT)
			r = drive_params_add(p, field, value, err);
		else if (parameters[i].kind == LIST)
			r = add_list(p, field, value, words, err);
		else
			r = add_number(p, option, field, parameters[i].kind == INT,
				arguments_number(args, option, 0), err);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* Documents for the other side, owned by the caller as *ret. */
static int add_document(struct drive_params *p, const struct arguments *args, const char *option,
	const char *field, char **ret, struct error *err)
{
	const char *file = arguments_string(args, option);

	if (!file)
		return 0;
	if (cli_read_file(file, ret, err) < 0)
		return -1;
	return drive_params_add(p, field, *ret, err);
}

static int check_timeouts(const struct arguments *args, struct drive *d, struct error *err)
{
	uint64_t seconds = arguments_number(args, "timeout", 0);

	if (arguments_exclusive(args, "timeout-suspend", "timeout-postcopy", err) < 0)
		return -1;
	if (!arguments_has(args, "timeout") &&
		(arguments_has(args, "timeout-suspend") || arguments_has(args, "timeout-postcopy")))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--timeout-suspend and --timeout-postcopy need --timeout");
	if (arguments_has(args, "timeout") && (seconds == 0 || seconds > UINT32_MAX / 1000))
		return error_set(err, ERROR_INVALID_ARGUMENT, "--timeout must be at least 1");
	if (arguments_has(args, "timeout") && !arguments_has(args, "live"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "--timeout needs --live");
	d->timeout_s = (unsigned)seconds;
	d->timeout_postcopy = arguments_has(args, "timeout-postcopy");
	d->postcopy_after_precopy = arguments_has(args, "postcopy-after-precopy");
	if ((d->timeout_postcopy || d->postcopy_after_precopy) && !(d->flags & MIGRATE_POSTCOPY))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--timeout-postcopy and --postcopy-after-precopy need --postcopy");
	return 0;
}

static char *make_socket_uri(const struct address *a)
{
	bool is_session = a->uri && endswith(a->uri, "/session");

	return xasprintf("qemu+unix:///%s?socket=%s", is_session ? "session" : "system", a->socket);
}

/*
 * Who reaches the other daemon? This program over a UNIX socket; else, and with --p2p, the source's daemon. A host's name alone is its daemon
 * over ssh. *ret_peer is owned by the caller, and so is *ret_uri, by which the source's daemon reaches the other in either case, for the check.
 */
static int choose_way(struct cli *cli, const struct arguments *args, const char *where,
	struct client **ret_target, char **ret_peer, char **ret_uri, struct error *err)
{
	struct address_request request = {
		.uri = where, .runtime_dir = getenv("XDG_RUNTIME_DIR"), .uid = geteuid()};
	_cleanup_(address_fini) struct address address = {0};
	int fd;

	if (!strstr(where, "://"))
		*ret_peer = xasprintf("godwit+ssh://%s/system", where);
	else if (arguments_has(args, "p2p") || address_resolve(&request, &address, NULL) < 0)
		*ret_peer = xstrdup(where);
	if (*ret_peer && arguments_has(args, "direct"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"%s: --direct reaches daemons at UNIX sockets only (without it this host's daemon "
			"connects)",
			where);
	*ret_uri = *ret_peer ? xstrdup(*ret_peer) : make_socket_uri(&address);
	if (*ret_peer)
		return 0;
	if (connect_to_daemon(&address, &fd, err) < 0)
		return -1;
	return client_open(fd, address.uri, false, cli->timeout_s, ret_target, err);
}

static void tell(struct cli *cli, const struct drive *d, const char *where)
{
	if (d->flags & MIGRATE_OFFLINE)
		cli_print_extra(cli, "Domain '%s' is defined at %s\n", d->dom->name, where);
	else if (d->has_downtime)
		cli_print_extra(cli, "Domain '%s' runs at %s; it stood still for %llu ms\n", d->dom->name,
			where, (unsigned long long)d->downtime_ms);
	else
		cli_print_extra(cli, "Domain '%s' runs at %s\n", d->dom->name, where);
}

/* 0: go on. What the check knows to be the very same files need not be said to be so by --unsafe. */
static int check_before(struct cli *cli, struct drive *d, const char *uri, struct error *err)
{
	struct migrate_table t;
	struct error failure = ERROR_INIT;
	size_t n_stop;

	if (migrate_table_get(cli, d, uri, &t, &failure) < 0) {
		/* a source that does not know the check, or one that cannot connect where this program can */
		if (!d->target && failure.code != ERROR_UNSUPPORTED)
			return error_copy(err, &failure);
		error_prefix(&failure, "not checked before");
		if (failure.code != ERROR_UNSUPPORTED)
			cli_print_error(cli, &failure);
		return 0;
	}
	n_stop = t.n_failures - (d->flags & MIGRATE_UNSAFE ? t.n_storage_failures : 0);
	if (t.n_failures + t.n_warnings > 0)
		migrate_table_print(cli, &t, false);
	if (t.same_storage)
		d->flags |= MIGRATE_UNSAFE;
	migrate_table_fini(&t);
	return n_stop == 0 ? 0
			   : error_set(err, ERROR_OPERATION_FAILED,
				     "%zu of what was checked would make it fail; nothing has been touched",
				     n_stop);
}

/* --check: the table is all that is wanted. */
static int check_only(struct cli *cli, const struct drive *d, const char *uri, struct error *err)
{
	struct migrate_table t;
	size_t n;

	if (migrate_table_get(cli, d, uri, &t, err) < 0)
		return -1;
	migrate_table_print(cli, &t, true);
	n = t.n_failures;
	migrate_table_fini(&t);
	return n == 0 ? 0
		      : error_set(
				err, ERROR_OPERATION_FAILED, "%zu of what was checked would make it fail", n);
}

int cmd_migrate(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *where = arguments_string(args, "desturi");
	_cleanup_free_ char *peer = NULL, *uri = NULL, *xml = NULL, *persistent_xml = NULL;
	bool only_check = arguments_has(args, "check");
	_cleanup_(strv_fini) struct strv words = {0};
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct drive d = {.dom = &dom};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		d.flags |= arguments_flag(args, flags[i].option, flags[i].flag);
	if (cli->json && !only_check)
		return error_set(err, ERROR_INVALID_ARGUMENT, "--json needs --check");
	if (arguments_exclusive(args, "p2p", "direct", err) < 0 || check_timeouts(args, &d, err) < 0 ||
		add_parameters(&d.params, args, &words, err) < 0 ||
		add_document(&d.params, args, "xml", "destination_xml", &xml, err) < 0 ||
		add_document(&d.params, args, "persistent-xml", "persistent_xml", &persistent_xml, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	d.show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	r = choose_way(cli, args, where, &d.target, &peer, &uri, err);
	if (r == 0 && !strstr(where, "://"))
		r = drive_choose(cli, &d, err);
	d.peer = peer;
	if (r == 0)
		r = only_check ? check_only(cli, &d, uri, err) : check_before(cli, &d, uri, err);
	if (r == 0 && !only_check)
		r = drive_migration(cli, &d, err);
	client_close(d.target);
	if (r < 0)
		return error_prefix(err, "migrate %s to %s", dom.name, where);
	if (!only_check)
		tell(cli, &d, where);
	return 0;
}
