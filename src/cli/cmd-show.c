/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that show what a VM is and how it is doing. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "frame.h"
#include "own.h"
#include "strv.h"
#include "xml-filter.h"

static int get_state(
	struct cli *cli, const struct rpc_domain *dom, struct rpc_domain_state_ret *ret, struct error *err)
{
	struct rpc_domain_flags_args args = {*dom, 0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_STATE,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_domain_state_ret, ret)};

	return cli_call(cli, &call, err);
}

int cmd_domstate(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_state_ret r = {0};
	const char *state, *reason;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (get_state(cli, &dom, &r, err) < 0)
		return error_prefix(err, "state of %s", dom.name);
	state = domain_state_name(r.state);
	reason = domain_reason_name(r.state, r.reason);
	if (cli->json) {
		_cleanup_json_ json *o =
			json_pack("s:name", dom.name, "s:state", state, "s:reason", reason, NULL);

		cli_print_json(cli, o);
	} else if (arguments_has(args, "reason")) {
		cli_print(cli, "%s (%s)\n", state, reason);
	} else {
		cli_print(cli, "%s\n", state);
	}
	return 0;
}

/* ---- name, id, UUID ---- */

/* The three handles as JSON, or just the one that was asked for. */
static int print_handle(
	struct cli *cli, const struct arguments *args, unsigned by, const char *what, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	char uuid[UUID_TEXT_MAX];

	if (cli_find_domain(cli, args, by, &dom, err) < 0)
		return -1;
	uuid_format((const uint8_t *)dom.uuid, uuid);
	if (cli->json) {
		_cleanup_json_ json *o = json_pack("s:name", dom.name, "s:uuid", uuid, "o:id",
			dom.id >= 0 ? json_object_new_int(dom.id) : NULL, NULL);

		cli_print_json(cli, o);
	} else if (streq(what, "name")) {
		cli_print(cli, "%s\n", dom.name);
	} else if (streq(what, "uuid")) {
		cli_print(cli, "%s\n", uuid);
	} else if (dom.id >= 0) {
		cli_print(cli, "%d\n", dom.id);
	} else {
		cli_print(cli, "-\n");
	}
	return 0;
}

int cmd_domname(struct cli *cli, const struct arguments *args, struct error *err)
{
	return print_handle(cli, args, BY_ID | BY_UUID, "name", err);
}

int cmd_domid(struct cli *cli, const struct arguments *args, struct error *err)
{
	return print_handle(cli, args, BY_NAME | BY_UUID, "id", err);
}

int cmd_domuuid(struct cli *cli, const struct arguments *args, struct error *err)
{
	return print_handle(cli, args, BY_NAME | BY_ID, "uuid", err);
}

/* ---- dominfo ---- */

static int add_info(struct cli *cli, const struct rpc_domain *dom, struct record *r, struct error *err)
{
	struct rpc_domain_info_ret info = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_INFO,
		CLIENT_ARGS(rpc_domain, dom),
		CLIENT_RET(rpc_domain_info_ret, &info)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	record_string(r, "State:", "state", domain_state_name(info.state));
	record_shown_as(r, "CPU(s):", "vcpus", json_object_new_int(info.vcpus), "%u", info.vcpus);
	record_shown_as(r, info.cpu_time_ns ? "CPU time:" : NULL, "cpu_time_ns",
		json_object_new_uint64(info.cpu_time_ns), "%.1fs", (double)info.cpu_time_ns / 1e9);
	if (info.max_memory_kib == UINT64_MAX)
		record_shown_as(r, "Max memory:", "max_memory_kib", NULL, "no limit");
	else
		record_shown_as(r, "Max memory:", "max_memory_kib",
			json_object_new_uint64(info.max_memory_kib), "%llu KiB",
			(unsigned long long)info.max_memory_kib);
	record_shown_as(r, "Used memory:", "memory_kib", json_object_new_uint64(info.memory_kib), "%llu KiB",
		(unsigned long long)info.memory_kib);
	return 0;
}

