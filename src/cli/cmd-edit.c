/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that change what is written about a VM: its XML, title, description and metadata. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "editor.h"
#include "frame.h"
#include "strv.h"

/* ---- edit ---- */

static int define_with(struct cli *cli, const char *xml, unsigned flags, struct error *err)
{
	struct rpc_xml_flags_args args = {.xml = (char *)xml, .flags = flags};
	struct rpc_domain_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_DEFINE_XML_FLAGS,
		CLIENT_ARGS(rpc_xml_flags_args, &args),
		CLIENT_RET(rpc_domain_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	payload_free((xdrproc_t)xdr_rpc_domain_ret, &r);
	return 0;
}

static int define_validated(struct cli *cli, const char *xml, void *userdata, struct error *err)
{
	return define_with(cli, xml, RPC_DEFINE_VALIDATE, err);
}

static int define_unvalidated(struct cli *cli, const char *xml, void *userdata, struct error *err)
{
	return define_with(cli, xml, 0, err);
}

int cmd_edit(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool skip = arguments_has(args, "skip-validate"), changed;
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;
	struct edit e = {
		.suffix = ".xml",
		.apply = skip ? define_unvalidated : define_validated,
		.apply_force = skip ? NULL : define_unvalidated,
	};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(
		    cli, RPC_DOMAIN_GET_XML_DESC, &dom, RPC_XML_INACTIVE | RPC_XML_SECURE, &xml, err) < 0)
		return error_prefix(err, "XML of %s", dom.name);
	e.text = xml;
	if (edit_run(cli, &e, &changed, err) < 0)
		return error_prefix(err, "edit %s", dom.name);
	cli_print_extra(
		cli, "Domain '%s' XML configuration %s.\n", dom.name, changed ? "edited" : "not changed");
	return 0;
}

/* ---- metadata ---- */

enum { METADATA_DESCRIPTION = 0, METADATA_TITLE = 1, METADATA_ELEMENT = 2 };

/* One piece of metadata: which, and of which definition. */
struct metadata {
	const struct rpc_domain *dom;
	int type;
	const char *uri, *key; /* elements only */
	unsigned flags;
};

