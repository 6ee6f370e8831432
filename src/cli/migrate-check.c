/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemons found, as a table (migrate-check.h). */
#include "migrate-check.h"

#include <string.h>

#include "alloc.h"
#include "frame.h"
#include "migration.h"
#include "own.h"
#include "report.h"
#include "strv.h"

static void count(struct migrate_table *t)
{
	size_t n_storage = 0, n_same = 0;

	JSON_FOREACH (row, t->rows) {
		const char *status = json_get_string(row, "status");
		bool is_storage = json_get_bool(row, "storage", false);

		n_storage += is_storage;
		n_same += is_storage && streq(status, "ok");
		t->n_warnings += streq(status, "warning");
		t->n_failures += streq(status, "failure");
		t->n_storage_failures += is_storage && streq(status, "failure");
	}
	t->same_storage = n_storage == n_same;
}

int migrate_table_get(
	struct cli *cli, const struct drive *d, const char *uri, struct migrate_table *ret, struct error *err)
{
	struct rpc_migrate_check_args args = {*d->dom, (char *)uri,
		{d->params.n, (struct rpc_param *)d->params.items},
		d->flags | (d->peer ? MIGRATE_PEER2PEER : 0)};
	struct rpc_string_ret text = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_MIGRATE_CHECK,
		CLIENT_ARGS(rpc_migrate_check_args, &args),
		CLIENT_RET(rpc_string_ret, &text)};
	int r;

	*ret = (struct migrate_table){0};
	if (cli_call(cli, &call, err) < 0)
		return -1;
	r = json_parse(text.value, strlen(text.value), &ret->rows, err);
	payload_free((xdrproc_t)xdr_rpc_string_ret, &text);
	if (r == 0)
		count(ret);
	return r;
}

void migrate_table_fini(struct migrate_table *t)
{
	json_object_put(t->rows);
}

void migrate_table_print(struct cli *cli, const struct migrate_table *t, bool all)
{
	static const char *const titles[] = {"Check", "Result", "Found", "What to do", NULL};
	static const char *const keys[] = {"check", "result", "found", "advice", "storage"};
	struct list_report report;

	list_report_init(&report, cli->json, ARRAY_SIZE(titles), titles, keys);
	JSON_FOREACH (row, t->rows) {
		const char *status = json_get_string(row, "status");

		if (!all && streq(status, "ok"))
			continue;
		list_report_string(&report, json_get_string(row, "what"));
		list_report_string(&report, status);
		list_report_string(&report, json_get_string(row, "found"));
		list_report_string(&report, json_get_string(row, "advice"));
		list_report_shown_as(
			&report, NULL, json_object_new_boolean(json_get_bool(row, "storage", false)));
	}
	cli_print_list(cli, &report);
	list_report_fini(&report);
}
