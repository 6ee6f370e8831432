/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of VMs. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "strv.h"

struct listed {
	struct rpc_domain *dom;
	struct rpc_domain_state_ret state;
	bool gone; /* between the list and the question */
	int saved;
	char *title;
};

static unsigned list_flags(const struct arguments *args)
{
	unsigned flags = arguments_flag(args, "persistent", RPC_LIST_PERSISTENT) |
			 arguments_flag(args, "transient", RPC_LIST_TRANSIENT) |
			 arguments_flag(args, "state-running", RPC_LIST_RUNNING) |
			 arguments_flag(args, "state-paused", RPC_LIST_PAUSED) |
			 arguments_flag(args, "state-shutoff", RPC_LIST_SHUTOFF) |
			 arguments_flag(args, "state-other", RPC_LIST_OTHER) |
			 arguments_flag(args, "with-managed-save", RPC_LIST_MANAGED_SAVE) |
			 arguments_flag(args, "without-managed-save", RPC_LIST_NO_MANAGED_SAVE) |
			 arguments_flag(args, "autostart", RPC_LIST_AUTOSTART) |
			 arguments_flag(args, "no-autostart", RPC_LIST_NO_AUTOSTART) |
			 arguments_flag(args, "with-snapshot", RPC_LIST_HAS_SNAPSHOT) |
			 arguments_flag(args, "without-snapshot", RPC_LIST_NO_SNAPSHOT) |
			 arguments_flag(args, "with-checkpoint", RPC_LIST_HAS_CHECKPOINT) |
			 arguments_flag(args, "without-checkpoint", RPC_LIST_NO_CHECKPOINT);

	if (arguments_has(args, "all"))
		flags |= RPC_LIST_ACTIVE | RPC_LIST_INACTIVE;
	else if (arguments_has(args, "inactive"))
		flags |= RPC_LIST_INACTIVE;
	else
		flags |= RPC_LIST_ACTIVE;
	return flags;
}

static int compare_listed(const void *a, const void *b)
{
	const struct rpc_domain *x = ((const struct listed *)a)->dom, *y = ((const struct listed *)b)->dom;

	/* running ones by id, then the others by name */
	if ((x->id < 0) != (y->id < 0))
		return x->id < 0 ? 1 : -1;
	if (x->id >= 0)
		return x->id < y->id ? -1 : x->id > y->id;
	return strcasecmp(x->name, y->name);
}

/*
 * Ask for the state of every VM. All questions are sent before the first answer is awaited, a few at a time as the daemon
 * limits what one client may have in flight; it just reads the rest later.
 */
static int fetch_states(struct cli *cli, struct listed *listed, size_t n, struct error *err)
{
	enum { BATCH = 64 };
	struct client_request *requests[BATCH];
	struct client_call calls[BATCH];
	struct rpc_domain_flags_args args[BATCH];

	for (size_t done = 0; done < n; done += BATCH) {
		size_t batch = n - done < BATCH ? n - done : BATCH, sent = 0;
		struct error e = ERROR_INIT;

		for (; sent < batch; sent++) {
			struct listed *l = &listed[done + sent];

			args[sent] = (struct rpc_domain_flags_args){*l->dom, 0};
			calls[sent] = (struct client_call){.procedure = RPC_DOMAIN_GET_STATE,
				CLIENT_ARGS(rpc_domain_flags_args, &args[sent]),
				CLIENT_RET(rpc_domain_state_ret, &l->state)};
			if (client_start(cli->client, &calls[sent], &requests[sent], &e) < 0)
				break;
		}
		for (size_t i = 0; i < sent; i++) {
			struct error gone = ERROR_INIT;

			if (client_finish(cli->client, requests[i], &gone) == 0)
				continue;
			listed[done + i].gone = true;
			if (gone.code == ERROR_RPC)
				error_copy(&e, &gone);
		}
		if (e.code != ERROR_NONE)
			return error_copy(err, &e);
	}
	return 0;
}

static void fetch_title(struct cli *cli, struct listed *l)
{
	struct rpc_get_metadata_args args = {.dom = *l->dom, .type = 1};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_METADATA,
		CLIENT_ARGS(rpc_get_metadata_args, &args),
		CLIENT_RET(rpc_string_ret, &r)};

	/* no title is an error to the protocol */
	if (cli_call(cli, &call, NULL) == 0)
		l->title = r.value;
}

