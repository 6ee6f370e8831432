/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists and records in virsh's shape, and as JSON. */
#include <locale.h>

#include "params.h"
#include "report.h"
#include "tap.h"

static const char *const titles[] = {"Id", NULL, "Name"};
static const char *const keys[] = {"id", "uuid", "name"};

static char *make_list(bool as_json, bool headless, bool empty)
{
	struct list_report l;
	char *text;

	list_report_init(&l, as_json, 3, titles, keys);
	if (!empty) {
		list_report_shown_as(&l, "12", json_object_new_int(12));
		list_report_string(&l, "u-1");
		list_report_string(&l, "gr\xc3\xb6\xc3\x9f"
				       "e");
		list_report_shown_as(&l, "-", NULL);
		list_report_string(&l, "u-2");
		list_report_string(&l, NULL);
	}
	l.headless = headless;
	text = list_report_format(&l);
	list_report_fini(&l);
	return text;
}

static void check(char *text, const char *want, const char *name)
{
	is_str(text, want, name);
	free(text);
}

static void test_list(void)
{
	char *text;
	json *o = NULL;

	check(make_list(false, false, true), " Id   Name\n------------\n", "an empty list is its header");
	check(make_list(false, true, true), "", "or nothing");
	text = make_list(true, false, true);
	ok(json_parse(text, strlen(text), &o, NULL) == 0 && json_object_is_type(o, json_type_array) &&
			json_object_array_length(o) == 0,
		"or an empty array");
	free(text);
	json_object_put(o);
	check(make_list(false, true, false),
		" 12   gr\xc3\xb6\xc3\x9f"
		"e\n -    \n",
		"rows without a header");
	check(make_list(true, false, false),
		"[\n  {\n    \"id\": 12,\n    \"uuid\": \"u-1\",\n    \"name\": \"gr\xc3\xb6\xc3\x9f"
		"e\"\n  },\n"
		"  {\n    \"id\": null,\n    \"uuid\": \"u-2\",\n    \"name\": null\n  }\n]\n",
		"JSON has every column, and null for what there is not");
}

static void test_record(void)
{
	struct record r;

	for (int as_json = 0; as_json < 2; as_json++) {
		record_init(&r, as_json, 8);
		record_string(&r, "Name:", "name", "vm");
		record_shown_as(&r, "Size:", "size", json_object_new_int(5), "%d KiB", 5);
		record_shown_as(&r, NULL, "hidden", json_object_new_boolean(1), "%s", "");
		record_string(&r, "Note:", NULL, "x");
		check(record_format(&r),
			as_json ? "{\n  \"name\": \"vm\",\n  \"size\": 5,\n  \"hidden\": true\n}\n"
				: "Name:   vm\nSize:   5 KiB\nNote:   x\n",
			as_json ? "a record as JSON" : "a record as text");
		record_fini(&r);
	}
}

static void test_scale(void)
{
	const char *unit;

	ok(scale_bytes(1023, &unit) > 1022 && strcmp(unit, "B") == 0, "bytes");
	ok(scale_bytes(1536, &unit) == 1.5 && strcmp(unit, "KiB") == 0, "KiB");
	ok(scale_bytes(UINT64_MAX, &unit) < 16.1 && strcmp(unit, "EiB") == 0, "the largest there is");
}

static void test_params(void)
{
	struct rpc_param p[] = {
		{(char *)"state", {.type = RPC_PARAM_INT, .rpc_param_value_u.i = 1}},
		{(char *)"state.reason", {.type = RPC_PARAM_INT, .rpc_param_value_u.i = -1}},
		{(char *)"vcpu.0.time", {.type = RPC_PARAM_ULLONG, .rpc_param_value_u.ul = UINT64_MAX}},
		{(char *)"on", {.type = RPC_PARAM_BOOLEAN, .rpc_param_value_u.b = 1}},
	};
	json *o = params_to_json_tree(p, 4);
	char *text = json_format(o);
	uint64_t value;

	is_str(text,
		"{\"state\":{\"value\":1,\"reason\":-1},\"vcpu\":{\"0\":{\"time\":18446744073709551615}},"
		"\"on\":true}",
		"dotted names become a tree");
	free(text);
	json_object_put(o);
	ok(param_get_u64(p, 4, "vcpu.0.time", &value) && value == UINT64_MAX, "a number");
	ok(!param_get_u64(p, 4, "state.reason", &value), "but no negative one");
	ok(!param_get_u64(p, 4, "missing", &value), "nor one that is not there");
	check(param_format(&p[3]), "yes", "a boolean in words");
}

int main(void)
{
	setlocale(LC_ALL, "C.UTF-8");
	test_list();
	test_record();
	test_scale();
	test_params();
	return done_testing();
}
