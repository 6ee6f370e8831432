/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saving, restoring, managed saves, and the job meanwhile. */
#include "call.h"
#include "constants.h"
#include "dispatch.h"
#include "job-params.h"
#include "migrate.h"
#include "own.h"
#include "session.h"
#include "strv.h"

static const char *optional(rpc_string *s)
{
	return s ? *s : NULL;
}

/* How the guest is to be when it comes back; answers and returns false when both were asked for. */
static bool check_resume_flags(struct call *call, unsigned flags, unsigned known)
{
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, flags, known))
		return false;
	if ((flags & (RPC_SAVE_RUNNING | RPC_SAVE_PAUSED)) != (RPC_SAVE_RUNNING | RPC_SAVE_PAUSED))
		return true;
	error_set(&err, ERROR_INVALID_ARGUMENT, "running and paused exclude each other");
	call_fail(call, &err);
	return false;
}

/* ---- parameters of SAVE_PARAMS and RESTORE_PARAMS ---- */

struct save_params {
	const char *file, *xml, *format;
	unsigned channels;
};

static int take_string(const rpc_param *p, const char **ret, struct error *err)
{
	if (p->value.type != RPC_PARAM_STRING)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "parameter \"%.64s\" is not a string", p->field);
	*ret = p->value.rpc_param_value_u.s;
	return 0;
}

static int take_channels(const rpc_param *p, unsigned *ret, struct error *err)
{
	/* int and unsigned have the same bytes */
	int n = p->value.rpc_param_value_u.i;

	if (p->value.type != RPC_PARAM_INT && p->value.type != RPC_PARAM_UINT)
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "parameter \"%.64s\" is not a number", p->field);
	if (n < 1 || n > 255)
		return error_set(err, ERROR_INVALID_ARGUMENT, "parameter \"%.64s\" is not between 1 and 255",
			p->field);
	*ret = (unsigned)n;
	return 0;
}

