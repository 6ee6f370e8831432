/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words behind a command's name. */
#include "option.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "buf.h"
#include "strv.h"

static int find_option(const struct option_spec *options, const char *name, size_t len)
{
	for (int i = 0; options && options[i].name; i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
			return i;
	return -1;
}

static int index_of(const struct arguments *a, const char *name)
{
	int i = find_option(a->options, name, strlen(name));

	assert(i >= 0 && i < OPTIONS_MAX);
	return i;
}

static void add_rest(struct arguments *a, const char *word)
{
	a->rest = xrealloc(a->rest, a->n_rest + 1, sizeof(a->rest[0]));
	a->rest[a->n_rest++] = word;
}

/* Accept `word` as the value of option `i`. */
static int take_value(struct arguments *a, const char *command, int i, const char *word, struct error *err)
{
	const struct option_spec *o = &a->options[i];
	uint64_t number;

	if (o->kind == OPTION_REST) {
		a->values[i] = word;
		add_rest(a, word);
		return 0;
	}
	if (a->values[i])
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "%s: option --%s is given twice", command, o->name);
	if (o->kind == OPTION_NUMBER && !parse_u64(word, &number))
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: --%s needs a whole number, not '%s'",
			command, o->name, word);
	a->values[i] = word;
	return 0;
}

/* Takes "--name", "--name=value" or "--name value"; *i is moved over a value that is a word of its own. */
static int take_option(struct arguments *a, const char *command, bool json, int n, char *const *words, int *i,
	struct error *err)
{
	const char *name = words[*i] + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	int o;

	if (!value && streq(name, "help")) {
		a->help = true;
		return 0;
	}
	if (!value && json && streq(name, "json")) {
		a->json = true;
		return 0;
	}
	o = find_option(a->options, name, len);
	if (o < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
			"command '%s' doesn't support option --%.*s ('godwit help %s' lists what it takes)",
			command, (int)len, name, command);
	if (a->options[o].kind == OPTION_FLAG) {
		if (value)
			return error_set(err, ERROR_INVALID_ARGUMENT, "%s: --%.*s takes no value", command,
				(int)len, name);
		a->values[o] = "";
		return 0;
	}
	if (value)
		return take_value(a, command, o, value + 1, err);
	if (*i + 1 >= n)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: --%s needs a value", command, name);
	return take_value(a, command, o, words[++*i], err);
}

static int take_positional(struct arguments *a, const char *command, const char *word, struct error *err)
{
	for (int i = 0; a->options && a->options[i].name; i++) {
		const struct option_spec *o = &a->options[i];

		if (!(o->flags & OPTION_POSITIONAL) || (a->values[i] && o->kind != OPTION_REST))
			continue;
		return take_value(a, command, i, word, err);
	}
	return error_set(err, ERROR_INVALID_ARGUMENT,
		"%s: unexpected '%s' ('godwit help %s' lists what it takes)", command, word, command);
}

static int check_required(const struct arguments *a, const char *command, struct error *err)
{
	for (int i = 0; a->options && a->options[i].name; i++) {
		const struct option_spec *o = &a->options[i];

		if (!(o->flags & OPTION_REQUIRED) || a->values[i])
			continue;
		if (o->flags & OPTION_POSITIONAL)
			return error_set(err, ERROR_INVALID_ARGUMENT, "command '%s' requires <%s>: %s",
				command, o->name, o->help);
		return error_set(err, ERROR_INVALID_ARGUMENT, "command '%s' requires --%s: %s", command,
			o->name, o->help);
	}
	return 0;
}

int arguments_parse(const char *command, const struct option_spec *options, bool json, int n,
	char *const *words, struct arguments *ret, struct error *err)
{
	struct arguments a = {.options = options};
	bool options_end = false;

	for (int i = 0; i < n; i++) {
		const char *word = words[i];
		int r;

		if (!options_end && streq(word, "--")) {
			options_end = true;
			continue;
		}
		/* "-5" and "-" are values, as they are to virsh */
		if (!options_end && startswith(word, "--") && isalnum((unsigned char)word[2]))
			r = take_option(&a, command, json, n, words, &i, err);
		else
			r = take_positional(&a, command, word, err);
		if (r < 0) {
			arguments_fini(&a);
			return -1;
		}
	}
	if (!a.help && check_required(&a, command, err) < 0) {
		arguments_fini(&a);
		return -1;
	}
	*ret = a;
	return 0;
}

void arguments_fini(struct arguments *a)
{
	free(a->rest);
	a->rest = NULL;
	a->n_rest = 0;
}

bool arguments_has(const struct arguments *a, const char *name)
{
	return a->values[index_of(a, name)];
}

const char *arguments_string(const struct arguments *a, const char *name)
{
	return a->values[index_of(a, name)];
}

uint64_t arguments_number(const struct arguments *a, const char *name, uint64_t otherwise)
{
	const char *value = arguments_string(a, name);

	/* it was checked when it was taken */
	if (value)
		parse_u64(value, &otherwise);
	return otherwise;
}

char *arguments_join_rest(const struct arguments *a)
{
	struct buf text = {0};

	if (a->n_rest == 0)
		return NULL;
	for (size_t i = 0; i < a->n_rest; i++) {
		if (i > 0)
			buf_adds(&text, " ");
		buf_adds(&text, a->rest[i]);
	}
	return buf_take(&text);
}

unsigned arguments_flag(const struct arguments *a, const char *name, unsigned flag)
{
	return arguments_has(a, name) ? flag : 0;
}

int arguments_exclusive(const struct arguments *a, const char *one, const char *other, struct error *err)
{
	if (arguments_has(a, one) && arguments_has(a, other))
		return error_set(
			err, ERROR_INVALID_ARGUMENT, "options --%s and --%s exclude each other", one, other);
	return 0;
}

/* Reads one quoted or escaped piece at *p into `word`; returns false at the end of an unclosed quotation. */
static bool read_piece(const char **p, struct buf *word)
{
	char quote = **p;

	if (quote == '\\' && (*p)[1]) {
		buf_add(word, *p + 1, 1);
		*p += 2;
		return true;
	}
	if (quote != '\'' && quote != '"') {
		buf_add(word, (*p)++, 1);
		return true;
	}
	for ((*p)++; **p != quote; (*p)++) {
		if (quote == '"' && **p == '\\' && (*p)[1])
			(*p)++;
		if (!**p)
			return false;
		buf_add(word, *p, 1);
	}
	(*p)++;
	return true;
}

int words_split(const char *text, struct strv *ret, struct error *err)
{
	const char *p = text;

	for (;;) {
		struct buf word = {0};

		p += strspn(p, " \t\n");
		if (!*p)
			return 0;
		if (*p == ';') {
			strv_add(ret, ";");
			p++;
			continue;
		}
		while (*p && !strchr(" \t\n;", *p)) {
			if (!read_piece(&p, &word)) {
				buf_fini(&word);
				return error_set(err, ERROR_INVALID_ARGUMENT,
					"a quotation mark is not closed: %s", text);
			}
		}
		strv_take(ret, buf_take(&word));
	}
}
