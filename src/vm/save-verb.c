/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is asked of a save, checked and made exact before anything happens: path, document, format. */
#include "disk.h"
#include "save.h"

static int choose_document(struct save_operation *save, const char *xml, struct error *err)
{
	struct vm *vm = save->op.vm;
	_cleanup_domain_ struct domain *d = NULL;

	if (!xml) {
		save->stream.xml = domain_format(
			vm->live, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE);
		return 0;
	}
	if (domain_parse(xml, strlen(xml), DOMAIN_PARSE_LIVE, &d, err) < 0 ||
		domain_check_abi_stable(vm->live, d, err) < 0)
		return -1;
	domain_keep_given_chains(vm->live, d);
	save->stream.xml =
		domain_format(d, DOMAIN_FORMAT_SECURE | DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_MIGRATABLE);
	return 0;
}

static int fill(struct save_operation *save, const struct vm_save_options *options, struct error *err)
{
	struct vm *vm = save->op.vm;
	struct state_stream *stream = &save->stream;
	_cleanup_free_ char *managed = NULL;

	if (!options->path) {
		if (!vm->persistent)
			return error_set(err, ERROR_OPERATION_INVALID,
				"cannot do managed save for transient "
				"domain '%s'",
				vm->name);
		managed = vm_managed_save_path(vm);
	}
	save->was_running = vm->state == VM_RUNNING;
	stream->image_running = options->resume_as == VM_SAVE_AS_IS ? save->was_running
								    : options->resume_as == VM_SAVE_RUNNING;
	stream->channels = options->channels;
	stream->format = options->has_format ? options->format : state_stream_default_format(vm);
	if (state_stream_check_format(stream->format, err) < 0)
		return -1;
	if (options->channels > 1 && stream->format == IMAGE_FORMAT_RAW)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"parallel channels need image format sparse or zstd, not raw");
	return state_stream_set_target(stream, options->path ? options->path : managed, err) < 0 ||
			       choose_document(save, options->xml, err) < 0
		       ? -1
		       : 0;
}

int vm_save(struct vm *vm, const struct vm_save_options *options, vm_done_fn done, void *userdata,
	struct error *err)
{
	struct save_operation *save;

	if (vm_check_verb(vm, VERB_SAVE, err) < 0)
		return -1;
	save = operation_new(&save_operation_type, vm);
	state_stream_init(&save->stream, &save->op, &save_stream_ops);
	if (fill(save, options, err) < 0) {
		error_prefix(err, "save %s", vm->name);
		operation_free(&save->op);
		return -1;
	}
	return operation_begin(&save->op, done, userdata, err);
}
