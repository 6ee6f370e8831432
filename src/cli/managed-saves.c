/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the daemon keeps managed saves. A socket may be forwarded from another host: the directory is then another one. */
#include "managed-saves.h"

#include <errno.h>
#include <sys/stat.h>

#include "alloc.h"
#include "cli.h"
#include "frame.h"
#include "own.h"

static int check(const struct rpc_paths_ret *r, struct error *err)
{
	struct stat st;

	bool there = stat(r->save, &st) == 0;

	if (!there && errno == EACCES)
		return error_set(err, ERROR_OPERATION_DENIED,
			"%s belongs to another user: run this as the daemon's user", r->save);
	if (!there && errno != ENOENT)
		return error_errno(err, errno, "look at %s", r->save);
	if (!there || st.st_dev != r->device || st.st_ino != r->inode)
		return error_set(err, ERROR_UNSUPPORTED,
			"the daemon's %s is not the one here: it runs on another host, or in a container",
			r->save);
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_OPERATION_DENIED,
			"%s belongs to user %u: run this as the daemon's user", r->save, (unsigned)st.st_uid);
	return 0;
}

int managed_saves_find(struct cli *cli, struct managed_saves *ret, struct error *err)
{
	struct rpc_paths_ret r = {0};
	struct client_call call = {
		.program = RPC_PROGRAM_GODWIT, .procedure = RPC_GODWIT_PATHS, CLIENT_RET(rpc_paths_ret, &r)};
	int result;

	if (cli_call(cli, &call, err) < 0)
		return error_prefix(err, "ask the daemon for its directories");
	result = check(&r, err);
	if (result == 0)
		*ret = (struct managed_saves){xstrdup(r.save), xstrdup(r.nvram)};
	payload_free((xdrproc_t)xdr_rpc_paths_ret, &r);
	return result;
}

void managed_saves_fini(struct managed_saves *m)
{
	free(m->directory);
	free(m->nvram);
	*m = (struct managed_saves){0};
}

char *managed_saves_path(const struct managed_saves *m, const char *vm)
{
	return xasprintf("%s/%s.save", m->directory, vm);
}
