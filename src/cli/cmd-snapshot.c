/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots for people: the tree of them, and the words save, rollback and delete. */
#include <time.h>

#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "images.h"
#include "job-watch.h"
#include "own.h"
#include "strv.h"
#include "xml.h"

/* ---- the tree ---- */

static char *format_age(int64_t created_s)
{
	int64_t age = (int64_t)time(NULL) - created_s;
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = {{86400 * 365, "year"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		long long n = age / units[i].seconds;

		if (n >= 1)
			return xasprintf("%lld %s%s", n, units[i].unit, n == 1 ? "" : "s");
	}
	return xstrdup("now");
}

/* `where`: "external" has a file of its own, and the file a size. */
static char *format_size(const char *where, int64_t bytes)
{
	const char *unit;
	double value;

	if (streq(where, "no"))
		return xstrdup("-");
	if (!streq(where, "external") && !streq(where, "mixed"))
		return xstrdup(where);
	if (bytes < 0)
		return xstrdup("missing");
	value = scale_bytes((uint64_t)bytes, &unit);
	return xasprintf("%.1f %s", value, unit);
}

static json *size_json(int64_t bytes)
{
	return bytes < 0 ? NULL : json_object_new_int64(bytes);
}

static void add_row(struct list_report *report, const struct rpc_snapshot_item *s, const char *branch)
{
	_cleanup_free_ char *name = xasprintf("%s%s%s", branch, s->name, s->is_current ? " *" : ""),
			    *age = format_age(s->created_s),
			    *memory = format_size(s->memory, s->memory_bytes),
			    *disks = format_size(s->disks, s->disk_bytes);

	list_report_shown_as(report, name, json_object_new_string(s->name));
	list_report_string(report, s->parent ? *s->parent : NULL);
	list_report_shown_as(report, age, json_object_new_int64(s->created_s));
	list_report_string(report, s->state);
	list_report_shown_as(report, memory, size_json(s->memory_bytes));
	list_report_shown_as(report, disks, size_json(s->disk_bytes));
	list_report_string(report, s->memory);
	list_report_string(report, s->disks);
	list_report_shown_as(report, NULL, json_object_new_boolean(s->is_current));
	list_report_string(report, s->description ? *s->description : NULL);
}

static bool is_below(
	const struct rpc_snapshot_items_ret *all, const struct rpc_snapshot_item *s, const char *parent)
{
	if (parent)
		return s->parent && streq(*s->parent, parent);
	for (u_int i = 0; s->parent && i < all->snapshots.snapshots_len; i++)
		if (streq(all->snapshots.snapshots_val[i].name, *s->parent))
			return false;
	return true;
}

/* The next one below `parent` at or behind `from`; the number of all when there is none. */
static u_int next_below(const struct rpc_snapshot_items_ret *all, const char *parent, u_int from)
{
	while (from < all->snapshots.snapshots_len &&
		!is_below(all, &all->snapshots.snapshots_val[from], parent))
		from++;
	return from;
}

/* `indent` stands before everything below `parent`. */
static void add_below(struct list_report *report, const struct rpc_snapshot_items_ret *all,
	const char *parent, const char *indent)
{
	u_int n = all->snapshots.snapshots_len;

	for (u_int i = next_below(all, parent, 0); i < n;) {
		const struct rpc_snapshot_item *s = &all->snapshots.snapshots_val[i];
		u_int next = next_below(all, parent, i + 1);
		bool is_last = next == n;
		_cleanup_free_ char *branch = xasprintf("%s%s", indent,
					    !parent   ? ""
					    : is_last ? "`- "
						      : "|- "),
				    *deeper = xasprintf("%s%s", indent,
					    !parent   ? ""
					    : is_last ? "   "
						      : "|  ");

		add_row(report, s, branch);
		add_below(report, all, s->name, deeper);
		i = next;
	}
}

int cmd_snapshot_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	static const char *const titles[] = {
		"Snapshot", NULL, "Age", "State", "Memory", "Disks", NULL, NULL, NULL, "Description"};
	static const char *const keys[] = {"name", "parent", "created", "state", "memory_bytes", "disk_bytes",
		"memory", "disks", "current", "description"};
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_snapshot_items_ret r = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_SNAPSHOT_LIST,
		CLIENT_ARGS(rpc_domain, &dom),
		CLIENT_RET(rpc_snapshot_items_ret, &r)};
	struct list_report report;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "snapshots of %s", dom.name);
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	add_below(&report, &r, NULL, "");
	cli_print_list(cli, &report);
	list_report_fini(&report);
	payload_free((xdrproc_t)xdr_rpc_snapshot_items_ret, &r);
	return 0;
}

/* ---- save ---- */

/* Where the daemon keeps what guests had in memory. Owned by the caller. */
static int find_memory_path(
	struct cli *cli, const struct rpc_domain *dom, const char *name, char **ret, struct error *err)
{
	struct rpc_paths_ret paths = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_PATHS,
		CLIENT_RET(rpc_paths_ret, &paths)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = xasprintf("%s/%s.%s.vmstate", paths.save, dom->name, name);
	payload_free((xdrproc_t)xdr_rpc_paths_ret, &paths);
	return 0;
}

