/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Letting a person change a text in the editor of their choice. */
#pragma once

#include "cli.h"

/* What becomes of an edited text; -1 with *err when it is refused. */
typedef int (*edit_apply_fn)(struct cli *cli, const char *text, void *userdata, struct error *err);

/*
 * Opens `text` in $VISUAL, $EDITOR or vi (as a file NAMED like *`suffix`) until `apply` takes the result. When it does
 * not, and there is a terminal, asks whether to edit again: yes, no (give up), force (where `apply_force` is given), help.
 * *ret_changed: false when the text came back as it was, and apply was not called.
 */
struct edit {
	const char *text;
	const char *suffix; /* ".xml" */
	edit_apply_fn apply;
	edit_apply_fn apply_force; /* with less checking; NULL: there is no such thing */
	void *userdata;
};

int edit_run(struct cli *cli, const struct edit *e, bool *ret_changed, struct error *err);