static int get_metadata(struct cli *cli, const struct metadata *m, char **ret, struct error *err)
{
	char *uri = (char *)m->uri;
	struct rpc_get_metadata_args args = {
		.dom = *m->dom, .type = m->type, .uri = uri ? &uri : NULL, .flags = m->flags};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_GET_METADATA,
		CLIENT_ARGS(rpc_get_metadata_args, &args),
		CLIENT_RET(rpc_string_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

/* `text` NULL removes. */
static int set_metadata(struct cli *cli, const struct metadata *m, const char *text, struct error *err)
{
	char *value = (char *)text, *uri = (char *)m->uri, *key = (char *)m->key;
	struct rpc_set_metadata_args args = {
		.dom = *m->dom,
		.type = m->type,
		.metadata = value ? &value : NULL,
		.key = key ? &key : NULL,
		.uri = uri ? &uri : NULL,
		.flags = m->flags,
	};
	struct client_call call = {
		.procedure = RPC_DOMAIN_SET_METADATA, CLIENT_ARGS(rpc_set_metadata_args, &args)};

	return cli_call(cli, &call, err);
}

/* --live, --config, --current: which definition is meant. */
static int affect_flags(const struct arguments *args, unsigned *ret, struct error *err)
{
	if (arguments_exclusive(args, "current", "live", err) < 0 ||
		arguments_exclusive(args, "current", "config", err) < 0)
		return -1;
	*ret = arguments_flag(args, "live", RPC_AFFECT_LIVE) |
	       arguments_flag(args, "config", RPC_AFFECT_CONFIG);
	return 0;
}

static int apply_metadata(struct cli *cli, const char *text, void *userdata, struct error *err)
{
	const struct metadata *m = userdata;
	_cleanup_free_ char *line = xstrdup(text);
	size_t len = strlen(line);

	/* editors end the last line; a title must not have one */
	while (len > 0 && line[len - 1] == '\n')
		line[--len] = '\0';
	return set_metadata(cli, m, len > 0 ? line : NULL, err);
}

static int edit_metadata(
	struct cli *cli, struct metadata *m, const char *text, bool *ret_changed, struct error *err)
{
	_cleanup_free_ char *with_newline = xasprintf("%s\n", text ? text : "");
	struct edit e = {.text = with_newline,
		.suffix = m->type == METADATA_ELEMENT ? ".xml" : ".txt",
		.apply = apply_metadata,
		.userdata = m};

	return edit_run(cli, &e, ret_changed, err);
}

/* The title or description as it is; "" when there is none. */
static int get_text(struct cli *cli, const struct metadata *m, char **ret, struct error *err)
{
	struct error e = ERROR_INIT;

	if (get_metadata(cli, m, ret, &e) == 0)
		return 0;
	if (e.code != ERROR_NO_METADATA)
		return error_copy(err, &e);
	*ret = xstrdup("");
	return 0;
}

static int show_text(struct cli *cli, const struct metadata *m, const char *what, struct error *err)
{
	_cleanup_free_ char *text = NULL;

	if (get_text(cli, m, &text, err) < 0)
		return -1;
	if (cli->json) {
		_cleanup_json_ json *o = json_object_new_object();

		json_object_object_add(o, what, json_object_new_string(text));
		cli_print_json(cli, o);
	} else if (text[0]) {
		cli_print_last(cli, text);
	} else {
		cli_print_extra(cli, "No %s for domain: %s", what, m->dom->name);
	}
	return 0;
}

int cmd_desc(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool title = arguments_has(args, "title"), edit = arguments_has(args, "edit"), changed = true;
	const char *what = title ? "title" : "description";
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *text = arguments_join_rest(args), *old = NULL;
	struct metadata m = {.dom = &dom, .type = title ? METADATA_TITLE : METADATA_DESCRIPTION};
	int ret;

	if (affect_flags(args, &m.flags, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (!text && !edit)
		return show_text(cli, &m, what, err) < 0 ? error_prefix(err, "%s of %s", what, dom.name) : 0;
	if (edit) {
		ret = text ? 0 : get_text(cli, &m, &old, err);
		if (ret == 0)
			ret = edit_metadata(cli, &m, text ? text : old, &changed, err);
	} else {
		ret = set_metadata(cli, &m, text[0] ? text : NULL, err);
	}
	if (ret < 0)
		return error_prefix(err, "set the %s of %s", what, dom.name);
	cli_print_extra(cli, changed ? "Domain %s updated successfully" : "Domain %s not changed", what);
	return 0;
}

int cmd_metadata(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool edit = arguments_has(args, "edit"), remove = arguments_has(args, "remove"), changed = true;
	const char *set = arguments_string(args, "set");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *text = NULL;
	struct metadata m = {.dom = &dom, .type = METADATA_ELEMENT};
	int ret = 0;

	m.uri = arguments_string(args, "uri");
	m.key = arguments_string(args, "key");
	if (affect_flags(args, &m.flags, err) < 0 || arguments_exclusive(args, "set", "remove", err) < 0 ||
		arguments_exclusive(args, "edit", "set", err) < 0 ||
		arguments_exclusive(args, "edit", "remove", err) < 0)
		return -1;
	if ((set || edit) && !m.key)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--key is needed: the prefix of the namespace %s", m.uri);
	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (set || remove)
		ret = set_metadata(cli, &m, set, err);
	else
		ret = edit ? get_text(cli, &m, &text, err) : get_metadata(cli, &m, &text, err);
	if (ret == 0 && edit)
		ret = edit_metadata(cli, &m, text, &changed, err);
	if (ret < 0)
		return error_prefix(err, "metadata of %s", dom.name);
	if (!set && !remove && !edit)
		cli_print(cli, "%s\n", text);
	else if (remove)
		cli_print_extra(cli, "Metadata removed\n");
	else
		cli_print_extra(cli, changed ? "Metadata modified\n" : "Metadata not changed\n");
	return 0;
}
