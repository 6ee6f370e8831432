/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of commands holds together, and the man page tells of all of it. */
#include <fcntl.h>
#include <stdarg.h>

#include "alloc.h"
#include "cli.h"
#include "client.h"
#include "constants.h"
#include "file.h"
#include "strv.h"
#include "table.h"
#include "tap.h"

/* Says which entry is wrong, once; the tests count them. */
static unsigned wrong;

static void complain(const char *fmt, ...) _printf_(1, 2);

static void complain(const char *fmt, ...)
{
	va_list ap;

	wrong++;
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static bool is_end_of_sentence(const char *text)
{
	return endswith(text, ".");
}

static void check_options(const struct command *c)
{
	bool optional_word = false, rest = false;
	size_t n = 0;

	for (const struct option_spec *o = c->options; o && o->name; o++, n++) {
		if (!o->help || !o->help[0] || is_end_of_sentence(o->help))
			complain("%s --%s: help text", c->name, o->name);
		if (rest)
			complain("%s --%s stands behind what takes all words", c->name, o->name);
		if ((o->flags & OPTION_REQUIRED) && (o->flags & OPTION_POSITIONAL) && optional_word)
			complain("%s <%s>: a word that must be there behind one that need not", c->name,
				o->name);
		if (o->kind == OPTION_FLAG && o->flags & (OPTION_POSITIONAL | OPTION_REQUIRED))
			complain("%s --%s: a flag with a position", c->name, o->name);
		if (streq(o->name, "json") || streq(o->name, "help"))
			complain("%s --%s is every command's already", c->name, o->name);
		for (const struct option_spec *p = c->options; p < o; p++)
			if (streq(p->name, o->name))
				complain("%s --%s is there twice", c->name, o->name);
		optional_word =
			optional_word || ((o->flags & OPTION_POSITIONAL) && !(o->flags & OPTION_REQUIRED));
		rest = o->kind == OPTION_REST;
	}
	if (n > OPTIONS_MAX)
		complain("%s has %zu options, more than OPTIONS_MAX", c->name, n);
}

static void test_table(void)
{
	size_t n = 0, per_group[GROUP_MAX_] = {0};

	for (const struct command *c = commands; c->name; c++, n++) {
		if (!c->run || c->group >= GROUP_MAX_)
			complain("%s: no function or no group", c->name);
		if (!c->summary || !c->summary[0] || is_end_of_sentence(c->summary) ||
			strlen(c->summary) > 55)
			complain("%s: summary", c->name);
		if (c->description && !is_end_of_sentence(c->description))
			complain("%s: a description is made of sentences", c->name);
		if (command_find(c->name) != c)
			complain("%s is there twice", c->name);
		per_group[c->group]++;
		check_options(c);
	}
	ok(n > 70 && wrong == 0, "every command is whole and there once");
	for (int group = 0; group < GROUP_MAX_; group++)
		ok(per_group[group] > 0 && !command_find(command_group_keyword((enum command_group)group)),
			command_group_title((enum command_group)group));
}

static void test_suggestions(void)
{
	ok(command_find("list") && !command_find("lis"), "names are found whole");
	is_str(command_suggest("lsit")->name, "list", "two letters swapped");
	is_str(command_suggest("mangedsave")->name, "managedsave", "a letter missing");
	is_str(command_suggest("shutdwon")->name, "shutdown", "another swap");
	is_str(command_suggest("state")->name, "domstate", "the end of a name");
	ok(command_suggest("frobnicate") == NULL, "nothing is near to nonsense");
	ok(command_suggest("x") == NULL || strlen(command_suggest("x")->name) > 0,
		"a single letter does no harm");
}

/* Man pages write a dash as \- ; `text` is without those backslashes. */
static bool page_has(const char *page, const char *fmt, ...) _printf_(2, 3);

static bool page_has(const char *page, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return strstr(page, text);
}

/* The part of the page about one command: from its heading to the next one. Owned by the caller. */
static char *section_of(const char *page, const char *command)
{
	_cleanup_free_ char *heading = xasprintf("\n.TP\n.B %s", command);
	const char *begin = page, *end;

	do {
		begin = strstr(begin + 1, heading);
	} while (begin && !strchr(" \n", begin[strlen(heading)]));
	if (!begin)
		return NULL;
	end = strstr(begin + strlen(heading), "\n.TP\n.B ");
	return xstrndup(begin, end ? (size_t)(end - begin) : strlen(begin));
}

static void test_man_page(void)
{
	static const struct {
		enum error_code code;
		int status;
	} statuses[] = {
		{ERROR_NONE, 0},
		{ERROR_OPERATION_FAILED, 1},
		{ERROR_INVALID_ARGUMENT, 2},
		{ERROR_NO_DOMAIN, 3},
		{ERROR_RPC, 4},
		{ERROR_OPERATION_INVALID, 5},
		{ERROR_BUSY, 5},
		{ERROR_UNSUPPORTED, 6},
		{ERROR_OPERATION_DENIED, 7},
		{ERROR_TIMEOUT, 8},
	};
	_cleanup_free_ char *page = NULL;
	size_t len;
	char *to;

	ok(file_read(AT_FDCWD, MAN_PAGE, 1 << 20, &page, &len, NULL) == 0, "the man page is there");
	if (!page)
		return;
	to = page;
	for (const char *from = page; *from; from++)
		if (*from != '\\' || from[1] != '-')
			*to++ = *from;
	*to = '\0';
	wrong = 0;
	for (const struct command *c = commands; c->name; c++) {
		_cleanup_free_ char *section = section_of(page, c->name);

		if (!section) {
			complain("%s is not in the man page", c->name);
			continue;
		}
		for (const struct option_spec *o = c->options; o && o->name; o++)
			if (!page_has(section, "%s%s",
				    (o->flags & OPTION_POSITIONAL) && !(o->flags & OPTION_SILENT) ? "" : "--",
				    o->name))
				complain("%s --%s is not in the man page", c->name, o->name);
		if ((c->flags & COMMAND_JSON) && !page_has(section, "--json"))
			complain("%s --json is not in the man page", c->name);
	}
	ok(wrong == 0, "it tells of every command and option");
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct error err = {.code = statuses[i].code};

		is_int(cli_exit_status(&err), statuses[i].status, "exit status");
		ok(page_has(page, "\n.TP\n.B %d\n", statuses[i].status), "is documented");
	}
}

static void test_wire_errors(void)
{
	ok(client_error_code(RPC_CODE_NO_DOMAIN) == ERROR_NO_DOMAIN, "the daemon's \"no domain\"");
	ok(client_error_code(RPC_CODE_RPC) == ERROR_UNSUPPORTED, "an unknown procedure means not supported");
	ok(client_error_code(RPC_CODE_INVALID_ARG) == ERROR_OPERATION_FAILED,
		"the daemon's \"invalid argument\" is no mistyped command");
	ok(client_error_code(99999) == ERROR_OPERATION_FAILED, "an unknown number is a failure");
}

int main(void)
{
	test_table();
	test_suggestions();
	test_wire_errors();
	test_man_page();
	return done_testing();
}
