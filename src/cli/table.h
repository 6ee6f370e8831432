/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `godwit` can do: one table of commands, by what people want to do. */
#pragma once

#include <stddef.h>

#include "option.h"

struct cli;

enum command_group {
	GROUP_START,  /* start and stop */
	GROUP_SAVE,   /* put down and pick up */
	GROUP_MOVE,   /* move to another host */
	GROUP_LOOK,   /* look at */
	GROUP_CHANGE, /* define and change */
	GROUP_TALK,   /* talk to the guest */
	GROUP_FIGURES,
	GROUP_SNAPSHOT,
	GROUP_LEASE,
	GROUP_HOST,
	GROUP_HELP,
	GROUP_MAX_,
};

enum {
	COMMAND_JSON = 1 << 0, /* knows --json */
};

/* 0, or -1 with *err. ERROR_INVALID_ARGUMENT means that the command line makes no sense. */
typedef int (*command_fn)(struct cli *cli, const struct arguments *args, struct error *err);

struct command {
	const char *name;
	enum command_group group;
	const char *summary;
	const char *description; /* more than the summary says; NULL: nothing */
	const struct option_spec *options;
	command_fn run;
	unsigned flags;
};

extern const struct command commands[]; /* ended by name NULL */

const struct command *command_find(const char *name);
/* The command that the first, or the first two (`lease show`: "lease-show"), of these words name. */
const struct command *command_find_words(int n, char *const *words, int *ret_used);
const char *command_group_title(enum command_group group);
const char *command_group_keyword(enum command_group group); /* for `godwit help KEYWORD` */

/* The command whose name is nearest to a mistyped one; NULL when none is near. */
const struct command *command_suggest(const char *name);
