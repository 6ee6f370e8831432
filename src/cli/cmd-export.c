/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking a saved VM out: `godwit image export`. The command reads the files itself; the daemon only says what there is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>

#include "alloc.h"
#include "bundle.h"
#include "commands.h"
#include "constants.h"
#include "export-source.h"
#include "file.h"
#include "managed-saves.h"
#include "strv.h"

struct exporting {
	struct cli *cli;
	struct rpc_domain dom; /* name NULL: an image, of no VM here */
	struct export_source source;
};

static void export_fini(struct exporting *x)
{
	export_source_fini(&x->source);
	rpc_domain_fini(&x->dom);
}

/* ---- what is exported ---- */

/* Off, and with a managed save: so before, and so when all was read. */
static int check_saved(struct exporting *x, struct error *err)
{
	const char *name = x->dom.name;
	int active, saved;

	if (cli_ask_domain_int(x->cli, RPC_DOMAIN_IS_ACTIVE, &x->dom, &active, err) < 0 ||
		cli_ask_domain_flags_int(x->cli, RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &x->dom, 0, &saved, err) <
			0)
		return -1;
	if (active)
		return error_set(err, ERROR_OPERATION_INVALID,
			"%s is running ('godwit managedsave %s' puts it down)", name, name);
	if (!saved)
		return error_set(err, ERROR_OPERATION_INVALID,
			"%s has no managed save ('godwit start %s' and 'godwit managedsave %s' make one)",
			name, name, name);
	return 0;
}

static int find_vm(struct exporting *x, const char *name, struct error *err)
{
	_cleanup_(managed_saves_fini) struct managed_saves where = {0};
	_cleanup_free_ char *path = NULL, *xml = NULL;

	if (cli_find_domain_named(x->cli, name, BY_ANY, &x->dom, err) < 0 || check_saved(x, err) < 0 ||
		managed_saves_find(x->cli, &where, err) < 0 ||
		cli_ask_domain_string(x->cli, RPC_DOMAIN_GET_XML_DESC, &x->dom,
			RPC_XML_INACTIVE | RPC_XML_SECURE, &xml, err) < 0)
		return -1;
	path = managed_saves_path(&where, x->dom.name);
	return export_source_use_vm(&x->source, xml, path, err);
}

/* A word with a slash is a file; any other is a VM, or else a file of that name. */
static int find_saved(struct exporting *x, const char *what, struct error *err)
{
	struct error vm_error = ERROR_INIT;

	if (strchr(what, '/'))
		return export_source_use_image(&x->source, what, err);
	if (find_vm(x, what, &vm_error) == 0)
		return 0;
	if (!x->dom.name && access(what, F_OK) == 0)
		return export_source_use_image(&x->source, what, err);
	return error_copy(err, &vm_error);
}

/* ---- where it goes ---- */

struct sink {
	int fd;
	const char *name;
	uint64_t at, have; /* an earlier export left `have` bytes: they must be the same */
	struct exporting *export;
};

static int sink_compare(struct sink *s, const char *data, size_t len, struct error *err)
{
	_cleanup_free_ char *old = xrealloc(NULL, 1, len);

	if (pread_full(s->fd, old, len, (off_t)s->at) < (ssize_t)len)
		return error_errno(err, errno ? errno : EIO, "read %s", s->name);
	for (size_t i = 0; i < len; i++)
		if (old[i] != data[i])
			return error_set(err, ERROR_OPERATION_FAILED,
				"%s is of something else from byte %" PRIu64 " on: remove it", s->name,
				s->at + i);
	return 0;
}

static int sink_write(const void *data, size_t len, void *userdata, struct error *err)
{
	struct sink *s = userdata;
	size_t same = s->at >= s->have ? 0 : s->have - s->at < len ? (size_t)(s->have - s->at) : len;

	if (same > 0 && sink_compare(s, data, same, err) < 0)
		return -1;
	s->at += len;
	if (same == len)
		return 0;
	if (same > 0 && lseek(s->fd, 0, SEEK_END) < 0)
		return error_errno(err, errno, "write %s", s->name);
	if (write_full(s->fd, (const char *)data + same, len - same) < 0)
		return error_errno(err, errno, "write %s", s->name);
	return 0;
}

