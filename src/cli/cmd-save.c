/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that put a VM down and pick it up again, and look into what they wrote. */
#include "alloc.h"
#include "commands.h"
#include "constants.h"
#include "editor.h"
#include "frame.h"
#include "job-watch.h"
#include "own.h"
#include "strv.h"
#include "xml-filter.h"

static int save_flags(const struct arguments *args, unsigned *ret, struct error *err)
{
	*ret = arguments_flag(args, "running", RPC_SAVE_RUNNING) |
	       arguments_flag(args, "paused", RPC_SAVE_PAUSED);
	return arguments_exclusive(args, "running", "paused", err);
}

/* ---- parameters of SAVE_PARAMS and RESTORE_PARAMS ---- */

struct params {
	struct rpc_param items[8];
	u_int n;
};

static void add_string(struct params *p, const char *field, const char *value)
{
	if (!value)
		return;
	p->items[p->n].field = (char *)field;
	p->items[p->n].value.type = RPC_PARAM_STRING;
	p->items[p->n++].value.rpc_param_value_u.s = (char *)value;
}

/* --image-format and --parallel-channels; false when neither was given. */
static int add_tuning(struct params *p, const struct arguments *args, const char *format, struct error *err)
{
	uint64_t channels = arguments_number(args, "parallel-channels", 0);

	if (arguments_has(args, "parallel-channels")) {
		if (channels == 0 || channels > INT32_MAX)
			return error_set(
				err, ERROR_INVALID_ARGUMENT, "--parallel-channels must be at least 1");
		p->items[p->n].field = (char *)RPC_SAVE_PARAM_CHANNELS;
		p->items[p->n].value.type = RPC_PARAM_INT;
		p->items[p->n++].value.rpc_param_value_u.i = (int)channels;
	}
	add_string(p, RPC_SAVE_PARAM_FORMAT, format);
	return 0;
}

/* ---- save and restore ---- */

/* --hurry: of a VM whose memory is still coming in, have the rest at once; nothing to do for any other. */
static int hurry(
	struct cli *cli, const struct rpc_domain *dom, const struct arguments *args, struct error *err)
{
	struct rpc_domain_args a = {*dom};
	struct client_call call = {.program = RPC_PROGRAM_GODWIT,
		.procedure = RPC_GODWIT_RESTORE_HURRY,
		CLIENT_ARGS(rpc_domain_args, &a)};

	return arguments_has(args, "hurry") ? cli_call(cli, &call, err) : 0;
}

static int call_save(struct cli *cli, const struct rpc_domain *dom, const struct arguments *args,
	const char *path, const char *xml, unsigned flags, struct error *err)
{
	struct params p = {0};
	char *document = (char *)xml;
	struct rpc_domain_save_flags_args plain = {
		.dom = *dom, .to = (char *)path, .xml = document ? &document : NULL, .flags = flags};
	struct rpc_domain_params_args tuned = {.dom = *dom, .flags = flags};
	struct client_call call = {
		.procedure = RPC_DOMAIN_SAVE_FLAGS, CLIENT_ARGS(rpc_domain_save_flags_args, &plain)};
	struct job_watch watch = {.call = &call, .dom = dom, .title = "Save", .object = dom->name};

	if (add_tuning(&p, args, arguments_string(args, "image-format"), err) < 0)
		return -1;
	if (p.n > 0) {
		/* a daemon that knows only the older call can still do the rest */
		add_string(&p, RPC_SAVE_PARAM_FILE, path);
		add_string(&p, RPC_SAVE_PARAM_XML, xml);
		tuned.params.rpc_params_len = p.n;
		tuned.params.rpc_params_val = p.items;
		call = (struct client_call){
			.procedure = RPC_DOMAIN_SAVE_PARAMS, CLIENT_ARGS(rpc_domain_params_args, &tuned)};
	}
	watch.show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	return job_watch_run(cli, &watch, err);
}