/* Lines that a daemon may not know are left out rather than failing. */
static void add_flags(struct cli *cli, const struct rpc_domain *dom, struct record *r)
{
	int value;

	if (cli_ask_domain_int(cli, RPC_DOMAIN_IS_PERSISTENT, dom, &value, NULL) == 0)
		record_shown_as(r, "Persistent:", "persistent", json_object_new_boolean(value), "%s",
			value ? "yes" : "no");
	if (cli_ask_domain_int(cli, RPC_DOMAIN_GET_AUTOSTART, dom, &value, NULL) == 0)
		record_shown_as(r, "Autostart:", "autostart", json_object_new_boolean(value), "%s",
			value ? "enable" : "disable");
	if (cli_ask_domain_int(cli, RPC_DOMAIN_GET_AUTOSTART_ONCE, dom, &value, NULL) == 0)
		record_shown_as(r, "Autostart Once:", "autostart_once", json_object_new_boolean(value), "%s",
			value ? "enable" : "disable");
	if (cli_ask_domain_flags_int(cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, dom, 0, &value, NULL) == 0)
		record_shown_as(r, "Managed save:", "managed_save", json_object_new_boolean(value), "%s",
			value ? "yes" : "no");
}

static void add_security(struct cli *cli, const struct rpc_domain *dom, struct record *r)
{
	struct rpc_security_model_ret model = {0};
	struct rpc_security_label_ret label = {0};
	struct client_call model_call = {
		.procedure = RPC_NODE_GET_SECURITY_MODEL, CLIENT_RET(rpc_security_model_ret, &model)};
	struct client_call label_call = {.procedure = RPC_DOMAIN_GET_SECURITY_LABEL,
		CLIENT_ARGS(rpc_domain, dom),
		CLIENT_RET(rpc_security_label_ret, &label)};

	if (cli_call(cli, &model_call, NULL) < 0)
		return;
	if (model.model.model_len > 0 && model.model.model_val[0]) {
		_cleanup_free_ char *name = xstrndup(model.model.model_val, model.model.model_len);
		_cleanup_free_ char *doi = xstrndup(model.doi.doi_val, model.doi.doi_len);

		record_string(r, "Security model:", "security_model", name);
		record_string(r, "Security DOI:", "security_doi", doi);
		if (cli_call(cli, &label_call, NULL) == 0 && label.label.label_len > 0 &&
			label.label.label_val[0]) {
			_cleanup_free_ char *text = xstrndup(label.label.label_val, label.label.label_len);

			record_shown_as(r, "Security label:", "security_label", json_object_new_string(text),
				"%s (%s)", text, label.enforcing ? "enforcing" : "permissive");
		}
	}
	payload_free((xdrproc_t)xdr_rpc_security_model_ret, &model);
	payload_free((xdrproc_t)xdr_rpc_security_label_ret, &label);
}

/* Only godwit's daemon knows; with any other there is no such line. */
static void add_restore(struct cli *cli, const struct rpc_domain *dom, struct record *r)
{
	struct rpc_domain_args args = {*dom};
	struct rpc_restore_info_ret info = {0};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_RESTORE_INFO,
		CLIENT_ARGS(rpc_domain_args, &args),
		CLIENT_RET(rpc_restore_info_ret, &info)};

	if (dom->id < 0 || cli_call(cli, &call, NULL) < 0)
		return;
	if (info.lazily)
		record_string(r, "Restored:", "restored", "lazily");
	else if (info.why)
		record_shown_as(r, "Restored:", "restored", json_object_new_string("eagerly"), "eagerly: %s",
			*info.why);
	if (info.why)
		record_shown_as(r, NULL, "restored_why", json_object_new_string(*info.why), "%s", "");
	if (info.is_coming_in)
		record_shown_as(r, "Memory in:", "memory_in",
			json_pack("u:bytes", (uint64_t)info.memory_in, "u:total", (uint64_t)info.memory_total,
				NULL),
			"%llu of %llu MiB, the rest follows", (unsigned long long)info.memory_in >> 20,
			(unsigned long long)info.memory_total >> 20);
	if (info.trouble)
		record_string(r, "Trouble:", "trouble", *info.trouble);
	payload_free((xdrproc_t)xdr_rpc_restore_info_ret, &info);
}