static int parse_params(const rpc_params *params, bool saving, struct save_params *ret, struct error *err)
{
	int r;

	for (u_int i = 0; i < params->rpc_params_len; i++) {
		const rpc_param *p = &params->rpc_params_val[i];

		if (streq(p->field, RPC_SAVE_PARAM_FILE))
			r = take_string(p, &ret->file, err);
		else if (streq(p->field, RPC_SAVE_PARAM_XML))
			r = take_string(p, &ret->xml, err);
		else if (saving && streq(p->field, RPC_SAVE_PARAM_FORMAT))
			r = take_string(p, &ret->format, err);
		else if (streq(p->field, RPC_SAVE_PARAM_CHANNELS))
			r = take_channels(p, &ret->channels, err);
		else
			r = error_set(
				err, ERROR_INVALID_ARGUMENT, "parameter '%.64s' not supported", p->field);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* ---- saving ---- */

static void save(struct call *call, const rpc_domain *dom, const struct save_params *params, unsigned flags)
{
	struct vm_save_options options = {.path = params->file,
		.xml = params->xml,
		.bypass_cache = flags & RPC_SAVE_BYPASS_CACHE,
		.channels = params->channels};
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!check_resume_flags(call, flags, RPC_SAVE_BYPASS_CACHE | RPC_SAVE_RUNNING | RPC_SAVE_PAUSED))
		return;
	if (flags & RPC_SAVE_RUNNING)
		options.resume_as = VM_SAVE_RUNNING;
	else if (flags & RPC_SAVE_PAUSED)
		options.resume_as = VM_SAVE_PAUSED;
	if (params->format) {
		options.has_format = true;
		if (!image_format_parse(params->format, &options.format)) {
			error_set(&err, ERROR_INVALID_ARGUMENT, "there is no image format \"%.64s\"",
				params->format);
			call_fail(call, &err);
			return;
		}
	}
	vm = call_find_vm(call, dom);
	if (vm)
		call_check(call, vm_save(vm, &options, call_vm_done, call, &err), &err);
}

void handle_domain_save(struct call *call)
{
	const rpc_domain_path_args *args = call->args;

	save(call, &args->dom, &(struct save_params){.file = args->path}, 0);
}

void handle_domain_save_flags(struct call *call)
{
	const rpc_domain_save_flags_args *args = call->args;

	save(call, &args->dom, &(struct save_params){.file = args->to, .xml = optional(args->xml)},
		args->flags);
}

void handle_domain_save_params(struct call *call)
{
	const rpc_domain_params_args *args = call->args;
	struct save_params params = {0};
	struct error err = ERROR_INIT;

	/* without a file it is a managed save */
	if (parse_params(&args->params, true, &params, &err) < 0)
		call_fail(call, &err);
	else
		save(call, &args->dom, &params, args->flags);
}

void handle_domain_managed_save(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;

	save(call, &args->dom, &(struct save_params){0}, args->flags);
}

/* ---- restoring ---- */

static void restore(struct call *call, const struct save_params *params, unsigned flags, unsigned extra)
{
	struct vm_restore_options options = {.path = params->file,
		.xml = params->xml,
		.bypass_cache = flags & RPC_SAVE_BYPASS_CACHE,
		.channels = params->channels,
		.reset_nvram = flags & RPC_SAVE_RESET_NVRAM,
		.force = extra & RPC_GODWIT_FORCE,
		.eager = extra & RPC_GODWIT_EAGER};
	struct error err = ERROR_INIT;

	if (!check_resume_flags(call, flags,
		    RPC_SAVE_BYPASS_CACHE | RPC_SAVE_RUNNING | RPC_SAVE_PAUSED | RPC_SAVE_RESET_NVRAM) ||
		!call_check_flags(call, extra, RPC_GODWIT_FORCE | RPC_GODWIT_EAGER))
		return;
	if (!params->file) {
		error_set(&err, ERROR_INVALID_ARGUMENT, "restore: no file was given");
		call_fail(call, &err);
		return;
	}
	if (flags & RPC_SAVE_RUNNING)
		options.resume_as = VM_RESTORE_RUNNING;
	else if (flags & RPC_SAVE_PAUSED)
		options.resume_as = VM_RESTORE_PAUSED;
	call_check(call, registry_restore(call->registry, &options, call_vm_done, call, &err), &err);
}

void handle_domain_restore(struct call *call)
{
	const rpc_name_args *args = call->args;

	restore(call, &(struct save_params){.file = args->name}, 0, 0);
}

void handle_domain_restore_flags(struct call *call)
{
	const rpc_domain_restore_flags_args *args = call->args;

	restore(call, &(struct save_params){.file = args->from, .xml = optional(args->xml)}, args->flags, 0);
}

static void restore_params(struct call *call, const rpc_params *list, unsigned flags, unsigned extra)
{
	struct save_params params = {0};
	struct error err = ERROR_INIT;

	if (parse_params(list, false, &params, &err) < 0)
		call_fail(call, &err);
	else
		restore(call, &params, flags, extra);
}

void handle_domain_restore_params(struct call *call)
{
	const rpc_params_args *args = call->args;

	restore_params(call, &args->params, args->flags, 0);
}

void handle_godwit_restore(struct call *call)
{
	const rpc_godwit_restore_args *args = call->args;

	restore_params(call, &args->params, args->flags, args->extra);
}

/* ---- images and managed saves as documents ---- */

/* 1 running, 0 paused, -1 as the image says */
static int running_flag(unsigned flags)
{
	return flags & RPC_SAVE_RUNNING ? 1 : flags & RPC_SAVE_PAUSED ? 0 : -1;
}

void handle_domain_save_image_get_xml_desc(struct call *call)
{
	const rpc_xml_flags_args *args = call->args; /* xml: the file */
	_cleanup_free_ char *xml = NULL;
	struct error err = ERROR_INIT;

	if (!call_check_flags(call, args->flags, RPC_XML_SECURE))
		return;
	if (registry_image_get_xml(call->registry, args->xml, args->flags & RPC_XML_SECURE, &xml, &err) < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_string_ret){xml});
}

void handle_domain_save_image_define_xml(struct call *call)
{
	const rpc_save_image_define_args *args = call->args;
	struct error err = ERROR_INIT;

	if (!check_resume_flags(call, args->flags, RPC_SAVE_RUNNING | RPC_SAVE_PAUSED))
		return;
	if (registry_image_define_xml(
		    call->registry, args->file, args->xml, running_flag(args->flags), &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

void handle_domain_has_managed_save_image(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (vm)
		call_reply(call, &(rpc_int_ret){vm_has_managed_save(vm)});
}

void handle_domain_managed_save_remove(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, 0))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_managed_save_remove(vm, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

void handle_domain_managed_save_get_xml_desc(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	_cleanup_free_ char *xml = NULL;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_XML_SECURE))
		return;
	if (call->session->read_only && args->flags & RPC_XML_SECURE) {
		error_set(&err, ERROR_OPERATION_DENIED, "virDomainManagedSaveGetXMLDesc with secure flag");
		call_fail(call, &err);
		return;
	}
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_managed_save_get_xml(vm, args->flags & RPC_XML_SECURE, &xml, &err) < 0)
		call_fail(call, &err);
	else
		call_reply(call, &(rpc_string_ret){xml});
}

