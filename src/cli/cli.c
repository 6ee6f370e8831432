/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What commands have in common. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/signalfd.h>

#include "alloc.h"
#include "connect.h"
#include "constants.h"
#include "daemon-address.h"
#include "file.h"
#include "frame.h"
#include "strv.h"
#include "xml.h"

void cli_fini(struct cli *cli)
{
	client_close(cli->client);
	free(cli->vm_name);
	cli->client = NULL;
	cli->vm_name = NULL;
}

int cli_connect(struct cli *cli, struct error *err)
{
	struct address_request request = {
		.root = cli->root,
		.socket = cli->socket,
		.uri = cli->uri,
		.env_socket = getenv("GODWIT_SOCKET"),
		.env_root = getenv("GODWIT_ROOT"),
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
		.uid = geteuid(),
		.read_only = cli->read_only,
	};
	_cleanup_(address_fini) struct address address = {0};
	int fd;

	if (cli->client)
		return 0;
	if (address_resolve(&request, &address, &cli->connect_error) < 0 ||
		connect_to_daemon(&address, &fd, &cli->connect_error) < 0 ||
		client_open(fd, address.uri, cli->read_only, cli->timeout_s, &cli->client,
			&cli->connect_error) < 0)
		return error_copy(err, &cli->connect_error);
	return 0;
}

int cli_call(struct cli *cli, const struct client_call *call, struct error *err)
{
	if (cli_connect(cli, err) < 0)
		return -1;
	return client_call(cli->client, call, err);
}

int cli_call_domain(struct cli *cli, int procedure, const struct rpc_domain *dom, struct error *err)
{
	struct client_call call = {.procedure = procedure, CLIENT_ARGS(rpc_domain, dom)};

	return cli_call(cli, &call, err);
}

int cli_call_domain_flags(
	struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags, struct error *err)
{
	struct rpc_domain_flags_args args = {*dom, flags};
	struct client_call call = {.procedure = procedure, CLIENT_ARGS(rpc_domain_flags_args, &args)};

	return cli_call(cli, &call, err);
}

