/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bringing a saved VM in: `godwit image import`. What is there already, of an import that was cut, and what of the VM itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "alloc.h"
#include "bundle.h"
#include "commands.h"
#include "constants.h"
#include "import-place.h"
#include "managed-saves.h"
#include "strv.h"

struct importing {
	struct cli *cli;
	bool resume;
	char *disk_dir; /* of the command line, absolute; NULL: not said */
	struct managed_saves where;
	struct import_place place;
	bool made;    /* the place, by this import */
	bool defined; /* the same VM is defined here and has no managed save: it gets its state */
};

static void import_fini(struct importing *x)
{
	import_place_fini(&x->place);
	managed_saves_fini(&x->where);
	free(x->disk_dir);
}

/* ---- what is defined here ---- */

static int check_same(struct importing *x, const struct rpc_domain *dom, struct error *err)
{
	_cleanup_free_ char *xml = NULL;

	if (cli_ask_domain_string(
		    x->cli, RPC_DOMAIN_GET_XML_DESC, dom, RPC_XML_INACTIVE | RPC_XML_SECURE, &xml, err) < 0)
		return -1;
	if (!import_place_is_defined_as(&x->place, xml))
		return error_set(err, ERROR_EXISTS,
			"%s is defined here already, and otherwise ('godwit undefine %s' removes that)",
			dom->name, dom->name);
	return 0;
}

static int check_defined(struct importing *x, const struct rpc_domain *dom, struct error *err)
{
	char uuid[UUID_TEXT_MAX];
	int active, saved;

	uuid_format((const uint8_t *)dom->uuid, uuid);
	if (!streq(dom->name, x->place.vm) || !streq(uuid, x->place.manifest.uuid))
		return error_set(err, ERROR_EXISTS, "another VM has its name or UUID here: %s", dom->name);
	if (cli_ask_domain_int(x->cli, RPC_DOMAIN_IS_ACTIVE, dom, &active, err) < 0 ||
		cli_ask_domain_flags_int(x->cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, dom, 0, &saved, err) < 0)
		return -1;
	if (active)
		return error_set(err, ERROR_OPERATION_INVALID, "%s is running here", dom->name);
	if (saved)
		return error_set(err, ERROR_EXISTS,
			"%s has a managed save here ('godwit managedsave-remove %s' removes it)", dom->name,
			dom->name);
	x->defined = true;
	return check_same(x, dom, err);
}

/* 0 also when there is none. */
static int look_up(struct importing *x, const char *by, unsigned kind, struct error *err)
{
	_cleanup_domain_ struct rpc_domain dom = {0};
	struct error lookup = ERROR_INIT;

	if (cli_find_domain_named(x->cli, by, kind, &dom, &lookup) == 0)
		return check_defined(x, &dom, err);
	return lookup.code == ERROR_NO_DOMAIN ? 0 : error_copy(err, &lookup);
}

/* Refuses what would have to be refused at the end, before anything large has come. */
static int check_vm(struct importing *x, struct error *err)
{
	x->defined = false;
	if (look_up(x, x->place.manifest.uuid, BY_UUID, err) < 0 ||
		look_up(x, x->place.manifest.vm, BY_NAME, err) < 0)
		return -1;
	return import_place_check_free(&x->place, x->defined, err);
}

/* ---- while it comes ---- */

static int begin_anew(struct importing *x, const struct bundle_manifest *m, const char *text,
	uint64_t position, struct error *err)
{
	import_place_fini(&x->place);
	if (position > 0)
		return error_set(err, ERROR_OPERATION_FAILED,
			"the bundle goes on with an import of %s, and there is none to go on with", m->vm);
	if (import_place_make(&x->where, m, text, x->disk_dir, &x->place, err) < 0)
		return -1;
	x->made = true;
	return 0;
}

/* 1: all came already. */
static int check_resume(struct importing *x, const char *text, struct error *err)
{
	struct import_place *p = &x->place;

	if (!x->resume)
		return error_set(err, ERROR_EXISTS,
			"an import of %s was cut: --resume goes on with it, '--discard-partial %s' throws it "
			"away",
			p->vm, p->vm);
	if (!streq(p->manifest_text, text))
		return error_set(err, ERROR_OPERATION_FAILED,
			"what was imported of %s in part is of another bundle: '--discard-partial %s' throws "
			"it away",
			p->vm, p->vm);
	if (x->disk_dir && (!p->disk_dir || !streq(x->disk_dir, p->disk_dir)))
		return error_set(err, ERROR_INVALID_ARGUMENT, "the import began with %s%s",
			p->disk_dir ? "--disk-dir " : "no --disk-dir", p->disk_dir ? p->disk_dir : "");
	if (import_place_reread_definition(p, err) < 0)
		return -1;
	return p->verified;
}

static int begin(const struct bundle_manifest *m, const char *text, uint64_t position, void *userdata,
	struct error *err)
{
	struct importing *x = userdata;
	bool there;