void handle_domain_managed_save_define_xml(struct call *call)
{
	const rpc_managed_save_define_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!check_resume_flags(call, args->flags, RPC_SAVE_RUNNING | RPC_SAVE_PAUSED))
		return;
	vm = call_find_vm(call, &args->dom);
	if (!vm)
		return;
	if (vm_managed_save_define_xml(vm, optional(args->xml), running_flag(args->flags), &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

/* ---- the job ---- */

/* The job of now. A VM that is off may have one, such as the deletion of its snapshots; else it must run. */
static bool find_job(struct call *call, const rpc_domain *dom, struct vm_job_info *ret)
{
	struct vm *vm = call_find_vm(call, dom);
	struct error err = ERROR_INIT;

	if (!vm)
		return false;
	vm_get_job_info(vm, false, ret);
	if (vm_is_active(vm) || ret->operation != VM_JOB_NONE)
		return true;
	error_set(&err, ERROR_OPERATION_INVALID, "domain is not running");
	call_fail(call, &err);
	return false;
}

void handle_domain_get_job_info(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm_job_info info;
	rpc_job_info_ret ret;

	if (!find_job(call, &args->dom, &info))
		return;
	job_info_fill(&info, &ret);
	call_reply(call, &ret);
}

void handle_domain_get_job_stats(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	bool completed = args->flags & RPC_JOB_STATS_COMPLETED;
	rpc_param params[JOB_PARAMS_MAX];
	rpc_job_stats_ret ret = {0};
	struct vm_job_info info;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_JOB_STATS_COMPLETED | RPC_JOB_STATS_KEEP_COMPLETED))
		return;
	if (!completed && !find_job(call, &args->dom, &info))
		return;
	if (completed) {
		vm = call_find_vm(call, &args->dom);
		if (!vm)
			return;
		vm_get_job_info(vm, true, &info);
	}
	ret.type = job_type(&info);
	if (info.operation != VM_JOB_NONE) {
		ret.params.rpc_params_val = params;
		ret.params.rpc_params_len = job_params_fill(&info, params);
	}
	call_reply(call, &ret);
}

static void abort_job(struct call *call, const rpc_domain *dom)
{
	struct vm *vm = call_find_active_vm(call, dom);
	struct error err = ERROR_INIT;

	if (!vm)
		return;
	if (vm_abort_job(vm, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

void handle_domain_abort_job(struct call *call)
{
	const rpc_domain_args *args = call->args;

	abort_job(call, &args->dom);
}

void handle_domain_abort_job_flags(struct call *call)
{
	const rpc_domain_flags_args *args = call->args;
	struct error err = ERROR_INIT;
	struct vm *vm;

	if (!call_check_flags(call, args->flags, RPC_ABORT_JOB_POSTCOPY))
		return;
	if (!(args->flags & RPC_ABORT_JOB_POSTCOPY)) {
		abort_job(call, &args->dom);
		return;
	}
	vm = call_find_active_vm(call, &args->dom);
	if (!vm)
		return;
	if (migrate_pause_postcopy(vm, &err) < 0)
		call_fail(call, &err);
	else
		call_ok(call);
}

/* ---- godwit's own: what a restored VM still lacks ---- */

void handle_restore_info(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct vm_restore_info info;
	rpc_restore_info_ret ret;
	char *why, *trouble;

	if (!vm)
		return;
	vm_get_restore_info(vm, &info);
	why = (char *)info.why;
	trouble = (char *)info.trouble;
	ret = (rpc_restore_info_ret){.lazily = info.lazily,
		.why = why ? &why : NULL,
		.is_coming_in = info.is_coming_in,
		.memory_total = info.memory_total,
		.memory_in = info.memory_in,
		.trouble = trouble ? &trouble : NULL};
	call_reply(call, &ret);
}

void handle_restore_hurry(struct call *call)
{
	const rpc_domain_args *args = call->args;
	struct vm *vm = call_find_vm(call, &args->dom);
	struct error err = ERROR_INIT;

	if (!vm)
		return;
	if (vm_hurry_restore(vm, &err) < 0)
		call_fail(call, &err);
	else
		call_reply(call, NULL);
}
