/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that define VMs and start and stop them. */
#include "commands.h"

#include "alloc.h"
#include "console.h"
#include "constants.h"
#include "frame.h"
#include "job-watch.h"
#include "own.h"
#include "strv.h"

/* ---- from XML ---- */

/* `procedure` makes a VM out of XML and flags. */
static int make_domain(struct cli *cli, int procedure, const char *xml, unsigned flags,
	struct rpc_domain *ret, struct error *err)
{
	struct rpc_xml_flags_args args = {.xml = (char *)xml, .flags = flags};
	struct rpc_domain_ret r = {0};
	struct client_call call = {.procedure = procedure,
		CLIENT_ARGS(rpc_xml_flags_args, &args),
		CLIENT_RET(rpc_domain_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.dom;
	replace_string(&cli->vm_name, ret->name);
	return 0;
}

int cmd_define(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file");
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (cli_read_file(file, &xml, err) < 0)
		return -1;
	if (make_domain(cli, RPC_DOMAIN_DEFINE_XML_FLAGS, xml,
		    arguments_flag(args, "validate", RPC_DEFINE_VALIDATE), &dom, err) < 0)
		return error_prefix(err, "define %s", file);
	cli_print_extra(cli, "Domain '%s' defined from %s\n", dom.name, file);
	return 0;
}

int cmd_create(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *file = arguments_string(args, "file");
	bool console = arguments_has(args, "console"), paused = arguments_has(args, "paused");
	unsigned flags = arguments_flag(args, "validate", RPC_START_VALIDATE) |
			 arguments_flag(args, "autodestroy", RPC_START_AUTODESTROY) |
			 arguments_flag(args, "reset-nvram", RPC_START_RESET_NVRAM);
	_cleanup_domain_ struct rpc_domain dom = {0};
	_cleanup_free_ char *xml = NULL;

	if (cli_read_file(file, &xml, err) < 0)
		return -1;
	/* with the console the guest waits until it is connected, so that its first words are not lost */
	if (paused || console)
		flags |= RPC_START_PAUSED;
	if (make_domain(cli, RPC_DOMAIN_CREATE_XML, xml, flags, &dom, err) < 0)
		return error_prefix(err, "create %s", file);
	cli_print_extra(cli, "Domain '%s' created from %s\n", dom.name, file);
	return console ? console_run(cli, &dom, NULL, 0, !paused, err) : 0;
}

int cmd_undefine(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "managed-save", RPC_UNDEFINE_MANAGED_SAVE) |
			 arguments_flag(args, "snapshots-metadata", RPC_UNDEFINE_SNAPSHOTS_METADATA) |
			 arguments_flag(args, "checkpoints-metadata", RPC_UNDEFINE_CHECKPOINTS_METADATA) |
			 arguments_flag(args, "nvram", RPC_UNDEFINE_NVRAM) |
			 arguments_flag(args, "keep-nvram", RPC_UNDEFINE_KEEP_NVRAM) |
			 arguments_flag(args, "tpm", RPC_UNDEFINE_TPM) |
			 arguments_flag(args, "keep-tpm", RPC_UNDEFINE_KEEP_TPM);
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (arguments_exclusive(args, "nvram", "keep-nvram", err) < 0 ||
		arguments_exclusive(args, "tpm", "keep-tpm", err) < 0)
		return -1;
	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_UNDEFINE_FLAGS, &dom, flags, err) < 0)
		return error_prefix(err, "undefine %s", dom.name);
	cli_print_extra(cli, "Domain '%s' has been undefined\n", dom.name);
	return 0;
}

/* ---- start ---- */

/* `args.extra` 0 needs nothing but libvirt's call, so that it works with any daemon of the protocol. */
static int start_domain(
	struct cli *cli, const struct rpc_godwit_start_args *args, bool show, struct error *err)
{
	const struct rpc_domain *dom = &args->dom;
	struct rpc_domain_flags_args plain = {args->dom, args->flags};
	struct rpc_domain_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_CREATE_WITH_FLAGS,
		CLIENT_ARGS(rpc_domain_flags_args, &plain),
		CLIENT_RET(rpc_domain_ret, &r)};
	struct job_watch watch = {
		.call = &call, .dom = dom, .title = "Start", .object = dom->name, .show = show};

	if (args->extra)
		call = (struct client_call){.program = RPC_PROGRAM_GODWIT,
			.procedure = RPC_GODWIT_DOMAIN_START,
			CLIENT_ARGS(rpc_godwit_start_args, args),
			CLIENT_RET(rpc_domain_ret, &r)};
	if (job_watch_run(cli, &watch, err) < 0)
		return error_prefix(err, "start %s", dom->name);
	payload_free((xdrproc_t)xdr_rpc_domain_ret, &r);
	return 0;
}

unsigned cli_start_extra(const struct arguments *args)
{
	return arguments_flag(args, "force", RPC_GODWIT_FORCE) |
	       arguments_flag(args, "eager", RPC_GODWIT_EAGER);
}

