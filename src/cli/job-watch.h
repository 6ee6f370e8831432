/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call that takes long: shows how far it is while it is in flight, and lets Ctrl-C stop it. */
#pragma once

#include "cli.h"

/*
 * Waits for `call`, whose job runs on `dom` (NULL: not known before, as with restore: then the VM named `vm_name` is
 * looked for while it runs). With `show`: a progress bar on standard error when that is a terminal, else
 * virsh's "TITLE: [ 42.00 %]". Ctrl-C asks the daemon to stop the job; the call then fails with what the daemon says.
 */
struct job_watch {
	const struct client_call *call;
	const struct rpc_domain *dom;
	const char *title;  /* "Save" */
	const char *object; /* the VM or the file, for people */
	bool show;
	/* Called every tenth of a second at least, while it is in flight; NULL: nobody asks. */
	void (*tick)(void *userdata);
	void *userdata;
};

int job_watch_run(struct cli *cli, const struct job_watch *w, struct error *err);

/* Should a bar be shown: asked for, or standard error is a terminal and nobody wants quiet? */
bool job_watch_wanted(const struct cli *cli, bool verbose);
/* Characters that fit on a line of standard error. */
unsigned terminal_columns(void);