static void list_row(struct list_report *report, const struct listed *l, bool show_saved)
{
	const char *state = domain_state_name(l->state.state);
	char id[16] = "-", uuid[UUID_TEXT_MAX];
	bool active = l->dom->id >= 0;

	if (active)
		snprintf(id, sizeof(id), "%d", l->dom->id);
	uuid_format((const uint8_t *)l->dom->uuid, uuid);
	list_report_shown_as(report, id, active ? json_object_new_int(l->dom->id) : NULL);
	list_report_string(report, l->dom->name);
	list_report_string(report, uuid);
	list_report_shown_as(
		report, show_saved && l->saved && !active ? "saved" : state, json_object_new_string(state));
	list_report_string(report, domain_reason_name(l->state.state, l->state.reason));
	list_report_shown_as(report, NULL, json_object_new_boolean(l->saved));
	list_report_string(report, l->title ? l->title : "");
}

static int print_table(
	struct cli *cli, const struct arguments *args, struct listed *listed, size_t n, struct error *err)
{
	bool title = arguments_has(args, "title") || cli->json,
	     saved = arguments_has(args, "managed-save") || cli->json;
	const char *const titles[] = {
		"Id", "Name", NULL, "State", NULL, NULL, arguments_has(args, "title") ? "Title" : NULL};
	const char *const keys[] = {"id", "name", "uuid", "state", "reason", "managed_save", "title"};
	struct list_report report;

	if (fetch_states(cli, listed, n, err) < 0)
		return -1;
	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	for (size_t i = 0; i < n; i++) {
		if (listed[i].gone)
			continue;
		if (saved && listed[i].dom->id < 0)
			cli_ask_domain_flags_int(cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, listed[i].dom, 0,
				&listed[i].saved, NULL);
		if (title)
			fetch_title(cli, &listed[i]);
		list_row(&report, &listed[i], saved && !cli->json);
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
	return 0;
}

/* Only UUIDs, ids, names and titles, one VM a line. */
static void print_lines(struct cli *cli, const struct arguments *args, struct listed *listed, size_t n)
{
	bool only_ids = !arguments_has(args, "name") && !arguments_has(args, "uuid");

	for (size_t i = 0; i < n; i++) {
		const struct rpc_domain *dom = listed[i].dom;
		const char *space = "";
		char uuid[UUID_TEXT_MAX];

		/* ids alone are of those that have one */
		if (only_ids && dom->id < 0)
			continue;
		if (arguments_has(args, "uuid")) {
			uuid_format((const uint8_t *)dom->uuid, uuid);
			cli_print(cli, "%s", uuid);
			space = " ";
		}
		if (arguments_has(args, "id")) {
			if (dom->id >= 0)
				cli_print(cli, "%s%d", space, dom->id);
			else
				cli_print(cli, "%s-", space);
			space = " ";
		}
		if (arguments_has(args, "name")) {
			cli_print(cli, "%s%s", space, dom->name);
			space = " ";
		}
		if (arguments_has(args, "title")) {
			fetch_title(cli, &listed[i]);
			cli_print(cli, "%s%s", space, listed[i].title ? listed[i].title : "");
		}
		cli_print(cli, "\n");
	}
}

int cmd_list(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool lines = arguments_has(args, "name") || arguments_has(args, "uuid") || arguments_has(args, "id");
	struct rpc_list_args list_args = {.need_results = 1, .flags = list_flags(args)};
	struct rpc_domains_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_LIST_ALL_DOMAINS,
		CLIENT_ARGS(rpc_list_args, &list_args),
		CLIENT_RET(rpc_domains_ret, &r)};
	struct listed *listed;
	int ret = 0;

	if (lines && arguments_has(args, "table"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--table excludes --name, --uuid and --id: they print lines");
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "list VMs");
	listed = xcalloc(r.domains.domains_len + 1, sizeof(*listed));
	for (u_int i = 0; i < r.domains.domains_len; i++)
		listed[i].dom = &r.domains.domains_val[i];
	qsort(listed, r.domains.domains_len, sizeof(*listed), compare_listed);
	if (lines && !cli->json)
		print_lines(cli, args, listed, r.domains.domains_len);
	else
		ret = print_table(cli, args, listed, r.domains.domains_len, err);
	for (u_int i = 0; i < r.domains.domains_len; i++)
		free(listed[i].title);
	free(listed);
	payload_free((xdrproc_t)xdr_rpc_domains_ret, &r);
	return ret;
}