	if (import_place_open(&x->where, m->vm, &x->place, &there, err) < 0)
		return -1;
	return there ? check_resume(x, text, err) : begin_anew(x, m, text, position, err);
}

static int open_member(size_t i, void *userdata, struct error *err)
{
	struct importing *x = userdata;

	return import_place_open_member(&x->place, i, err);
}

static int filled(size_t i, int fd, void *userdata, struct error *err)
{
	struct importing *x = userdata;

	if (x->place.manifest.members.items[i].kind != BUNDLE_DEFINITION)
		return 0;
	return import_place_read_definition(&x->place, err) < 0 ? -1 : check_vm(x, err);
}

/* ---- the end ---- */

static int define(struct importing *x, struct error *err)
{
	_cleanup_free_ char *xml = import_place_format_definition(&x->place);
	struct rpc_xml_args args = {.xml = xml};
	struct rpc_domain_ret r = {0};
	struct client_call call = {.procedure = RPC_DOMAIN_DEFINE_XML,
		CLIENT_ARGS(rpc_xml_args, &args),
		CLIENT_RET(rpc_domain_ret, &r)};

	if (cli_call(x->cli, &call, err) < 0)
		return error_prefix(err, "define %s", x->place.vm);
	rpc_domain_fini(&r.dom);
	return 0;
}

static int finish(struct importing *x, struct error *err)
{
	/* what was so when it began may have changed meanwhile */
	if (check_vm(x, err) < 0 || import_place_publish(&x->place, x->defined, err) < 0 ||
		(!x->defined && define(x, err) < 0))
		return -1;
	return import_place_finish(&x->place, err);
}

/* What came is kept for another try, when it is more than what a refusal was about. */
static void leave(struct importing *x, struct error *err)
{
	const struct import_place *p = &x->place;
	struct error cause = *err;
	uint64_t position = import_place_position(&x->place);

	if (x->made && position <= p->manifest.members.items[0].size) {
		import_place_discard(&x->place, NULL);
		return;
	}
	if (p->domain && cause.code == ERROR_DAMAGED && strstr(cause.message, "is cut"))
		error_set(err, cause.code, "%s (%" PRIu64 " of %" PRIu64 " bytes are here: --resume goes on)",
			cause.message, position, bundle_manifest_total(&p->manifest));
}

static int import(struct importing *x, const char *source, struct error *err)
{
	static const struct bundle_read_ops ops = {begin, open_member, filled};
	bool from_input = streq(source, "-");
	_cleanup_close_ int fd = from_input ? dup(STDIN_FILENO) : open(source, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "open %s", source);
	if (bundle_read(fd, from_input ? "standard input" : source, &ops, x, err) < 0) {
		leave(x, err);
		return -1;
	}
	return finish(x, err);
}

/* ---- what is left of one that was cut ---- */

static int print_partial(struct importing *x, const char *vm, struct error *err)
{
	char id[BUNDLE_ID_SIZE];
	bool there;

	if (import_place_open(&x->where, vm, &x->place, &there, err) < 0 ||
		(there && import_place_reread_definition(&x->place, err) < 0))
		return -1;
	if (!there) {
		cli_print(x->cli, "0\n");
		return 0;
	}
	bundle_manifest_id(x->place.manifest_text, id);
	cli_print(x->cli, "%s:%" PRIu64 "\n", id, import_place_position(&x->place));
	return 0;
}

static int discard_partial(struct importing *x, const char *vm, struct error *err)
{
	bool there;

	if (import_place_open(&x->where, vm, &x->place, &there, err) < 0)
		return -1;
	if (!there)
		return error_set(err, ERROR_NO_OBJECT, "there is no import of %s that was cut", vm);
	/* one that cannot be read has let no disk come */
	import_place_reread_definition(&x->place, NULL);
	if (import_place_discard(&x->place, err) < 0)
		return -1;
	cli_print_extra(x->cli, "What was imported of %s is removed\n", vm);
	return 0;
}

int cmd_image_import(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *source = arguments_string(args, "source"), *partial = arguments_string(args, "partial");
	const char *discard = arguments_string(args, "discard-partial");
	const char *disk_dir = arguments_string(args, "disk-dir");
	_cleanup_(import_fini) struct importing x = {.cli = cli,
		.resume = arguments_has(args, "resume"),
		.place = {.directory_fd = -1},
		.disk_dir = disk_dir ? realpath(disk_dir, NULL) : NULL};

	if (!!source + !!partial + !!discard != 1)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"one of a bundle, --partial and --discard-partial is needed");
	if (disk_dir && !x.disk_dir)
		return error_errno(err, errno, "find directory %s", disk_dir);
	if (managed_saves_find(cli, &x.where, err) < 0)
		return error_prefix(err, "import");
	if (partial)
		return print_partial(&x, partial, err);
	if (discard)
		return discard_partial(&x, discard, err);
	if (import(&x, source, err) < 0)
		return error_prefix(err, "import %s", source);
	cli_print_extra(cli, "%s imported ('godwit start %s' resumes it)\n", x.place.vm, x.place.vm);
	return 0;
}