static int sink_confirm(void *userdata, struct error *err)
{
	struct sink *s = userdata;

	if (s->export->dom.name && check_saved(s->export, err) < 0)
		return -1;
	return export_source_check_current(&s->export->source, err);
}

static int write_to(struct exporting *x, struct sink *s, uint64_t position, struct error *err)
{
	struct bundle_write_options o = {
		.manifest = &x->source.manifest,
		.sources = x->source.sources.items,
		.position = position,
		.write = sink_write,
		.confirm = sink_confirm,
		.userdata = s,
	};

	s->export = x;
	return bundle_write(&o, err);
}

/* TARGET.partial, until all of it is there. */
static int write_to_file(struct exporting *x, const char *target, bool resume, struct error *err)
{
	_cleanup_free_ char *partial = xasprintf("%s.partial", target);
	struct sink s = {.fd = -1, .name = partial};
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (access(target, F_OK) == 0)
		return error_set(err, ERROR_EXISTS, "%s is there already", target);
	fd = open(partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (resume ? 0 : O_EXCL), 0600);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, ERROR_EXISTS,
			"%s is there from an export that was cut: --resume goes on with it", partial);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "open %s", partial);
	s.fd = fd;
	s.have = (uint64_t)st.st_size;
	if (write_to(x, &s, 0, err) < 0)
		return -1;
	if (s.at < s.have)
		return error_set(
			err, ERROR_OPERATION_FAILED, "%s is of something longer: remove it", partial);
	if (fsync(fd) < 0)
		return error_errno(err, errno, "write %s", partial);
	return file_rename(partial, target, false, err);
}

/* "ID:POSITION", as `image import --partial` prints it; "0": from the beginning. */
static int parse_position(const struct exporting *x, const char *text, uint64_t *ret, struct error *err)
{
	_cleanup_free_ char *manifest = bundle_manifest_format(&x->source.manifest);
	char id[BUNDLE_ID_SIZE];
	size_t len = BUNDLE_ID_SIZE - 1;

	*ret = 0;
	if (!text || streq(text, "0"))
		return 0;
	if (strlen(text) < len + 2 || text[len] != ':' || !parse_u64(text + len + 1, ret))
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"'%s' is no position (as 'godwit image import --partial' prints it)", text);
	bundle_manifest_id(manifest, id);
	if (strncmp(text, id, len) != 0)
		return error_set(err, ERROR_OPERATION_FAILED,
			"what was imported in part is not what is here now: %s was saved anew, or changed; "
			"'godwit image import --discard-partial' throws the part away",
			x->source.manifest.vm);
	return 0;
}

static int write_to_output(struct exporting *x, const char *resume_from, struct error *err)
{
	struct sink s = {.fd = STDOUT_FILENO, .name = "standard output"};
	uint64_t position;

	if (isatty(STDOUT_FILENO))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "a bundle is nothing for a terminal: use '| ...'");
	if (parse_position(x, resume_from, &position, err) < 0)
		return -1;
	/* who reads it may end: that is an error to be told, not the end of this program */
	signal(SIGPIPE, SIG_IGN);
	return write_to(x, &s, position, err);
}

int cmd_image_export(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *what = arguments_string(args, "saved"), *target = arguments_string(args, "target");
	const char *resume_from = arguments_string(args, "resume-from");
	_cleanup_(export_fini) struct exporting x = {.cli = cli};
	bool to_output = streq(target, "-");

	if (resume_from && !to_output)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--resume-from is for standard output ('-'); a file goes on with --resume");
	if (arguments_has(args, "resume") && to_output)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"--resume is for a file; standard output goes on with --resume-from");
	/* nothing but the bundle */
	if (to_output)
		cli->quiet = true;
	if (find_saved(&x, what, err) < 0 ||
		export_source_add_files(&x.source, arguments_has(args, "disks"), err) < 0 ||
		(to_output ? write_to_output(&x, resume_from, err)
			   : write_to_file(&x, target, arguments_has(args, "resume"), err)) < 0)
		return error_prefix(err, "export %s", what);
	cli_print_extra(cli, "%s exported to %s\n", x.source.manifest.vm, target);
	return 0;
}
