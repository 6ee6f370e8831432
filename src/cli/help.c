/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `godwit help` prints. */
#include "help.h"

#include "commands.h"
#include "strv.h"

static void print_wrapped(FILE *out, const char *text, size_t indent)
{
	size_t column = indent;

	fprintf(out, "%*s", (int)indent, "");
	for (const char *p = text; *p;) {
		size_t word = strcspn(p, " ");

		if (column > indent && column + word > 78) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		}
		fprintf(out, "%.*s", (int)word, p);
		column += word;
		p += word;
		if (*p == ' ' && column < 78)
			fputc(' ', out);
		column++;
		p += strspn(p, " ");
	}
	fputc('\n', out);
}

static void print_group(FILE *out, enum command_group group)
{
	fprintf(out, "%s (help %s)\n", command_group_title(group), command_group_keyword(group));
	for (const struct command *c = commands; c->name; c++)
		if (c->group == group)
			fprintf(out, "  %-22s %s\n", c->name, c->summary);
}

void help_print_overview(FILE *out)
{
	fputs("godwit [OPTIONS] COMMAND [ARGUMENTS]\n"
	      "\n"
	      "  -c, --connect URI    godwit:///system, godwit:///session, or with ?socket=PATH\n"
	      "      --socket PATH    the daemon that listens there (or GODWIT_SOCKET)\n"
	      "      --root DIR       the daemon of godwitd --root DIR (or GODWIT_ROOT)\n"
	      "  -r, --readonly       only look\n"
	      "  -q, --quiet          print only what was asked for\n"
	      "      --timeout N      give up when the daemon does not answer for N seconds\n"
	      "  -h, --help           this text\n"
	      "  -v, --version        the version\n"
	      "\n"
	      "Without any of the first three: as root the host's daemon, else your own, which\n"
	      "is started when it is not there. Commands that list or show take --json.\n",
		out);
	for (int group = 0; group < GROUP_MAX_; group++) {
		fputc('\n', out);
		print_group(out, (enum command_group)group);
	}
	fputs("\n'godwit help COMMAND' explains one command.\n", out);
}

static void print_synopsis_option(FILE *out, const struct option_spec *o)
{
	bool required = o->flags & OPTION_REQUIRED;

	if ((o->flags & OPTION_POSITIONAL) && !(o->flags & OPTION_SILENT))
		fprintf(out, required ? " <%s>%s" : " [<%s>]%s", o->name,
			o->kind == OPTION_REST ? "..." : "");
	else if (o->kind == OPTION_FLAG)
		fprintf(out, " [--%s]", o->name);
	else
		fprintf(out, " [--%s <%s>]", o->name, o->kind == OPTION_NUMBER ? "number" : "string");
}

static void print_option(FILE *out, const struct option_spec *o)
{
	char text[64];

	if ((o->flags & OPTION_POSITIONAL) && !(o->flags & OPTION_SILENT))
		snprintf(text, sizeof(text), "<%s>%s", o->name, o->kind == OPTION_REST ? "..." : "");
	else if (o->kind == OPTION_FLAG)
		snprintf(text, sizeof(text), "--%s", o->name);
	else
		snprintf(text, sizeof(text), "--%s <%s>", o->name,
			o->kind == OPTION_NUMBER ? "number" : "string");
	fprintf(out, "    %-28s %s\n", text, o->help);
}

void help_print_command(FILE *out, const struct command *c)
{
	fprintf(out, "  NAME\n    %s - %s\n\n  SYNOPSIS\n    %s", c->name, c->summary, c->name);
	for (const struct option_spec *o = c->options; o && o->name; o++)
		print_synopsis_option(out, o);
	if (c->flags & COMMAND_JSON)
		fputs(" [--json]", out);
	fputc('\n', out);
	if (c->description) {
		fputs("\n  DESCRIPTION\n", out);
		print_wrapped(out, c->description, 4);
	}
	if (!(c->options && c->options->name) && !(c->flags & COMMAND_JSON))
		return;
	fputs("\n  OPTIONS\n", out);
	for (const struct option_spec *o = c->options; o && o->name; o++)
		print_option(out, o);
	if (c->flags & COMMAND_JSON)
		fprintf(out, "    %-28s %s\n", "--json", "print JSON instead of text");
}

/* Words a shell can complete with. */
static void print_completions(FILE *out, const struct command *of)
{
	if (!of) {
		for (const struct command *c = commands; c->name; c++)
			fprintf(out, "%s\n", c->name);
		return;
	}
	for (const struct option_spec *o = of->options; o && o->name; o++)
		fprintf(out, "--%s\n", o->name);
	if (of->flags & COMMAND_JSON)
		fputs("--json\n", out);
	fputs("--help\n", out);
}

int cmd_help(struct cli *cli, const struct arguments *args, struct error *err)
{
	const char *name = arguments_string(args, "command");
	const struct command *c, *near;

	if (!name) {
		if (arguments_has(args, "complete"))
			print_completions(stdout, NULL);
		else
			help_print_overview(stdout);
		return 0;
	}
	c = command_find(name);
	if (c) {
		if (arguments_has(args, "complete"))
			print_completions(stdout, c);
		else
			help_print_command(stdout, c);
		return 0;
	}
	for (int group = 0; group < GROUP_MAX_; group++) {
		if (!streq(command_group_keyword((enum command_group)group), name))
			continue;
		print_group(stdout, (enum command_group)group);
		return 0;
	}
	near = command_suggest(name);
	return error_set(err, ERROR_INVALID_ARGUMENT,
		near ? "no command '%s'; did you mean '%s'?" : "no command '%s'", name,
		near ? near->name : "");
}