static void add_messages(struct cli *cli, const struct rpc_domain *dom, struct record *r)
{
	struct rpc_domain_flags_args args = {*dom, 0};
	struct rpc_domain_messages_ret messages = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_MESSAGES,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_domain_messages_ret, &messages)};
	json *all;

	if (cli_call(cli, &call, NULL) < 0)
		return;
	all = json_object_new_array();
	for (u_int i = 0; i < messages.messages.messages_len; i++) {
		const char *text = messages.messages.messages_val[i];

		json_object_array_add(all, json_object_new_string(text));
		record_string(r, i == 0 ? "Messages:" : "", NULL, text);
	}
	record_shown_as(r, NULL, "messages", all, "%s", "");
	payload_free((xdrproc_t)xdr_rpc_domain_messages_ret, &messages);
}

int cmd_dominfo(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *os_type = NULL;
	char uuid[UUID_TEXT_MAX];
	struct record r;
	int ret;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	uuid_format((const uint8_t *)dom.uuid, uuid);
	record_init(&r, cli->json, 16);
	if (dom.id >= 0)
		record_shown_as(&r, "Id:", "id", json_object_new_int(dom.id), "%d", dom.id);
	else
		record_shown_as(&r, "Id:", "id", NULL, "-");
	record_string(&r, "Name:", "name", dom.name);
	record_string(&r, "UUID:", "uuid", uuid);
	if (cli_ask_domain_string(cli, RPC_DOMAIN_GET_OS_TYPE, &dom, 0, &os_type, NULL) == 0)
		record_string(&r, "OS Type:", "os_type", os_type);
	ret = add_info(cli, &dom, &r, err);
	if (ret == 0) {
		add_flags(cli, &dom, &r);
		add_restore(cli, &dom, &r);
		add_security(cli, &dom, &r);
		add_messages(cli, &dom, &r);
		cli_print_record(cli, &r);
	} else {
		error_prefix(err, "information about %s", dom.name);
	}
	record_fini(&r);
	return ret;
}

int cmd_domcontrol(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_flags_args a;
	struct rpc_domain_control_info_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_CONTROL_INFO,
		CLIENT_ARGS(rpc_domain_flags_args, &a),
		CLIENT_RET(rpc_domain_control_info_ret, &r)};
	const char *state;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_flags_args){dom, 0};
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "control interface of %s", dom.name);
	state = control_state_name((int)r.state);
	if (cli->json) {
		_cleanup_json_ json *o =
			json_pack("s:state", state, "u:time_ms", (uint64_t)r.state_time_ms, NULL);

		cli_print_json(cli, o);
	} else if (r.state != RPC_CONTROL_OK) {
		cli_print(cli, "%s (%0.3fs)\n", state, (double)r.state_time_ms / 1000);
	} else {
		cli_print(cli, "%s\n", state);
	}
	return 0;
}

/* ---- documents ---- */

int cmd_dumpxml(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "inactive", RPC_XML_INACTIVE) |
			 arguments_flag(args, "security-info", RPC_XML_SECURE) |
			 arguments_flag(args, "update-cpu", RPC_XML_UPDATE_CPU) |
			 arguments_flag(args, "migratable", RPC_XML_MIGRATABLE);
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(cli, RPC_DOMAIN_GET_XML_DESC, &dom, flags, &xml, err) < 0)
		return error_prefix(err, "XML of %s", dom.name);
	return xml_filter_print(cli, args, xml, err);
}

int cmd_domxml_to_native(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *format = arguments_string(args, "format"), *file = arguments_string(args, "xml");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;
	struct rpc_xml_to_native_args a = {.format = (char *)format};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_CONNECT_DOMAIN_XML_TO_NATIVE,
		CLIENT_ARGS(rpc_xml_to_native_args, &a),
		CLIENT_RET(rpc_string_ret, &r)};

	if (!file == !arguments_has(args, "domain"))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"domxml-to-native needs either --xml FILE or --domain VM");
	if (file) {
		if (cli_read_file(file, &xml, err) < 0)
			return -1;
	} else if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0 ||
		   cli_ask_domain_string(cli, RPC_DOMAIN_GET_XML_DESC, &dom,
			   RPC_XML_INACTIVE | RPC_XML_SECURE, &xml, err) < 0) {
		return -1;
	}
	a.xml = xml;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "convert %s", file ? file : dom.name);
	cli_print(cli, "%s", r.value);
	payload_free((xdrproc_t)xdr_rpc_string_ret, &r);
	return 0;
}
