/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long work on an image file in this process: its progress on a terminal, and an end at Ctrl-C. */
#pragma once

#include "cli.h"
#include "image-save.h"

struct image_work {
	struct cli *cli;
	const char *title, *object; /* "Verify", "guest.save" */
	/* In a thread of its own. */
	int (*run)(void *userdata, struct image_progress *progress, struct error *err);
	void *userdata;
	const char *remove; /* a file that Ctrl-C removes; NULL: none */
};

/* What `run` returned. Ctrl-C ends the program here. */
int image_work_run(const struct image_work *work, struct error *err);

/* As many threads as a transfer of the daemon's has. */
unsigned image_work_threads(void);