int cmd_save(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file"), *xml_file = arguments_string(args, "xml");
	_cleanup_free_ char *path = cli_absolute_path(file), *xml = NULL;
	_cleanup_domain_ struct rpc_domain dom = {0};
	unsigned flags;

	if (save_flags(args, &flags, err) < 0 || (xml_file && cli_read_file(xml_file, &xml, err) < 0) ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	flags |= arguments_flag(args, "bypass-cache", RPC_SAVE_BYPASS_CACHE);
	if (hurry(cli, &dom, args, err) < 0 || call_save(cli, &dom, args, path, xml, flags, err) < 0)
		return error_prefix(err, "save %s to %s", dom.name, file);
	cli_print_extra(cli, "\nDomain '%s' saved to %s\n", dom.name, file);
	return 0;
}

static int get_image_xml(struct cli *cli, const char *path, unsigned flags, char **ret, struct error *err)
{
	struct rpc_xml_flags_args args = {.xml = (char *)path, .flags = flags};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_SAVE_IMAGE_GET_XML_DESC,
		CLIENT_ARGS(rpc_xml_flags_args, &args),
		CLIENT_RET(rpc_string_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

/* Whose image is it? Only for showing progress, so not knowing is fine: false. `ret` is owned by the caller. */
static bool find_restored(struct cli *cli, const char *path, struct rpc_domain *ret)
{
	_cleanup_free_ char *xml = NULL, *name = NULL, *uuid = NULL;

	if (get_image_xml(cli, path, 0, &xml, NULL) < 0)
		return false;
	name = xml_select(xml, "/domain/name/text()");
	uuid = xml_select(xml, "/domain/uuid/text()");
	if (!name || !uuid || !uuid_parse(uuid, (uint8_t *)ret->uuid))
		return false;
	ret->name = TAKE_PTR(name);
	ret->id = -1;
	return true;
}

int cmd_restore(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file"), *xml_file = arguments_string(args, "xml");
	_cleanup_free_ char *path = cli_absolute_path(file), *xml = NULL;
	bool show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct params p = {0};
	struct rpc_domain_restore_flags_args plain = {.from = path};
	struct rpc_params_args tuned = {0};
	struct rpc_godwit_restore_args own = {.extra = cli_start_extra(args)};
	struct client_call call = {
		.procedure = RPC_DOMAIN_RESTORE_FLAGS, CLIENT_ARGS(rpc_domain_restore_flags_args, &plain)};
	struct job_watch watch = {.call = &call, .title = "Restore", .object = file};

	if (save_flags(args, &plain.flags, err) < 0 || (xml_file && cli_read_file(xml_file, &xml, err) < 0))
		return -1;
	plain.flags |= arguments_flag(args, "bypass-cache", RPC_SAVE_BYPASS_CACHE) |
		       arguments_flag(args, "reset-nvram", RPC_SAVE_RESET_NVRAM);
	plain.xml = xml ? &xml : NULL;
	if (add_tuning(&p, args, NULL, err) < 0)
		return -1;
	if (p.n > 0 || own.extra) {
		add_string(&p, RPC_SAVE_PARAM_FILE, path);
		add_string(&p, RPC_SAVE_PARAM_XML, xml);
		tuned = (struct rpc_params_args){.params = {p.n, p.items}, .flags = plain.flags};
		call = (struct client_call){
			.procedure = RPC_DOMAIN_RESTORE_PARAMS, CLIENT_ARGS(rpc_params_args, &tuned)};
	}
	if (own.extra) {
		own.params = tuned.params;
		own.flags = tuned.flags;
		call = (struct client_call){.program = RPC_PROGRAM_GODWIT,
			.procedure = RPC_GODWIT_DOMAIN_RESTORE,
			CLIENT_ARGS(rpc_godwit_restore_args, &own)};
	}
	if (show && find_restored(cli, path, &dom))
		watch.dom = &dom;
	watch.show = show && watch.dom;
	if (job_watch_run(cli, &watch, err) < 0)
		return error_prefix(err, "restore %s", file);
	cli_print_extra(cli, "Domain restored from %s\n", file);
	return 0;
}

int cmd_save_image_dumpxml(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file");
	_cleanup_free_ char *path = cli_absolute_path(file), *xml = NULL;

	if (get_image_xml(cli, path, arguments_flag(args, "security-info", RPC_XML_SECURE), &xml, err) < 0)
		return error_prefix(err, "XML in %s", file);
	return xml_filter_print(cli, args, xml, err);
}

/* Which image an edited XML goes into, and how it shall be restored. */
struct image {
	const char *path;	      /* of a file ... */
	const struct rpc_domain *dom; /* ... or the managed save of this VM */
	unsigned flags;
};

static int define_image_xml(struct cli *cli, const char *xml, void *userdata, struct error *err)
{
	const struct image *image = userdata;
	char *document = (char *)xml;
	struct rpc_save_image_define_args file_args = {
		.file = (char *)image->path, .xml = document, .flags = image->flags};
	struct rpc_managed_save_define_args managed_args = {.xml = &document, .flags = image->flags};
	struct client_call call;

	if (image->dom) {
		managed_args.dom = *image->dom;
		call = (struct client_call){.procedure = RPC_DOMAIN_MANAGED_SAVE_DEFINE_XML,
			CLIENT_ARGS(rpc_managed_save_define_args, &managed_args)};
	} else {
		call = (struct client_call){.procedure = RPC_DOMAIN_SAVE_IMAGE_DEFINE_XML,
			CLIENT_ARGS(rpc_save_image_define_args, &file_args)};
	}
	return cli_call(cli, &call, err);
}

int cmd_save_image_define(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file");
	_cleanup_free_ char *path = cli_absolute_path(file), *xml = NULL;
	struct image image = {.path = path};

	if (save_flags(args, &image.flags, err) < 0 ||
		cli_read_file(arguments_string(args, "xml"), &xml, err) < 0)
		return -1;
	if (define_image_xml(cli, xml, &image, err) < 0)
		return error_prefix(err, "change the XML in %s", file);
	cli_print_extra(cli, "State file %s updated.\n", file);
	return 0;
}

int cmd_save_image_edit(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file");
	_cleanup_free_ char *path = cli_absolute_path(file), *xml = NULL;
	struct image image = {.path = path};
	struct edit e = {.suffix = ".xml", .apply = define_image_xml, .userdata = &image};
	bool changed;

	if (save_flags(args, &image.flags, err) < 0)
		return -1;
	if (get_image_xml(cli, path, RPC_XML_SECURE, &xml, err) < 0)
		return error_prefix(err, "XML in %s", file);
	e.text = xml;
	if (edit_run(cli, &e, &changed, err) < 0)
		return error_prefix(err, "edit %s", file);
	if (changed)
		cli_print_extra(cli, "State file %s edited.\n", file);
	else
		cli_print_extra(cli, "Saved image %s XML configuration not changed.\n", file);
	return 0;
}

/* ---- managed save ---- */

int cmd_managedsave(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_flags_args a;
	struct client_call call = {
		.procedure = RPC_DOMAIN_MANAGED_SAVE, CLIENT_ARGS(rpc_domain_flags_args, &a)};
	struct job_watch watch = {.call = &call, .dom = &dom, .title = "Managedsave"};
	unsigned flags;

	if (save_flags(args, &flags, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_flags_args){
		dom, flags | arguments_flag(args, "bypass-cache", RPC_SAVE_BYPASS_CACHE)};
	watch.object = dom.name;
	watch.show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	if (hurry(cli, &dom, args, err) < 0 || job_watch_run(cli, &watch, err) < 0)
		return error_prefix(err, "save %s", dom.name);
	cli_print_extra(cli, "\nDomain '%s' state saved by godwit\n", dom.name);
	return 0;
}

int cmd_managedsave_remove(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	int saved = 0;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_flags_int(cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &dom, 0, &saved, err) < 0 ||
		(saved && cli_call_domain_flags(cli, RPC_DOMAIN_MANAGED_SAVE_REMOVE, &dom, 0, err) < 0))
		return error_prefix(err, "remove the managed save of %s", dom.name);
	if (saved)
		cli_print_extra(cli, "Removed managedsave image for domain '%s'", dom.name);
	else
		cli_print_extra(cli, "Domain '%s' has no manage save image; removal skipped", dom.name);
	return 0;
}

int cmd_managedsave_dumpxml(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(cli, RPC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, &dom,
		    arguments_flag(args, "security-info", RPC_XML_SECURE), &xml, err) < 0)
		return error_prefix(err, "XML in the managed save of %s", dom.name);
	return xml_filter_print(cli, args, xml, err);
}

int cmd_managedsave_define(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;
	struct image image = {.dom = &dom};

	if (save_flags(args, &image.flags, err) < 0 ||
		cli_read_file(arguments_string(args, "xml"), &xml, err) < 0 ||
		cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (define_image_xml(cli, xml, &image, err) < 0)
		return error_prefix(err, "change the XML in the managed save of %s", dom.name);
	cli_print_extra(cli, "Managed save state file of domain '%s' updated.\n", dom.name);
	return 0;
}

int cmd_managedsave_edit(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;
	struct image image = {.dom = &dom};
	struct edit e = {.suffix = ".xml", .apply = define_image_xml, .userdata = &image};
	bool changed;

	if (save_flags(args, &image.flags, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_ask_domain_string(
		    cli, RPC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, &dom, RPC_XML_SECURE, &xml, err) < 0)
		return error_prefix(err, "XML in the managed save of %s", dom.name);
	e.text = xml;
	if (edit_run(cli, &e, &changed, err) < 0)
		return error_prefix(err, "edit the managed save of %s", dom.name);
	if (changed)
		cli_print_extra(
			cli, "Managed save image of Domain '%s' XML configuration edited.\n", dom.name);
	else
		cli_print_extra(
			cli, "Managed save image of domain '%s' XML configuration not changed.\n", dom.name);
	return 0;
}
