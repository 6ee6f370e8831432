/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* godwit's own program: where the daemon keeps what a client of the same host may bring or take. */
#include <errno.h>
#include <sys/stat.h>

#include "alloc.h"
#include "call.h"
#include "dispatch.h"
#include "own.h"

void handle_paths(struct call *call)
{
	const char *lib_dir = registry_get_settings(call->registry)->lib_dir;
	_cleanup_free_ char *save = xasprintf("%s/save", lib_dir), *nvram = xasprintf("%s/nvram", lib_dir);
	struct error err = ERROR_INIT;
	struct stat st;

	if (stat(save, &st) < 0) {
		error_errno(&err, errno, "look at %s", save);
		call_fail(call, &err);
		return;
	}
	call_reply(call,
		&(rpc_paths_ret){.save = save, .nvram = nvram, .device = st.st_dev, .inode = st.st_ino});
}