int cli_ask_domain_int(
	struct cli *cli, int procedure, const struct rpc_domain *dom, int *ret, struct error *err)
{
	struct rpc_int_ret r = {0};
	struct client_call call = {
		.procedure = procedure, CLIENT_ARGS(rpc_domain, dom), CLIENT_RET(rpc_int_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

int cli_ask_domain_flags_int(struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags,
	int *ret, struct error *err)
{
	struct rpc_domain_flags_args args = {*dom, flags};
	struct rpc_int_ret r = {0};
	struct client_call call = {.procedure = procedure,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_int_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

int cli_ask_domain_string(struct cli *cli, int procedure, const struct rpc_domain *dom, unsigned flags,
	char **ret, struct error *err)
{
	struct rpc_domain_flags_args args = {*dom, flags};
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = procedure,
		CLIENT_ARGS(rpc_domain_flags_args, &args),
		CLIENT_RET(rpc_string_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

int cli_ask_string(struct cli *cli, int procedure, char **ret, struct error *err)
{
	struct rpc_string_ret r = {0};
	struct client_call call = {.procedure = procedure, CLIENT_RET(rpc_string_ret, &r)};

	if (cli_call(cli, &call, err) < 0)
		return -1;
	*ret = r.value;
	return 0;
}

/* ---- finding a VM ---- */

static int look_up(struct cli *cli, struct client_call *call, struct rpc_domain *ret, struct error *err)
{
	struct rpc_domain_ret r = {0};

	call->decode = (xdrproc_t)xdr_rpc_domain_ret;
	call->ret = &r;
	if (cli_call(cli, call, err) < 0)
		return -1;
	*ret = r.dom;
	replace_string(&cli->vm_name, ret->name);
	return 0;
}

static int look_up_id(struct cli *cli, uint32_t id, struct rpc_domain *ret, struct error *err)
{
	struct rpc_id_args args = {.id = (int)id};
	struct client_call call = {.procedure = RPC_DOMAIN_LOOKUP_BY_ID, CLIENT_ARGS(rpc_id_args, &args)};

	return look_up(cli, &call, ret, err);
}

static int look_up_uuid(struct cli *cli, const uint8_t uuid[16], struct rpc_domain *ret, struct error *err)
{
	struct rpc_uuid_args args;
	struct client_call call = {.procedure = RPC_DOMAIN_LOOKUP_BY_UUID, CLIENT_ARGS(rpc_uuid_args, &args)};

	memcpy(args.uuid, uuid, 16);
	return look_up(cli, &call, ret, err);
}

int cli_find_domain_named(
	struct cli *cli, const char *name, unsigned by, struct rpc_domain *ret, struct error *err)
{
	struct rpc_name_args args = {.name = (char *)name};
	struct client_call call = {.procedure = RPC_DOMAIN_LOOKUP_BY_NAME, CLIENT_ARGS(rpc_name_args, &args)};
	struct error first = {.code = ERROR_NO_DOMAIN};
	uint8_t uuid[16];
	uint32_t id;

	if (name[0] == '\0')
		return error_set(err, ERROR_INVALID_ARGUMENT, "the name of a VM must not be empty");
	replace_string(&cli->vm_name, name);
	if ((by & BY_ID) && parse_u32(name, &id) && id <= INT_MAX) {
		if (look_up_id(cli, id, ret, &first) == 0)
			return 0;
	} else if ((by & BY_UUID) && uuid_parse(name, uuid)) {
		if (look_up_uuid(cli, uuid, ret, &first) == 0)
			return 0;
	}
	if (first.code != ERROR_NO_DOMAIN)
		return error_copy(err, &first);
	if (!(by & BY_NAME))
		return error_set(err, ERROR_NO_DOMAIN, "no VM '%s'", name);
	return look_up(cli, &call, ret, err);
}

int cli_find_domain(
	struct cli *cli, const struct arguments *args, unsigned by, struct rpc_domain *ret, struct error *err)
{
	const char *name = arguments_string(args, "domain");

	return cli_find_domain_named(cli, name ? name : "", by, ret, err);
}

void rpc_domain_fini(struct rpc_domain *dom)
{
	payload_free((xdrproc_t)xdr_rpc_domain, dom);
	*dom = (struct rpc_domain){0};
}

/* ---- printing ---- */

void cli_print(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void cli_print_extra(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (cli->quiet || cli->json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

void cli_print_list(struct cli *cli, struct list_report *l)
{
	_cleanup_free_ char *text = NULL;

	l->headless = cli->quiet;
	text = list_report_format(l);
	fputs(text, stdout);
}

void cli_print_last(struct cli *cli, const char *text)
{
	printf("%s%s", text, cli->quiet || cli->json ? "\n" : "");
}

void cli_print_record(struct cli *cli, struct record *r)
{
	_cleanup_free_ char *text = record_format(r);

	fputs(text, stdout);
}

void cli_print_json(struct cli *cli, json *o)
{
	_cleanup_free_ char *text = json_format_pretty(o);

	fputs(text, stdout);
}

/* What the person can do about it; written into `advice`, empty when nothing is known. */
static void advise(const struct cli *cli, const struct error *err, char advice[256])
{
	const char *vm = cli->vm_name;

	advice[0] = '\0';
	/* whoever made the message may have said it already */
	if (strstr(err->message, "godwit ") || strstr(err->message, "--force-boot"))
		return;
	if (err->code == ERROR_NO_DOMAIN)
		snprintf(advice, 256, " ('godwit list --all' shows what there is)");
	else if (err->code == ERROR_BUSY && vm)
		snprintf(advice, 256,
			" ('godwit domjobinfo %.60s' shows the job, 'godwit domjobabort %.60s' ends it)", vm,
			vm);
	else if (err->code == ERROR_OPERATION_INVALID && vm && strstr(err->message, "not running"))
		snprintf(advice, 256, " ('godwit start %.60s' starts it)", vm);
	else if (err->code == ERROR_OPERATION_DENIED && cli->read_only)
		snprintf(advice, 256, " (leave out --readonly)");
	else if (err->code == ERROR_DAMAGED && vm && streq(cli->command ? cli->command->name : "", "start"))
		snprintf(advice, 256, " ('godwit start --force-boot %.60s' boots without it)", vm);
}

void cli_print_error(struct cli *cli, const struct error *err)
{
	_cleanup_free_ char *line = xstrdup(err->message);
	char advice[256];
	size_t len = strlen(line);

	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == ' '))
		line[--len] = '\0';
	/* a quoted log of QEMU may have several lines; one error is one line */
	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = *p == '\n' ? '|' : ' ';
	advise(cli, err, advice);
	fflush(stdout);
	fprintf(stderr, "error: %s%s\n", line, advice);
}

enum exit_status cli_exit_status(const struct error *err)
{
	switch (err->code) {
	case ERROR_NONE:
		return STATUS_OK;
	case ERROR_INVALID_ARGUMENT:
		return STATUS_USAGE;
	case ERROR_NO_DOMAIN:
	case ERROR_NO_SNAPSHOT:
	case ERROR_NO_METADATA:
	case ERROR_NO_SAVED_IMAGE:
	case ERROR_NO_OBJECT:
		return STATUS_NOT_FOUND;
	case ERROR_RPC:
		return STATUS_NO_DAEMON;
	case ERROR_OPERATION_INVALID:
	case ERROR_BUSY:
	case ERROR_IN_USE:
	case ERROR_REVERT_RISKY:
	case ERROR_MIGRATE_UNSAFE:
		return STATUS_STATE;
	case ERROR_UNSUPPORTED:
	case ERROR_UNSUPPORTED_CONFIG:
	case ERROR_ARGUMENT_UNSUPPORTED:
	case ERROR_CPU_INCOMPATIBLE:
	case ERROR_UNKNOWN_PROCEDURE:
		return STATUS_UNSUPPORTED;
	case ERROR_OPERATION_DENIED:
	case ERROR_AUTH:
		return STATUS_DENIED;
	case ERROR_TIMEOUT:
	case ERROR_AGENT_TIMEOUT:
		return STATUS_TIMEOUT;
	case ERROR_INTERNAL:
	case ERROR_SYSTEM:
	case ERROR_NO_MEMORY:
	case ERROR_XML:
	case ERROR_OPERATION_FAILED:
	case ERROR_OPERATION_ABORTED:
	case ERROR_MIGRATE_FINISH_OK:
	case ERROR_MIGRATE_PERSIST_FAILED:
	case ERROR_EXISTS:
	case ERROR_DAMAGED:
	case ERROR_QEMU:
	case ERROR_AGENT:
	case ERROR_AGENT_REFUSED:
	case ERROR_CODE_MAX_:
		break;
	}
	return STATUS_FAILED;
}

/* ---- files and signals ---- */

int cli_read_file(const char *path, char **ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	ssize_t n;

	fd = streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "read %s", path);
	text = xcalloc(1, XML_TEXT_MAX + 1);
	n = read_full(fd, text, XML_TEXT_MAX + 1);
	if (n < 0)
		return error_errno(err, errno, "read %s", path);
	if (n > (ssize_t)XML_TEXT_MAX)
		return error_set(
			err, ERROR_OPERATION_FAILED, "read %s: more than %u bytes", path, XML_TEXT_MAX);
	if (memchr(text, 0, (size_t)n))
		return error_set(err, ERROR_OPERATION_FAILED, "read %s: not a text", path);
	text[n] = '\0';
	*ret = TAKE_PTR(text);
	return 0;
}

char *cli_absolute_path(const char *path)
{
	_cleanup_free_ char *directory = NULL;

	if (path[0] == '/')
		return xstrdup(path);
	directory = getcwd(NULL, 0);
	return directory ? xasprintf("%s/%s", directory, path) : xstrdup(path);
}

int interrupt_fd_open(struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return error_errno(err, errno, "block SIGINT");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		return error_errno(err, errno, "watch SIGINT");
	}
	return fd;
}

void interrupt_fd_close(int *fd)
{
	struct signalfd_siginfo info;
	sigset_t set;

	if (*fd < 0)
		return;
	/* impatience during the job is not meant for what comes behind it */
	while (read(*fd, &info, sizeof(info)) > 0)
		;
	close(take_fd(fd));
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