int cmd_start(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool console = arguments_has(args, "console"), paused = arguments_has(args, "paused");
	bool show = job_watch_wanted(cli, arguments_has(args, "verbose"));
	unsigned flags = arguments_flag(args, "autodestroy", RPC_START_AUTODESTROY) |
			 arguments_flag(args, "bypass-cache", RPC_START_BYPASS_CACHE) |
			 arguments_flag(args, "force-boot", RPC_START_FORCE_BOOT) |
			 arguments_flag(args, "reset-nvram", RPC_START_RESET_NVRAM);
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_godwit_start_args a;
	int saved = 0;

	if (cli_find_domain(cli, args, BY_NAME | BY_UUID, &dom, err) < 0)
		return -1;
	if (paused || console)
		flags |= RPC_START_PAUSED;
	/* a boot has no progress to show, coming back from a managed save has */
	if (show && !(flags & RPC_START_FORCE_BOOT) &&
		cli_ask_domain_flags_int(cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &dom, 0, &saved, NULL) < 0)
		saved = 0;
	a = (struct rpc_godwit_start_args){.dom = dom, .flags = flags, .extra = cli_start_extra(args)};
	if (start_domain(cli, &a, show && saved, err) < 0)
		return -1;
	cli_print_extra(cli, "Domain '%s' started\n", dom.name);
	return console ? console_run(cli, &dom, NULL, 0, !paused, err) : 0;
}

/* ---- stop ---- */

static int parse_mode(const struct arguments *args, unsigned *ret, struct error *err)
{
	static const char *const names[] = {"acpi", "agent", "initctl", "signal", "paravirt"};
	const char *mode = arguments_string(args, "mode");
	unsigned flags = 0;

	for (const char *p = mode; p && *p;) {
		size_t n = strcspn(p, ","), i = 0;

		while (i < ARRAY_SIZE(names) && (strlen(names[i]) != n || strncmp(names[i], p, n) != 0))
			i++;
		if (i == ARRAY_SIZE(names))
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"unknown mode '%.*s': it is acpi, agent, initctl, signal or paravirt", (int)n,
				p);
		flags |= 1u << i;
		p += n + (p[n] == ',');
	}
	*ret = flags;
	return 0;
}

int cmd_shutdown(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	unsigned flags;

	if (parse_mode(args, &flags, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_SHUTDOWN_FLAGS, &dom, flags, err) < 0)
		return error_prefix(err, "shut down %s", dom.name);
	cli_print_extra(cli, "Domain '%s' is being shutdown\n", dom.name);
	return 0;
}

int cmd_reboot(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	unsigned flags;

	if (parse_mode(args, &flags, err) < 0 || cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_REBOOT, &dom, flags, err) < 0)
		return error_prefix(err, "reboot %s", dom.name);
	cli_print_extra(cli, "Domain '%s' is being rebooted\n", dom.name);
	return 0;
}

int cmd_destroy(struct cli *cli, const struct arguments *args, struct error *err)
{
	unsigned flags = arguments_flag(args, "graceful", RPC_DESTROY_GRACEFUL) |
			 arguments_flag(args, "remove-logs", RPC_DESTROY_REMOVE_LOGS);
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_DESTROY_FLAGS, &dom, flags, err) < 0)
		return error_prefix(err, "destroy %s", dom.name);
	cli_print_extra(cli, "Domain '%s' destroyed\n", dom.name);
	return 0;
}

int cmd_reset(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_RESET, &dom, 0, err) < 0)
		return error_prefix(err, "reset %s", dom.name);
	cli_print_extra(cli, "Domain '%s' was reset\n", dom.name);
	return 0;
}

int cmd_suspend(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain(cli, RPC_DOMAIN_SUSPEND, &dom, err) < 0)
		return error_prefix(err, "suspend %s", dom.name);
	cli_print_extra(cli, "Domain '%s' suspended\n", dom.name);
	return 0;
}

int cmd_resume(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain(cli, RPC_DOMAIN_RESUME, &dom, err) < 0)
		return error_prefix(err, "resume %s", dom.name);
	cli_print_extra(cli, "Domain '%s' resumed\n", dom.name);
	return 0;
}

int cmd_inject_nmi(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	if (cli_call_domain_flags(cli, RPC_DOMAIN_INJECT_NMI, &dom, 0, err) < 0)
		return error_prefix(err, "inject an NMI into %s", dom.name);
	return 0;
}

/* ---- small changes ---- */

int cmd_autostart(struct cli *cli, const struct arguments *args, struct error *err)
{
	bool on = !arguments_has(args, "disable"), once = arguments_has(args, "once");
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct rpc_domain_int_args a;
	struct client_call call = {
		.procedure = once ? RPC_DOMAIN_SET_AUTOSTART_ONCE : RPC_DOMAIN_SET_AUTOSTART,
		CLIENT_ARGS(rpc_domain_int_args, &a),
	};

	if (cli_find_domain(cli, args, BY_ANY, &dom, err) < 0)
		return -1;
	a = (struct rpc_domain_int_args){dom, on};
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "%s autostart of %s", on ? "set" : "clear", dom.name);
	cli_print_extra(cli, "Domain '%s' %s as autostarted%s\n", dom.name, on ? "marked" : "unmarked",
		once ? " for next boot" : "");
	return 0;
}

int cmd_domrename(struct cli *cli, const struct arguments *args, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	char *name = (char *)arguments_string(args, "new-name");
	struct rpc_rename_args a = {.name = &name};
	struct rpc_int_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_RENAME,
		CLIENT_ARGS(rpc_rename_args, &a),
		CLIENT_RET(rpc_int_ret, &r)};

	if (cli_find_domain(cli, args, BY_NAME | BY_UUID, &dom, err) < 0)
		return -1;
	a.dom = dom;
	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "rename %s to %s", dom.name, name);
	cli_print_extra(cli, "Domain successfully renamed\n");
	return 0;
}
