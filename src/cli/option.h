/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words behind a command's name: which options it takes, and what was given.
 *
 * The grammar is virsh's, so that scripts can say godwit instead: "--name value" or "--name=value" anywhere; "--"
 * ends options; a word without dashes goes to the first option, in the order of the table, that takes words by
 * position and has none yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum option_kind {
	OPTION_FLAG,   /* given or not */
	OPTION_STRING, /* one word */
	OPTION_NUMBER, /* one whole number, not negative */
	OPTION_REST,   /* all further words; the last of a table */
};

enum {
	OPTION_REQUIRED = 1 << 0,
	OPTION_POSITIONAL = 1 << 1,
	OPTION_SILENT = 1 << 2, /* with POSITIONAL: taken by position, as older virsh did, but not shown so */
	OPTION_OWN = 1 << 3,	/* godwit's; virsh does not have it */
};

struct option_spec {
	const char *name; /* NULL ends a table */
	enum option_kind kind;
	unsigned flags;
	const char *help;
};

#define OPTIONS_MAX 64

struct arguments {
	const struct option_spec *options;
	const char *values[OPTIONS_MAX]; /* borrowed words; "" for a flag; NULL: not given */
	const char **rest;		 /* words of the OPTION_REST, owned array of borrowed words */
	size_t n_rest;
	bool json; /* --json and --help, which every command may take */
	bool help;
};

/*
 * Sort `words` (without the command's name) into *ret. Failures are ERROR_INVALID_ARGUMENT. `options` NULL: none.
 * `json`: does the command know --json?
 */
int arguments_parse(const char *command, const struct option_spec *options, bool json, int n,
	char *const *words, struct arguments *ret, struct error *err);
void arguments_fini(struct arguments *a);

/* `name` must be in the table. */
bool arguments_has(const struct arguments *a, const char *name);
const char *arguments_string(const struct arguments *a, const char *name); /* NULL: not given */
uint64_t arguments_number(const struct arguments *a, const char *name, uint64_t otherwise);
char *arguments_join_rest(
	const struct arguments *a); /* the words with one space between; owned; NULL: none */

/* `flag` when the option was given, 0 otherwise: arguments_flag(a, "paused", RPC_START_PAUSED). */
unsigned arguments_flag(const struct arguments *a, const char *name, unsigned flag);

/* Fails when both were given. */
int arguments_exclusive(const struct arguments *a, const char *one, const char *other, struct error *err);

/* One string of commands, as `godwit "start vm; list"`: split like a shell would, ";" as a word of its own. */
struct strv;
int words_split(const char *text, struct strv *ret, struct error *err);
