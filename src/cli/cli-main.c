/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `godwit` command: options of the program, then one command, or a string of several. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>

#include "cli.h"
#include "help.h"
#include "strv.h"

enum { OPT_SOCKET = 256, OPT_ROOT, OPT_TIMEOUT };

static const struct option long_options[] = {
	{"connect", required_argument, NULL, 'c'},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"root", required_argument, NULL, OPT_ROOT},
	{"readonly", no_argument, NULL, 'r'},
	{"quiet", no_argument, NULL, 'q'},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

/* 1: go on, 0: all is done, -1: *err. */
static int parse_program_options(struct cli *cli, int argc, char **argv, struct error *err)
{
	int c;

	opterr = 0;
	/* '+': the first word that is no option is the command, and everything behind it is its own */
	while ((c = getopt_long(argc, argv, "+:c:rqhvV", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			cli->uri = optarg;
			break;
		case OPT_SOCKET:
			cli->socket = optarg;
			break;
		case OPT_ROOT:
			cli->root = optarg;
			break;
		case 'r':
			cli->read_only = true;
			break;
		case 'q':
			cli->quiet = true;
			break;
		case OPT_TIMEOUT:
			if (!parse_u32(optarg, &cli->timeout_s) || cli->timeout_s > 1000000)
				return error_set(err, ERROR_INVALID_ARGUMENT,
					"--timeout needs a number of seconds, not '%s'", optarg);
			break;
		case 'h':
			help_print_overview(stdout);
			return 0;
		case 'v':
		case 'V':
			printf("%s\n", GODWIT_VERSION);
			return 0;
		case ':':
			return error_set(
				err, ERROR_INVALID_ARGUMENT, "option %s needs a value", argv[optind - 1]);
		default:
			return error_set(err, ERROR_INVALID_ARGUMENT,
				"unknown option %s ('godwit --help' lists them; a command's own options "
				"stand behind it)",
				argv[optind - 1]);
		}
	}
	return 1;
}

static int run_words(
	struct cli *cli, const struct command *command, int n, char *const *words, struct error *err)
{
	struct arguments args;
	int r;

	cli->command = command;
	if (arguments_parse(
		    command->name, command->options, command->flags & COMMAND_JSON, n, words, &args, err) < 0)
		return -1;
	cli->json = args.json;
	if (args.help) {
		help_print_command(stdout, command);
		r = 0;
	} else {
		r = command->run(cli, &args, err);
	}
	arguments_fini(&args);
	/* the empty line behind each command is virsh's, and JSON needs none */
	cli_print_extra(cli, "\n");
	return r;
}

/* One command with its words; its exit status. */
static enum exit_status run_command(struct cli *cli, int n, char *const *words)
{
	int r, used;
	const struct command *command = command_find_words(n, words, &used);
	struct error err = ERROR_INIT;

	cli->json = false;
	if (command) {
		r = run_words(cli, command, n - used, words + used, &err);
	} else {
		const struct command *near = command_suggest(words[0]);

		r = error_set(&err, ERROR_INVALID_ARGUMENT,
			near ? "unknown command '%s'; did you mean '%s'?"
			     : "unknown command '%s' ('godwit help' lists them)",
			words[0], near ? near->name : "");
	}
	if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		r = error_errno(&err, errno, "write the output");
	if (r == 0)
		return STATUS_OK;
	if (!cli->client && cli->connect_error.code != ERROR_NONE)
		error_copy(&err, &cli->connect_error);
	cli_print_error(cli, &err);
	return cli_exit_status(&err);
}

/* Commands separated by the word ";". The first failure ends it. */
static enum exit_status run_all(struct cli *cli, int n, char *const *words)
{
	enum exit_status status = STATUS_OK;

	for (int begin = 0; begin < n && status == STATUS_OK;) {
		int end = begin;

		while (end < n && !streq(words[end], ";"))
			end++;
		if (end > begin)
			status = run_command(cli, end - begin, words + begin);
		begin = end + 1;
	}
	return status;
}

/* `godwit "start vm; list"`: one word that has spaces is a string of commands, as it is to virsh. */
static enum exit_status run_string(struct cli *cli, const char *text)
{
	struct error err = ERROR_INIT;
	struct strv words = {0};
	enum exit_status status;

	if (words_split(text, &words, &err) < 0) {
		cli_print_error(cli, &err);
		status = cli_exit_status(&err);
	} else {
		status = run_all(cli, (int)words.n, words.items);
	}
	strv_fini(&words);
	return status;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	struct error err = ERROR_INIT;
	enum exit_status status;
	int r;

	setlocale(LC_ALL, "");
	r = parse_program_options(&cli, argc, argv, &err);
	if (r <= 0) {
		if (r < 0)
			cli_print_error(&cli, &err);
		return r < 0 ? STATUS_USAGE : STATUS_OK;
	}
	if (optind == argc) {
		help_print_overview(stderr);
		return STATUS_USAGE;
	}
	if (argc - optind == 1 && strpbrk(argv[optind], " \t\n;"))
		status = run_string(&cli, argv[optind]);
	else
		status = run_command(&cli, argc - optind, argv + optind);
	cli_fini(&cli);
	return (int)status;
}