static char *format_document(const char *name, const char *description, const char *memory)
{
	struct buf out = {0};
	struct xml_writer w = {.out = &out};

	xml_begin(&w, "domainsnapshot");
	xml_element(&w, "name", name);
	xml_element(&w, "description", description);
	xml_begin(&w, "memory");
	xml_put_attr(&w, "snapshot", memory ? "external" : "no");
	xml_put_attr(&w, "file", memory);
	xml_end(&w, "memory");
	xml_end(&w, "domainsnapshot");
	return buf_take(&out);
}

/* A name is one of the daemon's; of a path the daemon has another working directory. Owned by the caller. */
static char *find_hook(const struct arguments *args)
{
	const char *hook = arguments_string(args, "hook");

	return hook && strchr(hook, '/') ? cli_absolute_path(hook) : xstrdup(hook);
}

int cmd_snapshot_save(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *given = arguments_string(args, "name");
	_cleanup_free_ char *name = given ? xstrdup(given) : xasprintf("%lld", (long long)time(NULL)),
			    *memory = NULL, *xml = NULL, *hook = find_hook(args);
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_device_flags_args a = {0};
	struct rpc_godwit_snapshot_args hooked = {0};
	struct rpc_snapshot_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_SNAPSHOT_CREATE_XML,
		CLIENT_ARGS(rpc_device_flags_args, &a),
		CLIENT_RET(rpc_snapshot_ret, &r)};
	struct job_watch watch = {.call = &call, .dom = &dom, .title = "Snapshot"};
	bool has_memory;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	has_memory = dom.id >= 0 && !arguments_has(args, "no-memory");
	if (has_memory && find_memory_path(cli, &dom, name, &memory, err) < 0)
		return -1;
	xml = format_document(name, arguments_string(args, "description"), memory);
	a = (struct rpc_device_flags_args){.dom = dom, .device = xml, .flags = RPC_SNAPSHOT_CREATE_ATOMIC};
	if (!has_memory && dom.id >= 0)
		a.flags |= RPC_SNAPSHOT_CREATE_DISK_ONLY;
	else if (has_memory)
		a.flags |= RPC_SNAPSHOT_CREATE_LIVE;
	if (hook) {
		hooked = (struct rpc_godwit_snapshot_args){
			.dom = dom, .xml = xml, .flags = a.flags, .hook = hook};
		call = (struct client_call){.program = RPC_PROGRAM_GODWIT,
			.procedure = RPC_GODWIT_SNAPSHOT_CREATE,
			CLIENT_ARGS(rpc_godwit_snapshot_args, &hooked),
			CLIENT_RET(rpc_snapshot_ret, &r)};
	}
	watch.object = dom.name;
	watch.show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	if (job_watch_run(cli, &watch, err) < 0)
		return error_prefix(err, "snapshot %s of %s", name, dom.name);
	cli_print_extra(cli, "Snapshot '%s' of domain '%s' taken\n", name, dom.name);
	payload_free((xdrproc_t)xdr_rpc_snapshot_ret, &r);
	return 0;
}

/* ---- rollback, delete ---- */

/* The one that was named or, with --current, on which the VM stands. Owned by the caller. */
static int find_name(struct cli *cli, const struct arguments *args, const struct rpc_domain *dom, char **ret,
	struct error *err)
{
	const char *given = arguments_string(args, "snapshotname");
	struct rpc_domain_flags_args a = {.dom = *dom};
	struct rpc_snapshot_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_SNAPSHOT_CURRENT,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_snapshot_ret, &r)};

	if (given) {
		*ret = xstrdup(given);
		return 0;
	}
	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = xstrdup(r.snapshot.name);
	payload_free((xdrproc_t)xdr_rpc_snapshot_ret, &r);
	return 0;
}

static int call_snapshot(struct cli *cli, const struct arguments *args, int procedure, unsigned flags,
	const char *title, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *name = NULL;
	struct rpc_snapshot_flags_args a = {.flags = flags};
	struct client_call call = {.procedure = procedure, CLIENT_ARGS(rpc_snapshot_flags_args, &a)};
	struct job_watch watch = {.call = &call, .dom = &dom, .title = title};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (find_name(cli, args, &dom, &name, err) < 0)
		return error_prefix(err, "snapshot of %s", dom.name);
	a.snapshot = (struct rpc_snapshot){.name = name, .domain = dom};
	watch.object = dom.name;
	watch.show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	if (job_watch_run(cli, &watch, err) < 0)
		return error_prefix(err, "snapshot %s of %s", name, dom.name);
	cli_print_extra(cli, "%s: snapshot '%s' of domain '%s'\n", title, name, dom.name);
	return 0;
}

int cmd_snapshot_rollback(struct cli *cli, const struct arguments *args, struct error *err)
{
	return call_snapshot(cli, args, RPC_DOMAIN_REVERT_TO_SNAPSHOT, 0, "Rollback", err);
}

int cmd_snapshot_delete(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "children", RPC_SNAPSHOT_DELETE_CHILDREN) |
			 arguments_flag(args, "children-only", RPC_SNAPSHOT_DELETE_CHILDREN_ONLY) |
			 arguments_flag(args, "metadata", RPC_SNAPSHOT_DELETE_METADATA_ONLY);

	if (!arguments_string(args, "snapshotname") && !arguments_has(args, "current"))
		return error_set(err, ERROR_INVALID_ARGUMENT, "name a snapshot, or say --current");
	if (arguments_exclusive(args, "snapshotname", "current", err) < 0 ||
		arguments_exclusive(args, "children", "children-only", err) < 0)
		return -1;
	return call_snapshot(cli, args, RPC_DOMAIN_SNAPSHOT_DELETE, flags, "Delete", err);
}
